"""The base classes of audio denoisers: whole signals, and streams of frames.

A streaming model cuts frames of two hops, centered as `torch.stft` does: frame k is centered at
sample k * hop. Step k takes the samples k * hop to (k + 1) * hop - 1, which complete frame k and,
by overlap and add, the output up to sample k * hop - 1: the output lags by one hop, and by one more
for each frame of look-ahead.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from zoo import spectral
from zoo.data.pcm import MOST_CHANNELS
from zoo.errors import ZooError
from zoo.models.denoiser import CheckedModule, check_float

Dtype = Any


class AudioDenoiser(CheckedModule):
    """The base class of audio denoisers, (B, T, C) to the same shape and dtype.

    It checks the input and has the architecture's `_denoise` process each channel by itself. An
    architecture overrides that and, as attributes, properties or fields, what its `ModelSpec`
    states otherwise.

    Attributes:
      channels: C of the audio it is trained on; it takes any number.
      sample_rate: of the audio, Hz.
      learning_rate: as of `Denoiser`.
    """

    channels: int = 1

    sample_rate = 16000
    modality = "audio"
    range = (-1.0, 1.0)
    locality = "global"
    learning_rate = None

    def __post_init__(self):
        rate, least = self.sample_rate, 1000
        if not isinstance(rate, int) or rate < least:
            raise ZooError(
                f"{type(self).__name__}: sample_rate={rate!r} is not a whole number of Hz from "
                f"{least} on; take 8000 or 16000"
            )
        super().__post_init__()

    def __call__(
        self, x: jax.Array, level: jax.Array | float | None = None, *, train: bool = False
    ) -> jax.Array:
        """Denoises whole signals.

        Args:
          x: (B, T, C), any float dtype, made for [-1, 1] at the model's sample rate.
          level: ignored.
          train: whether batch norm uses and updates the statistics of this batch; ignored by
            models without.

        Returns:
          The clean estimate, shape and dtype of `x`.

        Raises:
          ZooError: `x` is not a batch of signals of floats, is empty, or has samples where
            channels belong; or is too short to mirror, with reflect padding.
        """
        _check(x, type(self).__name__)
        y = self._denoise(_fold_channels(x.astype(jnp.float32)), x.dtype, train)
        return _unfold_channels(y, x.shape[-1]).astype(x.dtype)

    def _denoise(self, x: jax.Array, dtype: Dtype, train: bool) -> jax.Array:
        """The network; an architecture implements it.

        Args:
          x: (N, T), float32; N is signals times channels.
          dtype: that of the input, in which the network computes unless its own says otherwise.
          train: as for `__call__`.

        Returns:
          The clean signals, (N, T).
        """
        raise NotImplementedError


class Frames(NamedTuple):
    """The state of a streamed STFT and its inverse, per signal and channel.

    Attributes:
      past: (N, hop), the last half window of the input.
      tail: (N, hop), the second half of the last synthesized frame.
    """

    past: jax.Array
    tail: jax.Array


class State(NamedTuple):
    """What a model carries from chunk to chunk of a stream.

    Attributes:
      frames: the half windows of input and output.
      memory: of the model, a tree of arrays.
    """

    frames: Frames
    memory: Any


class StreamingDenoiser(AudioDenoiser):
    """The base class of models that process the spectrum frame by frame, in frames of two hops.

    An architecture overrides `hop`, `_memory` and `_enhance`.

    Attributes:
      channels: as of `AudioDenoiser`.
      padding: beyond the ends of an audio signal: `"zero"`, as a stream has it, or `"reflect"`, the
        signal mirrored, as `torch.stft` has it.
      window: of a frame of so many samples, for the analysis and the synthesis.
      lookahead: frames that `_enhance` sees beyond the one it gives.
    """

    padding = "zero"
    window = staticmethod(spectral.sqrt_hann)
    lookahead = 0
    latency = property(lambda self: (1 + self.lookahead) * self.hop)

    def init_state(self, batch: int, channels: int = 1) -> State:
        """The state before the first sample of a stream.

        Args:
          batch: signals at a time.
          channels: of each.
        """
        n = batch * channels
        frames = Frames(jnp.zeros((n, self.hop)), jnp.zeros((n, self.hop)))
        return State(frames, self._memory(n))

    def step(self, variables: Mapping, state: State, chunk: jax.Array) -> tuple[State, jax.Array]:
        """Denoises the next samples of a stream; pure, and made to be jitted.

        The outputs lag by `latency` samples; apart from that they are those of the whole signal
        with `padding="zero"`. As many zeros at the end complete them.

        Args:
          variables: as for `apply`.
          state: from `init_state` or the step before.
          chunk: (B, n * hop, C), n at least 1.

        Returns:
          The next state; and the clean estimate, shape and dtype of `chunk`.

        Raises:
          ZooError: the chunk is not a multiple of the hop, or not of the state's size.
        """
        _check(chunk, type(self).__name__)
        if chunk.shape[1] % self.hop:
            raise ZooError(
                f"{type(self).__name__} streams chunks of multiples of {self.hop} samples, got "
                f"{chunk.shape[1]}; keep the rest for the next chunk, or fill up the last with "
                "zeros"
            )
        window = self.window(2 * self.hop)
        frames, spectrum = _push(state.frames, _fold_channels(chunk), window)
        spectrum, memory = self.apply(
            variables, spectrum, state.memory, chunk.dtype, False, method="_enhance"
        )
        frames, y = _pull(frames, spectrum, window)
        return State(frames, memory), _unfold_channels(y, chunk.shape[-1]).astype(chunk.dtype)

    def _denoise(self, x: jax.Array, dtype: Dtype, train: bool) -> jax.Array:
        length, size = x.shape[1], 2 * self.hop
        framing = {"size": size, "hop": self.hop, "window": self.window(size)}
        if self.padding == "zero":
            # A stream completed with zeros sees the same, so that the last samples agree too.
            x = pad_to_hop(x, self.hop)
        spectrum = spectral.stft(x, **framing, padding=self.padding)
        # The silence behind the end of a stream, which brings out the last frames.
        spectrum = jnp.pad(spectrum, ((0, 0), (0, self.lookahead), (0, 0)))
        spectrum, _ = self._enhance(spectrum, self._memory(x.shape[0]), dtype, train)
        return spectral.istft(spectrum[:, self.lookahead :], **framing, length=length)

    def _memory(self, number: int) -> Any:
        """The model's memory before the first frame of `number` signals times channels: arrays
        of their own each, so that the state can be donated."""
        raise NotImplementedError

    def _enhance(
        self, spectrum: jax.Array, memory: Any, dtype: Dtype, train: bool
    ) -> tuple[jax.Array, Any]:
        """Noisy spectra (N, frames, hop + 1) and memory to clean spectra, `lookahead` frames late,
        and the memory after."""
        raise NotImplementedError


def frame_size(sample_rate: int, multiple: int = 2) -> int:
    """The samples of a frame of 32 ms at a sample rate in Hz, rounded to a multiple."""
    return round(0.032 * sample_rate / multiple) * multiple


def pad_to_hop(x: jax.Array, hop: int) -> jax.Array:
    """Adds zeros at the end of (N, T) until T is a multiple of `hop`."""
    return jnp.pad(x, ((0, 0), (0, -x.shape[-1] % hop)))


def _check(x: jax.Array, model: str) -> None:
    if x.ndim != 3:
        raise ZooError(f"{model} takes (B, T, C), got shape {x.shape}; add the axes it lacks")
    check_float(x, model, "audio", "[-1, 1], such as int16 / 32768")
    if x.shape[-1] > MOST_CHANNELS:
        raise ZooError(
            f"{model} takes (B, T, C) of at most {MOST_CHANNELS} channels, got {x.shape[-1]}; "
            "put the samples before the channels"
        )
    if 0 in x.shape[1:]:
        raise ZooError(f"{model} takes at least one sample and channel, got shape {x.shape}")


def _fold_channels(x: jax.Array) -> jax.Array:
    """Channels to the batch: (B, T, C) to (B * C, T)."""
    b, t, c = x.shape
    return x.swapaxes(1, 2).reshape(b * c, t)


def _unfold_channels(x: jax.Array, channels: int) -> jax.Array:
    """The inverse of `_fold_channels`: (B * C, T) to (B, T, C)."""
    return x.reshape(-1, channels, x.shape[-1]).swapaxes(1, 2)


def _push(frames: Frames, x: jax.Array, window: np.ndarray) -> tuple[Frames, jax.Array]:
    """The spectra of the frames that a chunk (N, n hop) completes: (N, n, hop + 1), complex64,
    scaled as `zoo.spectral.stft`."""
    if len(x) != len(frames.past):
        raise ZooError(
            f"batch times channels of the chunk is {len(x)}, and of the state {len(frames.past)}; "
            "begin with init_state(batch, channels) of the chunk"
        )
    hop = len(window) // 2
    halves = jnp.concatenate([frames.past, x.astype(jnp.float32)], axis=1)
    halves = halves.reshape(len(x), -1, hop)
    cut = jnp.concatenate([halves[:, :-1], halves[:, 1:]], axis=-1)
    cut = cut * np.asarray(window, np.float32)[None, None]
    return frames._replace(past=halves[:, -1]), jnp.fft.rfft(cut)


def _pull(frames: Frames, spectrum: jax.Array, window: np.ndarray) -> tuple[Frames, jax.Array]:
    """The samples (N, n hop), float32, that frames (N, n, hop + 1) complete by overlap and add.

    Those of the very first frame lie before the signal; `zoo.spectral.istft` cuts them off.
    """
    hop = len(window) // 2
    window = np.asarray(window, np.float64)
    # Both frames that cover a sample weigh it twice by the window.
    weight = window / np.tile(window[:hop] ** 2 + window[hop:] ** 2, 2)
    cut = jnp.fft.irfft(spectrum, 2 * hop) * weight.astype(np.float32)[None, None]
    first, second = cut[..., :hop], cut[..., hop:]
    tails = jnp.concatenate([frames.tail[:, None], second[:, :-1]], axis=1)
    y = (first + tails).reshape(len(spectrum), -1)
    return frames._replace(tail=second[:, -1]), y

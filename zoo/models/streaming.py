"""What models of recordings share: channels, padding, and frames that come one at a time.

A streaming model cuts frames of two hops, centred as `torch.stft` does: frame k is centred at
sample k * hop. Step k brings the samples k * hop to (k + 1) * hop - 1, which complete frame k and,
by overlap and add, the output up to sample k * hop - 1: the output lags by one hop.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from zoo.data.pcm import MOST_CHANNELS
from zoo.errors import ZooError
from zoo.models import layers


class Frames(NamedTuple):
    """The state of a streamed STFT and its inverse, per recording and channel.

    Attributes:
      past: (N, hop), the last half window of the input.
      tail: (N, hop), the second half of the last synthesised frame.
    """

    past: jax.Array
    tail: jax.Array


def frame_size(model: Any, multiple: int = 2) -> int:
    """The samples of a frame of 32 ms at a model's sample rate, rounded to a multiple.

    Args:
      model: with a `sample_rate` in Hz.
      multiple: what they are a multiple of.

    Raises:
      ZooError: the sample rate is not a whole number of Hz, or too low for a frame.
    """
    rate, least = model.sample_rate, 1000
    if not isinstance(rate, int) or rate < least:
        raise ZooError(
            f"{type(model).__name__}: sample_rate={rate!r} is not a whole number of Hz from "
            f"{least} on; take 8000 or 16000"
        )
    return round(0.032 * rate / multiple) * multiple


def check_recording(x: jax.Array, model: str) -> None:
    """Holds a signal against (B, T, C).

    Args:
      x: the signal.
      model: who asks, for the error.

    Raises:
      ZooError: `x` is no batch of recordings, holds integers, is empty, or has samples where
        channels belong.
    """
    if x.ndim != 3:
        raise ZooError(f"{model} takes (B, T, C), got shape {x.shape}; add the axes it lacks")
    layers.check_float(x, model, "recordings", "[-1, 1], such as int16 / 32768")
    if x.shape[-1] > MOST_CHANNELS:
        raise ZooError(
            f"{model} takes (B, T, C) of at most {MOST_CHANNELS} channels, got {x.shape[-1]}; "
            "put the samples before the channels"
        )
    if 0 in x.shape[1:]:
        raise ZooError(f"{model} takes at least one sample and channel, got shape {x.shape}")


def check_chunk(x: jax.Array, hop: int, model: str) -> None:
    """Holds a chunk of a stream against (B, n hop, C).

    Raises:
      ZooError: as `check_recording`, or T is no multiple of `hop`.
    """
    check_recording(x, model)
    if x.shape[1] % hop:
        raise ZooError(
            f"{model} streams chunks of multiples of {hop} samples, got {x.shape[1]}; "
            "keep the rest for the next chunk, or fill up the last with zeros"
        )


def fold_channels(x: jax.Array) -> jax.Array:
    """Channels to the batch: (B, T, C) to (B * C, T)."""
    b, t, c = x.shape
    return x.swapaxes(1, 2).reshape(b * c, t)


def unfold_channels(x: jax.Array, channels: int) -> jax.Array:
    """The inverse of `fold_channels`: (B * C, T) to (B, T, C)."""
    return x.reshape(-1, channels, x.shape[-1]).swapaxes(1, 2)


def pad_to_hop(x: jax.Array, hop: int) -> jax.Array:
    """Adds zeros at the end of (N, T) until T is a multiple of `hop`.

    A stream that is flushed with zeros sees the same, so that the last samples agree too.
    """
    return jnp.pad(x, ((0, 0), (0, -x.shape[-1] % hop)))


def init_frames(number: int, hop: int) -> Frames:
    """The state before the first sample.

    Args:
      number: recordings times channels.
      hop: samples.
    """
    return Frames(jnp.zeros((number, hop)), jnp.zeros((number, hop)))


def push(frames: Frames, x: jax.Array, window: np.ndarray) -> tuple[Frames, jax.Array]:
    """The spectra of the frames that a chunk completes.

    Args:
      frames: the state.
      x: (N, n hop).
      window: (2 hop,).

    Returns:
      The new state and (N, n, hop + 1) complex64, scaled as `zoo.spectral.stft`.

    Raises:
      ZooError: the chunk and the state are of different N.
    """
    if len(x) != len(frames.past):
        raise ZooError(
            f"the chunk has {len(x)} signals, recordings times channels, and the state is of "
            f"{len(frames.past)}; begin with init_state(batch, channels) of the chunk's"
        )
    hop = len(window) // 2
    halves = jnp.concatenate([frames.past, x.astype(jnp.float32)], axis=1)
    halves = halves.reshape(len(x), -1, hop)
    cut = jnp.concatenate([halves[:, :-1], halves[:, 1:]], axis=-1)
    cut = cut * np.asarray(window, np.float32)[None, None]
    return frames._replace(past=halves[:, -1]), jnp.fft.rfft(cut)


def advance(
    frames: Frames,
    chunk: jax.Array,
    window: np.ndarray,
    change: Callable[[jax.Array], tuple[jax.Array, Any]],
) -> tuple[Frames, Any, jax.Array]:
    """A step of a stream: the frames that a chunk completes, changed, and back to samples.

    Args:
      frames: the state.
      chunk: (B, n hop, C).
      window: (2 hop,).
      change: takes the spectra (N, n, hop + 1) and gives them changed, with the model's own state.

    Returns:
      The new state of the frames, that of the model, and samples of the shape and dtype of `chunk`.
    """
    frames, spectrum = push(frames, fold_channels(chunk), window)
    spectrum, own = change(spectrum)
    frames, y = pull(frames, spectrum, window)
    return frames, own, unfold_channels(y, chunk.shape[-1]).astype(chunk.dtype)


def pull(frames: Frames, spectrum: jax.Array, window: np.ndarray) -> tuple[Frames, jax.Array]:
    """The samples that frames complete by overlap and add, one hop behind the input.

    Args:
      frames: the state.
      spectrum: (N, n, hop + 1), complex.
      window: (2 hop,), of the analysis and the synthesis.

    Returns:
      The new state and (N, n hop) float32; of the first frame ever, the hop before the recording,
      which `zoo.spectral.istft` cuts off.
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

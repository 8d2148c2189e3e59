"""A live signal, denoised chunk by chunk as it arrives."""

import functools
import os
from collections.abc import Mapping

import numpy as np
from flax import linen as nn

from zoo.data import pcm
from zoo.errors import ZooError
from zoo.inference.audio_chunks import Hops
from zoo.inference.audio_resampling import around, link_hop
from zoo.inference.denoise_audio import share
from zoo.resolve import Resolved, resolve

# For the latency at another rate than the model's, in seconds: how long to listen, and how finely.
_LISTEN, _GRAIN = 4.0, 0.004


class AudioStream:
    """One signal that comes in chunks of any size; nothing between them is lost.

    What comes out, put together, is as long as what went in and lies at the same places; it is
    what `zoo.denoise` gives for the whole. At another rate than the model's it is resampled there
    and back, which takes 70 ms more at 48 kHz and 190 ms at 8 kHz; see `latency`.
    One thread at a time may use a stream; each signal at a time needs a stream of its own.

    >>> stream = AudioStream("wiener", channels=1, sample_rate=16000)
    >>> microphone = (np.zeros((480, 1), np.float32) for _ in range(10))
    >>> clean = [stream.feed(chunk) for chunk in microphone]
    >>> clean.append(stream.finish())
    >>> sum(len(chunk) for chunk in clean)
    4800
    """

    def __init__(
        self,
        model: str | os.PathLike | nn.Module | Resolved,
        variables: Mapping | None = None,
        *,
        channels: int = 1,
        sample_rate: int = 16000,
        strength: float = 1.0,
        limit: float | None = None,
        separate_channels: bool = False,
    ):
        """Begins an audio signal; it compiles now, and never during the stream.

        Args:
          model: as `zoo.denoise` takes it; one that streams.
          variables: those of a registered model or a module; None with weights or if it has none.
          channels: C of the chunks.
          sample_rate: of the chunks, Hz.
          strength: how much of the model's change is made, 0 (none) to 1 (all).
          limit: the most attenuation in dB, in the place of `strength`.
          separate_channels: whether each channel is processed by itself; otherwise they get one
            gain, a hop later.

        Raises:
          ZooError: the model is not one that streams, its variables are missing or of another, or
            a number is out of its range.
        """
        most = pcm.MOST_CHANNELS
        if channels not in range(1, most + 1):
            raise ZooError(f"channels={channels!r} is no whole number from 1 to {most}")
        found = resolve(model, variables, modality="audio")
        self._model, self._variables = found.module, found.variables
        if not getattr(self._model, "hop", 0):
            raise ZooError(
                f"{type(self._model).__name__} does not stream; take a model with a hop, such as "
                "stream-t or wiener, or denoise the whole signal"
            )
        self._settings = {
            "channels": channels,
            "sample_rate": sample_rate,
            "strength": share(strength, limit),
            "hop": 0 if separate_channels or channels == 1 else link_hop(self._model),
        }
        self._pipe = self._begin()

    def feed(self, chunk: np.ndarray) -> np.ndarray:
        """Takes the next samples and gives those that are finished.

        Args:
          chunk: (n, C), int16, or a float in [-1, 1]; n may be 0, and from call to call another.

        Returns:
          (m, C) float32. m is 0 until a hop is complete.

        Raises:
          ZooError: the chunk is of another shape or holds NaN; the stream is as it was before.
        """
        # A copy: sound cards hand out the same memory again and again.
        x, channels = np.array(chunk), self._settings["channels"]
        if x.ndim != 2 or x.shape[1] != channels:
            raise ZooError(
                f"the chunk has shape {x.shape}; this stream's are (samples, {channels}), "
                "so reshape or transpose it"
            )
        x = pcm.to_float(pcm.check(x, "the chunk")) if len(x) else np.float32(x)
        return self._pipe.feed(x)

    def finish(self) -> np.ndarray:
        """The samples (m, C) float32 still owed; after it the stream begins another signal."""
        rest = self._pipe.finish()
        self._pipe = self._begin()
        return rest

    @functools.cached_property
    def latency(self) -> int:
        """The most samples, at the stream's rate, that have been fed and not yet given back.

        At the model's own rate that is the hop that must be filled, and the model's own latency:
        512 for models of 16 kHz, 32 ms, and 1024 for those of 48 kHz, 21 ms. Several channels that
        get one gain take another hop.
        """
        settings = self._settings
        if settings["sample_rate"] == self._model.sample_rate:
            return self._model.hop + self._model.latency + settings["hop"]
        # How resampling buffers is written nowhere, so it is listened to.
        channels = 2 if settings["hop"] else 1
        settings = {**settings, "channels": channels}
        silent = around(Hops(self._model, None, channels, live=True), **settings)
        grain = round(_GRAIN * settings["sample_rate"])
        chunk, behind, most = np.zeros((grain, channels), np.float32), 0, 0
        for _ in range(round(_LISTEN / _GRAIN)):
            behind += grain - len(silent.feed(chunk))
            most = max(most, behind)
        return most + grain

    @property
    def latency_seconds(self) -> float:
        """The same in seconds."""
        return self.latency / self._settings["sample_rate"]

    def _begin(self):
        core = Hops(self._model, self._variables, self._settings["channels"], live=True)
        core.warm()
        return around(core, **self._settings)

"""A stationary spectral gate: bins that do not stand out of the recording's statistics are closed.

The method of the noisereduce package (Sainburg et al., "Finding, visualizing, and quantifying
latent structure across diverse animal vocal repertoires", PLOS Computational Biology 2020), which
goes back to the noise reduction of Audacity; written anew.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from zoo import spectral
from zoo.errors import ZooError
from zoo.models import streaming
from zoo.models.registry import register

# What is so far below the loudest bin says nothing of the noise, in dB.
_DEPTH = 80.0


class SpectralGate(nn.Module):
    """Opens a bin where it is louder than the recording mostly is at its frequency.

    Two passes over the whole recording, so that it does not stream; no parameters, each channel by
    itself. The noise must be stationary. The noisereduce package takes `quietest=1` and
    `smooth_hz=500`, which costs more of the speech.

    Attributes:
      channels: C where none is told, as for the registry; recordings of any C are taken.
      sample_rate: of the recordings, Hz; a frame has 64 ms, 1024 samples at 16 kHz.
      deviations: a bin opens this many standard deviations above the mean, both in dB.
      quietest: the share of frames, in (0, 1], of which mean and deviation are taken: the frames of
        the least power. 1 takes all, speech too.
      reduction: the share that a closed bin loses, in [0, 1].
      smooth_hz: half the width of the triangle that smoothes the mask over frequency.
      smooth_ms: the same over time.
    """

    channels: int = 1
    sample_rate: int = 16000
    deviations: float = 1.5
    quietest: float = 0.2
    reduction: float = 1.0
    smooth_hz: float = 60.0
    smooth_ms: float = 50.0

    modality = "audio"
    range = (-1.0, 1.0)
    locality = "global"

    def __post_init__(self):
        streaming.frame_size(self)
        for field, least in (("quietest", 1e-3), ("reduction", 0.0)):
            value = getattr(self, field)
            if not least <= value <= 1:
                raise ZooError(f"SpectralGate: {field}={value!r} is a share; take one up to 1")
        for field in ("smooth_hz", "smooth_ms"):
            value = getattr(self, field)
            if not value >= 0:
                raise ZooError(f"SpectralGate: {field}={value!r} is negative; take 0 or more")
        super().__post_init__()

    def __call__(
        self, x: jax.Array, level: jax.Array | float | None = None, *, train: bool = False
    ) -> jax.Array:
        """Denoises a batch.

        Args:
          x: (B, T, C), any float dtype, made for [-1, 1] at `sample_rate`.
          level: ignored.
          train: ignored.

        Returns:
          The clean estimate, shape and dtype of `x`.

        Raises:
          ZooError: `x` is no batch of recordings.
        """
        streaming.check_recording(x, "SpectralGate")
        size, hop = self._framing()
        signal = streaming.pad_to_hop(streaming.fold_channels(x), hop)
        framing = {"size": size, "hop": hop}
        spectrum = spectral.stft(signal, **framing, padding="zero")
        mask = self._smooth(self._open(spectrum))
        mask = 1 - self.reduction * (1 - mask)
        y = spectral.istft(spectrum * mask.astype(spectrum.dtype), **framing, length=x.shape[1])
        return streaming.unfold_channels(y, x.shape[-1]).astype(x.dtype)

    def _framing(self) -> tuple[int, int]:
        """Samples of a frame, and from one to the next."""
        half = streaming.frame_size(self, 4)
        return 2 * half, half // 2

    def _open(self, spectrum: jax.Array) -> jax.Array:
        """1 where a bin of (N, frames, bins) stands out, else 0."""
        power = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
        decibels = 10 * jnp.log10(jnp.maximum(power, 1e-20))
        decibels = jnp.maximum(decibels, decibels.max((1, 2), keepdims=True) - _DEPTH)
        # Digital silence is no noise: a deviation that counts it would close every bin.
        total = power.sum(-1, keepdims=True)
        limit = jnp.quantile(total, self.quietest, axis=1, keepdims=True)
        heard = total > total.max(1, keepdims=True) * 10 ** (-_DEPTH / 10)
        counted = (heard & (total <= limit)).astype(power.dtype)
        share = counted / jnp.maximum(counted.sum(1, keepdims=True), 1)
        mean = (decibels * share).sum(1, keepdims=True)
        variance = (jnp.square(decibels - mean) * share).sum(1, keepdims=True)
        threshold = mean + self.deviations * jnp.sqrt(variance)
        # Where even more is silent there is no noise, and all is open.
        threshold = jnp.where(counted.any(1, keepdims=True), threshold, -jnp.inf)
        return (decibels > threshold).astype(jnp.float32)

    def _smooth(self, mask: jax.Array) -> jax.Array:
        """The mask averaged over its neighbourhood by a triangle each way, zero outside."""
        size, hop = self._framing()
        for axis, reach in (
            (1, self.smooth_ms / 1000 * self.sample_rate / hop),
            (2, self.smooth_hz * size / self.sample_rate),
        ):
            triangle = _triangle(round(reach))
            side = len(triangle) // 2
            pads = [(side, side) if i == axis else (0, 0) for i in range(3)]
            padded = jnp.pad(mask, pads)
            length = mask.shape[axis]
            mask = sum(
                float(weight) * jax.lax.slice_in_dim(padded, i, i + length, axis=axis)
                for i, weight in enumerate(triangle)
            )
        return mask


def _triangle(reach: int) -> np.ndarray:
    """Weights that fall on both sides and sum to 1; those `reach` + 1 away are 0."""
    weights = 1 - np.abs(np.arange(-reach, reach + 1)) / (reach + 1)
    return weights / weights.sum()


@register("spectral-gate", parameters=0)
def spectral_gate(**overrides) -> SpectralGate:
    """Statistics of the quietest fifth of the frames, and a mask that is smoothed little."""
    return SpectralGate(**overrides)

"""Recordings in memory."""

import os
from collections.abc import Mapping

import numpy as np
from flax import linen as nn

from zoo.data import pcm
from zoo.inference.ready import ready
from zoo.inference.recordings.check import check_array
from zoo.inference.recordings.pipe import pipe

# In seconds: what a file is read by, and an array walked through.
BLOCK = 10


def denoise(
    x: np.ndarray,
    model: str | os.PathLike | nn.Module,
    variables: Mapping | None = None,
    *,
    sample_rate: int,
    strength: float = 1.0,
) -> np.ndarray:
    """Denoises a recording in memory, each channel by itself; see `denoise_file`.

    Args:
      x: (T,) or (T, C), int16, or a float in [-1, 1].
      model: the name of weights that come with the zoo, a weight file's path, a registered
        model, or a module.
      variables: those of a registered model or a module; None with weights or if it has none.
      sample_rate: of `x`, in Hz; any, the model's is reached by resampling.
      strength: how much of the model's change is made, 0 (none) to 1 (all): x + strength (y - x).

    Returns:
      The denoised recording, shape and dtype of `x`: int16 is rounded and clipped, floats may pass
      full scale.

    Raises:
      ZooError: `x` is no recording (NaN, no samples, channels before samples, integers other than
        int16), the model is unknown or none of recordings, its variables do not fit, or `strength`
        or `sample_rate` is out of range.
    """
    x = np.asarray(x)
    signal = check_array(x[:, None] if x.ndim == 1 else x)
    module, variables = ready(model, variables, modality="audio")
    settings = {"sample_rate": sample_rate, "strength": strength}
    through = pipe(module, variables, channels=signal.shape[1], **settings)
    size = BLOCK * int(sample_rate)
    found = [through.feed(signal[at : at + size]) for at in range(0, len(signal), size)]
    y = np.concatenate([*found, through.finish()]).reshape(x.shape)
    return pcm.to_int16(y) if x.dtype == np.int16 else y.astype(x.dtype)

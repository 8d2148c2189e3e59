"""Arrays held against what a recording is."""

import numpy as np

from zoo.data import pcm
from zoo.errors import ZooError

# Of arrays: more are samples, put where channels belong.
MOST_COLUMNS = 32


def check_array(x: np.ndarray) -> np.ndarray:
    """A recording in memory as float32.

    Args:
      x: (T, C), int16 or a float in [-1, 1].

    Returns:
      (T, C) float32.

    Raises:
      ZooError: it has no samples, holds NaN, values far outside [-1, 1] or another dtype, or has
        more columns than rows or than 32.
    """
    if x.ndim == 2 and x.shape[0] > 0 and x.shape[1] > min(x.shape[0], MOST_COLUMNS):
        raise ZooError(
            f"the recording has shape {x.shape}; a recording is (samples, channels), "
            "so transpose it"
        )
    return pcm.to_float(pcm.check(x, "the recording"))


def check_chunk(x: np.ndarray, channels: int) -> np.ndarray:
    """A chunk of a stream as float32, in memory of its own.

    Args:
      x: (n, C), as `check_array`; n may be 0.
      channels: C.

    Raises:
      ZooError: as `check_array`, or C is another.
    """
    x = np.asarray(x)
    if x.ndim != 2 or x.shape[1] != channels:
        raise ZooError(
            f"the chunk has shape {x.shape}; this stream's are (samples, {channels}), "
            "so reshape or transpose it"
        )
    # A copy: sound cards hand out the same memory again and again.
    x = np.array(x)
    return pcm.to_float(pcm.check(x, "the chunk")) if len(x) else np.float32(x)

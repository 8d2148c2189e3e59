"""A picture in memory, by one call."""

import os
from collections.abc import Callable, Mapping

import numpy as np
from flax import linen as nn
from jax.typing import ArrayLike, DTypeLike

from zoo.errors import ZooError
from zoo.inference.pictures import check
from zoo.inference.pictures import scale as scales
from zoo.inference.pictures.denoiser import Denoiser


def denoise(
    image: ArrayLike,
    model: str | os.PathLike | nn.Module | None = None,
    level: float | None = None,
    *,
    range: tuple[float, float] | None = None,
    linear: bool = False,
    variables: Mapping | None = None,
    strength: float = 1.0,
    tile: int | None = None,
    overlap: int | None = None,
    ensemble: bool = False,
    dtype: DTypeLike | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Denoises one picture of any size, in memory that does not grow with it.

    Programs are kept from call to call, but a model named by weights is read anew each time:
    for many pictures make one `Denoiser`.

    Args:
      image: (H, W) or (H, W, C), C from 1 to 4: gray, gray and alpha, color, color and alpha;
        integers or floats of any range. Alpha is left as it is, and so are values that are not
        finite, which stand for a mask. Three channels that are equal are one gray picture.
      model: the name of weights that come with the zoo, a weight file's path, a registered model,
        or a module; None takes "unet-gray" or "unet-color". A grey model takes each channel of a
        colour picture by itself; a colour model gets a grey one three times, and its outputs are
        averaged.
      level: standard deviation of the noise as a share of white, such as 25 / 255, above 0 and at
        most 1; None estimates it from the picture. White is the largest value of integers of 8 and
        16 bits; of floats and wider integers 1, or the range's end where that is more. Of linear
        pictures it is that after their noise was made even. Models that take no level ignore it.
      range: the values that the model is to see as black and as white; None chooses them: what the
        type or [0, 1] holds, halved as often as the picture leaves half of it empty, and an offset
        for pictures with values below 0 or far from black.
      linear: whether values are in proportion to light. Their noise, which grows with them, is
        made even by a root before the model, and the mean is kept on the way back.
      variables: those of a registered model or a module; None with weights.
      strength: how much of the model's change is made, 0 (none) to 1 (all): x + strength (y - x).
      tile: side of the tiles in pixels, rounded up to what the model divides by; 0 takes the
        picture whole, None decides by its size and the model's.
      overlap: pixels at each inner side of a tile that are computed but not kept, or are blended;
        None takes the model's reach, so that tiles make no difference, or 32 where it has none.
      ensemble: whether the result is the mean over the picture's eight flips and turns, which
        takes eight times as long.
      dtype: of the computation, float32 or bfloat16; None leaves it to the model.
      progress: called with the number of tiles that are done and that of all.

    Returns:
      The clean estimate, shape and dtype of `image`: integers are rounded and clipped, floats may
      pass 0 and 1.

    Raises:
      ZooError: `image` is no such picture, the model is unknown or takes other
        pictures, its variables do not fit, an option is out of range, or the picture is too small
        to estimate a level from.
    """
    denoiser = Denoiser(
        model,
        variables=variables,
        strength=strength,
        tile=tile,
        overlap=overlap,
        ensemble=ensemble,
        dtype=dtype,
    )
    if not isinstance(linear, bool | np.bool_):
        raise ZooError(f"linear={linear!r} is neither True nor False")
    source = check.colors(image)
    scale = scales.find([source], range, linear=linear)[source.dtype]
    return denoiser(image, level, progress, scale).image

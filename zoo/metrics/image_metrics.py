"""Distances between two images, as pure functions.

Every function takes two arrays of shape (..., H, W, C), computes in float32 whatever the input's
dtype, reduces the last three axes and returns shape (...): one figure an image, never one a batch.
`data_range` is the distance from black to white in the arrays' own unit (1 for floats in [0, 1],
255 for 8-bit counts). It has no default, because libraries that guess it disagree. It may be one
number, or one an image (...).

Images of several sizes can be measured by one compiled program: lay each in the top left corner
of arrays of one shape and give `size`, integers (..., 2), the height and width of each. What lies
outside does not count, whatever it is.
"""

import jax
import jax.numpy as jnp
import numpy as np

from zoo.errors import ZooError
from zoo.modality import IMAGE

# Wang et al. 2004, section III.C: an 11x11 Gaussian window of sigma 1.5, K1 = .01, K2 = .03.
WINDOW = 11
SIGMA = 1.5
K1 = 0.01
K2 = 0.03

# Wang, Simoncelli and Bovik 2003, section 4: the exponents of the five scales, finest first.
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def _clipped_error(prediction: jax.Array, target: jax.Array) -> jax.Array:
    return jnp.square(jnp.clip(prediction, 0.0, 1.0) - target)


# In training, the PSNR of the clipped output at range 1, from the mean error of the batch.
@IMAGE.metric("PSNR, dB", 2, average=_clipped_error, finish=lambda error: -10.0 * jnp.log10(error))
def psnr(
    a: jax.Array,
    b: jax.Array,
    *,
    data_range: float | jax.Array,
    size: jax.Array | None = None,
) -> jax.Array:
    """Peak signal-to-noise ratio of each image, over all its channels together.

    Args:
      a: images, (..., H, W, C).
      b: images of the same shape and unit.
      data_range: the distance from black to white in that unit, a number or (...).
      size: (..., 2), the part that counts; None for all.

    Returns:
      (...), float32, in dB; `inf` for identical images.

    Raises:
      ZooError: if the shapes differ or have fewer than three axes.
    """
    # Scaling before squaring keeps 16-bit counts far from float32's limits, and subtracting before
    # scaling keeps the difference of equal images 0.
    a, b = _pair(a, b)
    error = (a - b) / _per_image(data_range, a)
    return -10 * jnp.log10(mse(error, jnp.zeros_like(error), size=size))


@IMAGE.metric("SSIM", 4, least=WINDOW)
def ssim(
    a: jax.Array,
    b: jax.Array,
    *,
    data_range: float | jax.Array,
    size: jax.Array | None = None,
) -> jax.Array:
    """Structural similarity of each image, the mean over its channels.

    The window runs over the valid region only, as in the authors' MATLAB code and in scikit-image's
    `structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False)`.

    Args:
      a: images, (..., H, W, C), both sides at least 11.
      b: images of the same shape and unit.
      data_range: the distance from black to white in that unit, a number or (...).
      size: (..., 2), the part that counts; None for all.

    Returns:
      (...), float32, in [-1, 1]; 1 for identical images. Its gradient is finite everywhere. NaN
      where `size` has a side below 11.

    Raises:
      ZooError: if the shapes differ or a side is below 11.

    References:
      Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to
      structural similarity", IEEE TIP 2004.
    """
    windows = None if size is None else size - (WINDOW - 1)
    return jnp.mean(_mean(ssim_map(a, b, data_range=data_range), windows), axis=-1)


def ssim_map(a: jax.Array, b: jax.Array, *, data_range: float | jax.Array) -> jax.Array:
    """Structural similarity at every place the window fits, (..., H - 10, W - 10, C).

    Arguments and errors as for `ssim`.
    """
    luminance, contrast = _ssim_terms(*_pair(a, b), data_range)
    return luminance * contrast


_SCALES = len(MS_SSIM_WEIGHTS)


@IMAGE.metric(
    "MS-SSIM", 4, usual=False, least=WINDOW * 2 ** (_SCALES - 1), options={"scales": _SCALES}
)
def ms_ssim(
    a: jax.Array,
    b: jax.Array,
    *,
    data_range: float | jax.Array,
    scales: int | None = None,
    size: jax.Array | None = None,
) -> jax.Array:
    """Multi-scale structural similarity of each image, the mean over its channels.

    As in the authors' code, the window must still fit the coarsest image, so `scales` scales need
    sides of at least 11 * 2**(scales - 1): 176 for the published five. `None` takes as many of the
    five as fit, which is 3 for a 64-pixel crop, and renormalizes their exponents to sum to 1;
    figures for different numbers of scales are not comparable.

    Args:
      a: images, (..., H, W, C).
      b: images of the same shape and unit.
      data_range: the distance from black to white in that unit, a number or (...).
      scales: how many scales, 1 to 5, or None: as many as fit the arrays, whatever `size`.
      size: (..., 2), the part that counts; None for all.

    Returns:
      (...), float32, in (0, 1]; 1 for identical images. A scale at which the images are
      anticorrelated counts as 1e-4, so the result and its gradient stay finite. NaN where `size`
      is too short for the scales.

    Raises:
      ZooError: if the shapes differ, a side is too short, or `scales` is not 1 to 5.

    References:
      Wang, Simoncelli, Bovik, "Multi-scale structural similarity for image quality assessment",
      Asilomar 2003.
    """
    a, b = _pair(a, b)
    weights = np.asarray(MS_SSIM_WEIGHTS[: _scales(min(a.shape[-3:-1]), scales)])
    weights = weights / weights.sum()
    if size is not None:
        fits = jnp.min(size, axis=-1) >= WINDOW * 2 ** (len(weights) - 1)
    product = None
    for scale, weight in enumerate(weights):
        if scale:
            if size is not None:
                a, b, size = _repeat_edge(a, size), _repeat_edge(b, size), (size + 1) // 2
            a, b = _halve(a), _halve(b)
        luminance, contrast = _ssim_terms(a, b, data_range)
        # The luminance term enters at the coarsest scale alone.
        term = luminance * contrast if scale == len(weights) - 1 else contrast
        # A fractional power of a negative mean is NaN, and its slope at 0 infinite.
        windows = None if size is None else size - (WINDOW - 1)
        factor = jnp.maximum(_mean(term, windows), 1e-4) ** float(weight)
        product = factor if product is None else product * factor
    result = jnp.mean(product, axis=-1)
    return result if size is None else jnp.where(fits, result, jnp.nan)


@IMAGE.metric("MSE", 6, higher=False, power=2)
def mse(a: jax.Array, b: jax.Array, *, size: jax.Array | None = None) -> jax.Array:
    """Mean squared error of each image.

    Args:
      a: images, (..., H, W, C), any unit.
      b: images of the same shape and unit.
      size: (..., 2), the part that counts; None for all.

    Returns:
      (...), float32, in the square of the arrays' unit.

    Raises:
      ZooError: if the shapes differ or have fewer than three axes.
    """
    a, b = _pair(a, b)
    return jnp.mean(_mean(jnp.square(a - b), size), axis=-1)


@IMAGE.metric("MAE", 5, higher=False, power=1)
def mae(a: jax.Array, b: jax.Array, *, size: jax.Array | None = None) -> jax.Array:
    """Mean absolute error of each image; arguments as for `mse`, result in the arrays' unit."""
    a, b = _pair(a, b)
    return jnp.mean(_mean(jnp.abs(a - b), size), axis=-1)


def _pair(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Both arrays in float32, checked to be images of one shape."""
    a, b = jnp.asarray(a), jnp.asarray(b)
    if a.shape != b.shape or a.ndim < 3:
        raise ZooError(f"need two images of one shape (..., H, W, C), got {a.shape}, {b.shape}")
    return a.astype(jnp.float32), b.astype(jnp.float32)


def _per_image(value: float | jax.Array, x: jax.Array) -> jax.Array:
    """A number, or one an image (...), ready to meet images (..., H, W, C)."""
    value = jnp.asarray(value, x.dtype)
    return value[..., None, None, None] if value.ndim else value


def _mean(x: jax.Array, size: jax.Array | None) -> jax.Array:
    """The mean over H and W, (..., C), of the part that counts; NaN if there is none."""
    if size is None:
        return jnp.mean(x, axis=(-3, -2))
    height, width, _ = x.shape[-3:]
    rows = jnp.expand_dims(jnp.arange(height), range(size.ndim - 1)) < size[..., :1]
    columns = jnp.expand_dims(jnp.arange(width), range(size.ndim - 1)) < size[..., 1:]
    counts = rows[..., :, None, None] & columns[..., None, :, None]
    # Not a product with the mask: what lies outside may be infinite.
    total = jnp.sum(jnp.where(counts, x, 0), axis=(-3, -2))
    number = jnp.sum(counts, axis=(-3, -2))
    return jnp.where(number > 0, total / jnp.maximum(number, 1).astype(x.dtype), jnp.nan)


def _repeat_edge(x: jax.Array, size: jax.Array) -> jax.Array:
    """The last row and column of the part that counts, repeated over what lies outside."""
    height, width = x.shape[-3:-1]
    for axis, side, last in ((-3, height, size[..., 0]), (-2, width, size[..., 1])):
        places = jnp.minimum(
            jnp.expand_dims(jnp.arange(side), range(last.ndim)), last[..., None] - 1
        )
        places = jnp.maximum(places, 0)
        places = jnp.expand_dims(places, (-2, -1) if axis == -3 else (-3, -1))
        x = jnp.take_along_axis(x, places, axis=axis)
    return x


def _scales(side: int, scales: int | None) -> int:
    """The number of scales for images whose shorter side is `side`."""
    fit = sum(side >= WINDOW * 2**scale for scale in range(len(MS_SSIM_WEIGHTS)))
    if scales is None:
        # At least one, so that an image too small for any gets SSIM's own error.
        return max(fit, 1)
    if not 1 <= scales <= len(MS_SSIM_WEIGHTS):
        raise ZooError(f"MS-SSIM has 1 to {len(MS_SSIM_WEIGHTS)} scales, not {scales}")
    if scales > fit:
        need = WINDOW * 2 ** (scales - 1)
        raise ZooError(
            f"MS-SSIM at {scales} scales needs sides of {need} or more, not {side}; use fewer"
        )
    return scales


def _ssim_terms(
    a: jax.Array, b: jax.Array, data_range: float | jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The luminance term and the contrast-structure term, each (..., H - 10, W - 10, C)."""
    if min(a.shape[-3:-1]) < WINDOW:
        height, width = a.shape[-3:-1]
        raise ZooError(
            f"SSIM needs sides of {WINDOW} or more, got an image of {height}x{width}; "
            "use larger images or crops"
        )
    # Variances do not depend on the origin, and E[x^2] - E[x]^2 loses fewest digits around 0.
    scale = _per_image(data_range, a)
    a, b = a / scale - 0.5, b / scale - 0.5
    mean_a, mean_b = _blur(a), _blur(b)
    variances = _blur(a * a + b * b) - mean_a * mean_a - mean_b * mean_b
    covariance = _blur(a * b) - mean_a * mean_b
    mean_a, mean_b = mean_a + 0.5, mean_b + 0.5
    c1, c2 = K1**2, K2**2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a * mean_a + mean_b * mean_b + c1)
    contrast = (2 * covariance + c2) / (variances + c2)
    return luminance, contrast


def _blur(x: jax.Array) -> jax.Array:
    """The Gaussian window over the valid region, one side after the other."""
    # A banded matmul, where XLA on CPU is at its best: faster by far than sums of shifted slices or
    # depthwise convolutions, and its multiplications stay few beside any network's.
    # TPUs and newer GPUs would round the factors; the differences of moments need every digit.
    height, width = x.shape[-3:-1]
    x = jnp.einsum("ih,...hwc->...iwc", _band(height), x, precision="highest")
    return jnp.einsum("jw,...iwc->...ijc", _band(width), x, precision="highest")


def _band(side: int) -> np.ndarray:
    """The matrix (side - 10, side) whose every row holds the window, one place further on."""
    offset = np.arange(side) - np.arange(side - WINDOW + 1)[:, None] - WINDOW // 2
    band = np.exp(-0.5 * np.square(offset / SIGMA)) * (np.abs(offset) <= WINDOW // 2)
    return (band / band.sum(axis=1, keepdims=True)).astype(np.float32)


def _halve(x: jax.Array) -> jax.Array:
    """The mean of every 2x2 block; an odd last row or column is doubled, as in MATLAB."""
    height, width, channels = x.shape[-3:]
    lead = [(0, 0)] * (x.ndim - 3)
    x = jnp.pad(x, [*lead, (0, height % 2), (0, width % 2), (0, 0)], mode="edge")
    blocks = (*x.shape[:-3], (height + 1) // 2, 2, (width + 1) // 2, 2, channels)
    return jnp.mean(x.reshape(blocks), axis=(-4, -2))

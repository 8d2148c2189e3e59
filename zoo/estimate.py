"""Estimates of the noise level from a noisy image alone, as pure functions.

Every function takes images of shape (..., H, W, C), floats in any unit, computes in float32
whatever the dtype, and returns float32 of shape (...), one figure per image; NaN where an image is
not finite. The results are levels for `zoo.noise` and for models that take one.

`estimate_sigma_smooth` leaves arrays of NumPy to NumPy, on the CPU: there it takes a tenth of the
time, as XLA sorts slowly, and no size of images has to be compiled.

`estimate_sigma` is the classic of other libraries. It takes texture for noise, so on
photographs at sigma 5/255 it is 1.9/255 too high on average. `estimate_sigma_smooth` looks at
smooth places only and is 0.2/255 too high: take it to feed a model. Where the noise grows with
the signal, `estimate_poisson_gaussian` says how. `benchmarks/estimators.py` measures all three.
Clipping takes noise away that none of them can see.
"""

from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np

from zoo.errors import ZooError

# The median of the absolute value of a standard normal variable.
_MEDIAN = 0.6744897501960817
# Relative standard deviation of a variance estimated by the median of n absolute values, times
# the root of n: 2 / (4 * _MEDIAN * density(_MEDIAN)).
_SPREAD = 2.3328

# Daubechies' wavelet with two vanishing moments, db2. The high pass is a second difference, which
# is exactly 0 where the image is constant, followed by two taps.
_LOW = np.float32(
    [0.48296291314453416, 0.8365163037378079, 0.2241438680420134, -0.12940952255126037]
)
_HIGH = np.float32([-0.12940952255126037, -0.48296291314453416])
_TAPS = 4

# Chosen on every second image of BSD68.
_GROUPS = 32
_WINDOW = 5
_START = 20
_SLACK = 1.2
_ROUNDS = 3
_CLIPPED = 0.05
_SMALLEST = 16
_FEWEST = 32


def estimate_sigma(x: jax.Array) -> jax.Array:
    """Standard deviation of white Gaussian noise, by the finest wavelet's diagonal details.

    The median of their absolute values over 0.6745, exact zeros left out, the mean over channels:
    what scikit-image's `restoration.estimate_sigma(average_sigmas=True)` computes. One difference:
    here every constant area gives exact zeros, there only some do, depending on rounding.

    Texture counts as noise, so the result is too high on photographs with little noise; see
    `estimate_sigma_smooth`.

    Args:
      x: images, (..., H, W, C), both sides at least 4; channels are estimated separately.

    Returns:
      (...), float32, in units of the signal; 0 for a constant image.

    Raises:
      ZooError: if `x` is not float, has fewer than three axes or is too small.

    References:
      Donoho, Johnstone, "Ideal spatial adaptation by wavelet shrinkage", Biometrika 1994.
      Daubechies, "Ten lectures on wavelets", SIAM 1992, for the filter.
    """
    x = jnp.asarray(_check("estimate_sigma", x, _TAPS))
    margins = [(2, 2 + side % 2) for side in x.shape[-3:-1]]
    x = jnp.pad(x, [(0, 0)] * (x.ndim - 3) + margins + [(0, 0)], mode="symmetric")
    detail = jnp.abs(_high(_high(x, -3), -2))
    detail = jnp.sort(jnp.moveaxis(detail, -1, -3).reshape(*x.shape[:-3], x.shape[-1], -1), axis=-1)
    return _or_nan(jnp.mean(_median(detail, detail > 0), axis=-1) / _MEDIAN, x)


def estimate_sigma_smooth(x: jax.Array) -> jax.Array:
    """Standard deviation of white Gaussian noise, by the details of smooth places only.

    A place is smooth if the horizontal and vertical details around it are no larger than noise
    alone makes them. Choosing by those does not bias the diagonal details that are then measured,
    since white noise has them independent. The choice starts from the smoothest twentieth of the
    image and is repeated with each new estimate. Places next to clipped pixels are left out
    where there are others.

    Args:
      x: images, (..., H, W, C), both sides at least 16; channels are estimated separately.

    Returns:
      (...), float32, in units of the signal, the mean over channels; 0 for a constant image.

    Raises:
      ZooError: if `x` is not float, has fewer than three axes or is too small.

    References:
      The choice of places follows the idea of Liu, Tanaka, Okutomi, "Single-image noise level
      estimation for blind denoising", IEEE TIP 2013.
    """
    x = _check("estimate_sigma_smooth", x, _SMALLEST)
    xp = _namespace(x)
    planes = xp.moveaxis(x, -1, -3)
    if xp is np:
        flat = planes.reshape(-1, *planes.shape[-2:])
        b = np.float32([_smooth(plane) for plane in flat]).reshape(planes.shape[:-2])
    else:
        b = jnp.vectorize(_smooth, signature="(h,w)->()")(planes)
    return _or_nan(xp.mean(xp.sqrt(b), axis=-1), x)


def estimate_poisson_gaussian(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The `a` and `b` of noise whose variance is `a * signal + b`.

    They are the levels of `zoo.noise.poisson_gaussian`. Wavelet details are grouped by the local
    mean; each group's smooth places, chosen as in `estimate_sigma_smooth`, give a variance; a line
    is fitted through these, in which textured groups have little weight.

    The two are hard to tell apart where intensities vary little: their sum along the line is known
    better than either. If they vary no more than noise makes them, `a` is 0 and `b` the variance.

    Args:
      x: images, (..., H, W, C), both sides at least 16; all channels together have one `a` and
        one `b`. Intensities are proportional to light, black is 0.

    Returns:
      `a`, variance per unit of signal, and `b`, variance at black, each (...), float32, at least 0.

    Raises:
      ZooError: if `x` is not float, has fewer than three axes or is too small.

    References:
      After Foi, Trimeche, Katkovnik, Egiazarian, "Practical Poissonian-Gaussian noise modeling and
      fitting for single-image raw-data", IEEE TIP 2008, without its model of clipped noise: groups
      next to clipped pixels are left out instead.
    """
    x = jnp.asarray(_check("estimate_poisson_gaussian", x, _SMALLEST))
    a, b = jnp.vectorize(_fit, signature="(h,w,c)->(),()")(x)
    return _or_nan(a, x), _or_nan(b, x)


def _or_nan(result: jax.Array, x: jax.Array) -> jax.Array:
    """NaN for images that are not finite: sorting would hide that."""
    xp = _namespace(x)
    return xp.where(xp.isfinite(x).all(axis=(-3, -2, -1)), result, np.float32(np.nan))


def _namespace(x: jax.Array | np.ndarray) -> ModuleType:
    """What computes with `x`: NumPy or JAX."""
    return np if isinstance(x, np.ndarray) else jnp


def _check(name: str, x: jax.Array, smallest: int) -> jax.Array:
    """`x` in float32, or the error that says what is wrong with it."""
    x = x if isinstance(x, np.ndarray) else jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ZooError(f"{name}: x is {x.dtype}; convert it to float first, such as x / 255")
    if x.ndim < 3 or x.shape[-1] == 0:
        raise ZooError(f"{name}: x has shape {x.shape}; give images (..., height, width, channels)")
    if min(x.shape[-3:-1]) < smallest:
        height, width = x.shape[-3:-1]
        raise ZooError(
            f"{name}: an image of {height} x {width} pixels says too little of its noise; "
            f"give sides of at least {smallest}"
        )
    return x.astype(np.float32)


def _filter(x: jax.Array, taps: np.ndarray, axis: int) -> jax.Array:
    """Every second value of the correlation of `x` with a few taps, where they fit."""
    end = x.shape[axis] - len(taps) + 1
    after = (slice(None),) * (-axis - 1)
    shifted = (x[(..., slice(k, k + end, 2), *after)] for k in range(len(taps)))
    return sum(tap * part for tap, part in zip(taps, shifted, strict=True))


def _low(x: jax.Array, axis: int) -> jax.Array:
    return _filter(x, _LOW, axis)


def _high(x: jax.Array, axis: int) -> jax.Array:
    return _filter(_namespace(x).diff(x, n=2, axis=axis), _HIGH, axis)


def _median(x: jax.Array, mask: jax.Array) -> jax.Array:
    """The median along the last axis, which ascends, of what the mask keeps; 0 if that is none."""
    xp = _namespace(x)
    rank = xp.cumsum(mask, axis=-1)
    count = rank[..., -1:]
    low = xp.argmax(rank >= (count + 1) // 2, axis=-1, keepdims=True)
    high = xp.argmax(rank >= count // 2 + 1, axis=-1, keepdims=True)
    middle = (xp.take_along_axis(x, low, axis=-1) + xp.take_along_axis(x, high, axis=-1)) / 2
    return xp.where(count > 0, middle, np.float32(0))[..., 0]


def _blur(x: jax.Array, window: int) -> jax.Array:
    """The mean over a window of (H, W), the edges mirrored."""
    x = _namespace(x).pad(x, window // 2, mode="symmetric")
    height, width = (side - window + 1 for side in x.shape)
    x = sum(x[k : k + height] for k in range(window))
    return sum(x[:, k : k + width] for k in range(window)) / np.float32(window**2)


def _places(x: jax.Array, ends: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Of each place of a plane, as (n,): mean, detail, texture, and how much is clipped.

    Args:
      x: (H, W).
      ends: (H, W), whether a pixel is as dark or as bright as any.
    """
    xp = _namespace(x)
    low, high = _low(x, -2), _high(x, -2)
    detail = xp.abs(_high(high, -1))
    mean = _blur(_low(low, -1) / 2, 3)
    # In units of variance: its mean is that of the noise where there is noise alone.
    texture = _blur((_high(low, -1) ** 2 + _low(high, -1) ** 2) / 2, _WINDOW)
    clipped = _blur(_low(_low(ends.astype(np.float32), -2), -1) / 2, _WINDOW)
    return tuple(part.ravel() for part in (mean, detail, texture, clipped))


def _usable(texture: jax.Array, clipped: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Which places (groups, n) count at all, and the smoothest of them."""
    xp = _namespace(texture)
    # An image clipped nearly everywhere keeps its better tenth, for want of anything else.
    limit = xp.maximum(xp.sort(clipped.ravel())[clipped.size // 10], np.float32(_CLIPPED))
    usable = (clipped <= limit) & (texture > 0)
    smoothest = xp.sort(xp.where(usable, texture, np.float32(np.inf)), axis=-1)
    count = xp.sum(usable, axis=-1, keepdims=True)
    rank = xp.clip(xp.maximum(count // _START, _FEWEST), 0, xp.maximum(count - 1, 0))
    return usable, usable & (texture <= xp.take_along_axis(smoothest, rank, axis=-1))


def _smooth(x: jax.Array) -> jax.Array:
    """The variance of the noise of a plane (H, W)."""
    xp = _namespace(x)
    _, detail, texture, clipped = _places(x, (x == xp.min(x)) | (x == xp.max(x)))
    order = xp.argsort(detail)
    detail, texture, clipped = (part[order][None] for part in (detail, texture, clipped))
    usable, start = _usable(texture, clipped)
    variance = (_median(detail, start) / np.float32(_MEDIAN)) ** 2
    for _ in range(_ROUNDS):
        chosen = start | (usable & (texture <= np.float32(_SLACK) * variance[:, None]))
        variance = (_median(detail, chosen) / np.float32(_MEDIAN)) ** 2
    return variance[0]


def _fit(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`a` and `b` of one image (H, W, C), from groups of places of equal intensity."""
    ends = (x == jnp.min(x)) | (x == jnp.max(x))
    planes = [_places(x[..., c], ends[..., c]) for c in range(x.shape[-1])]
    columns = [jnp.stack(parts, axis=-1).ravel() for parts in zip(*planes, strict=True)]
    size = columns[0].size
    groups = max(1, min(_GROUPS, size // _FEWEST))
    # Fewer than `groups` values in the last corner go unused.
    columns = [part[: size // groups * groups] for part in columns]
    if groups > 1:
        columns = jax.lax.sort(columns, num_keys=1)
    mean, detail, texture, clipped = (part.reshape(groups, -1) for part in columns)
    detail, mean, texture, clipped = jax.lax.sort((detail, mean, texture, clipped), num_keys=1)
    usable, start = _usable(texture, clipped)
    a, b = _line(mean, detail, start)
    for _ in range(_ROUNDS):
        chosen = start | (usable & (texture <= _SLACK * (a * jnp.maximum(mean, 0.0) + b)))
        a, b = _line(mean, detail, chosen)
    return a, b


def _line(mean: jax.Array, detail: jax.Array, chosen: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The line through the variances of the groups (groups, n); high outliers count little.

    Only high ones, because texture adds to the variance and never takes away. `detail` ascends in
    each group.
    """
    count = jnp.sum(chosen, axis=-1).astype(jnp.float32)
    variance = (_median(detail, chosen) / _MEDIAN) ** 2
    signal = jnp.sum(jnp.where(chosen, mean, 0.0), axis=-1) / _or_one(count)
    signal = jnp.maximum(signal, 0.0)
    order = jnp.argsort(variance)
    typical = _median(variance[order], count[order] > 0)
    floor = 1e-3 * _or_one(typical)

    def reweigh(_, line):
        a, b = line
        expected = jnp.maximum(a * signal + b, floor)
        excess = jnp.maximum(variance / expected - 1, 0.0)
        # Cauchy weights; what the median scatters by itself, times three, is no outlier yet.
        outlier = (excess / (3 * _SPREAD)) ** 2 * count
        return _least_squares(signal, variance, count * (floor / expected) ** 2 / (1 + outlier))

    return jax.lax.fori_loop(0, 8, reweigh, (jnp.zeros_like(typical), typical))


def _least_squares(
    signal: jax.Array, variance: jax.Array, weight: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The line `a * signal + b` with `a` and `b` at least 0 nearest to the variances (groups,)."""
    weight = weight / _or_one(jnp.sum(weight))
    center, level = jnp.sum(weight * signal), jnp.sum(weight * variance)
    spread = jnp.sum(weight * (signal - center) ** 2)
    a = jnp.sum(weight * (signal - center) * (variance - level)) / _or_one(spread)
    b = level - a * center
    through_zero = jnp.sum(weight * signal * variance) / _or_one(jnp.sum(weight * signal**2))
    a, b = jnp.where(b < 0, through_zero, a), jnp.maximum(b, 0.0)
    # The blurred low pass, and so the signal of a flat image, has 1/36 of the noise's variance.
    flat = (a < 0) | (spread < 4 * level / 36)
    return jnp.where(flat, 0.0, a), jnp.where(flat, level, b)


def _or_one(x: jax.Array) -> jax.Array:
    """`x` as a divisor: 1 where it is 0."""
    return jnp.where(x > 0, x, 1.0)

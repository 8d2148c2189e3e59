"""Estimates of the noise level from a noisy image alone, as pure functions.

Every function takes images of shape (..., H, W, C), floats in any unit, computes in float32
whatever the dtype, and returns float32 of shape (...), one figure per image; NaN where an image is
not finite. The results are levels for `zoo.noise` and for models that take one.

`estimate_sigma_smooth` leaves arrays of NumPy to NumPy, on the CPU: there it takes a tenth of the
time, as XLA sorts slowly, and no size of images has to be compiled.

`estimate_sigma` is the classic of other libraries. It takes texture for noise, so on
photographs at sigma 5/255 it is 1.9/255 too high on average. `estimate_sigma_smooth` looks at
smooth places only and is 0.2/255 too high: take it to feed a model. Where the noise grows with
the signal, `estimate_poisson_gaussian` says how, and `estimate_rician_sigma` how strong that of
magnitudes is. `benchmarks/estimators.py` measures all three.
Clipping takes noise away that none of them can see.
"""

from functools import partial
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np

from zoo.errors import ZooError
from zoo.stabilize import rician

# The median of the absolute value of a standard normal variable.
_MEDIAN = 0.6744897501960817
# Relative standard deviation of a variance estimated by the mean of n squares, times the root of n:
# the root of 2, and something more as blocks overlap.
_SPREAD = 2.0

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
_PILED = 4
_SMALLEST = 16
_REFINED = 8
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


def estimate_poisson_gaussian(x: jax.Array, *, offset: bool = False) -> tuple[jax.Array, jax.Array]:
    """The `a` and `b` of noise whose variance is `a * signal + b`.

    They are the levels of `zoo.noise.poisson_gaussian`. Blocks of 2x2 pixels are grouped by the
    mean around them, and those with little texture around them are chosen; the mean of each group
    and the mean square of its diagonal details give a point; a line is fitted through these, in
    which textured groups have little weight. The choice does not look at the noise that is
    measured, so that the line holds where pixels have one photon or none, too.

    The two are hard to tell apart where intensities vary little: their sum along the line is known
    better than either. If they vary no more than noise makes them, `a` is 0 and `b` the variance.

    Args:
      x: images, (..., H, W, C), both sides at least 16; all channels together have one `a` and
        one `b`. Intensities are proportional to light.
      offset: whether the value of no light is unknown, and not 0. It cannot be separated from read
        noise, and so is in `b`, which is then below 0 where the offset outweighs it.

    Returns:
      `a`, variance per unit of signal, at least 0, and `b`, variance at 0, at least 0 unless
      `offset`; each (...), float32.

    Raises:
      ZooError: if `x` is not float, has fewer than three axes or is too small.

    References:
      After Foi, Trimeche, Katkovnik, Egiazarian, "Practical Poissonian-Gaussian noise modeling and
      fitting for single-image raw-data", IEEE TIP 2008, with other groups, and without its model of
      clipped noise: places next to clipped pixels are left out instead.
    """
    x = jnp.asarray(_check("estimate_poisson_gaussian", x, _SMALLEST))
    fit = partial(_fit, offset=offset)
    a, b = jnp.vectorize(fit, signature="(h,w,c)->(),()")(x)
    return _or_nan(a, x), _or_nan(b, x)


def estimate_rician_sigma(x: jax.Array) -> jax.Array:
    """Sigma of Rician noise: of each of the two Gaussian parts that a magnitude is made of.

    The standard deviation of what `zoo.stabilize.rician` makes of the image, by
    `estimate_sigma_smooth`, is 1 for the right sigma. Each estimate is multiplied by it, until
    nothing changes.

    Args:
      x: magnitudes, (..., H, W, C), both sides at least 16; channels are estimated separately.

    Returns:
      (...), float32, in units of the signal, the mean over channels; 0 for a constant image.

    Raises:
      ZooError: if `x` is not float, has fewer than three axes or is too small.

    References:
      Foi, "Noise estimation and removal in MR imaging: the variance-stabilization approach", ISBI
      2011.
    """
    x = _check("estimate_rician_sigma", x, _SMALLEST)
    xp = _namespace(x)
    planes = xp.moveaxis(x, -1, -3)[..., None]
    sigma = estimate_sigma_smooth(planes)
    for _ in range(_REFINED):
        known = xp.where(sigma > 0, sigma, np.float32(1))[..., None, None, None]
        even = rician(planes / known, sigma=1.0).astype(np.float32)
        sigma = sigma * estimate_sigma_smooth(even)
    return _or_nan(xp.mean(sigma, axis=-1), x)


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


def _blocks(x: jax.Array, ends: jax.Array) -> list[jax.Array]:
    """Of each block of 2x2 pixels of planes (P, H, W) but for those at the edges, as (n,).

    Args:
      x: both sides even.
      ends: 1 where pixels are clipped, else 0.

    Returns:
      Around it, of the eight blocks there: mean, texture in units of variance, and the share of
      pixels that are clipped. Its own mean and squared diagonal detail, whose mean is the variance
      where the signal is even. The noise of the first three has no part in the others, so that
      blocks chosen or grouped by them are no quieter and no darker than they should be.
    """
    p, q, r, s = (x[:, i::2, j::2] for i in (0, 1) for j in (0, 1))
    mean = (p + q + r + s) / 4
    flat = ((p + q - r - s) ** 2 + (p - q + r - s) ** 2) / 8
    clipped = sum(ends[:, i::2, j::2] for i in (0, 1) for j in (0, 1)) / 4
    center, squares, flat, clipped = _around(jnp.stack([mean, mean**2, flat, clipped]))
    # Sixteen details of blocks, and seven differences of their means from one another.
    apart = (squares - center**2) * 4 * (8 / 7)
    texture = (16 * flat + 7 * apart) / 23
    own, detail = (part[:, 1:-1, 1:-1] for part in (mean, ((p - q - r + s) / 2) ** 2))
    return [part.ravel() for part in (center, texture, clipped, own, detail)]


def _around(x: jax.Array) -> jax.Array:
    """The mean of the eight neighbors, of (..., H, W) but for its edges."""
    rows = x[..., :-2, :] + x[..., 1:-1, :] + x[..., 2:, :]
    every = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    return (every - x[..., 1:-1, 1:-1]) / 8


def _piled(x: jax.Array) -> jax.Array:
    """The pixels of the least value, if clipping has piled them up there; else none.

    Values are then far more at the end than next to it, and next to it as many as beside that. Of
    photons, of which most pixels of an image may have none, the counts fall off from the second to
    the third value as they do from the first.
    """
    first = jnp.min(x)
    second = jnp.min(x, where=x > first, initial=jnp.inf)
    third = jnp.min(x, where=x > second, initial=jnp.inf)
    counts = [jnp.sum(x == value).astype(jnp.float32) for value in (first, second, third)]
    return (x == first) & (counts[0] * counts[2] > _PILED * counts[1] ** 2)


def _fit(x: jax.Array, *, offset: bool) -> tuple[jax.Array, jax.Array]:
    """`a` and `b` of one image (H, W, C), from groups of blocks in places of equal intensity."""
    ends = (_piled(x) | _piled(-x)).astype(jnp.float32)
    height, width = ((length - 1) // 2 * 2 for length in x.shape[:2])
    # The blocks begin at four pixels.
    parts = (
        jnp.concatenate(
            [jnp.moveaxis(part[i:, j:][:height, :width], -1, 0) for i in (0, 1) for j in (0, 1)]
        )
        for part in (x, ends)
    )
    columns = _blocks(*parts)
    size = columns[0].size
    groups = max(1, min(_GROUPS, size // _FEWEST))
    columns = jax.lax.sort(columns, num_keys=1)
    # Fewer than `groups` of the brightest go unused.
    columns = (part[: size // groups * groups].reshape(groups, -1) for part in columns)
    center, texture, clipped, mean, square = columns
    usable, start = _usable(texture, clipped)
    a, b = _line(mean, square, start, offset)
    for _ in range(_ROUNDS):
        chosen = start | (usable & (texture <= _SLACK * (a * center + b)))
        a, b = _line(mean, square, chosen, offset)
    return a, b


def _line(
    mean: jax.Array, square: jax.Array, chosen: jax.Array, offset: bool
) -> tuple[jax.Array, jax.Array]:
    """The line through the variances of the groups (groups, n); high outliers count little.

    Only high ones, because texture adds to the variance and never takes away.
    """
    count = jnp.sum(chosen, axis=-1).astype(jnp.float32)
    signal, variance = (
        jnp.sum(jnp.where(chosen, part, 0.0), axis=-1) / _or_one(count) for part in (mean, square)
    )
    order = jnp.argsort(variance)
    typical = _median(variance[order], count[order] > 0)
    floor = 1e-3 * _or_one(typical)
    share = count / _or_one(jnp.sum(count))
    spread = jnp.sum(share * (signal - jnp.sum(share * signal)) ** 2)
    # A signal that varies so little says nothing of the slope.
    flat = spread < jnp.sum(share * variance) / 36

    def fitted(weight):
        a, b = _least_squares(signal, variance, weight, offset)
        level = jnp.sum(weight * variance) / _or_one(jnp.sum(weight))
        return jnp.where(flat | (a < 0), 0.0, a), jnp.where(flat | (a < 0), level, b)

    def reweigh(_, line):
        a, b = line
        expected = jnp.maximum(a * signal + b, floor)
        excess = jnp.maximum(variance / expected - 1, 0.0)
        # Cauchy weights; what the mean scatters by itself, times three, is no outlier yet.
        outlier = (excess / (3 * _SPREAD)) ** 2 * count
        return fitted(count * (floor / expected) ** 2 / (1 + outlier))

    # Not from a level line: to it all bright groups may be outliers.
    first = count * (floor / jnp.maximum(variance, floor)) ** 2
    return jax.lax.fori_loop(0, 8, reweigh, fitted(first))


def _least_squares(
    signal: jax.Array, variance: jax.Array, weight: jax.Array, offset: bool
) -> tuple[jax.Array, jax.Array]:
    """The line `a * signal + b` nearest to the variances (groups,).

    `b` is at least 0 unless there may be an offset.
    """
    weight = weight / _or_one(jnp.sum(weight))
    center, level = jnp.sum(weight * signal), jnp.sum(weight * variance)
    spread = jnp.sum(weight * (signal - center) ** 2)
    a = jnp.sum(weight * (signal - center) * (variance - level)) / _or_one(spread)
    b = level - a * center
    through_zero = jnp.sum(weight * signal * variance) / _or_one(jnp.sum(weight * signal**2))
    if not offset:
        a, b = jnp.where(b < 0, through_zero, a), jnp.maximum(b, 0.0)
    return a, b


def _or_one(x: jax.Array) -> jax.Array:
    """`x` as a divisor: 1 where it is 0."""
    return jnp.where(x > 0, x, 1.0)

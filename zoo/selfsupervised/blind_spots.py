"""Targets for noise that is independent from pixel to pixel: hide pixels and predict them.

The input has some pixels replaced by what their neighbors say, the target is the noisy image, and
the weight is 1 at the hidden pixels alone. Noise that is independent cannot be predicted, so the
best prediction is the clean value. All channels of a pixel are hidden together.

References:
  Krull, Buchholz, Jug, "Noise2Void", CVPR 2019.
  Broaddus et al., "Removing structured noise with self-supervised blind-spot networks", ISBI 2020.
  Höck et al., "N2V2", ECCV Workshops 2022.
  Batson, Royer, "Noise2Self", ICML 2019.
"""

import jax
import jax.numpy as jnp
import numpy as np

from zoo.errors import ZooError
from zoo.losses import Example
from zoo.selfsupervised.methods import check_size, target

_REPLACEMENTS = ("uniform", "median")


@target()
def noise2void(
    key: jax.Array,
    noisy: jax.Array,
    level: jax.Array,
    *,
    spacing: int | None = None,
    radius: int = 2,
    replace: str = "uniform",
    span: int = 0,
    axis: str = "row",
) -> Example:
    """Hides single pixels at random places, none near another.

    Each square of `spacing` pixels a side hides one, every pixel of the image as likely as any.
    Hidden pixels are so far apart that none is read to replace another: no hidden value can reach
    the place where it is predicted.

    Args:
      key: a typed key.
      noisy: (H, W, C).
      level: scalar, passed on.
      spacing: side of the squares, in pixels, above `radius + 2 * span`; None for 2 more than that,
        which hides one of 16 pixels where the noise is independent. The authors hide 8 pixels of
        64x64, a spacing of 23, and train for long: in 2000 steps of `unet-tiny` on photographs at
        sigma 25 a spacing of 4 reaches 25.72 dB and 8 25.12 (`benchmarks/selfsupervised.py`).
      radius: of the window that replacements come from, in pixels.
      replace: "uniform", by one of the window at random; "median", by the window's median (N2V2).
      span: for noise that is correlated along a line, how many pixels of it are hidden on each side
        of the hidden one, and replaced from other lines of the window (structured Noise2Void); 0
        for independent noise.
      axis: of that line, "row" or "column".

    Returns:
      The example; its input differs from `noisy` at hidden pixels and, with `span`, beside them.

    Raises:
      ZooError: an option is not as above, or the image is smaller than the window.
    """
    if replace not in _REPLACEMENTS:
        raise ZooError(f"replace={replace!r} is not one of {', '.join(_REPLACEMENTS)}")
    if axis not in ("row", "column"):
        raise ZooError(f"axis={axis!r} is neither row nor column")
    if radius < 1 or span < 0:
        raise ZooError(f"radius={radius} and span={span} make no window; make them 1 and 0 or more")
    reach = radius + 2 * span
    spacing = reach + 2 if spacing is None else spacing
    if spacing <= reach:
        raise ZooError(
            f"spacing={spacing} is too narrow for radius={radius} and span={span}; make it "
            f"{reach + 1} or more"
        )
    check_size(noisy, 2 * radius + 1, "noise2void")
    if axis == "column":
        turned = noise2void(
            key,
            noisy.swapaxes(0, 1),
            level,
            spacing=spacing,
            radius=radius,
            replace=replace,
            span=span,
        )
        return Example(*(x.swapaxes(0, 1) for x in turned[:3]), level)
    key_place, key_value = jax.random.split(key)
    rows, columns = _places(key_place, noisy.shape[:2], spacing, spacing - reach)
    weight = _scatter(jnp.zeros((*noisy.shape[:2], 1)), rows, columns, 1.0)
    hidden = noisy
    for number, offset in enumerate(range(-span, span + 1)):
        values = _replacements(
            jax.random.fold_in(key_value, number),
            noisy,
            (rows, columns + offset),
            radius,
            replace,
            lines=span > 0,
        )
        hidden = _scatter(hidden, rows, columns + offset, values)
    return Example(hidden, noisy, weight, level)


@target()
def noise2self(
    key: jax.Array,
    noisy: jax.Array,
    level: jax.Array,
    *,
    spacing: int = 4,
    replace: str = "uniform",
) -> Example:
    """Hides a grid of pixels at a random place.

    Args:
      key: a typed key.
      noisy: (H, W, C).
      level: scalar, passed on.
      spacing: of the grid, in pixels, 2 or more.
      replace: "uniform", by one of the eight neighbors at random, so that hidden pixels look like
        the others; "mean", by the mean of the neighbors, the near four counting twice, as the
        authors do. A network can tell such pixels by their smoothness and then leave all others as
        they are: its result is to be taken at hidden pixels alone, a grid at a time.

    Returns:
      The example.

    Raises:
      ZooError: the spacing is below 2, or above a side of the image, or `replace` is another.
    """
    if spacing < 2:
        raise ZooError(f"noise2self cannot hide pixels {spacing} apart; make spacing 2 or more")
    if replace not in ("uniform", "mean"):
        raise ZooError(f"replace={replace!r} is not one of uniform, mean")
    check_size(noisy, spacing, "noise2self")
    key_place, key_value = jax.random.split(key)
    phase = jax.random.randint(key_place, (2,), 0, spacing)
    rows, columns = (np.arange(side) % spacing for side in noisy.shape[:2])
    hidden = ((rows == phase[0])[:, None] & (columns == phase[1])[None])[..., None]
    weight = hidden.astype(jnp.float32)
    if replace == "mean":
        return Example(jnp.where(hidden, neighbor_mean(noisy), noisy), noisy, weight, level)
    counts = [-(-side // spacing) for side in noisy.shape[:2]]
    rows, columns = (
        spacing * np.arange(count, dtype=np.int32) + start
        for count, start in zip(counts, phase, strict=True)
    )
    rows, columns = (part.ravel() for part in jnp.meshgrid(rows, columns, indexing="ij"))
    places = (rows, columns)
    values = _replacements(key_value, noisy, places, 1, replace, lines=False)
    return Example(_scatter(noisy, *places, values), noisy, weight, level)


def neighbor_mean(x: jax.Array) -> jax.Array:
    """The mean of the eight neighbors, the near four counting twice; edges are mirrored.

    Args:
      x: (H, W, C), both sides at least 2.
    """
    x = jnp.pad(x, ((1, 1), (1, 1), (0, 0)), mode="reflect")
    across = x[:, :-2] + 2 * x[:, 1:-1] + x[:, 2:]
    total = across[:-2] + 2 * across[1:-1] + across[2:]
    return (total - 4 * x[1:-1, 1:-1]) / 12


def _places(
    key: jax.Array, size: tuple[int, int], spacing: int, free: int
) -> tuple[jax.Array, jax.Array]:
    """One pixel in each square of a grid at a random place; `size` stands for none.

    Args:
      key: a typed key.
      size: (H, W) of the image.
      spacing: side of the squares.
      free: of which the first so many rows and columns may hold the pixel.

    Returns:
      Rows and columns, (n,) each.
    """
    height, width = size
    count = tuple(-(-side // spacing) + 1 for side in size)
    key_phase, key_own = jax.random.split(key)
    corner = jax.random.randint(key_phase, (2,), 0, spacing)
    own = jax.random.randint(key_own, (2, *count), 0, free)
    rows = spacing * np.arange(count[0], dtype=np.int32)[:, None] - corner[0] + own[0]
    columns = spacing * np.arange(count[1], dtype=np.int32)[None] - corner[1] + own[1]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    return jnp.where(inside, rows, height).ravel(), jnp.where(inside, columns, width).ravel()


def _scatter(x: jax.Array, rows: jax.Array, columns: jax.Array, values: jax.Array) -> jax.Array:
    """`x` with values at some places; what lies outside has none."""
    inside = (columns >= 0) & (columns < x.shape[1])
    # Negative indices would count from the end.
    return jnp.asarray(x).at[jnp.where(inside, rows, x.shape[0]), columns].set(values, mode="drop")


def _replacements(
    key: jax.Array,
    x: jax.Array,
    places: tuple[jax.Array, jax.Array],
    radius: int,
    replace: str,
    *,
    lines: bool,
) -> jax.Array:
    """What pixels at some places are replaced by, (n, C); the edges are mirrored.

    Args:
      key: a typed key.
      x: (H, W, C).
      places: rows and columns, (n,) each.
      radius: of the window.
      replace: "uniform" or "median".
      lines: whether only other rows of the window count.
    """
    side = np.arange(-radius, radius + 1, dtype=np.int32)
    down, right = (part.ravel() for part in np.meshgrid(side, side, indexing="ij"))
    kept = (down != 0) if lines else (down != 0) | (right != 0)
    down, right = down[kept][None], right[kept][None]
    rows, columns = (place[:, None] for place in places)
    if replace == "uniform":
        which = jax.random.randint(key, rows.shape, 0, down.size)
        down, right = jnp.asarray(down[0])[which], jnp.asarray(right[0])[which]
    height, width, _ = x.shape
    values = x[_mirrored(rows + down, height), _mirrored(columns + right, width)]
    return values[:, 0] if replace == "uniform" else jnp.median(values, axis=1)


def _mirrored(index: jax.Array, side: int) -> jax.Array:
    """An index beyond the edges, by no more than the side, mirrored at them."""
    index = jnp.abs(index)
    return jnp.where(index < side, index, 2 * (side - 1) - index)

"""Volumes of diffusion MRI, each predicted from all others, by which its own noise is left out.

Every voxel is an example, and every volume is regressed on the others with an intercept. Those
regressions are one: with `P` the inverse of the covariance of the volumes, the residual of volume j
is `X P e_j / P_jj`, so that one factorization serves all. Voxels may come in parts: `absorb` each,
then take the `mixture`.

References:
  Fadnavis, Batson, Garyfallidis, "Patch2Self: Denoising Diffusion MRI with Self-Supervised
    Learning", NeurIPS 2020; with ordinary least squares and patches of one voxel.
  Lauritzen, "Graphical models", 1996, for regressions by the inverse covariance.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from zoo.errors import ZooError

B0 = 50.0
"""In s/mm^2: volumes of a b-value up to it are without diffusion weighting."""

# Voxels of a part, and the share of the volumes' variance that is added to it: of volumes that are
# equal, or more than there are voxels, the inverse would not exist.
_PART = 8192
_RIDGE = 1e-7


def patch2self(
    x: jax.Array, bvals: Sequence[float] | None = None, *, threshold: float = B0
) -> jax.Array:
    """Predicts each volume from the others.

    The mean of a volume stays. Voxels with a value that is not finite are left as they are.

    Args:
      x: (..., V), floats: V volumes, at least 2, of any number of axes.
      bvals: (V,), in s/mm^2; volumes without diffusion weighting and those with it are then
        regressed among themselves, and one that is alone stays as it is. None regresses all on all.
      threshold: the highest b-value that counts as none.

    Returns:
      The prediction, of the shape and dtype of `x`.

    Raises:
      ZooError: it is not of floats or of fewer than two volumes, or there are not as many b-values.
    """
    x = jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.floating) or x.ndim < 2:
        raise ZooError(f"patch2self: x is {x.dtype} of shape {x.shape}; give floats (..., volumes)")
    out = x
    for group in groups(x.shape[-1], bvals, threshold):
        part = x[..., group].reshape(-1, len(group))
        out = out.at[..., group].set(_predicted(part).reshape(*x.shape[:-1], len(group)))
    return out


def groups(
    count: int, bvals: Sequence[float] | None = None, threshold: float = B0
) -> list[np.ndarray]:
    """The volumes that are regressed among themselves, by their numbers, at least two in each.

    Args:
      count: the number of volumes.
      bvals, threshold: as of `patch2self`.

    Raises:
      ZooError: there are fewer than two volumes, or not as many b-values.
    """
    if count < 2:
        raise ZooError("a volume alone is predicted from nothing; give a series of them")
    if bvals is None:
        return [np.arange(count)]
    bvals = np.asarray(bvals, float)
    if bvals.shape != (count,) or not np.isfinite(bvals).all():
        raise ZooError(
            f"{bvals.size} b-values for {count} volumes; give a finite one for each volume"
        )
    halves = (np.flatnonzero(bvals <= threshold), np.flatnonzero(bvals > threshold))
    return [half for half in halves if len(half) > 1]


def fresh(volumes: int) -> jax.Array:
    """The factor of no voxels, (V, V), for `absorb`: what keeps the inverse finite."""
    return jnp.sqrt(jnp.float32(_RIDGE)) * jnp.eye(volumes, dtype=jnp.float32)


@jax.jit
def absorb(factor: jax.Array, rows: jax.Array, share: jax.Array) -> jax.Array:
    """The triangular factor of the covariance with further voxels.

    Args:
      factor: (V, V), from `fresh` or `absorb`.
      rows: (n, V), float32, less the mean of each volume and over its standard deviation; zeros
        count for nothing.
      share: 1 over the number of all voxels.
    """
    return jnp.linalg.qr(jnp.concatenate([factor, rows * jnp.sqrt(share)]), mode="r")


@jax.jit
def mixture(factor: jax.Array) -> jax.Array:
    """What each volume, a column, takes from the others: (V, V), zero along the diagonal.

    Args:
      factor: (V, V), of all voxels.
    """
    unit = jnp.eye(factor.shape[0], dtype=factor.dtype)
    root = jax.scipy.linalg.solve_triangular(factor, unit)
    precision = jnp.matmul(root, root.T, precision="highest")
    return (unit - precision / jnp.diag(precision)[None, :]) * (1 - unit)


def mixed(rows: jax.Array, weights: jax.Array) -> jax.Array:
    """The prediction of voxels (n, V), normalized as for `absorb`."""
    return jnp.matmul(rows, weights, precision="highest")


@jax.jit
def _predicted(x: jax.Array) -> jax.Array:
    """All voxels (n, V) at once."""
    values = x.astype(jnp.float32)
    known = jnp.isfinite(values).all(-1, keepdims=True)
    share = 1 / jnp.maximum(known.sum(), 1).astype(jnp.float32)
    mean = jnp.where(known, values, 0).sum(0, keepdims=True) * share
    rows = jnp.where(known, values - mean, 0)
    rest = rows.sum(0, keepdims=True) * share
    mean, rows = mean + rest, jnp.where(known, rows - rest, 0)
    deviation = jnp.sqrt(jnp.square(rows).sum(0, keepdims=True) * share)
    rows = rows / jnp.where(deviation > 0, deviation, 1)
    parts = -(-len(rows) // _PART)
    whole = jnp.pad(rows, ((0, parts * _PART - len(rows)), (0, 0))).reshape(parts, _PART, -1)
    factor, _ = jax.lax.scan(
        lambda factor, part: (absorb(factor, part, share), None), fresh(x.shape[-1]), whole
    )
    predicted = mixed(rows, mixture(factor)) * deviation + mean
    return jnp.where(known, predicted.astype(x.dtype), x)

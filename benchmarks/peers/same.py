"""Whether a network and its peer are the same: parameter counts, then outputs on drawn weights."""

import jax
import numpy as np
from export import draw, export, shapes
from networks import Network
from worker import Worker

from zoo.errors import ZooError

TOLERANCE = 1e-4
"""The largest difference of two outputs, over the largest change of the input."""
LEVEL = 0.1
"""The noise level that both get, where they take one; the default of the peers."""


def build(worker: Worker, one: Network) -> None:
    """Has the peer of a network built.

    Raises:
      ZooError: it has another number of parameters.
    """
    fields = {k: list(v) if isinstance(v, tuple) else v for k, v in one.fields.items()}
    theirs = worker.ask(do="build", family=one.record.family, fields=fields)["parameters"]
    if theirs != one.parameters:
        raise ZooError(
            f"{one.name} has {one.parameters} parameters, its peer {theirs}; correct one"
        )


def check(worker: Worker, one: Network, folder: str) -> float:
    """Holds both networks against each other on drawn weights.

    Returns:
      The difference of the outputs over what they change, both by their largest value.

    Raises:
      ZooError: they are not the same network.
    """
    build(worker, one)
    variables = draw(shapes(one.model, one.record))
    weights = f"{folder}/weights.npz"
    np.savez(weights, **export(one.record.family, one.model, variables))
    worker.ask(do="load", path=weights)
    # Sides that are not multiples of anything, so that padding is compared too. Audio signals are
    # whole hops: ours fills the last one up.
    size = (20 * one.record.hop,) if one.record.modality == "audio" else (37, 43)
    x = np.random.default_rng(0).random((2, *size, one.record.channels), np.float32)
    np.save(f"{folder}/x.npy", x)
    worker.ask(do="forward", path=f"{folder}/x.npy")
    level = np.full(len(x), LEVEL, np.float32)
    with jax.default_matmul_precision("highest"):
        y = np.asarray(jax.jit(one.model.apply)(variables, x, level))
    difference = float(np.abs(np.load(f"{folder}/x.npy") - y).max() / np.abs(y - x).max())
    if not difference < TOLERANCE:
        raise ZooError(f"{one.name} and its peer differ by {difference:.1e} of their output")
    return difference

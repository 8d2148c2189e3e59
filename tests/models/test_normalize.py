"""Batch norm with its own backward pass, against Flax's and automatic differentiation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from families import first
from flax import linen as nn
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from zoo.models.normalize import BatchNorm

TOLERANCE = 1e-5


class Twin(nn.Module):
    """The same layer of Flax's parts."""

    activation: str
    train: bool

    @nn.compact
    def __call__(self, x):
        y = nn.BatchNorm(not self.train, momentum=0.9, epsilon=1e-5, name="norm")(x)
        return nn.silu(y) if self.activation == "silu" else y


def variables(c):
    rng = np.random.default_rng(1)
    draw = lambda low: (low + rng.random(c)).astype(np.float32)  # noqa: E731
    params = {"scale": draw(0.5), "bias": draw(-0.5)}
    return {"params": params, "batch_stats": {"mean": draw(-0.5), "var": draw(0.5)}}


def wrapped(v):
    return {kind: {"norm": leaves} for kind, leaves in v.items()}


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("activation", first(1, ["silu", "none"]))
def test_outputs_statistics_and_gradients_are_those_of_flax(activation, train):
    rng = np.random.default_rng(0)
    x = (2 * rng.standard_normal((6, 5, 3)) + 0.7).astype(np.float32)
    weight = rng.standard_normal(x.shape).astype(np.float32)
    v = variables(3)

    def run(model, v, x):
        y, new = model.apply(v, x, mutable=["batch_stats"])
        return (y * weight).sum(), (y, new)

    with jax.numpy_rank_promotion("allow"):
        expected = jax.grad(run, (1, 2), has_aux=True)(Twin(activation, train), wrapped(v), x)
    found = jax.grad(run, (1, 2), has_aux=True)(BatchNorm(activation, train), v, x)
    (dv, dx), (y, new) = expected
    (our_dv, our_dx), (our_y, our_new) = found
    np.testing.assert_allclose(our_y, y, atol=TOLERANCE)
    np.testing.assert_allclose(our_dx, dx, atol=TOLERANCE)
    close = lambda a, b: np.testing.assert_allclose(a, b, atol=3 * TOLERANCE)  # noqa: E731
    jax.tree.map(close, wrapped(our_dv)["params"], dv["params"])
    jax.tree.map(close, our_new["batch_stats"], new["batch_stats"]["norm"])


def test_devices_share_their_statistics():
    x = np.random.default_rng(0).standard_normal((8, 5, 3)).astype(np.float32)
    weight = np.random.default_rng(2).standard_normal(x.shape).astype(np.float32)
    v = variables(3)

    def gradients(model, x, weight):
        def total(params, x):
            state = {"params": params, "batch_stats": v["batch_stats"]}
            y, _ = model.apply(state, x, mutable=["batch_stats"])
            return (y * weight).sum()

        return jax.grad(total, (0, 1))(v["params"], x)

    def part(x, weight):
        dv, dx = gradients(BatchNorm("silu", True, "i"), x, weight)
        return jax.lax.psum(dv, "i"), dx

    mesh = Mesh(jax.devices(), "i")
    split = jax.shard_map(
        part, mesh=mesh, in_specs=P("i"), out_specs=(P(), P("i")), check_vma=False
    )
    expected = gradients(BatchNorm("silu", True), x, weight)
    found = jax.jit(split)(x, weight)
    close = lambda a, b: np.testing.assert_allclose(a, b, atol=3 * TOLERANCE)  # noqa: E731
    jax.tree.map(close, found, expected)


def test_a_bfloat16_batch_is_summed_in_float32():
    # Summed in bfloat16, 4096 ones would stop at 256.
    x = jnp.ones((4096, 1, 2), jnp.bfloat16)
    v = variables(2)
    y, new = BatchNorm("none", True).apply(v, x, mutable=["batch_stats"])
    assert y.dtype == jnp.bfloat16
    expected = 0.9 * v["batch_stats"]["mean"] + 0.1
    np.testing.assert_allclose(new["batch_stats"]["mean"], expected, atol=TOLERANCE)

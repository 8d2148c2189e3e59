"""Schedules against their closed forms, accumulation against the big batch, clipping."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from zoo.errors import ZooError
from zoo.train.config import default_config
from zoo.train.experiment import make_optimizer as from_config
from zoo.train.optimizer import make_optimizer, make_schedule

STEPS, PEAK = 200, 0.5


def rates(name, **options):
    schedule = make_schedule(name, peak=PEAK, steps=STEPS, **options)
    return np.array([float(schedule(n)) for n in range(STEPS + 1)])


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_constant():
    close(rates("constant"), PEAK)


def test_cosine_falls_from_the_peak_to_its_end():
    half = 0.5 * (1 + np.cos(np.pi * np.arange(STEPS + 1) / STEPS))
    close(rates("cosine"), PEAK * half)
    close(rates("cosine", end=0.1), 0.1 + (PEAK - 0.1) * half)


def test_steps_fall_at_their_boundaries():
    expected = [PEAK * 0.1 ** ((n >= 100) + (n >= 150)) for n in range(STEPS + 1)]
    close(rates("step"), expected)
    expected = [PEAK * 0.5 ** (n >= 40) for n in range(STEPS + 1)]
    close(rates("step", boundaries=(0.2,), factor=0.5), expected)


@pytest.mark.parametrize("name", ["constant", "cosine", "step"])
def test_warmup_rises_linearly_and_then_follows_the_schedule(name):
    found = rates(name, warmup=0.1)
    close(found[:21], PEAK * np.arange(21) / 20)
    n = np.arange(20, STEPS + 1)
    close(
        found[20:],
        {
            "constant": np.full(len(n), PEAK),
            "cosine": PEAK * 0.5 * (1 + np.cos(np.pi * (n - 20) / 180)),
            # The boundaries are fractions of the whole run, warm-up included.
            "step": PEAK * 0.1 ** ((n >= 100).astype(float) + (n >= 150)),
        }[name],
    )


def test_a_run_of_one_step_has_a_schedule():
    for name in ("constant", "cosine", "step"):
        schedule = make_schedule(name, peak=PEAK, steps=1, warmup=0.5)
        assert math.isfinite(float(schedule(0)))


def test_unknown_names_and_shares_are_refused():
    with pytest.raises(ZooError, match="unknown schedule 'cosin'; did you mean 'cosine'"):
        rates("cosin")
    with pytest.raises(ZooError, match=r"optimizer\.warmup=1\.0 is a share"):
        rates("cosine", warmup=1.0)
    with pytest.raises(ZooError, match="unknown optimizer 'adm'; did you mean 'adam'"):
        make_optimizer("adm", optax.constant_schedule(1.0))
    with pytest.raises(ZooError, match=r"optimizer 'sgd' cannot be built: .*weight_decay"):
        make_optimizer("sgd", optax.constant_schedule(1.0), weight_decay=0.1)


def descend(optimizer, gradients):
    """The parameters after each of the gradients."""
    params = {"w": jnp.array([1.0, -2.0, 3.0])}
    state, found = optimizer.init(params), []
    update = jax.jit(optimizer.update)
    with jax.numpy_dtype_promotion("standard"):  # optax counts in int32 and divides floats by it
        for gradient in gradients:
            updates, state = update({"w": jnp.asarray(gradient)}, state, params)
            params = optax.apply_updates(params, updates)
            found.append(np.asarray(params["w"]))
    return np.stack(found)


def gradients(count):
    return np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32)


def test_accumulating_equals_the_big_batch():
    schedule = make_schedule("cosine", peak=PEAK, steps=4)
    small = gradients(12)
    whole = descend(make_optimizer("sgd", schedule), small.reshape(4, 3, 3).mean(1))
    parts = descend(make_optimizer("sgd", schedule, accumulate=3), small)
    np.testing.assert_allclose(parts[2::3], whole, rtol=1e-5)
    # In between nothing moves.
    np.testing.assert_array_equal(parts[:2], [[1.0, -2.0, 3.0]] * 2)
    np.testing.assert_array_equal(parts[3], parts[2])


def test_what_accumulates_is_clipped_as_one():
    small = 10 * gradients(4)
    clipped = make_optimizer("sgd", optax.constant_schedule(1.0), clip_norm=1.0, accumulate=4)
    mean = small.mean(0)
    expected = np.array([1.0, -2.0, 3.0]) - mean / np.linalg.norm(mean)
    assert np.linalg.norm(mean) > 1
    np.testing.assert_allclose(descend(clipped, small)[-1], expected, rtol=1e-5)


def test_clipping_scales_long_gradients_and_leaves_short_ones():
    clipped = make_optimizer("sgd", optax.constant_schedule(1.0), clip_norm=2.0)
    moves = np.diff(descend(clipped, [[0.0] * 3, [3.0, 0.0, 4.0], [0.3, 0.0, 0.4]]), axis=0)
    np.testing.assert_allclose(moves, [[-1.2, 0.0, -1.6], [-0.3, 0.0, -0.4]], atol=1e-6)


def test_adam_is_its_paper():
    """Kingma and Ba 2015, algorithm 1."""
    m = v = np.zeros(3)
    w, expected = np.array([1.0, -2.0, 3.0]), []
    for t, g in enumerate(gradients(5), 1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        w = w - 0.01 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        expected.append(w)
    adam = make_optimizer("adam", optax.constant_schedule(0.01))
    np.testing.assert_allclose(descend(adam, gradients(5)), expected, rtol=1e-5)


def test_options_reach_the_optimizer():
    heavy = make_optimizer("sgd", optax.constant_schedule(1.0), momentum=0.5)
    found = descend(heavy, np.ones((3, 3), np.float32))
    np.testing.assert_allclose(found[:, 0], [0.0, -1.5, -3.25])


def test_a_config_counts_updates_not_steps():
    config = default_config()
    config.optimizer.accumulate = 4
    config.optimizer.learning_rate = PEAK
    _, schedule = from_config(config, steps=400)
    found = [float(schedule(step)) for step in (0, 3, 4, 199, 200, 396)]
    updates = np.array([0, 0, 1, 49, 50, 99])
    close(found, PEAK * 0.5 * (1 + np.cos(np.pi * updates / 100)))


# optax's Muon multiplies integers and floats.
@pytest.mark.matrix
@jax.numpy_dtype_promotion("standard")
def test_muon_turns_matrices_and_leaves_the_rest_to_adam():
    """Its first update of a kernel is, up to its scale, the orthogonal factor of the gradient."""
    shapes = {"kernel": (3, 3, 4, 8), "dense": (6, 5), "bias": (8,)}
    keys = jax.random.split(jax.random.key(0), len(shapes))
    gradient = {n: jax.random.normal(k, shapes[n]) for n, k in zip(shapes, keys, strict=True)}
    params = jax.tree.map(jnp.zeros_like, gradient)

    def update(name, **options):
        optimizer = make_optimizer(name, optax.constant_schedule(PEAK), **options)
        return jax.jit(optimizer.update)(gradient, optimizer.init(params), params)[0]

    found = update("muon")
    close(found["bias"], update("adam", nesterov=True)["bias"])
    for name in ("kernel", "dense"):
        ours = np.asarray(found[name]).reshape(-1, shapes[name][-1])
        u, _, v = np.linalg.svd(np.asarray(gradient[name]).reshape(ours.shape), full_matrices=False)
        # As AdamW's root mean square (Liu et al. 2025), and five steps of Newton and Schulz come
        # within a third of the singular values' 1.
        scale = -0.2 * PEAK * math.sqrt(max(ours.shape))
        values = np.diag(u.T @ (ours / scale) @ v.T)
        assert ((values > 0.65) & (values < 1.25)).all()
        np.testing.assert_allclose(u * values @ v, ours / scale, atol=0.02)


@pytest.mark.parametrize(
    "options",
    [{"ns_coeffs": "polar"}, {"ns_coeffs": (1.0, 2.0)}, {"ns_steps": "a"}, {"beta": "x"}],
)
def test_options_that_cannot_be_are_one_line(options):
    with pytest.raises(ZooError, match=r"^optimizer 'muon' cannot be built: .+$"):
        make_optimizer("muon", optax.constant_schedule(0.1), **options)


@jax.numpy_dtype_promotion("standard")
def test_muon_takes_options_and_lowers_a_loss():
    optimizer = make_optimizer("muon", optax.constant_schedule(0.1), ns_steps=3, weight_decay=0.0)
    target = jax.random.normal(jax.random.key(0), (6, 5))
    params, lost = jnp.zeros((6, 5)), []
    state = optimizer.init(params)

    @jax.jit
    def step(params, state):
        loss, gradient = jax.value_and_grad(lambda p: jnp.mean((p - target) ** 2))(params)
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state, loss

    for _ in range(60):
        params, state, loss = step(params, state)
        lost.append(float(loss))
    assert lost[-1] < 0.1 * lost[0]

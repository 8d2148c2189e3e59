"""One device, several under jit and several under pmap: the same noise, the same parameters."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from families import first
from jax.sharding import Mesh

from zoo import losses, noise
from zoo.data.augment import make_augment
from zoo.data.batches import Batch, make_bank
from zoo.models import DnCNN
from zoo.selfsupervised import METHODS, make_method
from zoo.train import parallel
from zoo.train.optimizer import with_level
from zoo.train.step import create_state, make_prepare, make_step

BATCH, CROP, STEPS = 8, 16, 5


def images():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (20 + 3 * i, 24, 1), np.uint8) for i in range(5)]


def build(kind):
    """A step with a norm of that name, or of a method that learns from noisy images alone."""
    method = make_method(kind) if kind in METHODS else None
    model = DnCNN(channels=1, depth=3, width=8, norm="none" if method else kind)
    optimizer = optax.sgd(0.1)
    if method and method.learns_level:
        optimizer = with_level(optimizer, start=0.1)
    prepare = make_prepare(
        size=(CROP, CROP, 1),
        augment=make_augment(flip=True, quarter_turn=True),
        sampler=noise.make_sampler("gaussian", (10, 50), unit="1/255"),
        method=method,
    )

    def step(axis_name):
        return make_step(
            model=model.clone(axis_name=axis_name),
            loss=losses.make_loss("mse"),
            optimizer=optimizer,
            prepare=prepare,
            ema_decay=0.9,
            axis_name=axis_name,
            method=method,
        )

    state = create_state(model, optimizer, jax.random.key(0), (1, CROP, CROP, 1))
    return step, jax.device_get(state), prepare


def batch(n):
    rng = np.random.default_rng(n)
    slots = np.arange(BATCH, dtype=np.int32)
    return Batch(slots, rng.integers(0, 5, BATCH).astype(np.int32))


def run(runner, state):
    key = jax.random.key(7)
    bank = runner.place_bank(make_bank(images()))
    state = runner.place(state)
    for n in range(STEPS):
        state, metrics = runner.run(state, runner.feed(batch(n), bank), key)
    return runner.fetch(state), runner.fetch(metrics)


def one_device(step, state):
    key, update = jax.random.key(7), jax.jit(step(None))
    for n in range(STEPS):
        state, metrics = update(state, batch(n)._replace(bank=make_bank(images())), key)
    return jax.device_get((state, metrics))


@functools.cache
def built_and_run(kind):
    """A step, the state it begins with, and what one device makes of it."""
    step, state, _ = build(kind)
    return step, state, *one_device(step, state)


@pytest.mark.parametrize("runner", first(1, ["jit", "pmap"]))
@pytest.mark.parametrize(
    "kind", first(1, ["batch", "none", "noise2void", "noise2noise", "sure", "unsure"])
)
def test_devices_do_not_change_the_result(kind, runner):
    step, state, alone, alone_metrics = built_and_run(kind)
    shared, metrics = run(parallel.make_runner(runner, step, BATCH), state)
    for a, b in zip(jax.tree.leaves(alone), jax.tree.leaves(shared), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    for name, value in alone_metrics.items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-4)
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), alone.params, state.params)
    assert max(jax.tree.leaves(moved)) > 1e-4


def test_every_slot_draws_its_own_noise_whatever_the_batch():
    prepare = jax.jit(build("none")[2])
    bank = jax.tree.map(jnp.asarray, make_bank(images()))
    slots = np.arange(4, dtype=np.int32)
    same = np.zeros(4, np.int32)
    whole = prepare(Batch(slots, same, bank=bank), jax.random.key(1))
    half = prepare(Batch(slots[2:], same[2:], bank=bank), jax.random.key(1))
    np.testing.assert_array_equal(whole.input[2:], half.input)
    drawn = np.asarray(whole.input - whole.target)
    assert np.abs(drawn[0] - drawn[1]).max() > 0.01
    assert len(np.unique(np.asarray(whole.level))) == 4


def test_a_crop_is_a_piece_of_its_image():
    bank = jax.tree.map(jnp.asarray, make_bank(images()))
    prepare = make_prepare(size=(CROP, CROP, 1), augment=make_augment(), sampler=fake_noise)
    for i, image in enumerate(images()):
        example = prepare(Batch(np.array([3]), np.array([i]), bank=bank), jax.random.key(i))
        crop = np.rint(np.asarray(example.target[0]) * 255).astype(np.uint8)
        windows = np.lib.stride_tricks.sliding_window_view(image[..., 0], (CROP, CROP))
        assert (windows == crop[..., 0]).all(axis=(-1, -2)).any()


def fake_noise(key, x):
    return x, jnp.float32(0)


def test_paired_data_keep_their_own_noise_and_move_together():
    target = np.arange(400, dtype=np.uint16).reshape(20, 20, 1)
    both = np.concatenate([target, target + 1000], axis=-1)
    bank = jax.tree.map(jnp.asarray, make_bank([both]))
    prepare = make_prepare(
        size=(8, 8, 1), augment=make_augment(flip=True, quarter_turn=True), sampler=None
    )
    example = prepare(Batch(np.arange(6), np.zeros(6, int), bank=bank), jax.random.key(0))
    np.testing.assert_allclose((example.input - example.target) * 65535, 1000, rtol=1e-3)


@pytest.mark.matrix
def test_the_average_follows_its_formula():
    step, state, _ = build("none")
    bank = jax.tree.map(jnp.asarray, make_bank(images()))
    update, ema = jax.jit(step(None)), state.params
    for n in range(3):
        state, _ = update(state, batch(n)._replace(bank=bank), jax.random.key(7))
        decay = min(0.9, (1 + n) / (10 + n))
        ema = jax.tree.map(lambda e, p, d=decay: d * e + (1 - d) * p, ema, state.params)
    for a, b in zip(jax.tree.leaves(ema), jax.tree.leaves(state.ema), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_batch_the_devices_cannot_share_is_refused():
    with pytest.raises(
        ValueError, match=f"batch_size=7 cannot be shared by {jax.device_count()} devices"
    ):
        parallel.make_runner("jit", lambda axis: None, 7)
    with pytest.raises(ValueError, match="did you mean 'pmap'"):
        parallel.make_runner("pmaps", lambda axis: None, 8)


def test_the_mesh_spans_all_devices():
    runner = parallel.make_runner("jit", lambda axis: lambda s, b, k: (s, {}), 8)
    mesh = runner.feed(batch(0), None).slot.sharding.mesh
    assert isinstance(mesh, Mesh)
    assert mesh.size == jax.device_count() > 1

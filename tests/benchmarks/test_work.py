"""What is measured: steps on any devices, their operations, and batches that fit."""

import gzip
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from harness import profile
from harness.batch import fitting, must_fit
from harness.examples import AUDIO_LOSS, SNR, examples, shape_of
from harness.macs import count_macs, macs_of
from harness.work import Work, infer_step, train_step

from zoo import models
from zoo.errors import ZooError, is_out_of_memory
from zoo.models import ModelSpec
from zoo.models.conv import Conv

pytestmark = pytest.mark.tools


def _convolution(channels_in, channels_out, side, batch):
    x = jnp.ones((batch, side, side, channels_in))
    w = jnp.ones((3, 3, channels_in, channels_out))
    numbers = ("NHWC", "HWIO", "NHWC")
    function = jax.jit(
        lambda x, w: jax.lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=numbers)
    )
    return Work(function, lambda: (x, w)), x, w


@pytest.mark.parametrize("shape", [(3, 8, 10, 2), (16, 32, 32, 4)])
def test_the_operations_of_a_convolution_are_counted_as_by_hand(shape):
    channels_in, channels_out, side, batch = shape
    work, x, w = _convolution(*shape)
    work()
    # Along each side 3 taps a pixel, but 2 at both borders.
    taps = (3 * side - 2) ** 2
    cost = work.cost()
    assert cost.flops == 2 * batch * taps * channels_in * channels_out
    out = 4 * batch * side * side * channels_out
    assert cost.memory >= x.nbytes + w.nbytes + out
    assert cost.bytes >= x.nbytes + w.nbytes + out


class Tiny(nn.Module):
    """Three convolutions, one of them wide enough for the form with fewer products."""

    @nn.compact
    def __call__(self, x, level=None, *, train=False):
        y = nn.relu(Conv(64, (3, 3))(x))
        return Conv(3, (3, 3))(nn.relu(Conv(64, (3, 3))(y)))


TINY = ModelSpec(name="tiny", family="tiny")


@pytest.mark.parametrize("build", [train_step, infer_step])
def test_jit_and_pmap_count_the_same_work(build):
    flops = []
    for parallel in ("jit", "pmap"):
        work = build(Tiny(), TINY, batch=8, size=16, parallel=parallel)
        with jax.numpy_dtype_promotion("standard"):  # Adam counts in int32 and divides floats by it
            work()
            work()
            flops.append(work.cost().flops)
    taps = (3 * 16 - 2) ** 2
    forward = 8 * taps * 2 * (2 * 3 * 64 + 64 * 64)
    # Backward costs twice as much again, but the first layer passes no gradient on.
    least = forward if build is infer_step else 2.9 * forward
    assert least < flops[0] < 1.5 * least
    # pmap updates the parameters and draws the keys on each device.
    assert flops[1] == pytest.approx(flops[0], rel=0.3)


def test_inference_is_spread_over_all_devices():
    found = {}
    for parallel in ("jit", "pmap"):
        work = infer_step(Tiny(), TINY, batch=8, size=16, parallel=parallel)
        work._keep = lambda y, parallel=parallel: found.__setitem__(parallel, y)
        work()
        shards = found[parallel].addressable_shards
        assert {shard.device for shard in shards} == set(jax.devices())
        assert {shard.data.size for shard in shards} == {8 * 16 * 16 * 3 // len(jax.devices())}
    np.testing.assert_allclose(
        np.asarray(found["jit"]), np.asarray(found["pmap"]).reshape(8, 16, 16, 3), atol=1e-5
    )
    with pytest.raises(ZooError, match=f"{jax.device_count()} devices"):
        infer_step(Tiny(), TINY, batch=3)


def _hungry(limit, error):
    tried = []

    def attempt(batch):
        tried.append(batch)
        if batch > limit:
            raise error
        return f"ran {batch}"

    return attempt, tried


FULL = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes.")


@pytest.mark.parametrize("error", [FULL, MemoryError()])
def test_a_batch_is_halved_until_it_fits(error):
    attempt, tried = _hungry(5, error)
    assert fitting(attempt, 32) == ("ran 4", 4)
    assert tried == [32, 16, 8, 4]


def test_halving_stops_at_one_image_a_device():
    attempt, tried = _hungry(0, FULL)
    assert fitting(attempt, 40, devices=8) == (None, 8)
    assert tried == [40, 16, 8]
    assert fitting(attempt, 1) == (None, 1)


def test_other_errors_are_not_mistaken_for_a_lack_of_memory():
    attempt, tried = _hungry(0, jax.errors.JaxRuntimeError("INVALID_ARGUMENT: shapes"))
    with pytest.raises(jax.errors.JaxRuntimeError, match="INVALID"):
        fitting(attempt, 8)
    assert tried == [8]
    assert not is_out_of_memory(ValueError("out of memory"))


@pytest.mark.parametrize("error", [FULL, MemoryError()])
def test_what_does_not_fit_is_reported_in_one_line(error):
    words = re.escape("batch 8 does not fit into memory; take 4")
    with pytest.raises(ZooError, match=f"^{words}$"), must_fit("batch 8", "take 4"):
        raise error
    with pytest.raises(KeyError), must_fit("batch 8", "take 4"):
        raise KeyError


class Ear(nn.Module):
    """A gain: the smallest model of recordings that learns."""

    @nn.compact
    def __call__(self, x, level=None, *, train=False):
        return x * self.param("gain", nn.initializers.ones, (1, 1, 1))


EAR = ModelSpec("ear", "ear", modality="audio", channels=1, range=(-1.0, 1.0), sample_rate=16000)


@pytest.mark.parametrize("build", [train_step, infer_step])
def test_recordings_are_trained_on_and_denoised(build):
    found = []
    # optax is written for the usual promotion.
    with jax.numpy_dtype_promotion("standard"):
        work = build(Ear(), EAR, batch=8, size=2048)
        keep = work._keep
        work._keep = lambda result: (found.append(jax.device_get(result)), keep(result))
        work()
        work()
    if build is infer_step:
        assert found[1].shape == (8, 2048, 1)
        return
    _, metrics = found[1]
    assert set(metrics) == {"loss", "si_sdr", "grad_norm"}
    assert all(np.isfinite(value) for value in metrics.values())
    assert metrics["grad_norm"] > 0


def test_recordings_are_prepared_as_the_config_has_it():
    from zoo.train.config import audio_config

    config = audio_config()
    assert config.loss.to_dict() == AUDIO_LOSS
    assert tuple(config.noise.level) == SNR
    own = examples(EAR)
    assert own.shape == (*config.data.crop, 1) == shape_of(EAR)
    assert own.bank.values.dtype == own.noise.values.dtype == np.int16
    assert own.sampler.needs_noise


def test_a_model_that_learns_nothing_is_not_trained():
    model, record = models.create_model("wiener"), models.model_spec("wiener")
    with pytest.raises(ZooError, match="wiener learns nothing"):
        train_step(model, record, batch=8)


def test_multiply_accumulates_are_those_of_the_definitions():
    def shaped(*shape):
        return jax.ShapeDtypeStruct(shape, jnp.float32)

    assert count_macs(jnp.matmul, shaped(3, 5, 7), shaped(3, 7, 11)) == 3 * 5 * 7 * 11

    def conv(x, kernel):
        return jax.lax.conv_general_dilated(
            x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    assert count_macs(conv, shaped(2, 8, 9, 4), shaped(3, 3, 4, 6)) == 2 * 8 * 9 * 9 * 4 * 6

    def loop(carry, kernel):
        return jax.lax.scan(lambda c, _: (jax.jit(jnp.matmul)(c, kernel), None), carry, length=13)

    assert count_macs(loop, shaped(2, 5), shaped(5, 5)) == 13 * 2 * 5 * 5
    assert count_macs(jnp.sin, shaped(9)) == 0


@pytest.mark.parametrize(
    ("name", "published"),
    [("stream-t", 55e6), ("stream-b", 262e6), ("stream-s", 664e6), ("gtcrn", 33e6)],
)
def test_models_of_recordings_cost_about_what_is_published(name, published):
    model = models.create_model(name)
    x = jax.ShapeDtypeStruct((1, 256000, 1), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), x)
    # Ours counts zeros of grouped kernels and the fixed maps too.
    assert count_macs(model.apply, variables, x) / 16 == pytest.approx(published, rel=0.15)


def test_a_trace_can_be_read(tmp_path):
    work, *_ = _convolution(3, 4, 8, 1)
    work()
    path = profile.trace(work, tmp_path, steps=2)
    assert path.stat().st_size > 100
    assert b"/host:CPU" in path.read_bytes()
    (text,) = path.parent.glob("*.trace.json.gz")
    events = json.loads(gzip.decompress(text.read_bytes()))["traceEvents"]
    assert sum(event.get("name") == "step" for event in events) == 2


# One of each family; half a minute in all.
@pytest.mark.parametrize(
    "name", {models.model_spec(name).family: name for name in models.list_models()}.values()
)
def test_cards_state_the_multiply_accumulates(name):
    model, spec = models.create_model(name), models.model_spec(name)
    seconds = 64 if spec.modality == "audio" else 0
    size = (seconds * spec.sample_rate,) if seconds else spec.size or (256, 256)
    count = macs_of(model, (*size, spec.inputs))
    # Stated to three digits.
    expected = models.model_card(name).macs * (seconds or np.prod(size))
    assert count == pytest.approx(expected, rel=5e-3)

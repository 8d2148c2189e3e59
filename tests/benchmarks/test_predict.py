"""The arithmetic of scaling, against counts and times by hand, and against a compiled step."""

import csv
import math

import jax
import jax.numpy as jnp
import numpy as np
import predict
import pytest
from harness.collectives import collectives
from harness.macs import count_products
from harness.named import find
from harness.work import Training

from zoo.models import UNet, create_model, disable_winograd

pytestmark = pytest.mark.tools

V5E, H100 = predict.MACHINES["v5e"], predict.MACHINES["h100"]


def convolve(x, kernel, groups=1):
    numbers = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=numbers, feature_group_count=groups
    )


def test_padding_counts_as_by_hand():
    x, kernel = np.ones((2, 5, 6, 3), jnp.bfloat16), np.ones((3, 3, 3, 130), jnp.bfloat16)
    pixels = 2 * 5 * 6
    plain = count_products(convolve, x, kernel)
    assert plain.macs == pixels * 9 * 3 * 130
    assert plain.bytes == 2 * (pixels * 3 + 9 * 3 * 130 + pixels * 130)
    padded = count_products(convolve, x, kernel, unit=128, tile=(8, 128))
    assert padded.macs == pixels * 9 * 128 * 256
    assert padded.bytes == 2 * (2 * 5 * 8 * 128 + 9 * 8 * 256 + 2 * 5 * 8 * 256)
    # Of each channel alone, which no matrix unit does.
    depthwise = (lambda x, k: convolve(x, k, 3), x, np.ones((3, 3, 1, 3), jnp.bfloat16))
    assert count_products(*depthwise, unit=128).macs == pixels * 9 * 3


def test_padding_of_matmuls_in_a_loop_counts_as_by_hand():
    def attend(q, k):
        return jax.lax.scan(lambda c, _: (c, jnp.einsum("bqd,bkd->bqk", q, k)), 0, length=5)[1]

    q, k = np.ones((2, 64, 30), np.float32), np.ones((2, 70, 30), np.float32)
    assert count_products(attend, q, k).macs == 5 * 2 * 64 * 70 * 30
    assert count_products(attend, q, k, unit=128).macs == 5 * 2 * 64 * 128 * 128


def test_a_step_costs_three_forward_passes_and_the_optimizer():
    _, _, parameters = find("unet-tiny")
    one, two = (predict.cost("unet-tiny", 256, batch, H100) for batch in (1, 2))
    assert two.flops == 2 * one.flops
    assert one.exchanged == 4 * parameters
    # XLA's own count, without taps beyond the border and the gradient with respect to the image.
    model = UNet(channels=3, widths=(16, 32), blocks=1, stem=2)
    x = jnp.zeros((1, 256, 256, 3))
    variables = jax.eval_shape(model.init, jax.random.key(0), x)
    gradient = jax.jit(jax.grad(lambda v: jnp.sum(model.apply(v, x) ** 2)))
    with disable_winograd():
        counted = gradient.lower(variables).cost_analysis()["flops"]
    assert one.flops == pytest.approx(counted, rel=0.1)


def test_channels_up_to_the_matrix_unit_cost_a_tpu_next_to_nothing():
    def macs(widths, unit):
        model = create_model("unet-small", widths=widths)
        x = jnp.zeros((1, 64, 64, 3))
        variables = jax.eval_shape(model.init, jax.random.key(0), x)
        with disable_winograd():
            return count_products(lambda *a: model.apply(*a), variables, x, unit=unit).macs  # noqa: PLW0108

    narrow, wide = (32, 64, 128), (128, 128, 128)
    assert macs(wide, 1) > 7 * macs(narrow, 1)
    assert macs(wide, 128) < 1.05 * macs(narrow, 128)


def test_devices_wait_for_rings_and_stages():
    size, latency = 3e6, 1e-6
    two = predict.exchange_seconds(size, 2, V5E, latency)
    assert two == pytest.approx(size / 200e9 + latency)
    assert predict.exchange_seconds(size, 1, V5E, latency) == 0
    # Beyond a host the network decides: eight adapters of 400 Gbit/s.
    within, beyond = (predict.exchange_seconds(size, n, H100, 0) for n in (8, 16))
    assert within == pytest.approx(2 * 7 / 8 * size / 450e9)
    assert beyond == pytest.approx(2 * 15 / 16 * size / 400e9)


@pytest.mark.parametrize("machine", [V5E, H100])
def test_the_least_batch_is_the_least(machine):
    exchange = predict.exchange_seconds(2e6, 64, machine, 1e-5)
    batch = predict.least_batch("unet-tiny", 32, exchange, machine)
    assert batch > 2
    for wanted, b in ((True, batch), (False, batch - 1)):
        local = predict.local_seconds(predict.cost("unet-tiny", 32, b, machine), machine)
        assert (local / (local + exchange) >= 0.9) == wanted


def test_the_compiled_step_exchanges_the_gradients():
    model, record, parameters = find("unet-tiny")
    with jax.numpy_dtype_promotion("standard"):  # optax divides floats by counts
        training = Training(model, record, batch=2, size=16)
        text = training.lower(jax.devices()[:2]).compile().as_text()
    exchanged = sum(size for _, size in collectives(text))
    assert 0 <= exchanged - 4 * parameters <= 16


def test_rows(called, tmp_path):
    flags = ("--model=unet-tiny", "--size=32", "--machine=v5e,h100", "--devices=8")
    code, output, error = called("predict.py", *flags, f"--out={tmp_path}")
    assert code == 0, error
    (path,) = tmp_path.glob("*.csv")
    assert str(path) in output
    tpu, gpu = csv.DictReader(path.read_text().splitlines())
    assert (tpu["machine"], gpu["machine"], gpu["mxu_share"]) == ("v5e", "h100", "")
    share = float(tpu["gflop"]) * float(tpu["mxu_share"])
    assert share == pytest.approx(float(gpu["gflop"]), rel=1e-4)
    for row in (tpu, gpu):
        assert 0 < float(row["efficiency_8"]) < 1
        assert math.isfinite(float(row["step_ms"]))


@pytest.mark.parametrize(
    ("flag", "message"),
    [("--machine=v5f", "did you mean"), ("--compile", "leave h100 out of --machine")],
)
def test_mistakes_end_in_one_line(called, flag, message):
    code, _, error = called("predict.py", flag)
    assert code == 2
    assert message in error
    assert error.count("\n") == 1

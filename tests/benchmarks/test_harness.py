"""The benchmarks' own clock, machine, memory and tables, against what is known of them."""

import argparse
import csv
import gzip
import json
import math
import re
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from harness import machine, profile, results, timing
from harness.batch import fitting, is_out_of_memory, must_fit
from harness.examples import AUDIO_LOSS, SNR, examples, shape_of
from harness.flags import Parser, Several, count, duration, guard
from harness.macs import count_macs
from harness.work import Work, infer_step, train_step

from zoo import models
from zoo.errors import ZooError
from zoo.models import Record
from zoo.models.conv import Conv


class Clock:
    """A clock that runs only while something sleeps by it."""

    def __init__(self):
        self.now = 100.0

    def perf_counter(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def test_the_clock_sees_known_sleeps(monkeypatch):
    clock, calls = Clock(), []
    monkeypatch.setattr(timing, "time", clock)

    def run():
        # The first stands for compilation, the second for a cold cache; later one step is slow.
        calls.append(1)
        clock.sleep({1: 0.2, 2: 0.1, 5: 0.06}.get(len(calls), 0.01))

    times = timing.measure(run, 0.0, least=9)
    assert len(times.steps) == 9 == len(calls) - 2
    assert times.median == pytest.approx(0.01)
    assert times.compile_s == pytest.approx(0.19)
    assert times.steps.max() == pytest.approx(0.06)
    assert times.p90 == pytest.approx(0.02)
    assert times.p99 == pytest.approx(0.056)
    clock.sleep(1.0)
    assert timing.measure(run, 0.5, least=1).steps.sum() == pytest.approx(0.5, abs=0.011)


def test_the_clock_is_that_of_the_wall():
    times = timing.measure(lambda: time.sleep(0.01), 0.0, least=3)
    assert times.steps.min() >= 0.01


def test_quantiles_are_those_of_the_steps():
    times = timing.Times(0.0, np.arange(101.0))
    assert (times.p10, times.median, times.p90) == (10.0, 50.0, 90.0)


def test_the_matmul_peak_is_that_of_a_matmul_timed_here():
    peak = machine.matmul_peak(jnp.float32)
    x = jax.random.normal(jax.random.key(0), (1024, 1024))
    product = jax.jit(lambda x: x @ x)
    product(x).block_until_ready()
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        product(x).block_until_ready()
        seconds.append(time.perf_counter() - start)
    # Wide, for neighbours on the machine: it is an order of magnitude that must not be missed.
    assert 0.2 < peak / (2 * 1024**3 / min(seconds)) < 5
    assert peak is machine.matmul_peak(jnp.float32)


def test_the_bandwidth_is_about_that_of_a_copy():
    x = np.ones(2**26, np.float32)
    y = np.empty_like(x)
    np.copyto(y, x)
    start = time.perf_counter()
    np.copyto(y, x)
    copy = 2 * x.nbytes / (time.perf_counter() - start)
    assert 0.1 < machine.bandwidth() / copy < 20


# A process of its own, whose memory nothing else takes or leaves; and a mapping, for what the C
# library has kept from before would not be new.
PEAKS = """
import gc, json, mmap, sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from harness import machine
machine.reset_peak_memory()
peaks = [machine.peak_memory()]
block = mmap.mmap(-1, 2**28)
view = np.frombuffer(block, np.uint8)
view[:] = 1
peaks.append(machine.peak_memory())
del view
block.close()
peaks.append(machine.peak_memory())
machine.reset_peak_memory()
peaks.append(machine.peak_memory())
print(json.dumps(peaks))
"""


def test_the_peak_of_memory_grows_with_an_array():
    folder = Path(machine.__file__).parents[1]
    command = [sys.executable, "-c", PEAKS.replace("view[:] = 1", "view[:] = 1"), folder]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    before, with_it, after, anew = json.loads(done.stdout)
    # Of the size, for a system may swap some of the rest out meanwhile.
    assert 0.75 * 2**28 <= with_it - before <= 1.25 * 2**28
    # Linux counts in batches of pages, so that even a peak may shrink a little.
    assert after >= with_it - 2**22
    # Where the system lets nobody reset it, it stays.
    assert anew <= after - 0.75 * 2**28 or anew >= after - 2**22


def test_context_and_versions_name_this_machine():
    assert re.fullmatch(r"[\w.+=-]+", machine.context())
    assert f"x{jax.device_count()}_" in machine.context()
    facts = machine.versions()
    assert facts["jax"] == jax.__version__
    assert {"host", "device", "python", "jaxlib", "flax", "zoo"} < set(facts)


def test_the_processor_is_named(monkeypatch):
    class Told:
        text = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nprocessor\t: 1\n"

        def __init__(self, path):
            assert path == "/proc/cpuinfo"

        def read_text(self):
            if self.text is None:
                raise FileNotFoundError
            return self.text

    monkeypatch.setattr(machine, "Path", Told)
    monkeypatch.setattr(machine.platform, "processor", lambda: "arm")
    monkeypatch.setattr(machine, "_commit", lambda: "abc")
    whole = machine.versions.__wrapped__
    assert f"Some CPU @ 2 GHz, {machine.cores()} cores" in whole()["host"]
    # As on macOS, and on Linux where the processor has no name there.
    for Told.text in (None, "processor: 0\n"):
        assert f"arm, {machine.cores()} cores" in whole()["host"]
    monkeypatch.setattr(machine.platform, "processor", lambda: "")
    assert "unknown processor" in whole()["host"]


def test_a_busy_machine_is_warned_about(monkeypatch, capsys):
    ticks = iter([(0, 0), (100, 100), (0, 0), (25, 100)])
    monkeypatch.setattr(machine, "_ticks", lambda: next(ticks))
    monkeypatch.setattr(machine.os, "cpu_count", lambda: 4)
    assert machine.warn_if_busy() == 0.0
    assert capsys.readouterr().err == ""
    assert machine.warn_if_busy() == pytest.approx(3.0)
    assert "not idle, 3.0 cores" in capsys.readouterr().err


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


TINY = Record(name="tiny", family="tiny")


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
    with pytest.raises(ZooError, match="8 devices"):
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


def test_halving_stops_at_one_picture_a_device():
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
def test_what_does_not_fit_is_told_in_one_line(error):
    words = re.escape("batch 8 does not fit into memory; take 4")
    with pytest.raises(ZooError, match=f"^{words}$"), must_fit("batch 8", "take 4"):
        raise error
    with pytest.raises(KeyError), must_fit("batch 8", "take 4"):
        raise KeyError


def test_rows_are_kept_whatever_comes(tmp_path, capsys):
    with results.Kept("empty", tmp_path, "here") as kept:
        pass
    assert (kept.path, capsys.readouterr().out) == (None, "")

    def stopped(kept):
        with kept:
            kept.add({"a": 1, "b": 2})
            assert kept.path.read_text() == "a,b\n1,2\n"
            kept.add({"a": 3, "b": 4}, {"a": 5, "b": 6})
            raise KeyboardInterrupt

    kept = results.Kept("some", tmp_path, "here", ["b"])
    with pytest.raises(KeyboardInterrupt):
        stopped(kept)
    assert kept.path.read_text() == "a,b\n1,2\n3,4\n5,6\n"
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "| b   |"
    assert told[-1] == f"written to {tmp_path / 'some_here.csv'}"


def test_rows_are_written_as_csv_and_json(tmp_path):
    rows = [
        {"model": "a,b", "ms": np.float32(1.25), "n": np.int64(3)},
        {"model": "c", "ms": math.nan, "note": None},
    ]
    path = results.write("speed", rows, tmp_path / "new", "some machine")
    assert path.name == "speed_some_machine.csv"
    with path.open(newline="") as file:
        found = list(csv.DictReader(file))
    assert found[0] == {"model": "a,b", "ms": "1.25", "n": "3", "note": ""}
    assert found[1]["ms"] == ""
    whole = json.loads(path.with_suffix(".json").read_text())
    assert whole["rows"][0] == {"model": "a,b", "ms": 1.25, "n": 3}
    assert whole["rows"][1]["ms"] is None
    assert whole["versions"]["jax"] == jax.__version__
    assert sorted(p.suffix for p in path.parent.iterdir()) == [".csv", ".json"]


def test_a_table_is_markdown():
    text = results.table([{"a": 1, "b": 12345.6}, {"a": 2, "b": 0.00123, "c": "x"}], ["a", "b"])
    assert text.splitlines() == [
        "| a   | b       |",
        "|-----|---------|",
        "| 1   | 12,346  |",
        "| 2   | 0.00123 |",
    ]


def test_flags_collect_and_refuse(capsys):
    parser = Parser("doc")
    parser.add_argument("--n", action=Several, convert=count, default=[7])
    parser.add_argument("--seconds", type=duration)
    assert parser.parse_args([]).n == [7]
    assert parser.parse_args(["--n=1,2", "--n", "3"]).n == [1, 2, 3]
    for wrong in ("--n=0", "--n=1,-2", "--n=,", "--n=1.5", "--seconds=-1", "--seconds=nan", "--no"):
        with pytest.raises(SystemExit) as left:
            parser.parse_args([wrong])
        assert left.value.code == 2
        err = capsys.readouterr().err
        assert err.startswith("error: ")
        assert err.count("\n") == 1


def test_shared_flags_have_defaults():
    parser = argparse.ArgumentParser()
    results.add_arguments(parser)
    found = parser.parse_args([])
    assert found.seconds > 0
    assert found.out.name == "results"


def test_a_script_ends_in_one_line(capsys):
    def wrong():
        raise ZooError("mend it")

    assert guard(wrong) == 2
    assert capsys.readouterr().err == "error: mend it\n"
    assert guard(lambda: None) == 0


def test_a_trace_can_be_read(tmp_path):
    work, *_ = _convolution(3, 4, 8, 1)
    work()
    path = profile.trace(work, tmp_path, steps=2)
    assert path.stat().st_size > 100
    assert b"/host:CPU" in path.read_bytes()
    (text,) = path.parent.glob("*.trace.json.gz")
    events = json.loads(gzip.decompress(text.read_bytes()))["traceEvents"]
    assert sum(event.get("name") == "step" for event in events) == 2


class Ear(nn.Module):
    """A gain: the smallest model of recordings that learns."""

    @nn.compact
    def __call__(self, x, level=None, *, train=False):
        return x * self.param("gain", nn.initializers.ones, (1, 1, 1))


EAR = Record("ear", "ear", modality="audio", channels=1, range=(-1.0, 1.0), sample_rate=16000)


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
    assert own.bank.pixels.dtype == own.noise.pixels.dtype == np.int16
    assert own.sampler.needs_noise


def test_a_model_that_learns_nothing_is_not_trained():
    model, record = models.create_model("wiener"), models.record("wiener")
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

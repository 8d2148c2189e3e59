"""The benchmarks' own clock, machine, memory and tables, against what is known of them."""

import argparse
import csv
import gzip
import json
import math
import re
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from harness import machine, plots, profile, results, timing
from harness.batch import fitting, is_out_of_memory
from harness.flags import Parser, Several, count, duration, guard
from harness.work import Work, infer_step, train_step

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


def test_the_peak_of_memory_grows_with_an_array():
    machine.reset_peak_memory()
    before = machine.peak_memory()
    x = np.ones(2**25, np.uint8)
    assert machine.peak_memory() >= before + 0.5 * x.nbytes or before > 2**33


def test_context_and_versions_name_this_machine():
    assert re.fullmatch(r"[\w.+=-]+", machine.context())
    assert f"x{jax.device_count()}_" in machine.context()
    facts = machine.versions()
    assert facts["jax"] == jax.__version__
    assert {"host", "device", "python", "jaxlib", "flax", "zoo"} < set(facts)


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


@pytest.mark.parametrize(
    "heights", [[0.5, 0.5, 0.5], [0.0, 0.01, 0.99, 1.0], [0.1, 0.5, 0.9], [1.0, 1.0, 1.0, 1.0]]
)
def test_names_do_not_overlap_and_move_no_further_than_they_must(heights):
    placed = plots._apart(heights, 0.1)
    assert np.diff(placed).min() >= 0.1 - 1e-9
    assert min(placed) >= 0
    assert max(placed) <= 1 + 1e-9
    if np.diff(heights).min() >= 0.1:
        assert placed == heights


def test_the_front_is_what_nobody_beats():
    points = [(1, 9), (2, 5), (3, 7), (4, 7), (5, 1), (0.5, 8)]
    assert plots._front(points) == [(1, 9), (4, 7), (5, 1)]


ROWS = [
    {
        "model": model,
        "task": task,
        "size": "64x64x3",
        "batch": batch,
        "dtype": "f32",
        "device": "1 x cpu",
        "megapixels_per_s": 2.0 * batch,
        "gflop_per_step": 3.0 * batch,
        "gbyte_per_step": 0.5 * batch,
        "tflop_per_s": 0.1,
    }
    for model in ("dncnn-color", "unet-small")
    for task in ("train", "infer")
    for batch in (8, 16)
]


def test_pictures_are_drawn(tmp_path):
    scores = tmp_path / "scores.csv"
    scores.write_text(
        "data,level,method,pictures,psnr\n"
        "cbsd68,25,dncnn-color,68,31.2\ncbsd68,25,noisy,68,20.2\ncbsd68,50,unet-small mine,68,28\n"
    )
    drawn = [
        plots.batches(tmp_path / "batches.png", ROWS),
        plots.roofline(tmp_path / "roofline.png", ROWS, 0.5, 40.0),
        *plots.quality(tmp_path / "q", ROWS, plots.read_scores(scores)),
    ]
    assert [path.name for path in drawn[2:]] == ["q_psnr_cbsd68_25.png", "q_psnr_cbsd68_50.png"]
    for path in drawn:
        assert path.read_bytes().startswith(b"\x89PNG")


def test_scores_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(ZooError, match="cannot read"):
        plots.read_scores(tmp_path / "none.csv")
    path = tmp_path / "other.csv"
    path.write_text("data,level\nx,1\n")
    with pytest.raises(ZooError, match="has no method, psnr"):
        plots.read_scores(path)
    with pytest.raises(ZooError, match="no model"):
        list(plots.quality(tmp_path / "q", ROWS, [{"data": "d", "level": "1", "method": "x"}]))

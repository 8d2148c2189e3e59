"""The benchmarks' own clock, machine, memory and tables, against what is known of them."""

import argparse
import csv
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
from harness import machine, results, timing
from harness.flags import Parser, Several, count, duration, guard

from zoo.errors import ZooError

pytestmark = pytest.mark.tools


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
    before, with_it, after, again = json.loads(done.stdout)
    # Of the size, for a system may swap some of the rest out meanwhile.
    assert 0.75 * 2**28 <= with_it - before <= 1.25 * 2**28
    # Linux counts in batches of pages, so that even a peak may shrink a little.
    assert after >= with_it - 2**22
    # Where the system lets nobody reset it, it stays.
    assert again <= after - 0.75 * 2**28 or again >= after - 2**22


def test_context_and_versions_name_this_machine():
    assert re.fullmatch(r"[\w.+=-]+", machine.context())
    assert f"x{jax.device_count()}_" in machine.context()
    facts = machine.versions()
    assert facts["jax"] == jax.__version__
    assert {"host", "device", "python", "jaxlib", "flax", "zoo"} < set(facts)


def test_the_processor_is_named(monkeypatch):
    class Given:
        text = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nprocessor\t: 1\n"

        def __init__(self, path):
            assert path == "/proc/cpuinfo"

        def read_text(self):
            if self.text is None:
                raise FileNotFoundError
            return self.text

    monkeypatch.setattr(machine, "Path", Given)
    monkeypatch.setattr(machine.platform, "processor", lambda: "arm")
    monkeypatch.setattr(machine, "_commit", lambda: "abc")
    whole = machine.versions.__wrapped__
    assert f"Some CPU @ 2 GHz, {machine.cores()} cores" in whole()["host"]
    # As on macOS, and on Linux where the processor has no name there.
    for Given.text in (None, "processor: 0\n"):
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
    reported = capsys.readouterr().out.splitlines()
    assert reported[0] == "| b   |"
    assert reported[-1] == f"written to {tmp_path / 'some_here.csv'}"


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

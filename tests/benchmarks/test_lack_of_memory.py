"""Scripts whose next row does not fit into memory keep those of before."""

import csv
import importlib
import sys
from pathlib import Path

import jax
import pytest
from harness import flags, machine

pytestmark = pytest.mark.tools

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


FULL = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.")


def failing(number, error, answer):
    """A function that fails at its call of a number, the first being 1."""
    calls = []

    def call(*arguments, **options):
        calls.append(arguments)
        if len(calls) == number:
            raise error
        return answer

    return call


@pytest.fixture
def stopped(monkeypatch, tmp_path, capsys):
    """Runs a script here; its only error, and the rows it left."""
    monkeypatch.syspath_prepend(str(BENCHMARKS / "peers"))
    monkeypatch.setattr(machine, "warn_if_busy", lambda: 0.0)
    monkeypatch.setattr(machine, "bandwidth", lambda devices=1: 1e10)

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [f"{name}.py", f"--out={tmp_path}", *arguments])
        assert flags.guard(importlib.import_module(name).main) == 2
        out, err = capsys.readouterr()
        (path,) = tmp_path.glob("*.csv")
        assert f"written to {path}" in out
        (said,) = (line for line in err.splitlines() if line.startswith("error: "))
        assert "Traceback" not in err
        return said, list(csv.DictReader(path.read_text().splitlines()))

    return run


@pytest.mark.parametrize("error", [FULL, MemoryError()])
def test_noise_that_does_not_fit_leaves_the_rows_of_before(stopped, monkeypatch, error):
    noise = importlib.import_module("noise")
    monkeypatch.setattr(noise, "row", failing(3, error, {"op": "fake", "ms": 1.0}))
    said, rows = stopped("noise", "--op=gaussian,poisson", "--size=8,4096", "--batch=64")
    assert said == (
        "error: gaussian of 64 images of 4096x4096 does not fit into memory; "
        "make --size or --batch smaller"
    )
    assert [row["op"] for row in rows] == ["fake", "fake"]


@pytest.mark.parametrize("error", [FULL, MemoryError()])
def test_a_loop_that_does_not_fit_leaves_the_rows_of_before(stopped, monkeypatch, error):
    loop = importlib.import_module("loop")
    answer = [{"part": "fake", "turn": 1, "share": 0.5}]
    monkeypatch.setattr(loop, "prepare", failing(2, error, answer))
    said, rows = stopped("loop", "--part=prepare", "--noise=gaussian,poisson", "--batch=64")
    assert said == (
        "error: unet-small with poisson, a batch of 64, does not fit into memory; "
        "make --batch or --size smaller"
    )
    assert [row["turn"] for row in rows] == ["1", "median"]


@pytest.mark.parametrize("error", [FULL, MemoryError()])
def test_a_part_that_does_not_fit_leaves_the_parts_of_before(stopped, monkeypatch, error):
    loop = importlib.import_module("loop")
    answer = [{"part": "fake", "turn": 1, "share": 0.5}]
    monkeypatch.setattr(loop, "prepare", lambda *_: answer)
    monkeypatch.setattr(loop, "loop", failing(1, error, None))
    said, rows = stopped("loop", "--part=prepare,memory")
    assert "memory, a run of" in said
    assert said.endswith("does not fit into memory; try --override=train.batch_size=1")
    assert len(rows) == 2


@pytest.mark.parametrize("error", [FULL, MemoryError()])
def test_a_comparison_that_does_not_fit_leaves_the_rows_of_before(stopped, monkeypatch, error):
    monkeypatch.syspath_prepend(str(BENCHMARKS / "peers"))
    compare = importlib.import_module("compare")

    class Worker:
        def __init__(self, command):
            self.ask = lambda **request: {"torch": "2", "torch_device": "cpu"}

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(compare, "Worker", Worker)
    monkeypatch.setattr(compare, "device", lambda: "cpu")
    monkeypatch.setattr(compare, "compare", failing(2, error, {"model": "fake"}))
    said, rows = stopped("compare", "--torch-python=python", "--model=unet-tiny", "--batch=64")
    assert said == (
        "error: unet-tiny, infer of 64 images, does not fit into memory; "
        "make --batch or --size smaller"
    )
    assert [row["model"] for row in rows] == ["fake"]


@pytest.mark.parametrize("error", [FULL, MemoryError()])
def test_a_step_of_too_many_devices_leaves_the_rows_of_before(stopped, monkeypatch, error):
    from harness import work

    from zoo.errors import ZooError

    scaling = importlib.import_module("scaling")
    monkeypatch.setattr(scaling, "ask_machine", lambda: ("cpu", 1, 0.0))
    monkeypatch.setattr(work, "train_step", failing(1, error, None))
    with pytest.raises(ZooError, match=f"a batch of 8 on {jax.device_count()} devices does not"):
        scaling.child(["unet-tiny", "jit", "16", "8", "0"])
    answer = {"devices": 1, "batch": 4, "ms": 1.0}
    monkeypatch.setattr(scaling, "ask", failing(2, ZooError("no room"), answer))
    said, rows = stopped("scaling", "--devices=1,2")
    assert said == "error: no room"
    assert [row["devices"] for row in rows] == ["1"]

"""`benchmarks/throughput.py`, run as a user runs it, and its rows when something fails."""

import csv
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

pytestmark = pytest.mark.tools

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks" / "throughput.py"

# Python imports it at its start, from wherever PYTHONPATH leads.
BLOCKER = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"tensorflow_datasets", "grain", "ml_collections"}:
            raise ImportError(f"{name} is not installed")

sys.meta_path.insert(0, Blocker())
"""


def run(*flags, path=""):
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    environment["PYTHONPATH"] = str(path)
    return subprocess.run(
        [sys.executable, "-W", "error", SCRIPT, *map(str, flags)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )


def rows_of(folder):
    (path,) = folder.glob("throughput_*.csv")
    with path.open(newline="") as file:
        return path, list(csv.DictReader(file))


@pytest.mark.parametrize("module", ["tensorflow_datasets", "grain", "ml_collections"])
def test_the_blocker_blocks(module, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(BLOCKER)
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", f"import {module}"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert f"{module} is not installed" in done.stderr


def test_it_runs_without_the_libraries_of_the_data_sets(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(BLOCKER)
    out = tmp_path / "out"
    done = run(
        "--model=unet-tiny", "--size=32", "--batch=2", "--seconds=0.1", "--out", out,
        path=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    path, rows = rows_of(out)
    assert "unet-tiny_32px_2batch" in path.name
    assert [row["task"] for row in rows] == ["train", "infer"]
    for row in rows:
        step = float(row["step_ms"]) / 1e3
        assert float(row["step_ms_p10"]) <= float(row["step_ms"]) <= float(row["step_ms_p90"])
        assert float(row["images_per_s"]) == pytest.approx(2 / step, rel=1e-4)
        assert float(row["megapixels_per_s"]) == pytest.approx(2 * 32**2 / step / 1e6, rel=1e-4)
        achieved = float(row["gflop_per_step"]) / 1e3 / step
        assert float(row["tflop_per_s"]) == pytest.approx(achieved, rel=1e-4)
        share = achieved / float(row["matmul_peak_tflop_per_s"])
        assert float(row["share_of_matmul_peak"]) == pytest.approx(share, rel=1e-4)
        for name in ("parameters", "compile_s", "gbyte_per_step", "program_mb", "peak_memory_mb"):
            assert float(row[name]) > 0, name
        assert row["jax"] == jax.__version__
        assert row["note"] == ""
    # Backward costs about twice forward.
    assert 2 < float(rows[0]["gflop_per_step"]) / float(rows[1]["gflop_per_step"]) < 4
    assert "| unet-tiny " in done.stdout
    assert len(json.loads(path.with_suffix(".json").read_text())["rows"]) == 2


def test_a_mistake_ends_the_script_in_one_line(tmp_path):
    done = run("--model=unet-tinny", "--out", tmp_path)
    assert done.returncode == 2
    assert done.stderr == "error: unknown model 'unet-tinny'; did you mean 'unet-tiny'?\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flag", "reported"),
    [
        ("--size=0", "whole number"),
        ("--samples=0", "whole number"),
        ("--batch=0", "whole number"),
        ("--batch=16,x", "whole number"),
        ("--seconds=-1", "seconds"),
        ("--dtype=f64", "f32"),
        ("--batch=3", f"cannot be shared by {jax.device_count()} devices"),
        ("--scores=nowhere.csv", "cannot read nowhere.csv"),
    ],
)
def test_a_mistake_is_reported_in_one_line(flag, reported, tmp_path, monkeypatch, capsys):
    module = importlib.import_module("throughput")
    monkeypatch.setattr(sys, "argv", ["throughput.py", flag, "--out", str(tmp_path)])
    try:
        code = module.guard(module.main)
    except SystemExit as left:
        code = left.code
    err = capsys.readouterr().err
    assert code == 2
    assert reported in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1


@pytest.fixture
def throughput(monkeypatch, tmp_path):
    """The script as a module, one fake step a task, and a way to run it in this process."""
    module = importlib.import_module("throughput")
    monkeypatch.setattr(module.machine, "matmul_peak", lambda dtype, devices: 1e12)
    monkeypatch.setattr(module.machine, "warn_if_busy", lambda: 0.0)

    def call(step, *flags):
        class Fake:
            def __init__(self, model, record, *, batch, size, parallel):
                self.step = lambda: step(batch)

            def __call__(self):
                self.step()

            def cost(self):
                return importlib.import_module("harness.work").Cost(1e9, 1e8, 1e7)

        monkeypatch.setattr(module, "TASKS", {"train": Fake, "infer": Fake})
        argv = ["throughput.py", "--seconds=0", "--out", str(tmp_path), *flags]
        monkeypatch.setattr(sys, "argv", argv)
        return module.guard(module.main), rows_of(tmp_path)[1]

    return call


def test_a_batch_too_large_is_halved_and_the_row_says_so(throughput):
    def step(batch):
        if batch > 16:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")

    code, (row,) = throughput(step, "--model=unet-tiny", "--task=train", "--batch=64")
    assert code == 0
    assert (row["batch_asked"], row["batch"]) == ("64", "16")
    assert row["note"] == "halved, out of memory"


def test_a_model_that_fits_at_no_batch_does_not_stop_the_next(throughput):
    def step(batch):
        raise MemoryError

    code, rows = throughput(step, "--model=unet-tiny,unet-small", "--task=infer", "--batch=16")
    assert code == 2
    assert [row["note"] for row in rows] == [
        f"out of memory even at batch {jax.device_count()}"
    ] * 2


def test_a_model_that_fails_leaves_the_other_rows(throughput, capsys):
    calls = []

    def step(batch):
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("no such thing\nand more")

    code, rows = throughput(step, "--model=unet-tiny", "--batch=16")
    assert code == 2
    assert rows[0]["note"] == "failed, RuntimeError: no such thing"
    assert float(rows[1]["images_per_s"]) > 0
    assert "1 of 2 rows failed" in capsys.readouterr().err


def test_an_interrupt_keeps_the_rows_that_are_there(throughput, capsys):
    calls = []

    def step(batch):
        calls.append(1)
        if len(calls) > 7:
            raise KeyboardInterrupt

    code, rows = throughput(step, "--model=unet-tiny", "--batch=16")
    assert code == 130
    assert [row["task"] for row in rows] == ["train"]
    assert "| unet-tiny " in capsys.readouterr().out


def test_different_flags_write_different_files(monkeypatch):
    module = importlib.import_module("throughput")
    names = set()
    flag_sets = (
        [], ["--task=train"], ["--size=32"], ["--samples=32"], ["--batch=32"], ["--batch=8,32"],
        ["--dtype=bf16"], ["--parallel=pmap"], ["--model=unet-tiny"],
        ["--model=unet-tiny,unet-small"],
        ["--model=dncnn-gray,dncnn-color,ffdnet-gray,ffdnet-color"],
        ["--model=dncnn-gray,dncnn-color,ffdnet-gray,unet-tiny"],
    )  # fmt: skip
    for flags in flag_sets:
        monkeypatch.setattr(sys, "argv", ["throughput.py", *flags])
        names.add(module.context(module.parse()))
    assert len(names) == len(flag_sets)


def test_models_of_recordings_have_seconds_of_audio(throughput, capsys):
    models = "--model=stream-t,wiener,unet-tiny"
    code, rows = throughput(lambda batch: None, models, "--samples=8000", "--batch=16", "--plots")
    assert code == 0
    assert [(row["model"], row["task"], row["size"]) for row in rows] == [
        ("stream-t", "train", "8000x1"),
        ("stream-t", "infer", "8000x1"),
        ("wiener", "infer", "8000x1"),
        ("unet-tiny", "train", "64x64x3"),
        ("unet-tiny", "infer", "64x64x3"),
    ]
    for row in rows:
        speed = 16 / (float(row["step_ms"]) / 1e3)
        if row["model"] == "unet-tiny":
            assert float(row["images_per_s"]) == pytest.approx(speed, rel=1e-4)
            assert row["audio_s_per_s"] == ""
        else:
            assert row["images_per_s"] == row["megapixels_per_s"] == ""
            assert float(row["audio_s_per_s"]) == pytest.approx(speed / 2, rel=1e-4)
    err = capsys.readouterr().err
    assert "wiener learns nothing; its training is left out" in err
    assert err.count("left out of the images: ") == 2


def test_weights_are_measured_by_their_name(tmp_path):
    done = run(
        "--model=mlp-mnist-0.3", "--task=infer", "--batch=1", "--seconds=0.05", "--out", tmp_path
    )
    assert done.returncode == 0, done.stderr
    _, (row,) = rows_of(tmp_path)
    assert (row["model"], row["parameters"], row["size"]) == ("mlp-mnist-0.3", "201616", "28x28x1")
    # 784 to 128 and back.
    assert float(row["gmac_per_example"]) == pytest.approx(2 * 784 * 128 / 1e9)

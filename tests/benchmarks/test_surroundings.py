"""What surrounds the step, measured at a tiny size: figures that are there, and that agree."""

import csv
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"


def run(script, *flags, block=""):
    """Runs a script on one device; `block` names a package that must seem not to be installed."""
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    code = (
        "import runpy, sys\n"
        f"if {block!r}: sys.modules[{block!r}] = None\n"
        f"sys.path.insert(0, {str(BENCHMARKS)!r})\n"
        f"sys.argv = [{script!r}, *sys.argv[1:]]\n"
        f"runpy.run_path({str(BENCHMARKS / script)!r}, run_name='__main__')\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *flags],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def measured(out, script, *flags, **options):
    """The rows a script wrote, those of the csv; json must hold the same ones."""
    done = run(script, *flags, f"--out={out}", **options)
    assert done.returncode == 0, done.stderr
    (path,) = out.glob("*.csv")
    assert str(path) in done.stdout
    rows = list(csv.DictReader(path.read_text().splitlines()))
    told = json.loads(path.with_suffix(".json").read_text())
    assert told["versions"]["jax"]
    assert [sorted(row) for row in told["rows"]] == [
        sorted(k for k, v in row.items() if v != "" or k in told["rows"][i])
        for i, row in enumerate(rows)
    ]
    return rows, done


def figures(row, *names):
    values = [float(row[name]) for name in names]
    assert all(math.isfinite(value) and value > 0 for value in values), row
    return values


def test_noise(tmp_path):
    flags = ("--op=gaussian,quantize", "--size=8,16", "--batch=2", "--seconds=0.01")
    rows, _ = measured(tmp_path, "noise.py", *flags)
    assert [(row["op"], row["size"]) for row in rows] == [
        ("gaussian", "8x8x3"),
        ("quantize", "8x8x3"),
        ("gaussian", "16x16x3"),
        ("quantize", "16x16x3"),
    ]
    for row, side in zip(rows, (8, 8, 16, 16), strict=True):
        low, ms, high = figures(row, "ms_p10", "ms", "ms_p90")
        assert low <= ms <= high
        pixels, moved = 2 * side * side, 2 * side * side * 3 * 4 * 2
        (megapixels,) = figures(row, "megapixels_per_s")
        assert megapixels == pytest.approx(pixels / ms / 1e3, rel=1e-4)
        speed, share, bandwidth = figures(
            row, "gigabytes_per_s", "share_of_bandwidth", "bandwidth_gigabytes_per_s"
        )
        assert speed == pytest.approx(moved / ms / 1e6, rel=1e-4)
        assert share == pytest.approx(speed / bandwidth, rel=1e-4)


def test_every_noise_has_a_level_to_be_measured_at(monkeypatch):
    import jax

    from zoo.noise import OPS

    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from noise import LEVELS

    assert LEVELS.keys() == OPS.keys()
    x = jax.ShapeDtypeStruct((2, 16, 16, 3), "float32")
    for name, op in OPS.items():
        levels = LEVELS[name]
        assert next(iter(levels)) == next(iter(op.levels))
        key = jax.random.key(0)
        shape = jax.eval_shape(lambda x, op=op, key=key, levels=levels: op(key, x, **levels), x)
        assert shape.shape == x.shape


def test_scaling(tmp_path):
    flags = ("--model=mlp_autoencoder-mnist", "--per-device=1", "--batch=2", "--seconds=0.01")
    rows, done = measured(tmp_path, "scaling.py", *flags, "--devices=2,1")
    assert "fake devices share" in done.stderr
    found = [(row["kind"], int(row["devices"]), int(row["batch"])) for row in rows]
    assert found == [("per device", 1, 1), ("per device", 2, 2), ("shared", 1, 2), ("shared", 2, 2)]
    for kind in ("per device", "shared"):
        first, second = (row for row in rows if row["kind"] == kind)
        assert first["efficiency"] == "1"
        for row in (first, second):
            ms, speed = figures(row, "ms", "images_per_s")
            assert speed == pytest.approx(1e3 * int(row["batch"]) / ms, rel=1e-4)
        speedup, efficiency = figures(second, "speedup", "efficiency")
        assert speedup == pytest.approx(2 * efficiency, rel=1e-4)
        assert speedup == pytest.approx(
            float(second["images_per_s"]) / float(first["images_per_s"]), rel=1e-4
        )


TINY = ("--override=model.name=upsample_cnn-base", "--override=data.crop=(16,16)")


def test_startup(tmp_path):
    rows, _ = measured(tmp_path, "startup.py", "--pairs=1", *TINY)
    assert [(row["pair"], row["cache"]) for row in rows] == [
        ("1", "cold"),
        ("1", "warm"),
        ("median", "cold"),
        ("median", "warm"),
    ]
    names = ("imports_s", "data_s", "build_s", "compile_s", "step_s")
    for row in rows:
        (total,) = figures(row, "total_s")
        assert sum(figures(row, *names)) == pytest.approx(total, rel=1e-3)
    cold, warm = rows[:2]
    assert float(warm["warm_over_cold"]) == pytest.approx(
        float(warm["total_s"]) / float(cold["total_s"]), rel=1e-4
    )
    # Reading programs takes far less than compiling them, even on a machine that is busy.
    assert float(warm["compile_s"]) < 0.5 * float(cold["compile_s"])


def test_loop(tmp_path):
    flags = ("--turns=2", "--steps=4", "--seconds=0.05", "--model=unet-tiny", "--size=8")
    rows, _ = measured(tmp_path, "loop.py", *flags, "--batch=2", *TINY)
    found = [(row["part"], row["turn"]) for row in rows]
    assert found == [
        (part, turn) for part in ("memory", "stream", "prepare") for turn in ("1", "2", "median")
    ]
    for row in rows:
        if row["turn"] == "median":
            continue
        if row["part"] == "prepare":
            alone, step, share = figures(row, "prepare_ms", "step_ms", "share_of_step")
            assert share == pytest.approx(alone / step, rel=1e-4)
            continue
        bare, whole, share = figures(row, "bare_ms", "whole_ms", "share")
        assert share == pytest.approx(bare / whole, rel=1e-4)
        save, every, alone, speed, both = figures(
            row,
            "save_ms",
            "steps_a_save",
            "input_ms",
            "input_images_per_s",
            "bare_and_input_over_whole",
        )
        assert whole > save / every
        assert speed == pytest.approx(1e3 * int(row["batch"]) / alone, rel=1e-4)
        assert both == pytest.approx((bare + alone) / whole, rel=1e-4)


def test_the_loop_without_ml_collections_says_so_and_measures_the_rest(tmp_path):
    flags = ("--part=memory,prepare", "--turns=1", "--seconds=0.01", "--model=unet-tiny")
    rows, done = measured(
        tmp_path, "loop.py", *flags, "--size=8", "--batch=2", block="ml_collections"
    )
    assert {row["part"] for row in rows} == {"prepare"}
    assert "memory left out: it needs ml_collections" in done.stderr


@pytest.mark.parametrize(
    ("script", "flag", "culprit"),
    [
        ("noise.py", "--op=gausian", "did you mean 'gaussian'"),
        ("noise.py", "--size=0", "'0' is not a whole number"),
        ("scaling.py", "--model=unet-smal", "did you mean 'unet-small'"),
        ("scaling.py", "--devices=none", "'none' is not a whole number"),
        ("startup.py", "--config=none.py", "there is no config file 'none.py'"),
        ("loop.py", "--part=memry", "did you mean 'memory'"),
        ("loop.py", "--override=model.nam=x", "model.nam"),
        ("loop.py", "--seconds=-1", "'-1' is not a number of seconds"),
    ],
)
def test_mistakes_end_in_one_line(script, flag, culprit, tmp_path):
    done = run(script, flag, f"--out={tmp_path}")
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if not line.startswith("warning: ")]
    assert len(lines) == 1, done.stderr
    assert culprit in lines[0]
    assert not done.stdout


@pytest.mark.parametrize("script", ["noise.py", "scaling.py", "startup.py", "loop.py"])
def test_help_begins_with_how_to_run_it(script):
    done = run(script, "--help")
    assert done.returncode == 0
    assert f"python benchmarks/{script}" in done.stdout

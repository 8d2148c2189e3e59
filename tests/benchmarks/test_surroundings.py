"""What surrounds the step, measured at a tiny size: figures that are there, and that agree."""

import argparse
import csv
import importlib
import json
import math
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from harness.named import find
from PIL import Image
from user_process import user_environment

pytestmark = pytest.mark.tools

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"


def run(script, *flags, block=""):
    """Runs a script on one device; `block` names a package that must seem not to be installed."""
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
        env=user_environment(),
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
    reported = json.loads(path.with_suffix(".json").read_text())
    assert reported["versions"]["jax"]
    assert [sorted(row) for row in reported["rows"]] == [
        sorted(k for k, v in row.items() if v != "" or k in reported["rows"][i])
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


@pytest.mark.parametrize("modality", ["image", "audio"])
def test_every_noise_can_be_measured(modality, monkeypatch):
    from zoo.noise import registry

    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import noise

    x = jax.ShapeDtypeStruct((2, *noise.KINDS[modality].shape(16)), "float32")
    for op in registry(modality).values():
        options = noise.usual(op)
        assert next(iter(options)) == next(iter(op.levels))

        def add(x, op=op, options=options):
            return op(jax.random.key(0), x, **options, **noise.second(op, x))

        assert jax.eval_shape(add, x).shape == x.shape


def test_noise_of_recordings(tmp_path):
    flags = ("--modality=audio", "--op=add_at_snr,gain", "--size=512", "--batch=2")
    rows, _ = measured(tmp_path, "noise.py", *flags, "--seconds=0.01")
    assert [(row["op"], row["size"]) for row in rows] == [
        ("add_at_snr", "512x1"),
        ("gain", "512x1"),
    ]
    for row, signals in zip(rows, (3, 2), strict=True):
        ms, speed, moved = figures(row, "ms", "megasamples_per_s", "gigabytes_per_s")
        assert speed == pytest.approx(2 * 512 / ms / 1e3, rel=1e-4)
        assert moved == pytest.approx(signals * 2 * 512 * 4 / ms / 1e6, rel=1e-4)


def test_realtime(tmp_path):
    flags = ("--model=wiener,spectral-gate", "--seconds-of-audio=1", "--seconds=0.01")
    rows, done = measured(tmp_path, "realtime.py", *flags)
    assert [(row["model"], row["task"]) for row in rows] == [
        ("wiener", "offline"),
        ("wiener", "stream"),
        ("wiener", "feed"),
        ("spectral-gate", "offline"),
    ]
    assert "PyTorch" not in done.stderr
    for row in rows:
        # 62 whole hops of 16000 samples for a model that streams.
        whole = 1 if row["model"] == "spectral-gate" else 62 * 256 / 16000
        heard, ms, slow = figures(row, "audio_s", "ms", "ms_p99")
        assert heard == pytest.approx(whole if row["task"] == "offline" else 0.016)
        assert ms <= slow
        factor, slowest, _ = figures(row, "factor", "factor_p99", "compile_s")
        assert factor == pytest.approx(ms / 1e3 / heard, rel=1e-4)
        assert slowest == pytest.approx(slow / 1e3 / heard, rel=1e-4)
        assert int(row["calls"]) >= (5 if row["task"] == "offline" else 62)
        if hasattr(os, "sched_setaffinity"):
            assert row["cores"] == row["threads"] == "1"


def test_hops_fed_one_after_the_other_are_the_recording():
    realtime = importlib.import_module("realtime")
    model = realtime.prepare("wiener")
    x = realtime.recording(1, 16000)[:, : 256 * 62]
    whole = np.asarray(model.module.apply(model.variables, x))[0]
    run = realtime.feed(model, x)
    # The first hop was fed to compile, and gave nothing: its latency.
    fed = np.concatenate([run.call() for _ in range(61)])
    assert len(fed) == 61 * 256
    np.testing.assert_allclose(fed, whole[: len(fed)], atol=1e-4)


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
        gradients = 4 * find("mlp_autoencoder-mnist").parameters
        # Four scalars more: the loss, its weight, the error, the norm.
        assert gradients <= int(second["exchanged_bytes"]) <= gradients + 16


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


def test_a_folder_of_many_sizes(tmp_path):
    flags = ("--images=3", "--sides", "20", "60", "--model=unet-gray")
    rows, _ = measured(tmp_path, "startup.py", *flags)
    assert [(row["kind"], row["sizes"], row["cache"]) for row in rows] == [
        ("mixed", "3", "cold"),
        ("mixed", "3", "warm"),
        ("equal", "1", "cold"),
        ("equal", "1", "warm"),
    ]
    mixed, _, equal, _ = (figures(row, "megapixels")[0] for row in rows)
    assert mixed == pytest.approx(equal, rel=0.1)
    for row in rows:
        pixels, seconds, speed = figures(row, "megapixels", "seconds", "megapixels_per_s")
        assert speed == pytest.approx(pixels / seconds, rel=1e-4)
    cold, warm = (figures(row, "seconds")[0] for row in rows[:2])
    assert warm < cold


def test_a_photo(tmp_path):
    rows, _ = measured(tmp_path, "startup.py", "--photo=1", "--pairs=1")
    kinds = [(dtype, cache) for dtype in ("float32", "bfloat16") for cache in ("cold", "warm")]
    assert [(row["dtype"], row["cache"]) for row in rows] == kinds * 2
    for row in rows:
        megapixels, seconds, cpu = figures(row, "megapixels", "seconds", "cpu_s")
        assert megapixels == pytest.approx(1, rel=0.01)
        assert 0 < cpu < (os.cpu_count() + 1) * seconds


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
        ("noise.py", "--modality=audi", "invalid choice: 'audi'"),
        ("realtime.py", "--model=stream-y", "did you mean 'stream-"),
        ("realtime.py", "--model=unet-tiny", "unknown audio model 'unet-tiny'"),
        ("realtime.py", "--task=steam", "did you mean 'stream'"),
        ("realtime.py", "--seconds-of-audio=0", "'0' is not a whole number"),
        ("scaling.py", "--model=unet-smal", "did you mean 'unet-small'"),
        ("scaling.py", "--devices=none", "'none' is not a whole number"),
        ("startup.py", "--config=none.py", "there is no config file 'none.py'"),
        ("loop.py", "--part=memry", "did you mean 'memory'"),
        ("loop.py", "--override=model.nam=x", "model.nam"),
        ("loop.py", "--seconds=-1", "'-1' is not a number of seconds"),
    ],
)
def test_mistakes_end_in_one_line(called, script, flag, culprit, tmp_path):
    code, output, errors = called(script, flag, f"--out={tmp_path}")
    assert code == 2
    lines = [line for line in errors.splitlines() if not line.startswith("warning: ")]
    assert len(lines) == 1, errors
    assert culprit in lines[0]
    assert not output


COMMANDS = [
    (script, command)
    for script in sorted([*BENCHMARKS.glob("*.py"), *BENCHMARKS.glob("peers/*.py")])
    for command in re.findall(
        r"^    python benchmarks/(\S+\.py.*?)(?: {2,}#.*)?$", script.read_text(), re.MULTILINE
    )
]


class ParsedError(Exception):
    """Raised once the flags have been understood."""


@pytest.mark.parametrize(("script", "command"), COMMANDS, ids=[named for _, named in COMMANDS])
def test_the_commands_of_a_docstring_have_flags_that_exist(script, command, monkeypatch):
    name, *arguments = shlex.split(command)
    assert script == BENCHMARKS / name
    parse = argparse.ArgumentParser.parse_args

    def parsed(self):
        parse(self)
        raise ParsedError

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parsed)
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    monkeypatch.syspath_prepend(str(script.parent))
    with pytest.raises(ParsedError):
        importlib.import_module(script.stem).main()


def test_selfsupervised(tmp_path):
    rng = np.random.default_rng(0)
    places = (
        "bsds500/train/a",
        "bsds500/test/b",
        "bsds500/val/c",
        "bsds500/val/d",
        "cbsd68/d",
        "bsd68/d",
    )
    for place in places:
        path = (tmp_path / place).with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (24, 24), np.uint8)).save(path)
    flags = [f"--data={tmp_path}", "--steps=2", "--batch=2", "--crop=16", "--images=1"]
    flags += ["--noise=gaussian 25/255", "--method=sure", "--method=adapt noise2vst"]
    flags += [f"--out={tmp_path / 'out'}"]
    done = run("selfsupervised.py", *flags)
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "out").glob("*.csv")
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [row["method"] for row in rows] == ["clean", "sure", "adapt noise2vst"]
    assert [row["steps"] for row in rows] == ["2", "2", ""]
    for row in rows:
        gap = float(row["psnr"]) - float(rows[0]["psnr"])
        assert float(row["gap"]) == pytest.approx(gap, abs=0.01)
    # What is there is not measured again.
    stamp = path.stat().st_mtime_ns
    assert run("selfsupervised.py", *flags).returncode == 0
    assert path.stat().st_mtime_ns == stamp


def test_every_script_tells_how_to_run_it():
    reported = {script.name for script, _ in COMMANDS}
    scripts = {"throughput.py", "loop.py", "noise.py", "scaling.py", "startup.py", "estimators.py"}
    scripts |= {
        "realtime.py",
        "accelerator.py",
        "selfsupervised.py",
        "diffusion.py",
        "uneven_noise.py",
        "predict.py",
        "stacks.py",
        "video.py",
    }
    assert reported == scripts | {"compare.py", "dncnn_set.py", "bm3d_speed.py"}


@pytest.mark.parametrize(
    "script", ["noise.py", "scaling.py", "startup.py", "loop.py", "realtime.py", "predict.py"]
)
def test_help_begins_with_how_to_run_it(called, script):
    code, output, _ = called(script, "--help")
    assert code == 0
    assert f"python benchmarks/{script}" in output

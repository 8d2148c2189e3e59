"""The comparison with PyTorch: the same weights on both sides, turns, and mistakes in one line."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import traverse_util

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "peers"))

import export
import networks
import theirs
import turns
from worker import Worker

from zoo.errors import ZooError
from zoo.models import ModelSpec, UNet, torch_layout

pytestmark = pytest.mark.tools

PEERS = Path(turns.__file__).parent
ECHO = """
import sys
sys.path.insert(0, {peers!r})
from torch_serve import serve
def fail():
    print("beside the answers")
    sys.exit("the last\\nword")
serve({{"add": lambda a, b: {{"sum": a + b}}, "fail": fail}})
"""


def run(*flags, script="peers/compare.py"):
    # One device, as a user has it, whatever the tests pretend.
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    command = [sys.executable, PEERS.parent / script, *flags]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def conv(x, kernel):
    """PyTorch's 3x3 convolution in NumPy: (C, H, W) and (out, in, 3, 3)."""
    h, w = x.shape[1:]
    x = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    windows = [x[:, i : i + h, j : j + w] for i in range(3) for j in range(3)]
    return np.einsum("oit,tihw->ohw", kernel.reshape(*kernel.shape[:2], 9), np.stack(windows))


# To trace these takes seconds each.
SLOW = ("swinir-color", "scunet-color", "restormer-color")
NAMES = [
    pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW))
    for name in (*networks.MODELS, *networks.AUDIO)
]


@pytest.mark.parametrize("name", NAMES)
def test_every_weight_goes_over_once(name):
    one = networks.network(name)
    variables = export.shapes(one.model, one.record)
    leaves = traverse_util.flatten_dict(variables, sep="/")
    tensors = list(export.tensors(one.record.family, one.model))
    assert sorted(t.path for t in tensors) == sorted(leaves)
    assert len({t.key for t in tensors}) == len(tensors)
    learnt = [t for t in tensors if t.path.startswith("params/")]
    sizes = [np.prod(t.form.shape(leaves[t.path].shape)) for t in learnt]
    assert sum(sizes) == one.parameters


def test_the_unet_of_the_table_is_near_its_size():
    assert abs(networks.network("unet").parameters - 2.5e6) < 0.25e6


@pytest.mark.parametrize(
    ("form", "shape"),
    [
        (torch_layout.SAME, (5,)),
        (torch_layout.CHANNEL, (5,)),
        (torch_layout.CONV, (3, 3, 4, 5)),
        (torch_layout.POINTWISE, (4, 5)),
        (torch_layout.UP, (4, 2, 2, 3)),
        (torch_layout.shuffled(torch_layout.CONV, -2), (3, 3, 12, 5)),
    ],
)
def test_a_form_read_backwards_is_undone_by_it(form, shape):
    ours = np.random.default_rng(0).standard_normal(shape)
    theirs = export.to_theirs(form, ours)
    assert theirs.shape == form.shape(shape)
    np.testing.assert_array_equal(form.convert(theirs), ours)


def test_the_unet_runs_on_the_exported_weights_by_their_definitions():
    # Pixel unshuffle, strided and transposed convolution, as PyTorch's pages define them.
    model = UNet(channels=1, widths=(3, 4), blocks=1, stem=2)
    variables = export.draw(export.shapes(model, ModelSpec("unet", "unet", channels=1)))
    state = export.export("unet", model, variables)
    x = np.random.default_rng(0).random((8, 12), np.float32)

    def bias(name):
        return state[f"{name}.bias"][:, None, None]

    def block(y, name):
        z = conv(y, state[f"{name}.conv0.weight"]) + bias(f"{name}.conv0")
        return y + conv(np.maximum(z, 0), state[f"{name}.conv1.weight"]) + bias(f"{name}.conv1")

    y = np.stack([x[i::2, j::2] for i in (0, 1) for j in (0, 1)])
    y = block(conv(y, state["head.weight"]) + bias("head"), "encoders.0.0")
    corners = [[y[:, i::2, j::2] for j in (0, 1)] for i in (0, 1)]
    z = np.einsum("oiab,abihw->ohw", state["downs.0.weight"], corners) + bias("downs.0")
    z = block(z, "encoders.1.0")
    z = np.einsum("ioab,ihw->ohawb", state["ups.0.weight"], z).reshape(y.shape) + bias("ups.0")
    y = block(z + y, "decoders.0.0")
    y = conv(y, state["tail.weight"]) + bias("tail")
    noise = y.reshape(2, 2, 4, 6).transpose(2, 0, 3, 1).reshape(8, 12)

    with jax.default_matmul_precision("highest"):
        found = model.apply(variables, x[None, ..., None])[0, ..., 0]
    np.testing.assert_allclose(found, x - noise, atol=1e-4 * np.abs(noise).max(), rtol=0)


def test_a_unet_with_other_options_has_no_peer():
    with pytest.raises(ZooError, match="no norm, skip"):
        list(export.tensors("unet", UNet(norm="group", skip="concat")))


def test_sides_take_turns_and_the_ratio_is_our_speed(capsys):
    order = []

    def side(name, seconds):
        return lambda: order.append(name) or seconds

    pairs = turns.take(side("A", 0.1), side("B", 0.2), 3)
    assert "".join(order) == "ABBAAB"
    assert pairs.ratios == [2.0] * 3
    row = pairs.row()
    assert (row["ours_ms"], row["torch_ms"]) == (100.0, 200.0)
    assert row["speedup_low"] == row["speedup_median"] == row["speedup_high"] == 2.0
    assert capsys.readouterr().out.count("ratio 2.000") == 3


def test_a_worker_answers_and_its_end_is_reported_in_one_line():
    command = [sys.executable, "-c", ECHO.format(peers=str(PEERS))]
    with Worker(command) as worker:
        assert worker.ask(do="add", a=2, b=3) == {"sum": 5}
        with pytest.raises(ZooError, match=r"ended while asked to fail: word$"):
            worker.ask(do="fail")
        with pytest.raises(ZooError, match=r"word$"):
            worker.ask(do="add", a=2, b=3)
    with pytest.raises(ZooError, match="cannot start no-such-python: No such file"):
        Worker(["no-such-python"])


@pytest.mark.parametrize(
    ("flags", "culprit"),
    [
        (["--model=unet-smal"], "did you mean 'unet-small'"),
        (["--task=tain"], "did you mean 'train'"),
        (["--size=0"], "--size"),
        (["--torch-python=no-such-python"], "cannot start no-such-python"),
        (["--torch-python=false"], "false ended while asked to versions"),
    ],
)
def test_a_mistake_ends_in_one_line(tmp_path, flags, culprit):
    # A Python with torch would otherwise begin to work.
    done = run("--torch-python=false", f"--out={tmp_path}", *flags)
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("warning: ")]
    assert line.startswith("error: ")
    assert culprit in line
    assert not list(tmp_path.iterdir())


def test_without_torch_it_names_the_remedy(monkeypatch):
    monkeypatch.setattr(theirs.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ZooError, match="no torch; name one that has by --torch-python=PYTHON"):
        theirs.torch_python(None)
    assert theirs.torch_python("python") == "python"


def test_drawn_variances_are_above_0():
    one = networks.network("gtcrn")
    drawn = traverse_util.flatten_dict(export.draw(export.shapes(one.model, one.record)), sep="/")
    variances = [leaf for path, leaf in drawn.items() if path.endswith("/var")]
    assert variances
    assert all((leaf > 0).all() for leaf in variances)


def test_both_sides_end_to_end(tmp_path):
    python = os.environ.get("ZOO_TORCH_PYTHON")
    if not python:
        pytest.skip("set ZOO_TORCH_PYTHON to a Python that has torch to run this test")
    flags = ["--model=unet-tiny", "--size=16", "--batch=2", "--pairs=1", "--steps=1"]
    # Threads that wait for each other crawl where tests run side by side.
    flags += ["--torch-variant=eager+contiguous", "--torch-threads=1"]
    done = run(*flags, f"--torch-python={python}", f"--out={tmp_path}")
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("peers_*_torch*.csv")
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [row["task"] for row in rows] == ["train", "infer"]
    for row in rows:
        assert float(row["difference"]) < 1e-4
        assert float(row["torch_ms"]) / float(row["ours_ms"]) == pytest.approx(
            float(row["speedup_median"]), rel=1e-3
        )
    assert path.with_suffix(".json").is_file()


def test_recordings_on_both_sides_end_to_end(tmp_path):
    python = os.environ.get("ZOO_TORCH_PYTHON")
    if not python:
        pytest.skip("set ZOO_TORCH_PYTHON to a Python that has torch to run this test")
    flags = ["--model=gtcrn", "--task=offline", "--seconds-of-audio=1", "--seconds=0", "--pairs=1"]
    flags += ["--steps=1", "--torch-variant=eager+contiguous"]
    flags += [f"--torch-python={python}", f"--out={tmp_path}"]
    done = run(*flags, script="realtime.py")
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("realtime_gtcrn_offline_1s_*.csv")
    (row,) = csv.DictReader(path.read_text().splitlines())
    assert float(row["difference"]) < 1e-4
    assert row["torch_threads"] == "1"
    # 62 whole hops of the second.
    heard = 62 * 256 / 16000
    factor = float(row["torch_ms"]) / 1e3 / heard
    assert float(row["torch_factor"]) == pytest.approx(factor, rel=1e-3)

"""A run that is killed and started again ends bit for bit like one that never was."""

import json
import shutil
import signal
import time

import numpy as np
import pytest
import safetensors.flax
from user_process import Forked, user_environment

from zoo.data import image_files, pixels
from zoo.train.run_weights import weights_of
from zoo.weights import read_record

STEPS = 300
# A network that compiles in a moment.
FLAGS = (
    "--config.model.name=dncnn-color",
    "--config.model.options={'depth': 3, 'width': 16}",
    "--config.data.crop=(16, 16)",
    "--config.train.batch_size=4",
    f"--config.train.steps={STEPS}",
    "--config.log.every=10",
    "--config.checkpoint.every=60",
    "--config.validation.every=100",
    "--config.eval.baselines=()",
    "--config.eval.limit=1",
)


PLACES = {"started": 0}


@pytest.fixture(scope="module", autouse=True)
def photos(tmp_path_factory, programs):
    """Small images with something in them: a process then spends its time on the run."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("validation", 1), ("test", 1)):
        (folder / split).mkdir()
        for i in range(count):
            coarse = rng.integers(0, 256, (6, 8, 3), np.uint8)
            image_files.write(folder / split / f"{i}.png", pixels.resize(coarse, (48, 64)))
    PLACES.update(photos=folder, programs=programs)


def start_run(workdir, *flags):
    config = f"--config=configs/unet.py:{PLACES['photos']}"
    PLACES["started"] += 1
    output = PLACES["photos"] / f"output{PLACES['started']}.txt"
    arguments = [config, *FLAGS, *flags, f"--workdir={workdir}"]
    return Forked(arguments, user_environment(PLACES["programs"]), output)


def finish(workdir, *flags):
    code, output = start_run(workdir, *flags).wait()
    assert code == 0, output
    return output


def stop_at(workdir, step, signum, *flags):
    """Starts a run, and sends it a signal as soon as its log has reached a step."""
    process = start_run(workdir, *flags)
    deadline = time.monotonic() + 300
    while logged(workdir) < step:
        assert process.poll() is None, process.wait()[1]
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signum)
    return process.wait()


def logged(workdir):
    path = workdir / "metrics.jsonl"
    return len(path.read_text().splitlines()) if path.exists() else 0


def weights(workdir):
    return flat(workdir / "weights.safetensors")


def flat(file):
    return safetensors.flax.load_file(file)


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("whole")
    finish(workdir)
    return workdir


def test_killed_twice_and_terminated_once_it_ends_the_same(whole, tmp_path):
    workdir = tmp_path / "killed"
    # Before the first checkpoint, then between two of them, then politely.
    assert stop_at(workdir, 20, signal.SIGKILL)[0] == -signal.SIGKILL
    assert stop_at(workdir, 100, signal.SIGKILL)[0] == -signal.SIGKILL
    code, output = stop_at(workdir, 170, signal.SIGTERM)
    assert code == 143, output
    assert "the same command resumes from there" in output
    # What has scored best so far is there to use.
    stopped = read_record(workdir / "weights.safetensors")
    assert stopped["step"] == 100
    assert stopped["scores"]["validation_psnr"] > 0
    assert_same(weights(workdir), flat(weights_of(workdir, tmp_path / "best.safetensors")))
    output = finish(workdir)
    assert "resuming from step" in output

    assert_same(weights(whole), weights(workdir))
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    expected = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
    # The time goes on where it stopped, and is its own.
    times = [row.pop("seconds") for row in rows if "seconds" in row]
    assert times == sorted(times)
    assert times[-1] > 0
    for row in expected:
        row.pop("seconds", None)
    assert rows == expected


@pytest.mark.matrix
def test_a_run_goes_on_under_pmap_and_with_other_levels_to_score(tmp_path):
    workdir = tmp_path / "short"
    short = ("--config.train.steps=20", "--config.optimizer.schedule=constant")
    finish(workdir, *short, "--config.parallel=pmap")
    longer = ("--config.train.steps=40", "--config.optimizer.schedule=constant")
    finish(workdir, *longer, "--config.eval.levels=(50,)")
    assert logged(workdir) == 40
    straight = tmp_path / "straight"
    finish(straight, *longer)
    for name, value in weights(straight).items():
        np.testing.assert_allclose(value, weights(workdir)[name], atol=1e-5, err_msg=name)


@pytest.mark.matrix
def test_a_stopped_run_is_scored_and_goes_on_with_another_rate_and_batch(tmp_path):
    workdir = tmp_path / "run"
    # Before the first validation: the newest average is what there is.
    code, output = stop_at(workdir, 30, signal.SIGINT)
    assert code == 130, output
    assert read_record(workdir / "weights.safetensors")["scores"] == {}
    shutil.copy(workdir / "weights.safetensors", tmp_path)
    (workdir / "weights.safetensors").unlink()
    assert "PSNR" in finish(workdir, "--mode=eval")
    assert_same(weights(workdir), weights(tmp_path))

    other = ("--config.train.batch_size=8", "--config.optimizer.learning_rate=1e-3")
    _, output = start_run(workdir, *other).wait()
    assert "--resume-with optimizer.learning_rate=VALUE" in output
    ways = ("--resume-with=train.batch_size=8", "--resume-with=optimizer.learning_rate=1e-3")
    finish(workdir, *ways)
    record = read_record(workdir / "weights.safetensors")
    (reported,) = record["resumed_with"]
    assert reported["changed"] == [
        "optimizer.learning_rate (0.003, now 0.001)",
        "train.batch_size (4, now 8)",
    ]
    assert 30 <= reported["step"] < 60
    assert record["config"]["train"]["batch_size"] == 8
    assert logged(workdir) == STEPS
    # Once changed, it is as any other run.
    assert f"has finished its {STEPS} steps" in finish(workdir, *other)


@pytest.mark.matrix
def test_a_finished_run_says_so_and_evaluates(whole):
    before = weights(whole)
    output = finish(whole)
    assert f"this run has finished its {STEPS} steps" in output
    assert "PSNR" in output
    assert_same(before, weights(whole))


@pytest.mark.matrix
def test_a_run_begins_with_trained_weights(whole, tmp_path):
    copy = tmp_path / "start.safetensors"
    shutil.copy(whole / "weights.safetensors", copy)
    start = f"--config.train.start={copy}"
    still = ("--config.train.steps=2", "--config.optimizer.learning_rate=1e-9")
    finish(tmp_path / "fine", start, *still)
    found, expected = weights(tmp_path / "fine"), weights(whole)
    assert found.keys() == expected.keys()
    for name in found:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-6, err_msg=name)
    code, output = start_run(tmp_path / "other", start, "--config.model.options.width=8").wait()
    assert code == 2, output
    assert "holds another model than model.name" in output.splitlines()[-1]
    # What it began with need not be there when it goes on.
    copy.unlink()
    assert "has finished its 2 steps" in finish(tmp_path / "fine", start, *still)


@pytest.mark.matrix
def test_another_config_in_the_same_workdir_is_refused(whole):
    code, output = start_run(whole, "--config.noise.level=50").wait()
    assert code == 2
    assert output.count("\n") == 1
    assert "noise.level (25, now 50)" in output


def test_what_a_run_leaves(whole):
    left = {p.name for p in whole.iterdir()}
    assert {"weights.safetensors", "metrics.jsonl", "curves.png", "gallery.png"} <= left
    assert list((whole / "events").glob("events.out.tfevents.*"))
    summary = json.loads((whole / "eval" / "summary.json").read_text())
    assert summary["model"]["psnr"] > summary["noisy"]["psnr"] + 1
    import zoo

    model, variables = zoo.load(whole / "weights.safetensors")
    x = np.random.default_rng(0).random((1, 37, 51, 3), np.float32)
    assert model.apply(variables, x).shape == x.shape

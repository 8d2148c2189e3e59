"""`tools/train_for.py`: packs of limited size, minutes that are held, and calls that go on."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import jax
import numpy as np
import pytest
from user_process import user_environment

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

import carry
import packing
import train_for

from zoo import weights
from zoo.data import image_files, pixels, sources
from zoo.errors import ZooError
from zoo.train import experiment as experiments
from zoo.train.checkpoint import Checkpoints
from zoo.train.config import default_config
from zoo.train.distributed import Interrupted, Listener
from zoo.train.loop import Best
from zoo.train.step import create_state
from zoo.train.workdir import opened

pytestmark = pytest.mark.tools

ROOT = Path(__file__).parents[2]
TINY = (
    "--override=model.name=upsample_cnn-base",
    "--override=data.crop=(16,16)",
    "--override=train.batch_size=8",
    "--override=train.steps=1000000",
    "--override=validation.every=10000000",
    "--override=checkpoint.every=10000000",
)


def photos(folder, count=4, size=(48, 64), noisy=False):
    """A folder of smooth images, with noisy partners if wanted."""
    rng = np.random.default_rng(0)
    for split in ("train", "validation", "test"):
        (folder / split).mkdir(parents=True)
        for i in range(count if split == "train" else 2):
            clean = pixels.resize(rng.integers(0, 256, (6, 8, 3), np.uint8), size)
            image_files.write(folder / split / f"{i}.png", clean)
            if noisy:
                image_files.write(folder / split / f"{i}_real.png", 255 - clean)
    return folder


@pytest.fixture
def restored(monkeypatch):
    """Kinds of data and signals as they were."""
    monkeypatch.setattr(sources, "KINDS", dict(sources.KINDS))
    handlers = {s: signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)}
    yield
    for signum, handler in handlers.items():
        signal.signal(signum, handler)


@pytest.fixture
def call(monkeypatch, restored):
    """Runs the script here; its exit code."""

    # On a busy machine it would end pytest.
    monkeypatch.setattr(train_for.Run, "_overrun", lambda self, folder: None)

    def run(*arguments):
        monkeypatch.setattr(train_for, "BEGUN", time.monotonic())
        monkeypatch.setattr(sys, "argv", ["train_for.py", *map(str, arguments)])
        return train_for.main()

    return run


@pytest.fixture
def fake_train(monkeypatch):
    """A loop of empty steps of 20 ms that saves and resumes as the real one does."""
    firsts = []

    def train(config, path, *, command):
        experiment = experiments.build(config)
        optimizer, _ = experiments.make_optimizer(config, 1)
        shape = (1, *config.data.crop, config.data.channels)
        with opened(path, config) as workdir, Listener() as listener:
            state = create_state(experiment.model, optimizer, jax.random.key(0), shape)
            state = jax.device_get(state)
            best = Best(state.variables, np.array(-np.inf, np.float32), state.step)
            checkpoints = Checkpoints(workdir / "checkpoints", keep=3)
            if checkpoints.latest is not None:
                state, best = checkpoints.restore((state, best))
            firsts.append(int(state.step))
            for step in range(int(state.step) + 1, config.train.steps + 1):
                time.sleep(0.02)
                state = state.replace(step=np.array(step, np.int32))
                if listener.signum or step == config.train.steps:
                    checkpoints.save(step, (state, best))
                    if listener.signum:
                        raise Interrupted(listener.signum, step)

    monkeypatch.setattr(train_for, "train", train)
    return firsts


def config_of(folder, **data):
    config = default_config()
    config.data.name, config.data.path = "folder", str(folder)
    config.data.crop = (16, 16)
    for key, value in data.items():
        config.data[key] = value
    return config


def unpacked(path, folder, config):
    packing.unpack(path, folder)
    sources.KINDS[packing.KIND] = packing.splits
    return sources.load(packing.KIND, channels=config.data.channels, path=str(folder))


def test_files_that_fit_are_packed_as_they_are(tmp_path, restored):
    config = config_of(photos(tmp_path / "photos"))
    before = sources.load("folder", channels=3, path=config.data.path)
    found = packing.pack(config, before, tmp_path / "p.zip", 2**20)
    assert found.counts == {"train": 4, "validation": 2, "test": 1}
    assert found.share == 1
    assert found.size == (tmp_path / "p.zip").stat().st_size
    after = unpacked(tmp_path / "p.zip", tmp_path / "data", config)
    for split in ("train", "validation"):
        assert list(after[split].names) == list(before[split].names)
        for mine, theirs in zip(after[split], before[split], strict=True):
            np.testing.assert_array_equal(mine.target, theirs.target)
    with zipfile.ZipFile(tmp_path / "p.zip") as archive:
        assert json.loads(archive.read("config.json"))["data"]["path"] == config.data.path


def test_windows_are_packed_where_all_do_not_fit(tmp_path, restored):
    config = config_of(photos(tmp_path / "photos", count=8, size=(96, 128)))
    before = sources.load("folder", channels=3, path=config.data.path)
    found = packing.pack(config, before, tmp_path / "p.zip", 120_000)
    assert found.size <= 120_000
    assert 0.1 < found.share < 1
    after = unpacked(tmp_path / "p.zip", tmp_path / "data", config)
    assert len(after["train"]) == 8
    for mine, theirs in zip(after["train"], before["train"], strict=True):
        h, w = mine.target.shape[:2]
        assert 16 <= h < 96
        assert any(
            np.array_equal(theirs.target[y : y + h, x : x + w], mine.target)
            for y in range(97 - h)
            for x in range(129 - w)
        )


def test_fewer_images_are_packed_where_windows_would_hold_no_crop(tmp_path, restored):
    config = config_of(photos(tmp_path / "photos", count=40, size=(96, 128)))
    before = sources.load("folder", channels=3, path=config.data.path)
    found = packing.pack(config, before, tmp_path / "p.zip", 40_000)
    assert found.size <= 40_000
    assert 4 < found.counts["train"] < 40
    after = unpacked(tmp_path / "p.zip", tmp_path / "data", config)
    assert {one.target.shape[:2] for one in after["train"]} == {(16, 16)}
    with pytest.raises(ZooError, match="do not fit"):
        packing.pack(config, before, tmp_path / "p.zip", 9_000)


def test_pairs_stay_pairs(tmp_path, restored):
    photos(tmp_path / "photos", noisy=True)
    for one in (tmp_path / "photos").rglob("[0-9].png"):
        one.rename(one.with_name(f"{one.stem}_mean.png"))
    options = {"noisy": "*_real.png", "clean": "*_mean.png"}
    config = config_of(tmp_path / "photos")
    before = sources.load(
        "pairs", channels=3, path=config.data.path, fractions=(0.5, 0.25, 0.25), **options
    )
    packing.pack(config, before, tmp_path / "p.zip", 2**20)
    after = unpacked(tmp_path / "p.zip", tmp_path / "data", config)
    assert len(after["train"]) == len(before["train"]) == 4
    for mine, theirs in zip(after["train"], before["train"], strict=True):
        np.testing.assert_array_equal(mine.target, theirs.target)
        np.testing.assert_array_equal(mine.input, theirs.input)


def test_recordings_and_what_is_no_pack_are_refused(tmp_path):
    config = config_of(tmp_path)
    config.data.name = "recordings"
    source = sources.load("voices", channels=1)
    with pytest.raises(ZooError, match="only images can be packed"):
        packing.pack(config, source, tmp_path / "p.zip", 2**20)
    (tmp_path / "p.zip").write_text("no zip")
    with pytest.raises(ZooError, match="is no pack"):
        packing.unpack(tmp_path / "p.zip", tmp_path / "data")


def test_data_are_cut_and_joined(tmp_path, monkeypatch):
    monkeypatch.setattr(carry, "PIECE", 10)
    data = bytes(range(25))
    names = carry.cut("state-7.tar", data, tmp_path)
    assert names == ["state-7.tar.00", "state-7.tar.01", "state-7.tar.02"]
    assert max(path.stat().st_size for path in tmp_path.iterdir()) == 10
    digest = carry.hashlib.sha256(data).hexdigest()
    assert carry.join(tmp_path, names, digest) == data
    (tmp_path / names[1]).write_bytes(b"0123456789")
    with pytest.raises(ZooError, match="is not what was written"):
        carry.join(tmp_path, names, digest)
    (tmp_path / names[1]).unlink()
    with pytest.raises(ZooError, match=r"lacks state-7\.tar\.01"):
        carry.join(tmp_path, names, digest)


def test_what_cannot_be_carried_home_is_refused():
    mib = 2**20
    carry.check(4 * mib, 20 * mib, files_besides=1)
    for weight, state in ((33 * mib, 160 * mib), (4 * mib, 60 * mib)):
        with pytest.raises(ZooError, match="choose a smaller model"):
            carry.check(weight, state, files_besides=1)


def test_a_large_model_is_refused_before_it_trains(call, tmp_path, capsys):
    assert call("configs/unet.py", "--override=model.name=drunet-color", f"--out={tmp_path}") == 2
    err = capsys.readouterr().err
    assert "do not go into 8 files" in err
    assert err.count("\n") == 1


def test_a_second_call_goes_on_elsewhere(call, fake_train, tmp_path, capsys):
    pack, first, second = tmp_path / "p.zip", tmp_path / "a", tmp_path / "b"
    folder = photos(tmp_path / "photos")
    assert call(f"configs/unet.py:{folder}", f"--pack={pack}", *TINY) == 0
    assert pack.stat().st_size < train_for.MOST_PACKED
    assert "4 train, 2 validation, 1 test" in capsys.readouterr().out
    begun = time.monotonic()
    assert call(pack, "--minutes=0.15", f"--out={first}") == 0
    assert time.monotonic() - begun < 9
    reported = json.loads((first / "progress.json").read_text())
    assert reported["step"] > 0
    # Nothing of home but the pack is there any more.
    for path in sorted(folder.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    assert call(pack, "--minutes=0.15", f"--resume={first}", f"--out={second}", "--finish") == 0
    assert fake_train == [0, reported["step"]]
    later = json.loads((second / "progress.json").read_text())
    assert later["step"] == later["steps"] > reported["step"]
    assert [one["first_step"] for one in later["calls"]] == [0, reported["step"]]
    names = {path.name for path in second.iterdir()}
    assert names == {"progress.json", "weights.safetensors", *later["state"]}
    assert len(names) <= 8
    assert all(path.stat().st_size < 16 * 2**20 for path in second.iterdir())
    record = weights.read_record(second / "weights.safetensors")
    assert record["config"]["data"]["path"] == str(folder)
    assert record["step"] == later["step"]
    weights.load(second / "weights.safetensors")
    # And with other data it does not.
    with zipfile.ZipFile(pack, "a") as archive:
        archive.writestr("more", "x")
    assert call(pack, "--minutes=1", f"--resume={first}", f"--out={second}") == 2
    assert "was trained on other data" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["{", "{}", "[]"])
def test_progress_that_is_none_is_refused(tmp_path, text):
    (tmp_path / carry.PROGRESS).write_text(text)
    with pytest.raises(ZooError, match="cannot be read"):
        carry.read_progress(tmp_path)


def test_weights_of_before_are_there_until_the_new_ones_are(
    call, fake_train, monkeypatch, tmp_path
):
    for name in ("weights.safetensors", "weights.safetensors.01"):
        (tmp_path / name).write_text("of before")
    cut, seen = carry.cut, []

    def look(name, data, folder):
        seen.append((name, (folder / "weights.safetensors").is_file()))
        return cut(name, data, folder)

    monkeypatch.setattr(carry, "cut", look)
    assert call("configs/unet.py", *TINY, "--override=train.steps=3", f"--out={tmp_path}") == 0
    assert ("weights.safetensors", True) in seen
    assert not (tmp_path / "weights.safetensors.01").exists()


def test_sigterm_saves(call, fake_train, tmp_path):
    flags = (*TINY, "--minutes=2", f"--out={tmp_path}")

    def kill():
        while not fake_train:
            time.sleep(0.05)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=kill).start()
    assert call("configs/unet.py", *flags) == 143
    reported = json.loads((tmp_path / "progress.json").read_text())
    assert reported["step"] > 1
    assert (tmp_path / "weights.safetensors").is_file()
    assert call("configs/unet.py", *flags, f"--override=train.steps={reported['step'] + 2}") == 0
    assert fake_train == [0, reported["step"]]


@pytest.mark.parametrize(
    ("flags", "reported"),
    [
        (["nowhere.py", "--out={}"], "there is no config file 'nowhere.py'"),
        (["configs/unet.py", "--out={}", "--override=model.nam=x"], "model.nam"),
        (["configs/unet.py", "--out={}", "--resume=nowhere"], "holds no progress.json"),
        (["configs/unet.py", "--out={}", "--finish"], "needs the speed of an earlier call"),
        (["configs/unet.py", "--out={}", "--minutes=0.05"], "over before the first step"),
        (["configs/unet.py", "--out={}", "--override=model.name"], "write model.name=VALUE"),
        (["README.md", "--out={}"], "README.md is no config"),
        (["configs/unet.py", "--pack={}/README.md/x.zip"], "cannot make"),
        (["configs/unet.py", "--pack={}"], "cannot write"),
    ],
)
def test_a_mistake_is_reported_in_one_line(call, capsys, tmp_path, monkeypatch, flags, reported):
    monkeypatch.chdir(ROOT)
    out = tmp_path / "out"
    out.mkdir()
    (out / "README.md").touch()
    assert call(*(flag.format(out) for flag in flags)) == 2
    err = capsys.readouterr().err
    assert reported in err
    assert err.count("\n") == 1


def test_what_only_the_end_needs_is_missed_at_once(call, monkeypatch, tmp_path, capsys):
    found = train_for.importlib.util.find_spec
    monkeypatch.setattr(
        train_for.importlib.util, "find_spec", lambda n: None if n == "safetensors" else found(n)
    )
    assert call("configs/unet.py", f"--out={tmp_path}") == 2
    assert "safetensors is missing" in capsys.readouterr().err


@pytest.mark.slow
def test_real_calls_end_in_time_and_go_on(tmp_path, programs):
    steps = []
    # The second finds the program of the first.
    for out, minutes in (("a", 0.75), ("b", 0.5)):
        flags = [f"--minutes={minutes}", f"--out={tmp_path / out}"]
        flags += [f"--resume={tmp_path / 'a'}"] if out == "b" else []
        begun = time.monotonic()
        done = subprocess.run(
            [sys.executable, "tools/train_for.py", "configs/unet.py", *TINY, *flags],
            cwd=ROOT,
            env=user_environment(programs),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert time.monotonic() - begun < 60 * minutes + 3
        steps.append(json.loads((tmp_path / out / "progress.json").read_text())["step"])
        assert weights.read_record(tmp_path / out / "weights.safetensors")["step"] == steps[-1]
    assert 0 < steps[0] < steps[1]

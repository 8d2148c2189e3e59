"""Damaged checkpoints are noticed, set aside and replaced by the one before."""

import logging
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from zoo.errors import ZooError
from zoo.train.checkpoint import Checkpoints, newest, read_saved


def tree(step):
    return {"a": np.arange(3000, dtype=np.float32) * step, "n": (np.array(step, np.int32), {})}


@pytest.fixture
def folder(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=3)
    for step in (10, 20, 30, 40):
        checkpoints.save(step, tree(step))
    return tmp_path


def largest(folder, step):
    return max((folder / str(step)).rglob("*"), key=lambda p: p.is_file() and p.stat().st_size)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-7])


def empty(path):
    path.write_bytes(b"")


def flip_one_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_what_was_saved_comes_back(folder):
    checkpoints = Checkpoints(folder, keep=3)
    assert checkpoints.latest == 40
    restored = checkpoints.restore(tree(0))
    np.testing.assert_array_equal(restored["a"], tree(40)["a"])
    assert restored["n"][0] == 40
    assert sorted(p.name for p in folder.iterdir() if p.is_dir()) == ["20", "30", "40"]


@pytest.mark.parametrize("damage", [truncate, empty, flip_one_bit])
def test_a_damaged_checkpoint_is_set_aside(folder, damage):
    damage(largest(folder, 40))
    said = []
    checkpoints = Checkpoints(folder, keep=3, warn=said.append)
    assert checkpoints.latest == 30
    np.testing.assert_array_equal(checkpoints.restore(tree(0))["a"], tree(30)["a"])
    assert len(said) == 1
    assert "checkpoint 40 is damaged" in said[0]
    assert (folder / "damaged" / "40").is_dir()
    checkpoints.save(40, tree(40))
    assert Checkpoints(folder, keep=3).latest == 40


def test_a_checkpoint_without_its_manifest_does_not_count(folder):
    (folder / "40.json").unlink()
    said = []
    assert Checkpoints(folder, keep=3, warn=said.append).latest == 30
    assert "was not finished" in said[0]


def test_all_damaged_is_a_fresh_start(folder):
    for step in (20, 30, 40):
        flip_one_bit(largest(folder, step))
    checkpoints = Checkpoints(folder, keep=3, warn=lambda line: None)
    assert checkpoints.latest is None


def test_a_full_disk_is_reported_once_and_leaves_room(folder, monkeypatch, capfd):
    """What orbax and tensorstore do on one: they log, and threads call back, some of them late."""

    def call_back():
        # As native code does with an error that nobody waits for.
        sys.unraisablehook(SimpleNamespace(exc_value=RuntimeError("Event loop is closed")))

    def save(path, _):
        path.with_name(f"{path.name}.orbax-checkpoint-tmp-1").mkdir()
        threading.Timer(0.2, call_back).start()
        call_back()
        print("process 0 stops: what others say is heard", file=sys.stderr)
        logging.getLogger("absl").error("Traceback: logged")
        raise ValueError("RESOURCE_EXHAUSTED: No space left on device")

    checkpoints = Checkpoints(folder, keep=3)
    monkeypatch.setattr("orbax.checkpoint.v1.save_checkpointables", save)
    with pytest.raises(ZooError, match=r"checkpoint 50 cannot be written .*no space left"):
        checkpoints.save(50, tree(50))
    assert capfd.readouterr().err == "process 0 stops: what others say is heard\n"
    assert not list(folder.glob("*tmp*"))
    assert Checkpoints(folder, keep=3).latest == 40


def test_what_was_saved_is_read_without_knowing_what_and_without_a_trace(folder):
    flip_one_bit(largest(folder, 40))
    (folder / "50.orbax-checkpoint-tmp-1").mkdir()
    before = sorted(folder.rglob("*"))
    step, found = read_saved(folder)
    assert step == newest(folder) == 30
    np.testing.assert_array_equal(found["a"], tree(30)["a"])
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("text", ["[1]", "nonsense", "[" * 100_000, "\xff"])
def test_a_manifest_that_is_none_does_not_count(folder, text):
    (folder / "40.json").write_text(text, encoding="latin-1")
    assert newest(folder) == 30

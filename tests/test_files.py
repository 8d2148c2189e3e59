"""Files that appear whole or not at all, two at once."""

import os
import subprocess
import sys

import pytest

from zoo import files
from zoo.errors import ZooError


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_removes_all_that_is_unfinished(tmp_path, name):
    code = f"""
import os, pathlib, signal
from zoo import files
# A shell in the background ignores the first, nohup the second, and children inherit that.
signal.signal(signal.SIGINT, signal.SIG_DFL)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
folder = pathlib.Path({str(tmp_path)!r})
with files.beside(folder / "whole") as part:
    part.touch()
with files.beside(folder / "a") as a, files.beside(folder / "b") as b:
    a.touch(), b.touch()
    assert len(os.listdir(folder)) == 3
    os.kill(os.getpid(), signal.{name})
"""
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode < 0
    assert [path.name for path in tmp_path.iterdir()] == ["whole"]


def test_a_name_may_be_as_long_as_the_disk_takes(tmp_path):
    for letter in "aé":
        name = letter * (251 // len(letter.encode())) + ".png"
        files.write(tmp_path / name, b"x")
        assert [path.name for path in tmp_path.iterdir()] == [name]
        (tmp_path / name).unlink()


def test_a_full_disk_wants_room(tmp_path, monkeypatch):
    def full(part, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ZooError, match=r"cannot write .*a: No space left .*; make room on its"):
        files.write(tmp_path / "a", b"x")
    assert not list(tmp_path.iterdir())

"""Files that appear whole or not at all, two at once."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_removes_all_that_is_unfinished(tmp_path, name):
    code = f"""
import os, pathlib, signal
from zoo import files
signal.signal(signal.SIGINT, signal.SIG_DFL)
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

"""`main.py` as a user starts it, without the seconds a process costs."""

import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """Runs `main.py` with flags, in an empty folder; returns its exit code and what it printed."""
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")

    def run(*argv):
        monkeypatch.setattr(sys, "argv", ["main.py", *argv])
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(str(ROOT / "main.py"), run_name="__main__")
        return stop.value.code, *capsys.readouterr()

    return run

"""Benchmarks import `harness`, as when they are run: with their folder first on the path."""

import importlib
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from harness.flags import guard


@pytest.fixture
def called(monkeypatch, capsys):
    """Runs a script in this process; returns its exit code and what it printed."""

    def call(script, *flags):
        monkeypatch.setattr(sys, "argv", [script, *flags])
        module = importlib.import_module(Path(script).stem)
        try:
            code = guard(module.main)
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return call

"""`main.py` as a user starts it, without the seconds a process costs."""

import runpy
import sys
import warnings
from pathlib import Path

import pytest
from absl import flags

ROOT = Path(__file__).parents[2]


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """Runs `main.py` with flags, in an empty folder; returns its exit code and what it printed."""
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")

    def run(*argv):
        forget_flags()
        monkeypatch.setattr(sys, "argv", ["main.py", *argv])
        try:
            # ml_collections loads config files in an old way.
            warnings.filterwarnings("ignore", "the load_module", DeprecationWarning)
            runpy.run_path(str(ROOT / "main.py"), run_name="__main__")
            code = 0
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    yield run
    forget_flags()


def forget_flags():
    ours = ("workdir", "mode", "resume-with", "coordinator", "processes", "process", "distributed")
    for name in list(flags.FLAGS):
        if name.startswith("config") or name in ours:
            delattr(flags.FLAGS, name)
    flags.FLAGS.unparse_flags()
    sys.modules.pop("config_config", None)

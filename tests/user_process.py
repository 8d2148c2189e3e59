"""Processes that a test starts as a user would, whatever the tests pretend."""

import contextlib
import multiprocessing
import os
import runpy
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Matplotlib lists the system's fonts where it finds no list of them, which takes seconds.
FONTS = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "matplotlib"
# What `main.py` imports, sooner or later.
IMPORTED = (
    "absl.logging",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "ml_collections",
    "tensorboardX",
    "zoo.cli.train",
    "zoo.models",
    "zoo.train",
    "zoo.train.loop",
    "zoo.train.scoring",
)


def user_environment(cache=None, **more):
    """This environment, with the devices that there are.

    Args:
      cache: a folder for compiled programs, which then need compiling once; without it none are
        kept.
      **more: further variables.
    """
    kept = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    kept.setdefault("MPLCONFIGDIR", str(FONTS))
    if cache is not None:
        kept |= {"XDG_CACHE_HOME": str(cache), "JAX_ENABLE_COMPILATION_CACHE": "true"}
    return {**kept, **more}


class Forked:
    """A process that runs `main.py`, forked from one that has imported all it needs.

    It shares nothing with the tests, and can be killed; to import again takes each seconds.

    Args:
      arguments: of `main.py`.
      environment: its environment; that of the first such process holds for what is imported.
      output: the file that takes what it writes to standard output and error.
    """

    def __init__(self, arguments, environment, output):
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(IMPORTED))
        self._output = output
        output.touch()
        arguments = list(map(str, arguments))
        self._process = context.Process(target=_run, args=(arguments, environment, str(output)))
        with _as_if_environment(environment):
            self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self):
        return self._process.exitcode

    def poll(self):
        return self._process.exitcode

    def send_signal(self, signum):
        os.kill(self.pid, signum)

    def wait(self, timeout=300):
        """Its exit code and what it has written; it is killed if it takes longer."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            self._process.kill()
            raise TimeoutError(self._output.read_text())
        return self._process.exitcode, self._output.read_text()


@contextlib.contextmanager
def _as_if_environment(environment):
    """The forkserver, once started, keeps the environment of that time."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _run(arguments, environment, output):
    with open(output, "wb", buffering=0) as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["main.py", *arguments]
    runpy.run_path("main.py", run_name="__main__")

"""The page as users start it, in a process of its own."""

import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import app_models
import pytest

# Seconds; a busy machine takes long to start it.
PATIENCE = 240


@contextmanager
def serving(folder, patch=""):
    """Starts a server, whose environment asks Gradio for what the page must never do.

    Args:
      folder: an empty folder for all its files.
      patch: Python that runs in it first.
    """
    if importlib.util.find_spec("gradio") is None:
        pytest.skip("there is no Gradio here; pip install '.[app]'")
    weights = [str(app_models.save(folder, channels)) for channels in (3, 1)]
    (folder / "tmp").mkdir()
    # Who starts the tests in a shell's background has them ignore Ctrl-C, and so the server too.
    listening = "signal.signal(signal.SIGINT, signal.default_int_handler)"
    start = "from zoo.cli import main; sys.exit(main())"
    code = "\n".join(["import signal, sys", listening, patch, start])
    command = [sys.executable, "-c", code, "app", "--no-browser", "--port", "0"]
    asked = {"GRADIO_SHARE": "True", "GRADIO_ALLOWED_PATHS": "/", "GRADIO_MCP_SERVER": "True"}
    asked |= {"GRADIO_ROOT_PATH": "http://evil.example", "GRADIO_TEMP_DIR": "/"}
    place = {"TMPDIR": str(folder / "tmp"), "XDG_CACHE_HOME": str(folder / "cache")}
    with open(folder / "said", "w") as said:
        process = subprocess.Popen(
            [*command, "--weights", *weights],
            stdout=said,
            stderr=subprocess.STDOUT,
            env=os.environ | asked | place,
        )
    try:
        end = time.monotonic() + PATIENCE
        while not (found := re.search(r"http://\S+", (folder / "said").read_text())):
            assert process.poll() is None, (folder / "said").read_text()
            assert time.monotonic() < end
            time.sleep(0.2)
        yield found.group(), folder, process.pid
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
    assert "Traceback" not in (folder / "said").read_text()
    assert not list((folder / "tmp").glob("zoo-app-*"))

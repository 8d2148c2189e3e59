"""`zoo app` around its page: mistakes in one line, warnings, and the temporary folder."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from zoo.app import server
from zoo.cli import main
from zoo.errors import ZooError


def test_a_port_that_is_taken_is_one_line(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["app", "--no-browser", "--port", str(port)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: cannot listen on 127.0.0.1:{port}: ")
    assert said.endswith("choose another --port\n")
    assert said.count("\n") == 1


def test_a_host_that_is_none_is_one_line(capsys):
    assert main(["app", "--no-browser", "--port", "0", "--host", "256.1.1.1"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_without_gradio_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "gradio", None)
    for name in ("GRADIO_ANALYTICS_ENABLED", "GRADIO_TEMP_DIR", "HF_HUB_OFFLINE"):
        monkeypatch.setenv(name, "")
    with pytest.raises(ZooError, match=r"pip install 'denoising-zoo\[app\]'"):
        server.application(tmp_path)


@pytest.mark.parametrize("port", ["-1", "65536", "x"])
def test_a_port_is_a_port(port, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["app", "--port", port])
    assert "is not a port" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_every_end_is_that_of_ctrl_c(name):
    number = getattr(signal, name)
    ends = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    before = {one: signal.getsignal(one) for one in ends}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    # A shell has what it starts in the background ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        server._handle_signals()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def test_a_start_removes_what_a_killed_one_left_and_no_more(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    old, held, new, other = (tmp_path / f"zoo-app-{name}" for name in ("old", "held", "new", "x"))
    for folder in (old, held, new):
        folder.mkdir()
        (folder / "photo.png").write_bytes(b"x")
    other.symlink_to(new)
    for folder in (old, held):
        os.utime(folder, (0, 0))
    lock = server._lock(held)
    with server._folder() as root:
        assert root.parent == tmp_path
        assert not old.exists()
        assert all((folder / "photo.png").exists() for folder in (held, new))
    assert not root.exists()
    os.close(lock)


def test_nothing_is_left_after_a_kill(tmp_path):
    code = """
import time
from zoo.app import server
with server._folder() as root:
    (root / "photo.png").write_bytes(b"x")
    print(root, flush=True)
    time.sleep(60)
"""
    env = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=env) as process:
        root = Path(process.stdout.readline().decode().strip())
        assert (root / "photo.png").is_file()
        process.kill()
    end = time.monotonic() + 20
    while root.exists():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_without_a_place_for_temporary_files_it_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    assert main(["app", "--no-browser", "--port", "0"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: there is no place for temporary files (No such file")
    assert said.endswith("set TMPDIR to a folder that can be written to\n")
    assert said.count("\n") == 1


def test_a_page_for_all_is_said_to_be_one(capsys, monkeypatch):
    monkeypatch.setattr("PIL.__version__", "13.0.0")
    with socket.create_server(("0.0.0.0", 0)) as bound:
        server._warn(bound, "0.0.0.0")
    assert "warning: with --host 0.0.0.0 anyone on the network" in capsys.readouterr().err
    with socket.create_server(("127.0.0.1", 0)) as bound:
        server._warn(bound, "localhost")
    assert not capsys.readouterr().err
    monkeypatch.setattr("PIL.__version__", "12.3.0")
    with socket.create_server(("127.0.0.1", 0)) as bound:
        server._warn(bound, "localhost")
    assert "pip install 'pillow>=13'" in capsys.readouterr().err

"""`zoo app` before there is a page: one line for each mistake."""

import signal
import socket
import sys

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
    with pytest.raises(ZooError, match=r"pip install '\.\[app\]'"):
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

"""The page as it runs, attacked over HTTP; it needs Gradio."""

import http.client
import io
import json
import os
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote, urlsplit

import numpy as np
import pytest
from app_files import tiff
from app_server import serving
from PIL import Image


class Visitor:
    """An opening of the page."""

    def __init__(self, address, session):
        self.at, self.session = urlsplit(address), session
        self.path = self.ask("GET", "/")[1]["location"]
        status, _, page = self.ask("GET", self.path)
        assert status == 200
        self.config = json.loads(re.search(r"gradio_config = (.*?);</script>", page, re.S)[1])

    def ask(self, method, path, body=None, **headers):
        line = http.client.HTTPConnection(self.at.hostname, self.at.port, timeout=60)
        line.request(method, path, body, {name.replace("_", "-"): v for name, v in headers.items()})
        answer = line.getresponse()
        got = answer.status, dict(answer.headers), answer.read().decode("latin-1")
        line.close()
        return got

    def get(self, rest):
        return self.ask("GET", self.path + quote(rest, safe="/?=&"))

    def upload(self, name, content):
        head = f'--x\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
        form = head.encode() + content + b"\r\n--x--\r\n"
        kind = {"content_type": "multipart/form-data; boundary=x"}
        status, _, said = self.ask("POST", self.path + "gradio_api/upload", form, **kind)
        assert status == 200
        return json.loads(said)[0]

    def drop(self, path):
        """Says that a file was dropped on the first tab; the status."""
        event = next(
            one["id"] for one in self.config["dependencies"] if one["targets"][0][1] == "upload"
        )
        file = {"path": str(path), "meta": {"_type": "gradio.FileData"}}
        body = {"session_hash": self.session, "fn_index": event, "data": [file]}
        kind = {"content_type": "application/json"}
        return self.ask("POST", self.path + "gradio_api/queue/join", json.dumps(body), **kind)[0]

    def hear(self):
        """All that is said until the event ends."""
        return self.get(f"gradio_api/queue/data?session_hash={self.session}")[2]


@pytest.fixture
def visitor(server):
    visitors = []

    def new():
        session = f"s{time.monotonic_ns()}"
        visitors.append(Visitor(server[0], session))
        return visitors[-1]

    return new


def png(shape=(30, 40)):
    out = io.BytesIO()
    Image.fromarray(np.zeros(shape, np.uint8)).save(out, "png")
    return out.getvalue()


def test_what_a_visit_brought_is_seen_and_got_by_it_alone(visitor):
    first, second = visitor(), visitor()
    path = first.upload("photo.png", png())
    assert second.drop(path) == 400
    assert second.get(f"gradio_api/file={path}")[0] == 404
    assert first.get(f"gradio_api/file={path}")[0] == 200
    assert first.drop(path) == 200
    said = first.hear()
    assert "40 x 30, gray" in said
    (shown,) = {*re.findall(r"file=(/[^\\\"]+before\.png)", said)}
    assert first.get(f"gradio_api/file={shown}")[0] == 200
    assert second.get(f"gradio_api/file={shown}")[0] == 404
    assert second.get(f"gradio_api/queue/data?session_hash={first.session}")[0] == 403


def test_an_absolute_path_reads_no_file_of_the_disk(visitor, tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(png((33, 77)))
    one = visitor()
    assert one.drop(secret) == 400
    assert one.drop(secret.as_uri()) == 400
    for path in (secret, "/etc/hostname", "/proc/self/environ"):
        assert one.get(f"gradio_api/file={path}")[0] == 404
    # The visit goes on, and has heard nothing of it.
    assert one.drop(one.upload("photo.png", png())) == 200
    assert "77 x 33" not in one.hear()


def test_another_name_for_this_machine_is_answered_nothing(visitor, server):
    one, port = visitor(), urlsplit(server[0]).port
    for host in ("evil.example", f"evil.example:{port}"):
        for path in ("/", one.path, one.path + "gradio_api/info"):
            status, _, said = one.ask("GET", path, host=host, origin=f"http://{host}")
            assert status == 421
            assert "gradio" not in said
    assert one.ask("GET", one.path + "theme.css", origin="http://evil.example")[0] == 403
    with socket.create_connection(("127.0.0.1", port), 10) as line:
        line.sendall(
            f"GET {one.path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        assert b" 101 " not in line.recv(200)


def test_pipes_and_devices_stop_nobody(visitor, tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    bad, good = visitor(), visitor()
    start = time.monotonic()
    for path in ("/dev/zero", "/dev/random", "/dev/stdin", tmp_path / "pipe.png"):
        assert bad.drop(path) == 400
        assert bad.get(f"gradio_api/file={path}")[0] == 404
    assert good.drop(good.upload("photo.png", png())) == 200
    assert "40 x 30, gray" in good.hear()
    assert time.monotonic() - start < 30


def test_names_are_escaped_and_errors_tell_no_place(visitor, server):
    one = visitor()
    assert one.drop(one.upload("<img src=x onerror=alert(1)>.png", b"no image")) == 200
    said = one.hear()
    assert "&lt;img src=x" in said
    assert "<img src=x" not in said.replace("Reading <img", "")
    lines = [json.loads(line[6:]) for line in said.splitlines() if line.startswith("data: ")]
    assert not any(str(server[1]) in json.dumps(line.get("output")) for line in lines)


def test_the_environment_cannot_have_it_shared(visitor, server):
    one = visitor()
    assert (server[1] / "said").read_text().count("http") == 1
    assert one.config["root"] == server[0] + one.path.rstrip("/")
    assert one.config.get("share_url") is None
    assert one.get("gradio_api/mcp/")[0] == 404


def test_fifty_at_once_are_served_or_reported_within_bounded_memory(visitor, server, tmp_path):
    bomb = tiff(tmp_path / "bomb.tif", 8000, 8000, 3, 32).read_bytes()
    status = Path(f"/proc/{server[2]}/status")

    def most():
        if not status.exists():
            pytest.skip("there is no /proc here")
        return int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1]) / 1024

    def go(number):
        one = visitor()
        name, content = ("bomb.tif", bomb) if number % 2 else ("photo.png", png())
        assert one.drop(one.upload(name, content)) in (200, 503)
        return number % 2, one.hear()

    before = most()
    with ThreadPoolExecutor(50) as pool:
        found = list(pool.map(go, range(50)))
    for is_bomb, said in found:
        expected = "400 MB of memory" if is_bomb else "40 x 30, gray"
        assert expected in said or "too many others are waiting" in said
    assert most() - before < 500
    assert any("40 x 30, gray" in said for _, said in found)


def test_files_go_with_their_visitor(visitor, server):
    one = visitor()
    place = Path(one.upload("photo.png", png()))
    assert one.drop(place) == 200
    one.hear()
    assert place.is_file()
    line = http.client.HTTPConnection(one.at.hostname, one.at.port, timeout=60)
    line.request("GET", f"{one.path}gradio_api/heartbeat/{one.session}")
    line.getresponse().read(1)
    line.close()
    end = time.monotonic() + 60
    while place.exists():
        assert time.monotonic() < end
        time.sleep(0.1)


HANG = """
import threading
from zoo.app import image_tab, server
look = image_tab.look
image_tab.look = lambda path, room: (
    threading.Event().wait() if path.name == "hang.png" else look(path, room)
)
server._LOOK = 4
"""


def test_a_decoder_that_never_returns_blocks_nobody(tmp_path):
    with serving(tmp_path, HANG) as (address, *_):
        bad, good = Visitor(address, "bad"), Visitor(address, "good")
        assert bad.drop(bad.upload("hang.png", png())) == 200
        assert good.drop(good.upload("photo.png", png())) == 200
        assert "40 x 30, gray" in good.hear()
        assert "takes too long" in bad.hear()
        # Another file of the same visitor is taken.
        assert bad.drop(bad.upload("photo.png", png())) == 200
        assert "40 x 30, gray" in bad.hear()

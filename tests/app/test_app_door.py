"""The page's door, as who wants to get past it would knock: ASGI by hand, no Gradio needed."""

import asyncio
import json
import os
import socket
import time
from pathlib import Path

import pytest

from zoo.app import door
from zoo.app.door import Door
from zoo.app.store import Store

HOST = "127.0.0.1:7860"
JOIN = "gradio_api/queue/join"


@pytest.fixture
def page(tmp_path):
    """A door before a page that answers all, and remembers what reached it."""
    return Page(tmp_path / "root")


class Page:
    def __init__(self, root, host="127.0.0.1"):
        self.store = Store(root)
        self.samples = root / "samples"
        self.samples.mkdir()
        self.door = Door(self.inner, self.store, self.samples, host)
        self.reached = []

    async def inner(self, scope, receive, send):
        body = (await receive())["body"]
        self.reached.append((scope, body))
        headers = [(b"content-type", b"text/html"), (b"access-control-allow-origin", b"*")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"the page"})

    def ask(self, path, method="GET", *, body=b"", server=("127.0.0.1", 7860), query="", **headers):
        """Status, headers and body of an answer."""
        headers = {"host": HOST, **{name.replace("_", "-"): said for name, said in headers.items()}}
        sent = []

        whole = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive():
            # Then the line stays open.
            return whole.pop() if whole else await asyncio.Event().wait()

        async def send(message):
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "headers": [(n.encode(), v.encode()) for n, v in headers.items() if v is not None],
            "server": server,
        }
        asyncio.run(self.door(scope, receive, send))
        got = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], got, b"".join(one.get("body", b"") for one in sent[1:])

    def visit(self):
        """The address of a new visit's page, and the visit."""
        path = self.ask("/")[1]["location"]
        assert self.ask(path)[0] == 200
        return path, self.store.of(path.strip("/"))

    def join(self, path, **said):
        body = json.dumps({"session_hash": "s", "fn_index": 0, "data": []} | said)
        return self.ask(path + JOIN, "POST", body=body.encode())[0]

    def upload(self, path, name, content):
        form = (
            (
                f'--x\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
            ).encode()
            + content
            + b"\r\n--x--\r\n"
        )
        reported = {
            "content_type": "multipart/form-data; boundary=x",
            "content_length": str(len(form)),
        }
        status, _, said = self.ask(path + "gradio_api/upload", "POST", body=form, **reported)
        return status, said


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:7860",
        "127.0.0.1.evil.example:7860",
        "localhost.evil.example:7860",
        "127.0.0.1",
        "127.0.0.1:80",
        "127.0.0.1:7861",
        "evil.example@127.0.0.1:7860",
        "127.0.0.1:7860,evil.example",
        "0.0.0.0:7860",
        "192.168.0.9:7860",
        "",
        None,
    ],
)
def test_another_host_is_answered_nothing(page, host):
    path, _ = page.visit()
    before = len(page.reached)
    for asked in ("/", path, path + "gradio_api/info", "/favicon.ico"):
        status, _, said = page.ask(asked, host=host)
        assert status == 421
        assert said.startswith(b"the page is at http://127.0.0.1:7860; open it there")
    assert len(page.reached) == before


@pytest.mark.parametrize("host", [HOST, "localhost:7860", "LocalHost:7860", "[::1]:7860"])
def test_this_machine_is_answered_by_each_of_its_names(page, host):
    assert page.ask("/", host=host, origin=f"http://{host}")[0] == 303


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "http://evil.example:7860",
        "null",
        "http://127.0.0.1:8000",
        "https://127.0.0.1:7860",
        "http://localhost:7860",
    ],
)
def test_another_site_is_answered_nothing(page, origin):
    path, _ = page.visit()
    for asked, method in ((path, "GET"), (path + "gradio_api/upload", "POST"), ("/", "OPTIONS")):
        assert page.ask(asked, method, origin=origin)[0] == 403
    assert len(page.reached) == 1


def test_from_another_site_one_gets_to_the_page_by_a_link_and_no_further(page):
    path, _ = page.visit()
    other = {"sec_fetch_site": "cross-site", "sec_fetch_dest": "document"}
    assert page.ask("/", **other)[0] == 303
    assert page.ask(page.ask("/", **other)[1]["location"], **other)[0] == 200
    assert page.ask(path + "theme.css", **other)[0] == 403
    for kind in ("image", "iframe", "empty"):
        assert page.ask("/", sec_fetch_site="cross-site", sec_fetch_dest=kind)[0] == 403
    assert page.ask(path + "theme.css", sec_fetch_site="same-site")[0] == 403
    assert page.ask(path + "theme.css", sec_fetch_site="same-origin")[0] == 200


def test_web_sockets_are_closed(page):
    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "websocket", "path": "/", "headers": [(b"host", HOST.encode())]}
    asyncio.run(page.door(scope, None, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_a_named_host_is_known_by_that_name_and_its_address_only(tmp_path):
    lan = ("192.168.0.9", 7860)
    page = Page(tmp_path / "named", "workstation.lan")
    for host in ("workstation.lan:7860", "192.168.0.9:7860", f"{socket.gethostname()}:7860"):
        assert page.ask("/", host=host, server=lan)[0] == 303
    for host in ("evil.example:7860", "192.168.0.8:7860"):
        assert page.ask("/", host=host, server=lan)[0] == 421
    # All addresses: the one by which this connection came.
    page = Page(tmp_path / "all", "0.0.0.0")
    assert page.ask("/", host="192.168.0.9:7860", server=("::ffff:192.168.0.9", 7860))[0] == 303


def test_without_a_token_there_is_nothing(page):
    path, _ = page.visit()
    for asked in ("gradio_api/info", JOIN, "x/gradio_api/info", f"x{path}theme.css"):
        assert page.ask(f"/{asked}")[0] == 404
        assert page.ask(f"/{asked}", "POST")[0] == 404
    assert len(page.reached) == 1
    # An address of a page that ended, or that is loaded again, is the way to a new visit.
    for old in ("/gone/", path):
        status, headers, _ = page.ask(old)
        assert status == 303
        assert headers["location"] != path


@pytest.mark.parametrize(
    "rest",
    [
        "gradio_api/proxy=http://127.0.0.1/",
        "gradio_api/file/etc/passwd",
        "gradio_api/component_server",
        "gradio_api/run/0",
        "gradio_api/call/0",
        "gradio_api/call/v2/0",
        "gradio_api/process_recording",
        "gradio_api/stream/a/b/c/playlist.m3u8",
        "gradio_api/queue/status",
        "gradio_api/runs",
        "config",
        "gradio_api/vibe-code",
        "gradio_api/dev/reload",
        "monitoring",
        "gradio_api/openapi.json",
        "gradio_api/deep_link",
        "login",
        "svelte/x",
        "custom_component/a/b/c/d",
        "gradio_api/upload/",
        "assets/../../../etc/passwd",
        "static//etc/passwd/..",
        "pwa_icon",
        "docs",
        "gradio_api/heartbeat/",
    ],
)
def test_of_what_gradio_serves_only_what_is_needed_passes(page, rest):
    path, _ = page.visit()
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE"):
        assert page.ask(path + rest, method)[0] == 404
    assert len(page.reached) == 1


def test_what_passes_is_reported_where_it_is_by_nobody_but_the_door(page):
    path, _ = page.visit()
    status, headers, _ = page.ask(
        path + "theme.css", x_forwarded_host="evil", x_gradio_server="evil"
    )
    assert status == 200
    scope, _ = page.reached[-1]
    assert scope["root_path"] == path.rstrip("/")
    assert [name for name, _ in scope["headers"]] == [b"host"]
    assert "access-control-allow-origin" not in headers
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


def test_an_event_names_no_file_but_what_its_visit_brought(page, tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"x")
    (path, visit), (_, other) = page.visit(), page.visit()
    theirs, mine = other.place_upload("theirs.png"), visit.place_upload("mine.png")
    other.add_upload(theirs)
    visit.add_upload(mine)
    sample = page.samples / "a.png"
    for named in (secret, "/dev/zero", theirs, sample, visit.folder, f"{mine}/../mine.png", "", 3):
        for meta in ({"meta": {"_type": "gradio.FileData"}}, {}):
            file = {"path": named if named == 3 else str(named), **meta}
            for data in ([file], [[file]], [{"a": file}], [{"url": "http://evil.example", **file}]):
                assert page.join(path, data=data) == 400
    assert len(page.reached) == 2
    reported = {
        "path": str(mine),
        "url": "http://evil.example/",
        "is_stream": True,
        "orig_name": "<b>",
    }
    event = {"index": 1, "value": {"path": str(secret)}}
    assert page.join(path, data=[reported, 1.5, "word", None], event_data=event, request={}) == 200
    known = {"path": str(mine), "orig_name": "mine.png", "meta": {"_type": "gradio.FileData"}}
    assert json.loads(page.reached[-1][1]) == {
        "session_hash": "s",
        "fn_index": 0,
        "data": [known, 1.5, "word", None],
        "event_data": {"index": 1, "value": None},
    }


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[" * 50_000, 400),
        (b"{" * 50_000, 400),
        (b"\xff\xfe", 400),
        (b"[]", 403),
        (b'{"session_hash": "s", "data": [NaN]}', 400),
        (b'{"session_hash": "s", "data": [1e999]}', 400),
        (b'{"session_hash": "s", "data": [], "event_data": {"index": 1e999}}', 400),
        (b'{"session_hash": "s", "data": 1}', 400),
        (b'{"session_hash": "s", "fn_index": {"path": "x"}, "data": []}', 400),
        (b'{"session_hash": "s", "data": [], "event_data": {"index": [[1]]}}', 400),
        (b'{"session_hash": "../x", "data": []}', 403),
        (b'{"session_hash": ["s"], "data": []}', 403),
        (b'{"data": []}', 403),
        (b" " * 70_000, 413),
    ],
)
def test_an_event_that_is_none_is_refused(page, body, status):
    path, _ = page.visit()
    assert page.ask(path + JOIN, "POST", body=body)[0] == status
    assert len(page.reached) == 1


def test_events_of_a_visit_are_heard_by_itself_only(page):
    (mine, _), (theirs, _) = page.visit(), page.visit()
    assert page.join(mine, session_hash="mine") == 200
    listen = "gradio_api/queue/data"
    for path, status in ((mine, 200), (theirs, 403)):
        assert page.ask(path + listen, query="session_hash=mine")[0] == status
        assert page.ask(path + "gradio_api/heartbeat/mine")[0] == status
        assert page.join(path, session_hash="mine") == status
        body = b'{"session_hash": "mine", "event_id": "e", "fn_index": 0}'
        assert page.ask(path + "gradio_api/cancel", "POST", body=body)[0] == status
    for query in ("", "session_hash=other", "session_hash=mine&session_hash=other"):
        assert page.ask(mine + listen, query=query)[0] == 403


def test_what_is_brought_is_got_by_its_visit_only_and_is_no_document(page):
    pytest.importorskip("starlette", reason="pip install '.[app]'")
    pytest.importorskip("python_multipart", reason="pip install '.[app]'")
    (mine, visit), (theirs, _) = page.visit(), page.visit()
    for name, kind in {
        "page.html": "application/octet-stream",
        "page.svg": "application/octet-stream",
        "../../x.xhtml": "application/octet-stream",
        "photo.png": "image/png",
    }.items():
        status, said = page.upload(mine, name, b"<script>")
        assert status == 200
        (place,) = json.loads(said)
        assert Path(place).is_relative_to(visit.folder)
        file = f"gradio_api/file={place}"
        status, headers, body = page.ask(mine + file)
        assert (status, body) == (200, b"<script>")
        assert headers["content-type"] == kind
        assert headers["content-disposition"].startswith("attachment")
        assert headers["content-security-policy"] == "default-src 'none'; sandbox"
        assert headers["x-content-type-options"] == "nosniff"
        assert page.ask(mine + file, range="bytes=1-6")[2] == b"script"
        assert page.ask(theirs + file)[0] == 404
        assert page.ask(f"/{file}")[0] == 404


def test_a_file_that_is_none_of_the_visit_is_not_served(page, tmp_path):
    pytest.importorskip("starlette", reason="pip install '.[app]'")
    path, visit = page.visit()
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    visit.folder.mkdir()
    os.mkfifo(visit.folder / "pipe")
    (visit.folder / "link.png").symlink_to(secret)
    (visit.folder / "to").symlink_to(tmp_path)
    (page.samples / "a.png").write_bytes(b"sample")
    start = time.monotonic()
    for named in (secret, "/dev/zero", "/dev/stdin", visit.folder, visit.folder / "pipe", "", "\0"):
        assert page.ask(f"{path}gradio_api/file={named}")[0] == 404
    inside = visit.folder
    for named in ("link.png", "to/secret.png", "../../../secret.png", "none.png"):
        assert page.ask(f"{path}gradio_api/file={inside}/{named}")[0] == 404
    assert time.monotonic() - start < 5
    assert page.ask(f"{path}gradio_api/file={page.samples / 'a.png'}")[2] == b"sample"


@pytest.mark.skipif(not os.path.exists("/dev/fd"), reason="files are held open by /dev/fd")
def test_what_was_checked_is_what_is_read(tmp_path):
    mine, secret = tmp_path / "mine", tmp_path / "secret"
    mine.write_bytes(b"mine")
    secret.write_bytes(b"secret")
    with door._opened(str(mine), (tmp_path,)) as (place, _):
        mine.unlink()
        mine.symlink_to(secret)
        assert Path(place).read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("length", "status"), [(None, 411), ("-1", 411), ("x", 411), (str(2**60), 413), ("9" * 40, 411)]
)
def test_an_upload_tells_its_length_and_is_not_too_long(page, length, status):
    pytest.importorskip("starlette", reason="pip install '.[app]'")
    path, _ = page.visit()
    assert page.ask(path + "gradio_api/upload", "POST", content_length=length)[0] == status


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--x",
        b"--x\r\n\r\n",
        b'--x\r\nContent-Disposition: form-data; name="f"\r\n\r\nx\r\n--x--',
    ],
)
def test_an_upload_that_is_none_is_refused_and_leaves_nothing(page, body):
    pytest.importorskip("python_multipart", reason="pip install '.[app]'")
    path, visit = page.visit()
    reported = {"content_type": "multipart/form-data; boundary=x", "content_length": str(len(body))}
    assert page.ask(path + "gradio_api/upload", "POST", body=body, **reported)[0] == 400
    assert visit.empty
    assert not visit.folder.exists()

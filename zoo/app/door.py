"""Who may come in, and to what: the page's outermost layer, before anything else sees a request.

Behind it is Gradio, which serves more than this page needs: it proxies, fetches, and reads any file
that an event names. So what passes is listed here, and files come and go by this layer alone:

* The host that is asked for must be this machine by a name of its own, and what sends the request
  this page: a site in the same browser that resolves its own name to here is answered nothing.
* Each opening of the page is a visit with a token of its own, the first part of all its addresses.
  Who does not have it can neither bring nor get its files, nor listen to its events.
* Uploads go to the visit's folder; the files that an event names are looked up among these.
"""

import asyncio
import ipaddress
import json
import math
import os
import re
import socket
import stat
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from zoo.app.store import Store, Visit
from zoo.errors import ZooError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\[\]:/?#@\s]+))(?::(\d{1,5}))?", re.ASCII)
_SESSION = r"[\w-]{1,64}"
# What of Gradio the page needs, by method; all of it reads or moves nothing of anybody else's.
_PASSED = {
    "GET": re.compile(
        r"|theme\.css|manifest\.json|favicon\.ico|(?:assets|static)/[\w./-]+"
        rf"|gradio_api/(?:info|queue/data|heartbeat/{_SESSION})",
        re.ASCII,
    ),
    "POST": re.compile(r"gradio_api/(?:queue/join|cancel)", re.ASCII),
}
_HEARTBEAT = "gradio_api/heartbeat/"
_FILE = "gradio_api/file="
# What of an event is handed on beside its data.
_EVENT = ("session_hash", "fn_index", "event_id", "trigger_id")
# Bytes of what an event says, and characters of a word in it.
_MOST_SAID = 2**16
_MOST_WORD = 1000
# Seconds until the next piece of a body, and until the last one of an upload.
_PATIENCE, _LONG = 60, 1800
# Bytes that a form is longer than the file in it.
_FORM = 2**12
# Nothing is fetched from elsewhere, whatever a library thinks of.
_POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; form-action 'self'; base-uri 'self'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
# A file is what a visitor made, so it is no document: not even where its address is opened.
_FILE_HEADERS = {
    "content-security-policy": "default-src 'none'; sandbox",
    "cache-control": "no-store",
}
_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".bmp": "image/bmp",
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".ogg": "audio/ogg",
    ".mp3": "audio/mpeg",
}


class _Refused(Exception):  # noqa: N818, it is an answer
    """An answer other than what was asked for.

    Args:
      status: of HTTP.
      line: what to say.
    """

    def __init__(self, status: int, line: str):
        super().__init__(line)
        self.status, self.line = status, line


class Door:
    """The ASGI application around the page.

    Args:
      inner: the page.
      store: of the visitors.
      samples: a folder of files that every visitor may get.
      host: the name that `zoo app` was told to listen on.
    """

    def __init__(self, inner: Callable, store: Store, samples: Path, host: str = "127.0.0.1"):
        self._inner, self._store, self._samples = inner, store, samples
        self._names = {*_LOOPBACK, host.lower()}
        self._shown = shown(host)
        if not is_loopback(host):
            self._names.add(socket.gethostname().lower())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers, or hands on to the page."""
        if scope["type"] == "lifespan":
            await self._inner(scope, receive, send)
        elif scope["type"] != "http":
            # The page has no WebSockets.
            await send({"type": "websocket.close", "code": 1008})
        else:
            headers = _HEADERS | (_FILE_HEADERS if _FILE in scope["path"] else {})
            send = _guarded(send, headers)
            try:
                await self._answer(scope, receive, send)
            except _Refused as refused:
                said = {"content-type": "text/plain; charset=utf-8"}
                await _send(send, refused.status, refused.line.encode(), said)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._check_host(scope)
        method, path = scope["method"], scope["path"]
        token, _, rest = path.removeprefix("/").partition("/")
        visit = self._store.of(token)
        if _opens(scope):
            # Loaded again, the page is another visit.
            if visit is None or visit.opened:
                return await self._begin(send)
            visit.opened = True
        if path == "/favicon.ico":
            # Browsers ask for it unasked.
            return await _send(send, 204, b"", {})
        if visit is None:
            raise _Refused(404, "this visit has ended; open the page again")
        if method in ("GET", "HEAD") and rest.startswith(_FILE):
            return await self._file(visit, rest.removeprefix(_FILE), scope, receive, send)
        if method == "GET" and rest == "gradio_api/upload_progress":
            # A browser has its own; Gradio's page wants an answer.
            said = b'data: {"msg": "done"}\n\n'
            return await _send(send, 200, said, {"content-type": "text/event-stream"})
        if method == "POST" and rest == "gradio_api/upload":
            return await self._upload(visit, scope, receive, send)
        passed = _PASSED.get(method)
        if passed is None or not passed.fullmatch(rest) or ".." in rest:
            raise _Refused(404, "there is nothing here")
        if method == "POST":
            receive = await self._said(visit, rest, receive)
        self._check_session(visit, rest, scope)
        headers = [(name, value) for name, value in scope["headers"] if _is_plain(name)]
        return await self._inner(
            {**scope, "root_path": f"/{token}", "headers": headers}, receive, send
        )

    def _check_host(self, scope: Scope) -> None:
        """Refuses what does not ask for this machine by its name, or comes from elsewhere."""
        headers = _headers(scope)
        own, port = scope.get("server") or ("", None)
        asked = headers.get("host", [])
        here = _HOST.fullmatch(asked[0].lower()) if len(asked) == 1 else None
        if here is None or not self._is_here(here, own, port):
            said = (
                f"the page is at http://{self._shown}:{port}; open it there, or name it by --host"
            )
            raise _Refused(421, said)
        origins = headers.get("origin", [])
        if any(origin.lower() != f"http://{asked[0].lower()}" for origin in origins):
            raise _Refused(403, "the page takes requests from itself only")
        # A link to the page from elsewhere is followed; nothing else comes from there.
        elsewhere = {*headers.get("sec-fetch-site", [])} - {"same-origin", "none"}
        followed = _opens(scope) and headers.get("sec-fetch-dest") == ["document"]
        if elsewhere and not followed:
            raise _Refused(403, "the page takes requests from itself only")

    def _is_here(self, host: re.Match, own: str, port: int | None) -> bool:
        literal, name, said = host.groups()
        if int(said or 80) != port:
            return False
        name = literal or name
        # Nobody resolves to here what is an address already, and this connection's.
        return name in self._names or (
            _address(name) is not None and _address(name) == _address(own)
        )

    async def _begin(self, send: Send) -> None:
        """Sends to the page of a new visit."""
        try:
            token = self._store.open()
        except ZooError as error:
            raise _Refused(503, str(error)) from None
        await _send(send, 303, b"", {"location": f"/{token}/", "cache-control": "no-store"})

    def _check_session(self, visit: Visit, rest: str, scope: Scope) -> None:
        """Refuses to listen to another visit's events."""
        session = None
        if rest.startswith(_HEARTBEAT):
            session = rest.removeprefix(_HEARTBEAT)
        elif rest == "gradio_api/queue/data":
            said = re.findall(
                r"(?:^|&)session_hash=([^&]*)", scope["query_string"].decode("latin-1")
            )
            session = said[0] if len(said) == 1 else ""
        if session is not None:
            self._join(visit, session)

    def _join(self, visit: Visit, session: Any) -> None:
        is_session = isinstance(session, str) and re.fullmatch(_SESSION, session, re.ASCII)
        if not is_session or not self._store.join(visit, session):
            raise _Refused(403, "that is another visit's")

    async def _said(self, visit: Visit, rest: str, receive: Receive) -> Receive:
        """What an event says, read, and put together anew from nothing but what is known of it."""
        body, more = b"", True
        while more:
            message = await _next(receive)
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > _MOST_SAID:
                raise _Refused(413, "that is too much for an event")
        try:
            said = json.loads(body, parse_constant=_no_number)
            kept = {name: said[name] for name in _EVENT if name in said}
            self._join(visit, kept.get("session_hash"))
            if not all(_is_word(value) for value in kept.values()):
                raise ValueError
            if rest.endswith("join"):
                kept["data"] = [_known(visit, value) for value in said["data"]]
                event = said.get("event_data")
                if event is not None:
                    # Of a sample that was chosen; nothing else of it is looked at.
                    kept["event_data"] = {"index": int(event.get("index") or 0), "value": None}
        except (ValueError, TypeError, ArithmeticError, AttributeError, KeyError, RecursionError):
            raise _Refused(400, "that is no event of this page") from None
        whole = {"type": "http.request", "body": json.dumps(kept).encode(), "more_body": False}
        first = iter([whole])

        async def again() -> MutableMapping[str, Any]:
            # Afterwards Gradio listens for the end of the connection.
            return next(first, None) or await receive()

        return again

    async def _upload(self, visit: Visit, scope: Scope, receive: Receive, send: Send) -> None:
        """Takes a file into the visit's folder; answers with its place, as Gradio does."""
        from starlette.exceptions import HTTPException  # noqa: PLC0415, comes with Gradio
        from starlette.formparsers import MultiPartException  # noqa: PLC0415
        from starlette.requests import ClientDisconnect, Request  # noqa: PLC0415

        length = "".join(_headers(scope).get("content-length", []))
        if not (length.isascii() and length.isdecimal() and len(length) < 20):
            raise _Refused(411, "an upload must tell its length")
        try:
            with self._store.coming(visit, max(int(length) - _FORM, 0)):
                # What is on its way lies in a file without a name, which goes with this process.
                request = Request(scope, lambda: _next(receive))
                async with (
                    asyncio.timeout(_LONG),
                    request.form(max_files=1, max_fields=1) as form,
                ):
                    (file,) = form.values()
                    place = visit.bring(file.filename or "")
                    await asyncio.to_thread(_copy, file.file, place)
                    visit.brought(place)
        except ZooError as error:
            raise _Refused(413, str(error)) from None
        except TimeoutError:
            raise _Refused(408, "the upload takes too long") from None
        except (MultiPartException, HTTPException, ClientDisconnect, ValueError, AttributeError):
            raise _Refused(400, "that is no upload of one file") from None
        except OSError as error:
            raise _Refused(507, f"the file cannot be kept: {error.strerror}") from None
        await _send(
            send, 200, json.dumps([str(place)]).encode(), {"content-type": "application/json"}
        )

    async def _file(
        self, visit: Visit, path: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Serves a file of this visit, or a sample: to save or to show, never as a document."""
        from starlette.responses import FileResponse  # noqa: PLC0415, comes with Gradio

        with _opened(path, (visit.folder, self._samples)) as (place, facts):
            name = os.path.basename(path)
            response = FileResponse(
                place,
                media_type=_TYPES.get(Path(name).suffix.lower(), "application/octet-stream"),
                filename=name,
                stat_result=facts,
            )
            await response(scope, receive, send)


def _opens(scope: Scope) -> bool:
    """Whether the page itself is asked for."""
    return scope["method"] == "GET" and re.fullmatch(r"/(?:[\w-]+/)?", scope["path"]) is not None


def shown(host: str) -> str:
    """A host as it stands in an address; that of all addresses is nowhere to go."""
    address = _address(host)
    if address is not None and address.is_unspecified:
        return "127.0.0.1" if address.version == 4 else "[::1]"
    return f"[{host}]" if ":" in host else host


def is_loopback(host: str) -> bool:
    """Whether a name or address is reached from this machine only."""
    address = _address(host)
    return host.lower() == "localhost" or (address is not None and address.is_loopback)


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _headers(scope: Scope) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return found


def _is_plain(name: bytes) -> bool:
    """Whether a header is none by which Gradio is told, in a proxy's name, where it is."""
    return not name.lower().startswith((b"x-", b"forwarded"))


def _is_word(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, str):
        return len(value) <= _MOST_WORD
    return value is None or isinstance(value, int)


def _known(visit: Visit, value: Any) -> Any:
    """A value of an event: a word or a number, or a file that this visit brought.

    Raises:
      ValueError: it is another.
    """
    if isinstance(value, dict) and isinstance(value.get("path"), str) and visit.has(value["path"]):
        path = value["path"]
        return {
            "path": path,
            "orig_name": os.path.basename(path),
            "meta": {"_type": "gradio.FileData"},
        }
    if not _is_word(value):
        raise ValueError
    return value


def _no_number(text: str) -> None:
    raise ValueError(text)


@contextmanager
def _opened(path: str, folders: tuple[Path, ...]) -> Iterator[tuple[str, os.stat_result]]:
    """A file below one of some folders, held open.

    Yields:
      Where to read it, which stays this file whatever becomes of its path, and what it is.

    Raises:
      _Refused: it is not there, is not below them, or is no plain file.
    """
    none = _Refused(404, "there is no such file of this visit")
    try:
        real = os.path.realpath(path)
        if not any(Path(real).is_relative_to(folder) for folder in folders):
            raise none
        # Who opens a pipe waits for its other end.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        held = os.open(real, flags | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError):
        raise none from None
    try:
        facts = os.fstat(held)
        if not stat.S_ISREG(facts.st_mode):
            raise none
        by_number = f"/dev/fd/{held}"
        yield by_number if os.path.exists(by_number) else real, facts
    finally:
        os.close(held)


def _copy(file: Any, place: Path) -> None:
    file.seek(0)
    try:
        with open(place, "xb") as out:
            while piece := file.read(2**20):
                out.write(piece)
    except OSError:
        with suppress(OSError):
            place.unlink()
        raise


async def _next(receive: Receive) -> MutableMapping[str, Any]:
    """The next piece of a body.

    Raises:
      _Refused: it does not come.
    """
    try:
        message = await asyncio.wait_for(receive(), _PATIENCE)
    except TimeoutError:
        raise _Refused(408, "the rest of the request did not come") from None
    if message["type"] == "http.disconnect":
        raise _Refused(400, "the request ended early")
    return message


def _guarded(send: Send, headers: Mapping[str, str]) -> Send:
    """Adds headers to an answer, in place of its own, and takes leave for other sites away."""

    async def guarded(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            own = [
                (name, value)
                for name, value in message.get("headers", [])
                if name.decode("latin-1").lower() not in headers
                and not name.lower().startswith(b"access-control-")
            ]
            added = [(name.encode(), value.encode()) for name, value in headers.items()]
            message = {**message, "headers": [*own, *added]}
        await send(message)

    return guarded


async def _send(send: Send, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    sent = [(name.encode(), value.encode()) for name, value in headers.items()]
    sent.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": sent})
    await send({"type": "http.response.body", "body": body})

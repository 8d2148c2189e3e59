"""Access control: the outermost layer of the page, which sees each request first.

Behind it is Gradio, which serves more than this page needs: it proxies, fetches, and reads any file
that an event names. Therefore requests pass by an allowlist, and only this layer transfers files:

* The requested host must be a name of this machine, and the origin of the request this page. This
  blocks other sites in the same browser, DNS rebinding included.
* Each opening of the page is a visit with a token of its own, the first part of all its addresses.
  Without the token nobody can upload or download its files or receive its events.
* Uploads go to the visit's folder; files that an event names are looked up among them.
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
# The paths of Gradio that the page needs, by method; none gives access to other visits.
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
# Fields of an event that are passed on in addition to its data.
_EVENT = ("session_hash", "fn_index", "event_id", "trigger_id")
# Bytes of an event, and characters of a string in it.
_MOST_EVENT = 2**16
_MOST_TEXT = 1000
# Seconds until the next part of a body, and until the end of an upload.
_PART_TIMEOUT, _UPLOAD_TIMEOUT = 60, 1800
# Bytes of a form in addition to its file.
_FORM = 2**12
# The page fetches nothing from elsewhere, even if a library tries.
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
# A file comes from a visitor, so a browser must not treat it as a document.
_FILE_HEADERS = {
    "content-security-policy": "default-src 'none'; sandbox",
    "cache-control": "no-store",
}
_TYPES = {
    **{f".{kind}": f"image/{kind}" for kind in ("png", "jpeg", "gif", "webp", "bmp")},
    **{f".{kind}": f"audio/{kind}" for kind in ("wav", "flac", "ogg")},
    ".jpg": "image/jpeg",
    ".mp3": "audio/mpeg",
}


class _Refused(Exception):  # noqa: N818, it is a response
    """A refusal of the request.

    Args:
      status: of HTTP.
      line: the text of the response.
    """

    def __init__(self, status: int, line: str):
        super().__init__(line)
        self.status, self.line = status, line


class Door:
    """The ASGI application around the page.

    Args:
      inner: the page.
      store: of the visitors.
      samples: a folder of files that every visitor may download.
      host: the name or address that `zoo app` listens on.
    """

    def __init__(self, inner: Callable, store: Store, samples: Path, host: str = "127.0.0.1"):
        self._inner, self._store, self._samples = inner, store, samples
        self._names = {*_LOOPBACK, host.lower()}
        self._shown = shown(host)
        if not is_loopback(host):
            self._names.add(socket.gethostname().lower())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Responds, or passes the request on to the page."""
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
                plain = {"content-type": "text/plain; charset=utf-8"}
                await _send(send, refused.status, refused.line.encode(), plain)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._check_host(scope)
        method, path = scope["method"], scope["path"]
        token, _, rest = path.removeprefix("/").partition("/")
        visit = self._store.of(token)
        if _opens(scope):
            # A reload of the page begins another visit.
            if visit is None or visit.opened:
                return await self._begin(send)
            visit.opened = True
        if path == "/favicon.ico":
            # Browsers request it on their own.
            return await _send(send, 204, b"", {})
        if visit is None:
            raise _Refused(404, "this visit has ended; open the page again")
        if method in ("GET", "HEAD") and rest.startswith(_FILE):
            return await self._file(visit, rest.removeprefix(_FILE), scope, receive, send)
        if method == "GET" and rest == "gradio_api/upload_progress":
            # The browser shows the progress itself, but Gradio's page expects a response.
            event = b'data: {"msg": "done"}\n\n'
            return await _send(send, 200, event, {"content-type": "text/event-stream"})
        if method == "POST" and rest == "gradio_api/upload":
            return await self._upload(visit, scope, receive, send)
        passed = _PASSED.get(method)
        if passed is None or not passed.fullmatch(rest) or ".." in rest:
            raise _Refused(404, "there is nothing here")
        if method == "POST":
            receive = await self._checked_event(visit, rest, receive)
        self._check_session(visit, rest, scope)
        # Without those by which a proxy would tell Gradio its address.
        headers = [
            (name, value)
            for name, value in scope["headers"]
            if not name.lower().startswith((b"x-", b"forwarded"))
        ]
        return await self._inner(
            {**scope, "root_path": f"/{token}", "headers": headers}, receive, send
        )

    def _check_host(self, scope: Scope) -> None:
        """Refuses requests to another host name, or from another site."""
        headers = _headers(scope)
        own, port = scope.get("server") or ("", None)
        asked = headers.get("host", [])
        here = _HOST.fullmatch(asked[0].lower()) if len(asked) == 1 else None
        if here is None or not self._is_here(here, own, port):
            line = (
                f"the page is at http://{self._shown}:{port}; open it there, or set its name by "
                "--host"
            )
            raise _Refused(421, line)
        origins = headers.get("origin", [])
        if any(origin.lower() != f"http://{asked[0].lower()}" for origin in origins):
            raise _Refused(403, "the page accepts requests from itself only")
        # Another site may link to the page, and nothing else.
        elsewhere = {*headers.get("sec-fetch-site", [])} - {"same-origin", "none"}
        followed = _opens(scope) and headers.get("sec-fetch-dest") == ["document"]
        if elsewhere and not followed:
            raise _Refused(403, "the page accepts requests from itself only")

    def _is_here(self, host: re.Match, own: str, port: int | None) -> bool:
        literal, name, given = host.groups()
        if int(given or 80) != port:
            return False
        name = literal or name
        # The address of this connection is safe: it needs no DNS that another site could control.
        return name in self._names or (
            _address(name) is not None and _address(name) == _address(own)
        )

    async def _begin(self, send: Send) -> None:
        """Redirects to the page of a new visit."""
        try:
            token = self._store.open()
        except ZooError as error:
            raise _Refused(503, str(error)) from None
        await _send(send, 303, b"", {"location": f"/{token}/", "cache-control": "no-store"})

    def _check_session(self, visit: Visit, rest: str, scope: Scope) -> None:
        """Refuses access to another visit's events."""
        session = None
        if rest.startswith(_HEARTBEAT):
            session = rest.removeprefix(_HEARTBEAT)
        elif rest == "gradio_api/queue/data":
            query = scope["query_string"].decode("latin-1")
            found = re.findall(r"(?:^|&)session_hash=([^&]*)", query)
            session = found[0] if len(found) == 1 else ""
        if session is not None:
            self._join(visit, session)

    def _join(self, visit: Visit, session: Any) -> None:
        is_session = isinstance(session, str) and re.fullmatch(_SESSION, session, re.ASCII)
        if not is_session or not self._store.join(visit, session):
            raise _Refused(403, "this belongs to another visit")

    async def _checked_event(self, visit: Visit, rest: str, receive: Receive) -> Receive:
        """Reads an event, and rebuilds it from known fields with checked values only."""
        body, more = b"", True
        while more:
            message = await _next(receive)
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > _MOST_EVENT:
                raise _Refused(413, "the event is too large")
        try:
            given = json.loads(body, parse_constant=_refuse_constant)
            kept = {name: given[name] for name in _EVENT if name in given}
            self._join(visit, kept.get("session_hash"))
            if not all(_is_scalar(value) for value in kept.values()):
                raise ValueError
            if rest.endswith("join"):
                kept["data"] = [_known(visit, value) for value in given["data"]]
                event = given.get("event_data")
                if event is not None:
                    # The sample that was chosen; no other field is used.
                    kept["event_data"] = {"index": int(event.get("index") or 0), "value": None}
        except (ValueError, TypeError, ArithmeticError, AttributeError, KeyError, RecursionError):
            raise _Refused(400, "this is not an event of this page") from None
        whole = {"type": "http.request", "body": json.dumps(kept).encode(), "more_body": False}
        first = iter([whole])

        async def again() -> MutableMapping[str, Any]:
            # Afterwards Gradio waits for the end of the connection.
            return next(first, None) or await receive()

        return again

    async def _upload(self, visit: Visit, scope: Scope, receive: Receive, send: Send) -> None:
        """Writes an upload to the visit's folder; responds with its path, as Gradio does."""
        from starlette.exceptions import HTTPException  # noqa: PLC0415, comes with Gradio
        from starlette.formparsers import MultiPartException  # noqa: PLC0415
        from starlette.requests import ClientDisconnect, Request  # noqa: PLC0415

        length = "".join(_headers(scope).get("content-length", []))
        if not (length.isascii() and length.isdecimal() and len(length) < 20):
            raise _Refused(411, "an upload must state its length")
        try:
            with self._store.coming(visit, max(int(length) - _FORM, 0)):
                # An upload in progress is an unnamed file, which ends with this process.
                request = Request(scope, lambda: _next(receive))
                async with (
                    asyncio.timeout(_UPLOAD_TIMEOUT),
                    request.form(max_files=1, max_fields=1) as form,
                ):
                    (file,) = form.values()
                    place = visit.place_upload(file.filename or "")
                    await asyncio.to_thread(_copy, file.file, place)
                    visit.add_upload(place)
        except ZooError as error:
            raise _Refused(413, str(error)) from None
        except TimeoutError:
            raise _Refused(408, "the upload takes too long") from None
        except (MultiPartException, HTTPException, ClientDisconnect, ValueError, AttributeError):
            raise _Refused(400, "this is not an upload of one file") from None
        except OSError as error:
            raise _Refused(507, f"the file cannot be kept: {error.strerror}") from None
        await _send(
            send, 200, json.dumps([str(place)]).encode(), {"content-type": "application/json"}
        )

    async def _file(
        self, visit: Visit, path: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Serves a file of this visit or a sample, never as a document."""
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
    """Whether the request is for the page itself."""
    return scope["method"] == "GET" and re.fullmatch(r"/(?:[\w-]+/)?", scope["path"]) is not None


def shown(host: str) -> str:
    """A host as written in an address; the unspecified one becomes the loopback address."""
    address = _address(host)
    if address is not None and address.is_unspecified:
        return "127.0.0.1" if address.version == 4 else "[::1]"
    return f"[{host}]" if ":" in host else host


def is_loopback(host: str) -> bool:
    """Whether a name or address is reachable from this machine only."""
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


def _is_scalar(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, str):
        return len(value) <= _MOST_TEXT
    return value is None or isinstance(value, int)


def _known(visit: Visit, value: Any) -> Any:
    """A value of an event: a string, a number, or an upload of this visit.

    Raises:
      ValueError: it is of another kind.
    """
    path = value.get("path") if isinstance(value, dict) else None
    if isinstance(path, str) and visit.has_upload(path):
        return {
            "path": path,
            "orig_name": os.path.basename(path),
            "meta": {"_type": "gradio.FileData"},
        }
    if not _is_scalar(value):
        raise ValueError
    return value


def _refuse_constant(text: str) -> None:
    raise ValueError(text)


@contextmanager
def _opened(path: str, folders: tuple[Path, ...]) -> Iterator[tuple[str, os.stat_result]]:
    """A file below one of some folders, held open.

    Yields:
      A path that remains this file even if its name is replaced, and the file's status.

    Raises:
      _Refused: it is not there, not below them, or not a regular file.
    """
    none = _Refused(404, "there is no such file of this visit")
    try:
        real = os.path.realpath(path)
        if not any(Path(real).is_relative_to(folder) for folder in folders):
            raise none
        # Opening a pipe would wait for its other end.
        held = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
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
    """The next part of a body.

    Raises:
      _Refused: it does not arrive.
    """
    try:
        message = await asyncio.wait_for(receive(), _PART_TIMEOUT)
    except TimeoutError:
        raise _Refused(408, "the rest of the request did not arrive") from None
    if message["type"] == "http.disconnect":
        raise _Refused(400, "the request ended early")
    return message


def _guarded(send: Send, headers: Mapping[str, str]) -> Send:
    """Sets headers of a response, and removes permissions for other sites."""

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

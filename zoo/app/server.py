"""The page served, and nothing left of it afterwards."""

import os
import signal
import socket
import sys
import tempfile
import webbrowser
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from zoo.errors import ZooError

# Seconds that open connections get to end.
_PATIENCE = 2
# Nothing is fetched from elsewhere, whatever a library thinks of.
_POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; frame-ancestors 'self'"
)


def serve(
    host: str = "127.0.0.1",
    port: int = 7860,
    *,
    weights: Sequence[str | os.PathLike] = (),
    browser: bool = True,
) -> None:
    """Serves the page until Ctrl-C.

    Args:
      host: the address to listen on; the default is reached from this machine only.
      port: 0 takes a free one.
      weights: weight files to offer beside those that come with the zoo.
      browser: whether to open the page in one.

    Raises:
      ZooError: Gradio is missing, the port is taken, the host is none, or a weight file is bad.
    """
    with closing(_bound(host, port)) as bound:
        try:
            with tempfile.TemporaryDirectory(prefix="zoo-app-", ignore_cleanup_errors=True) as root:
                _serve(bound, Path(root), weights, browser)
        except KeyboardInterrupt:
            # Ctrl-C is how one leaves.
            return


def application(root: Path, weights: Sequence[str | os.PathLike] = ()):
    """The page as an ASGI application, and the queue behind it.

    Args:
      root: an empty folder for all that visitors bring and get.
      weights: as `serve`.

    Raises:
      ZooError: Gradio is missing, or a weight file is bad.
    """
    # Before Gradio is imported: it asks for them then.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(root)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        import gradio as gr  # noqa: PLC0415, an extra
        from fastapi import FastAPI  # noqa: PLC0415, comes with it
    except ImportError as error:
        raise ZooError(f"the page needs Gradio ({error}); pip install '.[app]'") from None

    from zoo.app import limits, looks, views  # noqa: PLC0415
    from zoo.app.jobs import Jobs  # noqa: PLC0415
    from zoo.app.models import Models  # noqa: PLC0415
    from zoo.app.page import Parts, build  # noqa: PLC0415
    from zoo.app.samples import Samples  # noqa: PLC0415
    from zoo.app.store import Store  # noqa: PLC0415

    models = Models(weights)
    parts = Parts(Store(root), Jobs(), models, Samples(root / "samples"))
    outer = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @outer.middleware("http")
    async def keep_to_itself(request, call_next):
        response = await call_next(request)
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    made = gr.mount_gradio_app(
        outer,
        build(parts),
        path="/",
        footer_links=[],
        run_history=False,
        show_error=True,
        max_file_size=limits.MOST_BYTES,
        ssr_mode=False,
        pwa=False,
        enable_monitoring=False,
        theme=looks.theme(),
        css=looks.CSS,
        head=views.SCRIPT,
        allowed_paths=[str(root)],
    )
    return made, parts


def _serve(bound: socket.socket, root: Path, weights, browser: bool) -> None:
    made, parts = application(root, weights)
    import uvicorn  # noqa: PLC0415, comes with Gradio

    config = uvicorn.Config(made, log_level="critical", timeout_graceful_shutdown=_PATIENCE)
    _end_as_by_ctrl_c()
    host, port = bound.getsockname()[:2]
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    print(f"The page is at {address} (Ctrl-C ends it)", flush=True)
    if browser:
        webbrowser.open(address)
    try:
        uvicorn.Server(config).run(sockets=[bound])
    finally:
        parts.jobs.close()
        sys.stdout.flush()


def _end_as_by_ctrl_c() -> None:
    """Has all signals that ask for an end take the way of Ctrl-C, which removes the files."""
    # uvicorn hands the signal back when it is done.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Of a terminal that was closed; uvicorn knows nothing of it. Under nohup it is to be ignored.
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is not None and signal.getsignal(hangup) != signal.SIG_IGN:
        signal.signal(hangup, lambda *_: signal.raise_signal(signal.SIGINT))


def _bound(host: str, port: int) -> socket.socket:
    """A socket that listens there.

    Raises:
      ZooError: it cannot.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        bound = socket.socket(family, socket.SOCK_STREAM)
    except (OSError, OverflowError) as error:
        raise ZooError(f"cannot listen on {host}: {error}; mend --host") from None
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen()
    except (OSError, OverflowError) as error:
        bound.close()
        why = getattr(error, "strerror", None) or error
        raise ZooError(f"cannot listen on {host}:{port}: {why}; choose another --port") from None
    return bound

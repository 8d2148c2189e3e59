"""The page served, and nothing left of it afterwards."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

from zoo.errors import ZooError

# Seconds that open connections get to end.
_PATIENCE = 2
_PREFIX = "zoo-app-"
# Another process, of the standard library alone: it outlives one that is killed.
_REMOVER = """
import os, shutil, sys, time
sys.stdin.read()
for _ in range(50):
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    if not os.path.lexists(sys.argv[1]):
        break
    time.sleep(0.1)
"""
# Seconds.
_NEW = 10
# The first Pillow without a known fault in its JPEG decoder.
_SOUND_PILLOW = 13


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
      ZooError: Gradio is missing, the port is taken, the host is none, there is no place for
        temporary files, or a weight file is bad.
    """
    with closing(_bound(host, port)) as bound:
        try:
            with _folder() as root:
                _serve(bound, host, root, weights, browser)
        except KeyboardInterrupt:
            # Ctrl-C is how one leaves.
            return


def application(root: Path, weights: Sequence[str | os.PathLike] = (), *, host: str = "127.0.0.1"):
    """The page as an ASGI application, and the parts behind it.

    Args:
      root: an empty folder for all that visitors bring and get.
      weights: as `serve`.
      host: as `serve`.

    Raises:
      ZooError: Gradio is missing, or a weight file is bad.
    """
    # Before Gradio is imported: it asks for them then. What else the environment tells it, to share
    # the page or to serve more files, it is not to hear.
    for name in [name for name in os.environ if name.startswith("GRADIO_")]:
        del os.environ[name]
    root = root.resolve()
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(root)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        import gradio as gr  # noqa: PLC0415, an extra
        from fastapi import FastAPI  # noqa: PLC0415, comes with it
    except ImportError as error:
        raise ZooError(f"the page needs Gradio ({error}); pip install '.[app]'") from None

    from zoo.app import looks, views  # noqa: PLC0415
    from zoo.app.door import Door  # noqa: PLC0415
    from zoo.app.jobs import Jobs  # noqa: PLC0415
    from zoo.app.models import Models  # noqa: PLC0415
    from zoo.app.page import Parts, build  # noqa: PLC0415
    from zoo.app.samples import Samples  # noqa: PLC0415
    from zoo.app.store import Store  # noqa: PLC0415

    models = Models(weights)
    samples = root / "samples"
    parts = Parts(Store(root), Jobs(), Jobs(), models, Samples(samples))
    made = gr.mount_gradio_app(
        FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
        build(parts),
        path="/",
        footer_links=[],
        run_history=False,
        show_error=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        enable_monitoring=False,
        theme=looks.theme(),
        css=looks.CSS,
        head=views.SCRIPT,
    )
    return Door(made, parts.store, samples, host), parts


def _serve(bound: socket.socket, named: str, root: Path, weights, browser: bool) -> None:
    made, parts = application(root, weights, host=named)
    import uvicorn  # noqa: PLC0415, comes with Gradio

    from zoo.app import door, limits  # noqa: PLC0415

    config = uvicorn.Config(
        made,
        log_level="critical",
        timeout_graceful_shutdown=_PATIENCE,
        limit_concurrency=limits.MOST_CONNECTIONS,
        ws="none",
        # Whoever says that a proxy says so is not believed.
        proxy_headers=False,
        server_header=False,
    )
    _end_as_by_ctrl_c()
    _warn(bound, named)
    host, port = bound.getsockname()[:2]
    address = f"http://{door.shown(host)}:{port}"
    print(f"The page is at {address} (Ctrl-C ends it)", flush=True)
    if browser:
        webbrowser.open(address)
    try:
        uvicorn.Server(config).run(sockets=[bound])
    finally:
        parts.looks.close()
        parts.jobs.close()
        sys.stdout.flush()


def _warn(bound: socket.socket, named: str) -> None:
    """Says what is less safe than it may seem."""
    import PIL  # noqa: PLC0415

    from zoo.app import door  # noqa: PLC0415

    if not door.is_loopback(bound.getsockname()[0]):
        print(
            f"warning: with --host {named} anyone on the network can use this page and this "
            "machine's time, unencrypted; leave out --host to keep it to this machine",
            file=sys.stderr,
        )
    if int(PIL.__version__.split(".")[0]) < _SOUND_PILLOW:
        print(
            f"warning: Pillow {PIL.__version__} has known faults in reading JPEG files, so drop no "
            f"files of strangers here, or pip install 'pillow>={_SOUND_PILLOW}'; see SECURITY.md",
            file=sys.stderr,
        )


@contextmanager
def _folder() -> Iterator[Path]:
    """An empty folder that goes at the end, even if this process is killed.

    Another process removes it when this one has ended; what that one could not, after a power cut,
    the next start removes, by the lock that nobody holds any more.

    Raises:
      ZooError: there is no place for it.
    """
    try:
        _remove_old(Path(tempfile.gettempdir()))
        root = Path(tempfile.mkdtemp(prefix=_PREFIX)).resolve()
    except OSError as error:
        raise ZooError(
            f"there is no place for temporary files ({error.strerror}); set TMPDIR to a folder "
            "that can be written to"
        ) from None
    lock = _lock(root)
    remover = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _REMOVER, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # Ctrl-C is for all processes of a terminal.
        start_new_session=True,
    )
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)
        if lock is not None:
            os.close(lock)
        # It looks once more.
        remover.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            remover.wait(10)


def _remove_old(place: Path) -> None:
    """Removes folders of this page whose process is gone."""
    if fcntl is None:
        return
    for folder in place.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            facts = folder.lstat()
            # One that is just made may not have its lock yet.
            old = facts.st_uid == os.getuid() and time.time() - facts.st_mtime > _NEW
            if old and (lock := _lock(folder)) is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)


def _lock(folder: Path) -> int | None:
    """A lock on a folder, held until it is closed or the process ends; None if another has it."""
    if fcntl is None:
        return None
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        return None
    return held


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

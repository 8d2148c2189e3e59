"""The page assembled and served; no file of a visitor is left afterwards."""

import fcntl
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

from zoo.app import appearance, audio_tab, door, image_tab, limits, trial_tab
from zoo.app.choices import Models, Samples
from zoo.app.door import Door
from zoo.app.jobs import Jobs
from zoo.app.parts import Parts
from zoo.app.store import Store
from zoo.errors import ZooError

# Seconds that open connections get to end.
_GRACE = 2
# Seconds without progress after which a first look at a file is given up.
_LOOK = 120
_PREFIX = "zoo-app-"
# The program of another process, which outlives one that is killed.
_REMOVER = """
import os, shutil, sys, time
sys.stdin.read()
for _ in range(50):
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    if not os.path.lexists(sys.argv[1]):
        break
    time.sleep(0.1)
"""
# Seconds after which a folder must have its lock.
_NEW = 10
# The first Pillow without known faults in its JPEG decoder.
_SAFE_PILLOW = 13
_HEAD = """<div class="zoo-head"><h1>Denoising zoo</h1>
<p>Denoise images and audio. All of it happens on the machine that serves this page.</p>
</div>"""


def serve(
    host: str = "127.0.0.1",
    port: int = 7860,
    *,
    weights: Sequence[str | os.PathLike] = (),
    browser: bool = True,
) -> None:
    """Serves the page until Ctrl-C.

    Args:
      host: the address to listen on; the default is reachable from this machine only.
      port: 0 takes a free one.
      weights: weight files to offer in addition to the shipped ones.
      browser: whether to open the page in a browser.

    Raises:
      ZooError: Gradio is missing, the port is taken, the host does not exist, there is no place for
        temporary files, or a weight file is bad.
    """
    with closing(_bound(host, port)) as bound:
        try:
            with _folder() as root:
                _serve(bound, host, root, weights, browser)
        except KeyboardInterrupt:
            # Ctrl-C is the usual end.
            return


def application(root: Path, weights: Sequence[str | os.PathLike] = (), *, host: str = "127.0.0.1"):
    """The page as an ASGI application, and the parts behind it.

    Args:
      root: an empty folder for the files of visitors.
      weights: as `serve`.
      host: as `serve`.

    Raises:
      ZooError: Gradio is missing, or a weight file is bad.
    """
    # Gradio reads them on import. Others, which share the page or serve more files, are not for it.
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
        raise ZooError(
            f"the page needs Gradio ({error}); pip install 'denoising-zoo[app]'"
        ) from None

    models = Models(weights)
    samples = root / "samples"
    parts = Parts(Store(root), Jobs(), Jobs(patience=_LOOK), models, Samples(samples))
    made = gr.mount_gradio_app(
        FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
        _build(parts),
        path="/",
        footer_links=[],
        run_history=False,
        show_error=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        enable_monitoring=False,
        theme=appearance.theme(),
        css=appearance.CSS.read_text(),
        head=appearance.SCRIPT,
    )
    return Door(made, parts.store, samples, host), parts


def _build(parts: Parts):
    """The page as Gradio's `Blocks`."""
    import gradio as gr  # noqa: PLC0415

    def leave(request: gr.Request) -> None:
        parts.store.leave(request.session_hash)

    with gr.Blocks(title="Denoising zoo", analytics_enabled=False) as blocks:
        gr.HTML(_HEAD)
        with gr.Tab("Image"):
            image_tab.build(parts)
        with gr.Tab("Audio"):
            audio_tab.build(parts)
        with gr.Tab("Test with noise"):
            trial_tab.build(parts)
        blocks.unload(leave)
    # The queues are ours: visitors see their place in them and can leave them.
    return blocks.queue(default_concurrency_limit=None, max_size=limits.MOST_EVENTS, api_open=False)


def _serve(bound: socket.socket, named: str, root: Path, weights, browser: bool) -> None:
    made, parts = application(root, weights, host=named)
    import uvicorn  # noqa: PLC0415, comes with Gradio

    config = uvicorn.Config(
        made,
        log_level="critical",
        timeout_graceful_shutdown=_GRACE,
        limit_concurrency=limits.MOST_CONNECTIONS,
        ws="none",
        # Anyone could claim to be a proxy.
        proxy_headers=False,
        server_header=False,
    )
    _handle_signals()
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
    """Warns of what is less safe than it may seem."""
    import PIL  # noqa: PLC0415

    if not door.is_loopback(bound.getsockname()[0]):
        print(
            f"warning: with --host {named} anyone on the network can use this page and this "
            "machine's time, unencrypted; leave out --host to keep it to this machine",
            file=sys.stderr,
        )
    if int(PIL.__version__.split(".")[0]) < _SAFE_PILLOW:
        print(
            f"warning: Pillow {PIL.__version__} has known faults in reading JPEG files, so drop no "
            f"files of strangers here, or pip install 'pillow>={_SAFE_PILLOW}'; see SECURITY.md",
            file=sys.stderr,
        )


@contextmanager
def _folder() -> Iterator[Path]:
    """An empty folder that is removed at the end, even if this process is killed.

    Another process removes it when this one has ended. After a power cut the next start removes it,
    because its lock is free.

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
        # Ctrl-C reaches all processes of a terminal.
        start_new_session=True,
    )
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)
        if lock is not None:
            os.close(lock)
        # The other process then removes what is left.
        remover.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            remover.wait(10)


def _remove_old(place: Path) -> None:
    """Removes folders of earlier pages whose process is gone."""
    for folder in place.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            facts = folder.lstat()
            # A new one may not have its lock yet.
            old = facts.st_uid == os.getuid() and time.time() - facts.st_mtime > _NEW
            if old and (lock := _lock(folder)) is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)


def _lock(folder: Path) -> int | None:
    """A lock on a folder, held until it is closed or the process ends; None if it is taken."""
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        return None
    return held


def _handle_signals() -> None:
    """Makes every signal to terminate end the page as Ctrl-C does, which removes the files."""
    # uvicorn raises the signal again when it is done.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # A closed terminal sends it; uvicorn does not handle it, and under nohup it must be ignored.
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGINT))


def _bound(host: str, port: int) -> socket.socket:
    """A socket that listens at an address.

    Raises:
      ZooError: it cannot.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    except (OSError, OverflowError) as error:
        raise ZooError(f"cannot listen on {host}: {error}; correct --host") from None
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        why = os.strerror(error.errno) if isinstance(error, OSError) else error
        raise ZooError(f"cannot listen on {host}:{port}: {why}; choose another --port") from None

"""`zoo report`, a web page about a run, and `zoo app`, a web page to denoise files on."""

import argparse

from zoo.cli import common

_REPORT = """Write one HTML page about a run: config, curves, tables, images and audio. It needs no
other file and no network. It can also be written while a run is in progress."""

_APP = """Serve a web page on which images and audio files are denoised, compared and downloaded. It
can be reached from this machine only, unless --host says otherwise, and sends no requests to other
machines. Uploaded files are removed when the visitor leaves. There is no password: with another
--host, anyone who can reach that address can use it; see SECURITY.md."""

_APP_EXAMPLES = """examples:
  zoo app
  zoo app --port 8000 --no-browser
  zoo app --weights runs/unet/weights.safetensors
"""


def add_report_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `zoo report` to its parser."""
    parser.description = _REPORT
    parser.add_argument("workdir", metavar="WORKDIR", help="folder of the run, such as runs/unet")
    parser.add_argument("-o", "--output", metavar="FILE", help="the page (WORKDIR/report.html)")
    parser.set_defaults(run=_report)


def add_app_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `zoo app` to its parser."""
    parser.description, parser.epilog = _APP, _APP_EXAMPLES
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="name or address to listen on (127.0.0.1)")
    add("--port", type=_port, default=7860, help="port; 0 for any free one (7860)")
    add(
        "--weights",
        nargs="+",
        default=[],
        metavar="FILE",
        help="weight files of this package, offered in addition to those that come with it",
    )
    add("--no-browser", action="store_true", help="do not open the page in a browser")
    parser.set_defaults(run=_app)


def _report(arguments: argparse.Namespace) -> None:
    # Here, as in `_app`, so that `--help` and mistakes in the options are answered at once.
    from zoo import report  # noqa: PLC0415

    written = report.write(arguments.workdir, arguments.output)
    for note in written.notes:
        print(common.line(note))
    print(common.line(f"{written.path}, {written.size / 1e6:.2f} MB"))


def _app(arguments: argparse.Namespace) -> None:
    from zoo import runtime  # noqa: PLC0415
    from zoo.app import server  # noqa: PLC0415

    runtime.cache_programs()
    server.serve(
        arguments.host,
        arguments.port,
        weights=arguments.weights,
        browser=not arguments.no_browser,
    )


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, 0 to 65535")
    return int(text)

"""`zoo report`, a page on a run, and `zoo app`, a page to try the package on."""

import argparse

from zoo.cli import common

_REPORT = """Write one HTML page on a run: config, curves, tables, images and sound. It needs no
other file and no network. A run still at work has one too, of its results so far."""

_APP = """Serve a page on which images and recordings are denoised, compared and downloaded. It is
reached from this machine only, unless --host says otherwise, and asks nothing of any other. Files
brought to it are removed when the visitor leaves. It has no password: with another --host, anyone
who reaches that address can use it; see SECURITY.md."""

_APP_EXAMPLES = """examples:
  zoo app
  zoo app --port 8000 --no-browser
  zoo app --weights runs/unet/weights.safetensors
"""


def add_report_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `zoo report` to its parser."""
    parser.description = _REPORT
    parser.add_argument("workdir", metavar="WORKDIR", help="the folder of the run, as runs/unet")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="the page; WORKDIR/report.html by default"
    )
    parser.set_defaults(run=_report)


def add_app_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `zoo app` to its parser."""
    parser.description, parser.epilog = _APP, _APP_EXAMPLES
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="the name or address to listen on (127.0.0.1)")
    add("--port", type=_port, default=7860, help="0 takes a free one (7860)")
    add(
        "--weights",
        nargs="+",
        default=[],
        metavar="FILE",
        help="weight files of this zoo, offered beside those that come with it",
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

"""`zoo app`: a page to try the zoo on."""

import argparse

_DESCRIPTION = """Serve a page on which pictures and recordings are denoised, compared and
downloaded. It is reached from this machine only, unless --host says otherwise, and asks nothing of
any other. What is brought to it is removed when the visitor leaves. It has no password: with
another --host, anyone who reaches that address can use it; see SECURITY.md."""

_EXAMPLES = """examples:
  zoo app
  zoo app --port 8000 --no-browser
  zoo app --weights runs/unet/weights.safetensors
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the command takes to its parser."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
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
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Serves until Ctrl-C."""
    # Here, so that `--help` and mistakes in the options are answered at once.
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

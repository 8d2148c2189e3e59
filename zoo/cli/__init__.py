"""The `zoo` command: parse, call, print."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from zoo import files
from zoo.errors import ZooError, in_words, line, unknown

# Each is a module of this package, imported when it is the chosen one: a list of the
# commands must not wait for the networks.
COMMANDS = {
    "denoise": "denoise images and audio files",
    "noise": "make noisy copies of images and audio files",
    "info": "describe image, audio and weight files",
    "models": "list the models, or describe some",
    "weights": "describe weights",
    "train": "train a denoiser as a config describes",
    "score": "score denoisers on data sets, as in the literature",
    "report": "write a web page about a training run",
    "export": "write a denoiser as a program that runs without this package",
    "app": "serve a web page to denoise files on",
}
_MODULES = {
    **dict.fromkeys(("models", "weights"), "listings"),
    **dict.fromkeys(("report", "app"), "page_commands"),
}

_EXAMPLES = """examples:
  zoo denoise photo.jpg -o clean.jpg
  zoo denoise scans/ talk.wav -o clean/
  zoo noise photo.png --op gaussian --level 25
  zoo info photo.jpg talk.wav
  zoo models
  zoo models unet-small
  zoo weights runs/unet/weights.safetensors
  zoo weights --json runs/*/weights.safetensors
  zoo train unet --noise.level=50
  zoo score dncnn-gray=dncnn_25.pth --data set12 --sigma 25
  zoo score gtcrn=gtcrn_dns3.tar --data speech --noises noise
  zoo report runs/unet -o unet.html
  zoo export unet-gray --format=stablehlo
  zoo app
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code, 2 for a mistake of the user."""
    _prepare_streams()
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        if "XLA_FLAGS" in os.environ:
            from zoo import runtime  # noqa: PLC0415 - seconds that most need not wait for

            runtime.check_flags()
        if argv[:1] == ["train"]:
            argv = importlib.import_module("zoo.cli.train").normalized(argv)
        arguments = _parser(argv).parse_args(argv)
        code = arguments.run(arguments) or 0
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough; the rest is not done.
        _silence()
        return 141  # of a shell, after SIGPIPE
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except Exception as error:
        message = in_words(error)
        if message is None:
            raise
        # What a file refuses names it; only the stream that is printed to has no name.
        if isinstance(error, OSError) and error.filename is None and error.errno in files.NO_SPACE:
            _silence()
            message = f"cannot print: {error.strerror}; make room on its disk"
        print(f"error: {line(message)}", file=sys.stderr)
        return 2
    return code


def _prepare_streams() -> None:
    """Has streams take every name of a file, and be there: a daemon may have closed them."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - until the end
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _silence() -> None:
    """Python must not complain on exit of what it could not print."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Parser(argparse.ArgumentParser):
    """Its complaints repeat what was typed; a terminal must not obey that."""

    def error(self, message: str) -> NoReturn:
        super().error(line(message))


def _parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of all commands, with the arguments of the chosen one."""
    chosen = next(iter(argv), "-")
    if not chosen.startswith("-") and chosen not in COMMANDS:
        raise _unknown(chosen, argv[1:])
    parser = _Parser(
        prog="zoo",
        description="Denoise images and audio, and train, score and export denoisers.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        command = commands.add_parser(
            name, help=summary, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        if name == chosen:
            module = importlib.import_module(f"zoo.cli.{_MODULES.get(name, name)}")
            add = getattr(module, f"add_{name}_arguments", None) or module.add_arguments
            add(command)
    return parser


def _unknown(command: str, others: Sequence[str]) -> ZooError:
    if command == "help":
        known = [name for name in others[:1] if name in COMMANDS]
        return ZooError(
            f"unknown command 'help'; did you mean '{' '.join(['zoo', *known])} --help'?"
        )
    return unknown("command", command, COMMANDS)

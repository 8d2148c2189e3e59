"""The `zoo` command: parse, call, print."""

import argparse
import os
import sys
from collections.abc import Sequence

import jax

from zoo.cli import app, denoise, export, info, models, noise, report, score, weights
from zoo.errors import ZooError

_EXAMPLES = """examples:
  zoo denoise photo.jpg -o clean.jpg
  zoo denoise scans/ talk.wav -o clean/
  zoo noise photo.png --op gaussian --level 25
  zoo info photo.jpg talk.wav
  zoo models
  zoo models unet-small
  zoo weights runs/unet/weights.safetensors
  zoo weights --json runs/*/weights.safetensors
  zoo score dncnn-gray=dncnn_25.pth --data set12 --sigma 25
  zoo score gtcrn=gtcrn_dns3.tar --data speech --noises noise
  zoo report runs/unet -o unet.html
  zoo export unet-gray --format=stablehlo
  zoo app
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code, 2 for a mistake of the user's."""
    arguments = _parser().parse_args(argv)
    try:
        code = arguments.run(arguments) or 0
        sys.stdout.flush()
    except ZooError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough; Python must not complain on exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        print("error: out of memory; take a smaller model, or smaller pictures", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zoo",
        description="A model zoo for denoising, on files and names.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in (denoise, noise, info, models, weights, score, report, export, app):
        command.add_to(commands)
    return parser

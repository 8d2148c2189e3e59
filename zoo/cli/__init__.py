"""The `zoo` command: parse, call, print."""

import argparse
import os
import sys
from collections.abc import Sequence

import jax

from zoo.cli import models, score, weights
from zoo.errors import ZooError

_EXAMPLES = """examples:
  zoo models
  zoo models unet-small
  zoo weights runs/unet/weights.safetensors
  zoo weights --json runs/*/weights.safetensors
  zoo score dncnn-gray=dncnn_25.pth --data set12 --sigma 25
  zoo score gtcrn=gtcrn_dns3.tar --data speech --noises noise
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit code, 2 for a mistake of the user's."""
    arguments = _parser().parse_args(argv)
    try:
        arguments.run(arguments)
        sys.stdout.flush()
    except ZooError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough; Python must not complain on exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        print("error: out of memory; take a smaller model, or smaller pictures", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zoo",
        description="A model zoo for denoising, on files and names.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in (models, weights, score):
        command.add_to(commands)
    return parser

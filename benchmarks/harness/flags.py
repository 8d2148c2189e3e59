"""Flags: mistakes of the user end in one line."""

import argparse
import math
import sys
from collections.abc import Callable

from zoo import runtime
from zoo.errors import ZooError


class Parser(argparse.ArgumentParser):
    """A parser whose description is a script's docstring and whose errors are one line."""

    def __init__(self, doc: str, **options):
        super().__init__(
            description=doc, formatter_class=argparse.RawDescriptionHelpFormatter, **options
        )

    def error(self, message: str):
        """Prints the mistake and leaves with code 2."""
        print(f"error: {message}", file=sys.stderr)
        raise SystemExit(2)


def count(text: str) -> int:
    """A flag's value as a whole number of 1 or more."""
    value = int(text) if text.strip().isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return value


def duration(text: str) -> float:
    """A flag's value as seconds, 0 or more."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds, 0 or more")
    return value


class Several(argparse.Action):
    """Collects the values of a flag that may be repeated, separated by commas, or both."""

    def __init__(self, option_strings, dest, convert: Callable = str, **options):
        super().__init__(option_strings, dest, **options)
        self._convert = convert

    def __call__(self, parser, namespace, values, option_string=None):
        try:
            new = [self._convert(part.strip()) for part in values.split(",") if part.strip()]
        except argparse.ArgumentTypeError as error:
            parser.error(f"argument {option_string}: {error}")
        if not new:
            parser.error(f"argument {option_string}: names nothing")
        # The default is no value that was given, and must not be appended to.
        given = getattr(namespace, f"_{self.dest}_given", [])
        setattr(namespace, f"_{self.dest}_given", given + new)
        setattr(namespace, self.dest, list(dict.fromkeys(given + new)))


def guard(main: Callable[[], None]) -> int:
    """Runs a script; returns its exit code, 2 for a mistake of the user's, 130 when interrupted."""
    # As `main.py` and `zoo` do, so that what is measured is what they have.
    runtime.keep_memory()
    try:
        main()
    except ZooError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    return 0

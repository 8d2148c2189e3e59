"""How far a command is: a bar on a terminal, now and then a line elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from zoo.cli import text

# Lines of a log file should not outrun its reader.
_SECONDS_BETWEEN_LINES = 15.0
# So many letters of a file's name leave room for the bar in 80 columns.
_NAME = 28


@contextmanager
def shown(number: int, count: int, name: str) -> Iterator[Callable[[int, int], None]]:
    """Shows how far one of several files is.

    Args:
      number: which it is, the first being 1.
      count: how many there are.
      name: what to call it.

    Yields:
      A function to call with what is done of the file and all there is, such as tiles or samples.
    """
    name = text.line(name)
    if not sys.stderr.isatty():
        yield _lines(f"{number} of {count}: {name}")
        return
    import tqdm  # noqa: PLC0415 - only a terminal needs it

    short = name if len(name) <= _NAME else f"...{name[3 - _NAME :]}"
    # No rate: tiles and samples mean nothing to whoever waits.
    form = "{desc} {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left"
    label = f"{number}/{count} {short}"
    with tqdm.tqdm(desc=label, total=1, leave=False, bar_format=form) as bar:

        def tell(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield tell


def _lines(label: str) -> Callable[[int, int], None]:
    spoke = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal spoke
        if done < total and time.monotonic() - spoke > _SECONDS_BETWEEN_LINES:
            print(f"{label}: {100 * done // total}%", file=sys.stderr, flush=True)
            spoke = time.monotonic()

    return tell

"""Progress of long work on the standard error: a bar on a terminal, else a line now and then."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from zoo.errors import line

SECONDS_BETWEEN_LINES = 15.0
"""Lines of a log file should not outrun its reader."""

# So many letters of a file's name leave room for the bar in 80 columns.
_NAME = 28


@contextmanager
def progress(name: str, number: int = 1, count: int = 1) -> Iterator[Callable[..., None]]:
    """Shows how far some work is, or one of several files.

    Args:
      name: of the work or the file.
      number: which file it is, the first being 1.
      count: how many there are.

    Yields:
      A function to call with what is done and all there is, such as tiles or samples, and
      optionally the name of the part that is being done.
    """
    name = line(name)
    if not sys.stderr.isatty():
        last = time.monotonic()

        def write(done: int, total: int, part: str = "") -> None:
            nonlocal last
            if done < total and time.monotonic() - last > SECONDS_BETWEEN_LINES:
                of = f"{number} of {count}: " if count > 1 else ""
                whole = f"{name} {line(part)}" if part else name
                print(f"{of}{whole}: {100 * done // total}%", file=sys.stderr, flush=True)
                last = time.monotonic()

        yield write
        return
    import tqdm  # noqa: PLC0415 - only a terminal needs it

    short = name if len(name) <= _NAME else f"...{name[3 - _NAME :]}"
    label = f"{number}/{count} {short}" if count > 1 else short
    # No rate: tiles and samples mean nothing to whoever waits.
    form = "{desc} {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left"
    with tqdm.tqdm(desc=label, total=1, leave=False, bar_format=form) as bar:

        def advance(done: int, total: int, part: str = "") -> None:
            if part:
                bar.set_description_str(f"{label} {line(part)}", refresh=False)
            bar.total = total
            bar.update(done - bar.n)

        yield advance

"""Parts that commands share: arguments, the device and tables."""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from zoo.cli import argument_types
from zoo.errors import ZooError, line


def add_places(parser: argparse.ArgumentParser, word: str) -> None:
    """Adds the arguments of a command that writes one file for each input file.

    Args:
      parser: of the command.
      word: part of the names of outputs that are written next to their inputs.
    """
    add = parser.add_argument
    add("inputs", nargs="+", metavar="INPUT", help="files, folders or patterns; - for stdin")
    add(
        *("-o", "--output"),
        metavar="OUTPUT",
        help="a file if there is one input, or - for stdout; else a folder, which is created (next "
        f"to the input, as NAME.{word}.SUFFIX; for a folder FOLDER.{word}/; for stdin stdout)",
    )
    add(
        "--format",
        metavar="ENDING",
        help="format of the outputs, such as png or wav (that of the input)",
    )
    add("--overwrite", action="store_true", help="replace existing files")
    add(
        "--skip-existing",
        action="store_true",
        help="keep existing outputs of any age (with several inputs: those no older than their "
        "input)",
    )
    add(
        "--shard",
        type=argument_types.share_of,
        metavar="K/N",
        help="process every N-th input by name, from the K-th on, with K from 1 to N, as for a job "
        "array; finished outputs are kept when it is run again",
    )


def given(arguments: argparse.Namespace, names: Iterable[str]) -> list[str]:
    """The flags of those of some options that were given, whose defaults are None or False."""
    found = [name for name in names if getattr(arguments, name) not in (None, False)]
    return [f"--{name.replace('_', '-')}" for name in found]


DEVICES = ("cpu", "gpu", "tpu")


def use_device(name: str | None) -> None:
    """Has JAX compute on a kind of device; call it before anything is computed.

    Args:
      name: one of `DEVICES`; None leaves it to JAX.

    Raises:
      ZooError: there is none, or JAX computes on another already.
    """
    if name is None:
        return
    import jax  # noqa: PLC0415 - seconds that `--help` need not wait for

    if name == "cpu":
        # Before JAX looks for others, whose memory it would take.
        jax.config.update("jax_platforms", "cpu")
    try:
        found = jax.devices(name)
    except RuntimeError:
        found = []
    if not found or jax.default_backend() != name:
        here = jax.default_backend()
        raise ZooError(f"JAX finds no {name} here, but {here}; leave out --device, or install it")


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Rows of cells in aligned columns, two spaces apart; each is a `line`."""
    rows = [tuple(map(line, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def lines(text: str) -> str:
    """Some lines, each a `line`."""
    return "\n".join(map(line, text.split("\n")))


def training_noise(record: Mapping[str, Any]) -> str:
    """The noise that weights were trained on, by their record: `gaussian 0 to 55 1/255`.

    Empty for pairs. Of noisy images alone it is how they were learned from: `noise2void`.
    """
    noise, target = record.get("noise") or {}, (record.get("target") or {}).get("name") or ""
    return " by ".join(filter(None, (_level(noise), target)))


def _level(record: Mapping[str, Any]) -> str:
    name, level, unit = (record.get(key) for key in ("name", "level", "unit"))
    if not name:
        return ""
    if isinstance(level, (list, tuple)):
        level = " to ".join(map(str, level))
    if name == "add_at_snr":
        unit = "dB"
    parts = [name, level, unit if unit != "1" else None]
    return " ".join(str(one) for one in parts if one is not None)

"""Text for a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from zoo.errors import line


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Rows of cells in aligned columns, two spaces apart; each is a `line`."""
    rows = [tuple(map(line, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def lines(told: str) -> str:
    """Some lines, each a `line`."""
    return "\n".join(map(line, told.split("\n")))


def noise(record: Mapping[str, Any]) -> str:
    """What weights were trained on, by their record: `gaussian 0 to 55 1/255`; nothing of pairs."""
    name, level, unit = (record.get(key) for key in ("name", "level", "unit"))
    if not name:
        return ""
    if isinstance(level, (list, tuple)):
        level = " to ".join(map(str, level))
    if name == "add_at_snr":
        unit = "dB"
    told = [name, level, unit if unit != "1" else None]
    return " ".join(str(one) for one in told if one is not None)

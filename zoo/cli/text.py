"""Text for a terminal."""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

# Control characters, halves of pairs (bytes of a name that are no text), ends of lines.
_UNSEEN = frozenset({"Cc", "Cs", "Zl", "Zp"})


def line(told: str) -> str:
    """One line, whatever names stand in it: a newline in one is written as in Python, `\\n`."""
    return "".join(
        repr(letter)[1:-1] if unicodedata.category(letter) in _UNSEEN else letter for letter in told
    )


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Rows of cells in aligned columns, two spaces apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


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

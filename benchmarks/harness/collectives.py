"""What devices exchange, read from a compiled program."""

import math
import re

_KINDS = "(?:ragged-)?all-[a-z-]+?|reduce-scatter|collective-[a-z]+|send|recv"
_COLLECTIVE = re.compile(rf"= (?P<shapes>.+?) (?P<kind>{_KINDS})(?:-start)?\(")
_SHAPE = re.compile(r"\b([a-z]+?)(\d+)\[([\d,]*)\]")


def collectives(text: str) -> list[tuple[str, int]]:
    """The collectives of a program: (kind, bytes) each.

    Args:
      text: of the compiled program, as `jax.stages.Compiled.as_text` gives it.
    """
    found = []
    for match in _COLLECTIVE.finditer(text):
        size = sum(
            int(bits) // 8 * math.prod(map(int, filter(None, dims.split(","))))
            for _, bits, dims in _SHAPE.findall(match["shapes"])
        )
        found.append((match["kind"], size))
    return found

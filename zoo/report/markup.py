"""HTML by functions: what comes from files is escaped, because everything is."""

import html
from collections.abc import Iterable

# Elements that have no end tag.
_VOID = frozenset({"br", "hr", "img", "input", "meta"})


class Markup(str):
    """Text that is HTML already; every other text is escaped where it is put in."""

    __slots__ = ()


Child = str | None | Iterable["Child"]
"""What an element may hold: markup, text to escape, nothing, or several of these."""


def element(name: str, /, *children: Child, **attributes: str | float | bool | None) -> Markup:
    """One element.

    Args:
      name: such as "p".
      children: what is in it, in order.
      attributes: by name; an underscore stands for a hyphen, one at the end for none (`class_`).
        True is an attribute without a value; False and None are left out.
    """
    told = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Markup(f"<{name}{told}>")
    return Markup(f"<{name}{told}>{join(children)}</{name}>")


def join(children: Child) -> Markup:
    """Children one after the other, escaped where they are not markup."""
    if children is None:
        return Markup()
    if isinstance(children, Markup):
        return children
    if isinstance(children, str):
        return Markup(html.escape(children, quote=False))
    return Markup("".join(map(join, children)))


def _attribute(key: str, value: str | float | bool | None) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{html.escape(str(value))}"'

"""Numbers as a reader wants them."""

import math

_MINUS = "\N{MINUS SIGN}"


def fixed(value: float | None, digits: int, *, sign: bool = False) -> str:
    """A number with so many digits after the point; a dash for none.

    Args:
      value: what to write; None and NaN are none.
      digits: after the point.
      sign: whether a plus is written too.
    """
    if value is None or math.isnan(value):
        return "\N{EN DASH}"
    if math.isinf(value):
        return "\N{INFINITY}" if value > 0 else f"{_MINUS}\N{INFINITY}"
    return f"{value:{'+' if sign else ''}.{digits}f}".replace("-", _MINUS)


def short(value: float) -> str:
    """A number for the tick of an axis: 5000 is 5k, 0.0001 is 1e-4."""
    if value and (abs(value) < 1e-3 or abs(value) >= 1e7):
        mantissa, exponent = f"{value:.2e}".split("e")
        text = f"{float(mantissa):g}e{int(exponent)}"
    elif abs(value) >= 1e6:
        text = f"{value / 1e6:g}M"
    elif abs(value) >= 1e4 or (abs(value) >= 1e3 and value % 100 == 0):
        text = f"{value / 1e3:g}k"
    else:
        text = f"{value:.6g}"
    return text.replace("-", _MINUS)


def duration(seconds: float) -> str:
    """A time in its two largest units, such as 1 h 12 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(count: int) -> str:
    """Bytes in the unit that suits, 1 MB being a million."""
    if count < 1e6:
        return f"{count / 1e3:.0f} kB"
    return f"{count / 1e6:.1f} MB"

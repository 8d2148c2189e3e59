"""Signals that are too loud, too soft or off the zero line. Nothing is random; keys are ignored."""

from zoo.noise.audio.law import op
from zoo.noise.contract import ANY


@op(db=ANY)
def gain(key, x, *, db):
    """Multiplies by a gain: `x * 10**(db / 20)`.

    Args:
      key: ignored.
      x: recordings of any shape.
      db: level; the gain in dB, any number. -6 is about half the amplitude.
      clip: `(low, high)` to clip the result to, or None; a converter has (-1, 1).

    Returns:
      The signal, shape and dtype of `x`.
    """
    del key
    return x * 10 ** (db / 20)


@op(offset=ANY)
def dc_offset(key, x, *, offset):
    """Adds a constant: `x + offset`.

    Args:
      key: ignored.
      x: recordings of any shape.
      offset: level; the constant, of either sign, in units of the signal.
      clip: `(low, high)` to clip the result to, or None; a converter has (-1, 1).

    Returns:
      The signal, shape and dtype of `x`.
    """
    del key
    return x + offset

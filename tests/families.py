"""Which cells of a matrix the README's test line runs; the others are marked, and CI runs them."""

import pytest

REPRESENTATIVE = {"unet", "swinir", "stream_unet"}


def marked(value, family, *more):
    """A parameter of a test, or several, of the matrix where another family stands for its."""
    return pytest.param(value, *more, marks=[pytest.mark.matrix] * (family not in REPRESENTATIVE))


def first(count, values):
    """Parameters of a test, of which those behind the first few are of the matrix."""
    values = [one if isinstance(one, tuple) else (one,) for one in values]
    return [
        pytest.param(*one, marks=[pytest.mark.matrix] * (i >= count))
        for i, one in enumerate(values)
    ]

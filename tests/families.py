"""The families of models that stand for all: with the others a test belongs to the matrix."""

import pytest

# README's test line runs these; CI runs the others too.
REPRESENTATIVE = {"unet", "nafnet", "swinir", "stream_unet"}


def marked(value, family, *more):
    """A parameter of a test, or several, of the matrix where another family stands for its."""
    return pytest.param(value, *more, marks=[pytest.mark.matrix] * (family not in REPRESENTATIVE))

"""Ways in from other frameworks and out to them."""

from zoo.interop import nnx, torch

__all__ = ["nnx", "torch"]

"""Ways in from other frameworks and out to them."""

from zoo.interop import export, nnx, torch

__all__ = ["export", "nnx", "torch"]

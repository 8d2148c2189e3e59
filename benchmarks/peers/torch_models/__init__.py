"""The peers' networks in PyTorch, one file each, NCHW, as one writes them there."""

import importlib

from torch import nn


def build(family: str, fields: dict) -> nn.Module:
    """The network of a family: `build(**fields)` of its module."""
    return importlib.import_module(f"torch_models.{family}").build(**fields)

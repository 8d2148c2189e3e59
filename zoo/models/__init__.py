"""Denoisers as Flax Linen modules, NHWC, `__call__(x, level=None, *, train=False)`."""

from zoo.models.registry import Record, create_model, list_models, record
from zoo.models.unet import UNet

__all__ = ["Record", "UNet", "create_model", "list_models", "record"]

"""Denoisers as Flax Linen modules, NHWC, `__call__(x, level=None, *, train=False)`."""

from zoo.models.conv_autoencoder import ConvAutoencoder
from zoo.models.mlp_autoencoder import MLPAutoencoder
from zoo.models.registry import Record, count_parameters, create_model, list_models, record
from zoo.models.unet import UNet
from zoo.models.upsample_cnn import UpsampleCNN

__all__ = [
    "ConvAutoencoder",
    "MLPAutoencoder",
    "Record",
    "UNet",
    "UpsampleCNN",
    "count_parameters",
    "create_model",
    "list_models",
    "record",
]

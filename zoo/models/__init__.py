"""Denoisers as Flax Linen modules, NHWC, `__call__(x, level=None, *, train=False)`."""

from zoo.models.conv_autoencoder import ConvAutoencoder
from zoo.models.dncnn import DnCNN, merge_batch_norm
from zoo.models.drunet import DRUNet
from zoo.models.ffdnet import FFDNet
from zoo.models.initialize import init_variables
from zoo.models.mlp_autoencoder import MLPAutoencoder
from zoo.models.nafnet import NAFNet
from zoo.models.registry import (
    Record,
    count_parameters,
    create_model,
    list_models,
    record,
    variable_shapes,
)
from zoo.models.restormer import Restormer
from zoo.models.scunet import SCUNet
from zoo.models.swinir import SwinIR
from zoo.models.unet import UNet
from zoo.models.upsample_cnn import UpsampleCNN

__all__ = [
    "ConvAutoencoder",
    "DRUNet",
    "DnCNN",
    "FFDNet",
    "MLPAutoencoder",
    "NAFNet",
    "Record",
    "Restormer",
    "SCUNet",
    "SwinIR",
    "UNet",
    "UpsampleCNN",
    "count_parameters",
    "create_model",
    "init_variables",
    "list_models",
    "merge_batch_norm",
    "record",
    "variable_shapes",
]

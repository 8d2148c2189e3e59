"""Denoisers as Flax Linen modules, NHWC or (B, T, C), `__call__(x, level=None, *, train=False)`."""

from zoo.models.conv import disable_winograd
from zoo.models.conv_autoencoder import ConvAutoencoder
from zoo.models.dncnn import DnCNN
from zoo.models.drunet import DRUNet
from zoo.models.ffdnet import FFDNet
from zoo.models.gtcrn import GTCRN
from zoo.models.mlp_autoencoder import MLPAutoencoder
from zoo.models.nafnet import NAFNet
from zoo.models.registry import (
    ModelSpec,
    count_parameters,
    create_model,
    init_variables,
    list_models,
    merge_batch_norm,
    model_spec,
    shape_mismatches,
    small_options,
    spec_of,
    variable_shapes,
)
from zoo.models.restormer import Restormer
from zoo.models.scunet import SCUNet
from zoo.models.spectral_gate import SpectralGate
from zoo.models.stream_unet import StreamUNet
from zoo.models.swinir import SwinIR
from zoo.models.unet import UNet
from zoo.models.upsample_cnn import UpsampleCNN
from zoo.models.wave_unet import WaveUNet
from zoo.models.wiener import Wiener

__all__ = [
    "GTCRN",
    "ConvAutoencoder",
    "DRUNet",
    "DnCNN",
    "FFDNet",
    "MLPAutoencoder",
    "ModelSpec",
    "NAFNet",
    "Restormer",
    "SCUNet",
    "SpectralGate",
    "StreamUNet",
    "SwinIR",
    "UNet",
    "UpsampleCNN",
    "WaveUNet",
    "Wiener",
    "count_parameters",
    "create_model",
    "disable_winograd",
    "init_variables",
    "list_models",
    "merge_batch_norm",
    "model_spec",
    "shape_mismatches",
    "small_options",
    "spec_of",
    "variable_shapes",
]

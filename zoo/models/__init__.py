"""Denoisers as Flax Linen modules: `__call__(x, level=None, *, train=False)`.

Images are (N, H, W, C), audio is (B, T, C).
"""

from zoo.models.audio_denoiser import AudioDenoiser, StreamingDenoiser
from zoo.models.autoencoders import ConvAutoencoder, MLPAutoencoder, UpsampleCNN
from zoo.models.classical import SpectralGate, Wiener
from zoo.models.conv import disable_winograd
from zoo.models.conv_chains import DnCNN, FFDNet
from zoo.models.deepfilternet3 import DeepFilterNet3
from zoo.models.denoiser import Denoiser, ModelSpec, spec_of
from zoo.models.drunet import DRUNet
from zoo.models.gtcrn import GTCRN
from zoo.models.nafnet import NAFNet
from zoo.models.registry import (
    ModelCard,
    count_parameters,
    create_model,
    inference_options,
    init_variables,
    list_models,
    merge_batch_norm,
    model_card,
    model_spec,
    shape_mismatches,
    small_options,
    variable_shapes,
)
from zoo.models.restormer import Restormer
from zoo.models.scunet import SCUNet
from zoo.models.stream_unet import StreamUNet
from zoo.models.swinir import SwinIR
from zoo.models.ulunas import ULUNAS
from zoo.models.unet import UNet
from zoo.models.wave_unet import WaveUNet

__all__ = [
    "GTCRN",
    "ULUNAS",
    "AudioDenoiser",
    "ConvAutoencoder",
    "DRUNet",
    "DeepFilterNet3",
    "Denoiser",
    "DnCNN",
    "FFDNet",
    "MLPAutoencoder",
    "ModelCard",
    "ModelSpec",
    "NAFNet",
    "Restormer",
    "SCUNet",
    "SpectralGate",
    "StreamUNet",
    "StreamingDenoiser",
    "SwinIR",
    "UNet",
    "UpsampleCNN",
    "WaveUNet",
    "Wiener",
    "count_parameters",
    "create_model",
    "disable_winograd",
    "inference_options",
    "init_variables",
    "list_models",
    "merge_batch_norm",
    "model_card",
    "model_spec",
    "shape_mismatches",
    "small_options",
    "spec_of",
    "variable_shapes",
]

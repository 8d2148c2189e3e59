"""A denoiser learned from noisy images alone, by neighboring pixels that predict each other.

    zoo train neighbor2neighbor:FOLDER
    zoo denoise FOLDER -o clean/ --weights runs/neighbor2neighbor-FOLDER/weights.safetensors

FOLDER holds noisy images and nothing else; their noise is independent from pixel to pixel, of any
kind. Without FOLDER the embedded photos train, seen with Gaussian noise only, and the clean ones
score.
"""

from zoo.train.config import default_config


def get_config(folder: str = ""):
    config = default_config()
    config.name = "neighbor2neighbor"
    config.model.name = "unet-small"
    config.target.name = "neighbor2neighbor"
    config.loss = "mse"
    config.data.fractions = (0.9, 0.1, 0.0)
    config.train.steps = 3000
    config.train.ema_decay = 0.99
    config.validation.every = 500
    config.data.natural = "zoo train neighbor2neighbor:FOLDER, a folder of noisy images"
    if folder:
        config.noise.name = ""
        config.noise.level = None
        config.data.name = "folder"
        config.data.path = folder
        config.data.channels = 0  # those of the first image
    return config

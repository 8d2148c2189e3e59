"""A denoiser learned from noisy images alone, by Stein's estimate of its error.

    zoo train sure:FOLDER --target.level=25
    zoo denoise FOLDER -o clean/ --weights runs/sure-FOLDER/weights.safetensors

FOLDER holds noisy images and nothing else, of Gaussian noise that is independent from pixel to
pixel and not clipped, and target.level is its sigma, of 255. Where it is not known:

    zoo train sure:FOLDER --target.name=unsure

Without FOLDER the embedded photos train, seen with Gaussian noise only, and the clean ones score.
"""

from zoo.train.config import default_config


def get_config(folder: str = ""):
    config = default_config()
    config.name = "sure"
    config.model.name = "unet-small"
    config.target.name = "sure"
    config.loss = "mse"
    config.data.fractions = (0.9, 0.1, 0.0)
    config.train.steps = 3000
    config.train.ema_decay = 0.99
    config.validation.every = 500
    config.data.natural = "zoo train sure:FOLDER, a folder of noisy images"
    if folder:
        config.noise.name = ""
        config.noise.level = None
        config.data.name = "folder"
        config.data.path = folder
        config.data.channels = 0  # those of the first image
    return config

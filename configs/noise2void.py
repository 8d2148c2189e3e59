"""A denoiser learned from noisy images alone, whose noise is independent from pixel to pixel.

    zoo train noise2void:FOLDER
    zoo denoise FOLDER -o clean/ --weights runs/noise2void-FOLDER/weights.safetensors

FOLDER holds noisy images and nothing else; no level is needed. A tenth of them, where there are
ten, is held out for the loss that chooses the best average. Noise that is correlated along rows:

    zoo train noise2void:FOLDER --target.options.span=4

Volumes and time series, each plane seen with its neighbors; and of scenes that stand still from
frame to frame the next frame as the target, for noise of any kind that is new in every frame:

    zoo train noise2void:FOLDER --model.options.planes=3
    zoo train noise2void:FOLDER --model.name=unet3d-small
    zoo train noise2void:FOLDER --model.options.planes=3 --target.name=noise2noise

Without FOLDER the embedded photos train, seen with Gaussian noise only, and the clean ones score.
"""

from zoo.train.config import default_config


def get_config(folder: str = ""):
    config = default_config()
    config.name = "noise2void"
    config.model.name = "unet-small"
    config.target.name = "noise2void"
    config.loss = "mse"
    config.data.fractions = (0.9, 0.1, 0.0)
    config.train.steps = 3000
    config.train.ema_decay = 0.99
    config.validation.every = 500
    config.data.natural = "zoo train noise2void:FOLDER, a folder of noisy images"
    if folder:
        config.noise.name = ""
        config.noise.level = None
        config.data.name = "folder"
        config.data.path = folder
        config.data.channels = 0  # those of the first image
    return config

"""A denoiser learned from noisy stacks alone: volumes or series, each plane with its neighbors.

    zoo train stacks:FOLDER
    zoo denoise FOLDER -o clean/ --weights runs/stacks-FOLDER/weights.safetensors

FOLDER holds noisy multi-page TIFF, OME-TIFF, NIfTI, MRC, NumPy, Zarr or multi-frame DICOM files, or
is one of them. A plane is predicted from itself and one plane on each side, with its pixels hidden
one at a time (Noise2Void), so that the noise is to be independent from pixel to pixel; more planes
by `--model.options.planes=5`. Where the scene stands still over some frames, the next frame is the
better target (Noise2Noise); its noise may be of any kind that is new in every frame:

    zoo train stacks:FOLDER --target.name=noise2noise

Without FOLDER the embedded photos train, one plane each, seen with Gaussian noise only.
"""

from zoo.train.config import default_config


def get_config(folder: str = ""):
    config = default_config()
    config.name = "stacks"
    config.model.name = "unet-small"
    config.target.name = "noise2void"
    config.loss = "mse"
    config.data.fractions = (0.9, 0.1, 0.0)
    config.train.steps = 3000
    config.train.ema_decay = 0.99
    config.validation.every = 500
    config.data.natural = "zoo train stacks:FOLDER, a folder of noisy volumes or time series"
    if folder:
        config.model.options.planes = 3
        config.noise.name = ""
        config.noise.level = None
        config.data.name = "folder"
        config.data.path = folder
        config.data.channels = 0  # those of the first image
    return config

"""The default job: a small U-Net that removes Gaussian noise of sigma 25/255 from color photos.

    zoo train unet
    zoo train unet --noise.level=50
    zoo train unet:FOLDER

The first trains on the photographs embedded in scikit-image, the last on a folder of your own.

It reached 31.36 dB and SSIM 0.853 on chelsea, coffee and camera, where non-local means has 30.01
and 0.798, in 8 minutes on two CPU cores, evaluation and all. With `--optimizer.name=adam` it
reached 31.24 dB; with `--train.steps=1500` it reaches 30.99 dB, and 30.51 dB with both.
"""

from zoo.train.config import default_config


def get_config(folder: str = ""):
    config = default_config()
    config.name = "unet"
    config.model.name = "unet-small"
    config.optimizer.name = "muon"
    config.optimizer.learning_rate = 3e-3
    config.optimizer.warmup = 0.02
    config.train.batch_size = 8
    config.train.steps = 7000
    config.data.natural = "zoo train unet:FOLDER with a folder of photographs"
    if folder:
        config.data.name = "folder"
        config.data.path = folder
        config.data.fractions = (0.6, 0.1, 0.3)
        config.validation.limit = 8
        config.eval.limit = 16  # the baselines take minutes on a photo straight from a camera
    return config

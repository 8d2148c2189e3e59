"""`unet-color`, the weights for any color photograph: one network for every sigma up to 55.

    zoo train unet_color:DATA

DATA holds `bsds500/` with train/, val/ and test/, and `cbsd68/`. It trains on BSDS500's train and
test, selects on the 32 images of val that are not in CBSD68, and is tested on CBSD68. Without
DATA the embedded photos train.

On CBSD68 it reached 33.66 / 31.00 / 27.72 dB at sigma 15 / 25 / 50 (CBM3D 33.52 / 30.71 / 27.38,
FFDNet 33.87 / 31.21 / 27.96). 85 minutes on one of two CPU cores, the other at work too.
`configs/unet_gray.py` tells of trials, and of two more runs that gained it 0.07 dB.
"""

from zoo.train.config import default_config


def get_config(folder: str = ""):
    config = default_config()
    config.name = "unet_color"
    config.model.name = "unet-medium"
    config.model.options.takes_level = True
    config.data.crop = (64, 64)
    config.noise.level = (0, 55)
    config.optimizer.learning_rate = 1e-3
    config.optimizer.warmup = 0.01
    config.optimizer.clip_norm = 0.5  # at 2e-3 and without it a run diverged
    config.train.batch_size = 8
    config.train.steps = 20000
    config.train.ema_decay = 0.999
    config.checkpoint.every = 1000
    config.validation.every = 2000
    config.eval.levels = (15, 25, 50)
    config.data.natural = "zoo train unet_color:DATA, with bsds500/ and cbsd68/ in it"
    if folder:
        config.data.name = "folder"
        config.data.path = f"{folder}/bsds500"
        config.data.options.train = ("train", "test")
        config.data.options.validation = "val"
        config.data.options.test = "../cbsd68"
        config.data.options.exclude = "../cbsd68"
    return config

"""`unet-color`, for color photographs with Gaussian noise: one network for every sigma to 55.

    zoo train unet_color:DATA

DATA holds `photos/` with train/ and val/, and `cbsd68/`. It trains on photos/train, selects on
photos/val and is tested on CBSD68. Without DATA the embedded photos train. It begins with the
weights `unet-photo`, and is told the level besides; 9.8 GMACs for an image of 256x256.
"""

from zoo.train.config import default_config


def get_config(folder: str = ""):
    config = default_config()
    config.name = "unet_color"
    config.model.name = "unet-medium"
    config.model.options.blocks = 3
    config.model.options.takes_level = True
    config.data.crop = (96, 96)
    config.noise.level = (0, 55)
    config.optimizer.name = "muon"
    config.optimizer.learning_rate = 1e-3
    config.optimizer.warmup = 0.02
    config.optimizer.clip_norm = 0.5
    config.train.start = "unet-photo"
    config.train.batch_size = 4
    config.train.steps = 14000
    config.train.ema_decay = 0.999
    config.checkpoint.every = 250
    config.validation.every = 1000
    config.eval.levels = (15, 25, 50)
    config.data.natural = "zoo train unet_color:DATA, with photos/ and cbsd68/ in it"
    if folder:
        config.data.name = "folder"
        config.data.path = f"{folder}/photos"
        config.data.options.train = "train"
        config.data.options.validation = "val"
        config.data.options.test = "../cbsd68"
    return config

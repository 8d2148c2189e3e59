"""A LeakyReLU upsampling CNN on 256x256 color images, after a published recipe.

    zoo train upsample_cnn:FOLDER
    zoo train upsample_cnn:FOLDER --model.name=upsample_cnn-skip

Binary cross-entropy, Adam, batch 32. FOLDER holds images; without it tiles of the embedded photos
train. The second line is the variant with skip connections.

On the 500 photographs of BSDS500 in one folder (300 train, 50 of the others test) the first line
reached 20.93 dB from 20.41; the second was not run.
"""

from zoo.train.config import default_config


def get_config(folder: str = ""):
    config = default_config()
    config.name = "upsample_cnn"
    config.model.name = "upsample_cnn-base"
    config.data.crop = ()
    config.data.augment.quarter_turn = False
    config.noise.level = 0.1
    config.noise.unit = "1"
    config.loss = "binary_cross_entropy"
    config.optimizer.schedule = "constant"
    config.train.batch_size = 32
    config.train.epochs = 10.0
    config.train.ema_decay = 0.99
    config.data.natural = "zoo train upsample_cnn:FOLDER with a folder of images"
    if folder:
        config.data.name = "folder"
        config.data.path = folder
        config.data.size = (256, 256)
    else:
        config.data.tile = (256, 256)
    return config

"""A strided convolutional autoencoder on 128x128 color images, after a published recipe.

    zoo train conv_autoencoder:FOLDER
    zoo train conv_autoencoder:FOLDER --optimizer.learning_rate=1e-3

Mean squared error, Adam, 60/40 split, small rotations, shifts and flips, 50 epochs, batch 64. The
first line is the recipe with its learning rate of 1e-5, the second the same with a sensible one.
FOLDER holds images; without it tiles of the embedded photos train.

On the 500 photographs of BSDS500 in one folder the second line reached 18.53 dB, MSE 0.0158 and MAE
0.091, in 12 minutes on two CPU cores busy with other work too. The noisy images have 20.34 dB:
the code is too small for photographs. The first line has 8.33 dB after its 235 steps (6 minutes):
at 1e-5 it has hardly begun.
"""

from zoo.train.config import default_config


def get_config(folder: str = ""):
    config = default_config()
    config.name = "conv_autoencoder"
    config.model.name = "conv_autoencoder-photo"
    config.data.crop = ()
    config.data.augment.quarter_turn = False
    config.data.augment.rotate = 10.0
    config.data.augment.shift = 0.1
    config.noise.level = 0.1
    config.noise.unit = "1"
    config.loss = "mse"
    config.optimizer.learning_rate = 1e-5
    config.optimizer.schedule = "constant"
    config.train.batch_size = 64
    config.train.epochs = 50.0
    config.train.ema_decay = 0.99
    config.data.natural = "zoo train conv_autoencoder:FOLDER with a folder of images"
    if folder:
        config.data.name = "folder"
        config.data.path = folder
        config.data.size = (128, 128)
    else:
        config.data.tile = (128, 128)
    return config

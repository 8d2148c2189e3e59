"""A dense 784-128-784 autoencoder on 28x28 gray images at noise factors 0.3, 0.5 and 0.8.

    zoo train mlp_autoencoder:FOLDER
    zoo train mlp_autoencoder:FOLDER --noise.level=0.5

FOLDER holds the four idx files of MNIST; without it tiles of the embedded photos train. The first
line trains one network for all three factors, the second one for a factor of its own.

On MNIST, 1000 test images, the one network reached 19.73, 18.03 and 15.70 dB at the three
factors, networks of their own 20.84, 18.08 and 15.69; the noisy images have 13.34, 9.39 and 6.82.
About a minute each on two CPU cores.
"""

from zoo.train.config import default_config


def get_config(folder: str = ""):
    config = default_config()
    config.name = "mlp_autoencoder"
    config.model.name = "mlp_autoencoder-mnist"
    config.data.channels = 1
    config.data.crop = ()
    config.data.augment.flip = False
    config.data.augment.quarter_turn = False
    config.noise.level = (0.3, 0.8)
    config.noise.unit = "1"
    config.noise.options.clip = (0.0, 1.0)
    config.loss = "binary_cross_entropy"
    config.optimizer.schedule = "constant"
    config.train.batch_size = 256
    config.train.epochs = 10.0
    config.validation.every = 200
    config.eval.levels = (0.3, 0.5, 0.8)
    config.eval.limit = 1000
    config.data.natural = "zoo train mlp_autoencoder:FOLDER with MNIST's idx files"
    if folder:
        config.data.name = "idx"
        config.data.path = folder
        config.data.fractions = (0.9, 0.1, 0.0)
    else:
        config.data.tile = (28, 28)
    return config

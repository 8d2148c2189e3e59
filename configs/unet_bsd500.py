"""A U-Net on the 500 photographs of BSDS500, Gaussian noise, 50 epochs.

    zoo train unet_bsd500:FOLDER

FOLDER holds `train/`, `val/` and `test/` of BSDS500; without it the embedded photos train.

One network for every sigma up to 55. After 8 epochs (--train.epochs=8) it had 32.80, 30.08
and 26.73 dB at sigma 15, 25 and 50 on the first 50 test images, where the best classical method
has 31.06, 28.49 and 25.30: 15 minutes on two CPU cores busy with other work too. The whole 50
epochs were not run.
"""

from zoo.train.config import default_config


def get_config(folder: str = ""):
    config = default_config()
    config.name = "unet_bsd500"
    config.model.name = "unet-small"
    config.optimizer.learning_rate = 2e-3
    config.optimizer.warmup = 0.02
    config.train.epochs = 50.0
    config.validation.limit = 32
    config.eval.levels = (15, 25, 50)
    config.eval.limit = 50
    config.noise.level = (0, 55)
    config.data.natural = "zoo train unet_bsd500:FOLDER with BSDS500's train/, val/, test/"
    if folder:
        config.data.name = "folder"
        config.data.path = folder
    return config

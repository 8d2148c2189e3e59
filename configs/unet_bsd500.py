"""A U-Net on the 500 photographs of BSDS500, Gaussian noise, 50 epochs.

    python main.py --config=configs/unet_bsd500.py:FOLDER

FOLDER holds `train/`, `val/` and `test/` of BSDS500; without it the embedded photos train.
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
    config.data.natural = (
        "--config=configs/unet_bsd500.py:FOLDER with BSDS500's train/, val/, test/"
    )
    if folder:
        config.data.name = "folder"
        config.data.path = folder
    return config

"""A network for any color photograph whose noise is not known: cameras, files and Gaussian noise.

    zoo train unet_photo:DATA

DATA holds `photos/` with train/ and val/, and `cbsd68/`. It trains on photos/train with the noise
op `photograph`, selects on photos/val and is tested on CBSD68, each with noise of its own kind and
strength per image. The network is blind to the level, and of the widths of `unet-medium` with three
times as many blocks; 9.7 GMACs for an image of 256x256. Without DATA the embedded photos train.

The weights that come with the zoo were trained in five runs, 61,000 steps in all, with

    --data.crop='(64, 64)' --validation.limit=12

and each from the weights before (`--train.start=FILE`), with a new learning-rate schedule: 7,000
steps without zoom; 16,000 steps with the zoom of every crop, which changed clean images too much,
so that the next run started from the mean of both, 0.7 of these weights and 0.3 of those before;
12,000 steps with the zoom of every other crop, as it is now; 12,000 steps at a learning rate of
7e-4. Up to then `photograph` had noise reduction in every image of a camera, and linear
demosaicking only: the weights left most of the noise of raw files that a program develops without
noise reduction. 14,000 steps followed with the noise as it is now.

A trial of layer norm, one run each at commit 2bab2c1, whose noise of cameras is finer in chroma and
weaker, had 35.09 dB in validation, and 34.53 dB with the last flag:

    zoo train unet_photo:DATA --data.crop='(64, 64)' --train.steps=300 --train.ema_decay=0.97 \\
        --optimizer.learning_rate=2e-3 --validation.every=150 --validation.limit=12 \\
        --model.options.norm=layer

Further tests of the shipped weights: Gaussian noise (32.82, 29.95 and 25.83 dB) and PolyU (37.93 dB
from 35.97).

    zoo score unet-photo --data DATA/cbsd68 --sigma 15 25 50
    zoo score unet-photo --data DATA/polyu --pairs '*_real.JPG' '*_mean.JPG'
"""

from zoo.train.config import default_config


def get_config(folder: str = ""):
    config = default_config()
    config.name = "unet_photo"
    config.model.name = "unet-medium"
    config.model.options.blocks = 3
    config.data.crop = (96, 96)
    # The photographs were scaled down until they were clean and sharp; those of cameras are softer.
    config.data.augment.zoom = 1.0
    config.noise.name = "photograph"
    config.noise.level = 1.0
    config.noise.unit = "1"
    config.optimizer.name = "muon"
    config.optimizer.learning_rate = 1e-3
    config.optimizer.warmup = 0.02
    config.optimizer.clip_norm = 0.5
    config.train.batch_size = 4
    config.train.steps = 20000
    config.train.ema_decay = 0.999
    config.checkpoint.every = 200
    config.validation.every = 1000
    config.eval.levels = (1.0,)
    config.data.natural = "zoo train unet_photo:DATA, with photos/ and cbsd68/ in it"
    if folder:
        config.data.name = "folder"
        config.data.path = f"{folder}/photos"
        config.data.options.train = "train"
        config.data.options.validation = "val"
        config.data.options.test = "../cbsd68"
    return config

r"""`unet-gray`, the weights for any gray photograph: one network for every sigma up to 55.

    zoo train unet_gray:DATA

Its weights come from three runs, each begun with those of the one before, here called START:

    zoo train unet_gray:DATA --workdir=runs/first
    zoo train unet_gray:DATA --workdir=runs/second \
      --train.start=START --optimizer.name=muon --optimizer.warmup=0.02 \
      --data.crop='(96, 96)' --train.batch_size=4 --train.steps=14000 \
      --validation.every=1000
    zoo train unet_gray:DATA --workdir=runs/third \
      --train.start=START --optimizer.name=muon --optimizer.warmup=0.02 \
      --data.crop='(96, 96)' --train.batch_size=4 --train.steps=6000 \
      --optimizer.learning_rate=4e-4 --loss=psnr \
      --validation.every=500

DATA holds `bsds500/` with train/, val/ and test/, `cbsd68/` and `bsd68/`. It trains on BSDS500's
train and test, selects on the 32 images of val that are not in CBSD68 (the color version, which
has the file names), and is tested on BSD68. Without DATA the embedded photos train.

On BSD68, by the published protocol at sigma 15 / 25 / 50, the last has 31.44 / 28.97 / 26.00 dB
(BM3D 31.08 / 28.57 / 25.60, FFDNet 31.63 / 29.19 / 26.29). By their own tests:

    first    31.33 / 28.88 / 25.94 dB, 93 minutes on one of two CPU cores, the other at work too
    second   31.39 / 28.94 / 25.99 dB, 46 minutes on both, other work beside
    third    31.43 / 28.96 / 25.99 dB, 18 minutes on both

What was tried for it, from nothing, validated at sigma 27.5 on the 32 images:

    --train.steps=1500 --train.ema_decay=0.99 --validation.every=500   27.28 dB
    the same, --optimizer.name=muon --optimizer.learning_rate=2e-3   27.63, a step a
                                                                                 fifth slower
    the same again, --model.options.takes_level=False (blind)               27.36
"""

from zoo.train.config import default_config


def get_config(folder: str = ""):
    config = default_config()
    config.name = "unet_gray"
    config.model.name = "unet-medium"
    config.model.options.takes_level = True
    config.data.channels = 1
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
    config.data.natural = "zoo train unet_gray:DATA with bsds500/, cbsd68/, bsd68/ in DATA"
    if folder:
        config.data.name = "folder"
        config.data.path = f"{folder}/bsds500"
        config.data.options.train = ("train", "test")
        config.data.options.validation = "val"
        config.data.options.test = "../bsd68"
        config.data.options.exclude = "../cbsd68"
    return config

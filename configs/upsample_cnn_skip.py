"""`upsample_cnn.py` with skip connections, residual blocks and an SSIM loss.

    zoo train upsample_cnn_skip:FOLDER

The same images of 256x256, noise and split; the network passes detail around the low resolutions
and predicts the noise. The loss is the mix of l1 and MS-SSIM of Zhao et al., "Loss functions for
image restoration with neural networks" (2017). Muon, a cosine schedule, 16 epochs, batch 4.
FOLDER holds images; without it tiles of the embedded photos train.

On the 500 photographs of BSDS500 in one folder it reached 30.19 dB and SSIM 0.878 on the first 50
of 200 test images, as --eval.limit=50 takes them (wavelets 28.23 and 0.780, the noisy ones 20.41),
and 30.39 dB on all of them (wavelets 28.48). After 10 epochs it had 29.69 and 29.87 dB.
"""

from zoo.train.config import default_config


def get_config(folder: str = ""):
    config = default_config()
    config.name = "upsample_cnn_skip"
    config.model.name = "upsample_cnn-deep"
    config.data.crop = ()
    config.noise.level = 0.1
    config.noise.unit = "1"
    config.loss = {"l1": 0.16, "ms_ssim": 0.84}
    config.optimizer.name = "muon"
    config.optimizer.learning_rate = 2e-3
    config.optimizer.warmup = 0.02
    config.optimizer.clip_norm = 0.5
    config.train.batch_size = 4
    config.train.epochs = 16.0
    config.train.ema_decay = 0.99
    config.data.natural = "zoo train upsample_cnn_skip:FOLDER with a folder of images"
    if folder:
        config.data.name = "folder"
        config.data.path = folder
        config.data.size = (256, 256)
    else:
        config.data.tile = (256, 256)
    return config

"""A U-Net on real camera noise: pairs of a noisy photograph and its clean mean, split by scene.

    zoo train unet_real:FOLDER

FOLDER holds pairs like those of PolyU (Xu et al., "Real-world Noisy Image Denoising", 2018):
`SCENE_NUMBER_real.JPG` is noisy, `SCENE_NUMBER_mean.JPG` clean, SCENE a word of letters; other
names want another `data.options.scene`. Without FOLDER the embedded photos train, with the
simulated noise of a camera.

It begins with `unet-color`, the weights of Gaussian noise that come with the package, without their
map of the level. On PolyU (59 training pairs, 30 test pairs of other scenes) it reached 39.23 dB
and SSIM 0.966 from 36.77 and 0.921; total variation with the strength that suits each test image
best has 37.59 and 0.943. 13 minutes on two CPU cores busy with other work too. The weights ship as
`unet-real`. From scratch, with --train.start= --model.name=unet-small
--optimizer.learning_rate=2e-3, it was 37.45 dB.
"""

from zoo.train.config import default_config


def get_config(folder: str = ""):
    config = default_config()
    config.name = "unet_real"
    config.model.name = "unet-medium"
    config.train.start = "unet-color"
    config.optimizer.learning_rate = 5e-4
    config.optimizer.warmup = 0.02
    config.train.steps = 3000
    config.noise.unit = "1"
    config.data.natural = "zoo train unet_real:FOLDER with PolyU's *_real.JPG, *_mean.JPG"
    if folder:
        config.noise.name = ""
        config.noise.level = None
        config.data.name = "pairs"
        config.data.path = folder
        config.data.fractions = (0.6, 0.1, 0.3)
        config.data.options.noisy = "*_real.JPG"
        config.data.options.clean = "*_mean.JPG"
        # CAMERA_APERTURE_SHUTTER_ISO_SUBJECT_NUMBER: several cameras took the same subjects.
        config.data.options.scene = r"([A-Za-z]+)_+\d+_real$"
    else:
        config.noise.name = "camera"
        config.noise.level = (0.0, 0.02)
        config.noise.options.read = 0.01
        config.eval.levels = (0.005, 0.02)
    return config

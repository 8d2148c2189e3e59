"""The streaming complex-mask U-Net on speech in noise, at 16 kHz and 16 ms a step.

    python main.py --config=configs/audio_stream.py
    python main.py --config=configs/audio_stream.py:SPEECH --config.data.options.noise=NOISE

The first trains on voices and ambience made by a formula, so that it runs anywhere; it is no
substitute for speech. The second trains on a folder of clean recordings, mixed on the device with
the recordings of a folder of noises at a random SNR.
"""

from zoo.train.config import audio_config


def get_config(folder: str = ""):
    config = audio_config()
    config.name = "audio_stream"
    config.model.name = "stream-t"
    config.optimizer.learning_rate = 2e-3
    config.optimizer.warmup = 0.02
    config.train.batch_size = 16
    config.train.steps = 4000
    config.data.natural = (
        "--config=configs/audio_stream.py:SPEECH --config.data.options.noise=NOISE with two "
        "folders of recordings"
    )
    if folder:
        config.data.name = "recordings"
        config.data.path = folder
        config.data.options.noise = ""
        config.data.fractions = (0.7, 0.1, 0.2)
        config.train.steps = 6000
        config.checkpoint.every = 500
        config.validation.every = 500
        config.validation.limit = 32
    return config

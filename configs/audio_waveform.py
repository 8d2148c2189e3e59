"""A causal U-Net on the waveform itself, of the Demucs kind, on speech in noise at 16 kHz.

    zoo train audio_waveform
    zoo train audio_waveform:SPEECH --data.options.noise=NOISE

The first trains on voices and ambience made by a formula, the second on folders of audio files. It
has hundreds of times the parameters of `audio_stream.py` and is meant for an accelerator.
"""

from ml_collections import ConfigDict

from zoo.train.config import audio_config


def get_config(folder: str = ""):
    config = audio_config()
    config.name = "audio_waveform"
    config.model.name = "wave-unet-small"
    config.optimizer.learning_rate = 3e-4
    config.loss = ConfigDict({"l1": 1.0, "multi_resolution_stft": 0.1})
    config.optimizer.warmup = 0.02
    config.train.batch_size = 16
    config.train.steps = 4000
    config.data.natural = (
        "zoo train audio_waveform:SPEECH --data.options.noise=NOISE with two folders of audio files"
    )
    if folder:
        config.data.name = "recordings"
        config.data.path = folder
        config.data.options.noise = ""
        config.data.fractions = (0.7, 0.1, 0.2)
        config.validation.limit = 32
    return config

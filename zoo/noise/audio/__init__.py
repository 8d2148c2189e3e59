"""Noise for audio, as pure functions.

Signals are `(..., T, C)`, floats in [-1, 1]; `zoo.noise.op_contract` states what all ops have in
common, and `OPS` holds them by name. Ops that add something take its strength as a signal-to-noise
ratio in decibels, as `zoo.noise.audio.snr_mixing` defines it. Levels in seconds or hertz need
`sample_rate`, by default 16000. `zoo.noise.make_sampler(..., modality="audio")` builds samplers.
"""

from zoo.noise.audio import distortion, filters, snr_mixing
from zoo.noise.audio.distortion import *  # noqa: F403 - an op is named in its own module only
from zoo.noise.audio.filters import *  # noqa: F403
from zoo.noise.audio.snr_mixing import *  # noqa: F403
from zoo.noise.op_contract import AUDIO_OPS as OPS

__all__ = ["OPS"]
__all__ += distortion.__all__
__all__ += filters.__all__
__all__ += snr_mixing.__all__

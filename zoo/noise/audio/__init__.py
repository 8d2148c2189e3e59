"""Noise for recordings, as pure functions.

Signals are `(..., T, C)`, floats in [-1, 1]; the law is that of `zoo.noise.contract`, and `OPS`
holds the ops by name. Those that add something take its strength as a signal-to-noise ratio in
decibels, measured as `zoo.noise.audio.snr` says. Levels in seconds or hertz need `sample_rate`,
16000 unless told. `zoo.noise.make_sampler(..., modality="audio")` builds samplers of them.
"""

from zoo.noise.audio.added import add_at_snr, hum
from zoo.noise.audio.codecs import codec
from zoo.noise.audio.coded import mu_law, quantize, resample
from zoo.noise.audio.colors import blue, brown, colored, pink, violet, white
from zoo.noise.audio.damage import clicks, clipping, dropouts
from zoo.noise.audio.filters import band_pass, band_stop, low_pass, random_filter
from zoo.noise.audio.law import OPS
from zoo.noise.audio.level import dc_offset, gain
from zoo.noise.audio.mixtures import remix
from zoo.noise.audio.rooms import reverb

__all__ = [
    "OPS",
    "add_at_snr",
    "band_pass",
    "band_stop",
    "blue",
    "brown",
    "clicks",
    "clipping",
    "codec",
    "colored",
    "dc_offset",
    "dropouts",
    "gain",
    "hum",
    "low_pass",
    "mu_law",
    "pink",
    "quantize",
    "random_filter",
    "remix",
    "resample",
    "reverb",
    "violet",
    "white",
]

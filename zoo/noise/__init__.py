"""Noise as pure functions.

An op such as `gaussian(key, x, *, sigma, clip=None)` corrupts a signal at a given level; what all
ops have in common stands in `zoo.noise.contract`, and `OPS` holds them by name. The ops here are
for pictures; those for recordings are in `zoo.noise.audio`. A sampler
`(key, x, noise=None) -> (noisy, level)` also draws the level: `sampler` makes one from an op,
`sequence` and `choice` combine several, and `make_sampler` builds any of them from the plain values
of a config.
"""

from zoo.noise import audio
from zoo.noise.additive import correlated_gaussian, gaussian, laplace, stripes, uniform
from zoo.noise.compose import Sampler, choice, make_sampler, sampler, sequence
from zoo.noise.compression import jpeg, quantize
from zoo.noise.contract import OPS, registry
from zoo.noise.impulse import dead_pixels, impulse, mask_pixels, pepper, salt, salt_and_pepper
from zoo.noise.multiplicative import gamma, speckle
from zoo.noise.photographs import photograph
from zoo.noise.sensor import camera, poisson, poisson_gaussian, rician

__all__ = [
    "OPS",
    "Sampler",
    "audio",
    "camera",
    "choice",
    "correlated_gaussian",
    "dead_pixels",
    "gamma",
    "gaussian",
    "impulse",
    "jpeg",
    "laplace",
    "make_sampler",
    "mask_pixels",
    "pepper",
    "photograph",
    "poisson",
    "poisson_gaussian",
    "quantize",
    "registry",
    "rician",
    "salt",
    "salt_and_pepper",
    "sampler",
    "sequence",
    "speckle",
    "stripes",
    "uniform",
]

"""Noise as pure functions.

An op such as `gaussian(key, x, *, sigma, clip=None)` corrupts a signal at a given level;
`zoo.noise.op_contract` states what all ops have in common, and `OPS` holds them by name. The ops
here are for images; those for audio are in `zoo.noise.audio`. A sampler
`(key, x, noise=None) -> (noisy, level)` also samples the level: `sampler` makes one from an op,
`sequence` and `choice` combine several, and `make_sampler` builds any of them from the plain values
of a config.
"""

from zoo.noise import additive, audio, image_compression, impulses, photographs, sensor
from zoo.noise.additive import *  # noqa: F403 - an op is named in its own module only
from zoo.noise.image_compression import *  # noqa: F403
from zoo.noise.impulses import *  # noqa: F403
from zoo.noise.op_contract import OPS, registry
from zoo.noise.photographs import *  # noqa: F403
from zoo.noise.samplers import Sampler, by_plane, choice, make_sampler, sampler, sequence
from zoo.noise.sensor import *  # noqa: F403

__all__ = [
    "OPS",
    "Sampler",
    "audio",
    "by_plane",
    "choice",
    "make_sampler",
    "registry",
    "sampler",
    "sequence",
]
__all__ += additive.__all__
__all__ += image_compression.__all__
__all__ += impulses.__all__
__all__ += photographs.__all__
__all__ += sensor.__all__

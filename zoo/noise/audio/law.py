"""The law of `zoo.noise.contract`, for recordings `(..., T, C)` in [-1, 1]."""

import functools

from zoo.modality import AUDIO
from zoo.noise import contract

OPS = contract.registry(AUDIO)
"""Every noise op for recordings by its name."""

op = functools.partial(contract.op, registry=OPS)

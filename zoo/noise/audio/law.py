"""The law of `zoo.noise.contract`, for recordings `(..., T, C)` in [-1, 1]."""

import functools

from zoo.noise import contract

OPS = contract.Registry(signal_ndim=2, span="[-1, 1]", scale=32768)
"""Every noise op for recordings by its name."""

op = functools.partial(contract.op, registry=OPS)

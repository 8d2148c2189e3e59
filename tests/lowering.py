"""Programs lowered for a TPU on a machine without one; XLA's compiler for TPUs is not run."""

import re
from unittest import mock

import jax
import jax.export


def custom_calls(function, *args):
    """The targets of the custom calls in a function's program for a TPU.

    An operation that is for CPUs alone cannot be lowered, and `jax.export` refuses custom calls
    whose meaning may change. The models choose their forms by `jax.default_backend`.

    Args:
      function: to trace, as it would be where a TPU is the default.
      *args: its arguments, or their shapes.
    """
    with mock.patch.object(jax, "default_backend", return_value="tpu"):
        program = jax.export.export(jax.jit(function), platforms=["tpu"])(*args)
    assert program.platforms == ("tpu",)
    return set(re.findall(r"custom_call @([\w$.]+)", program.mlir_module()))

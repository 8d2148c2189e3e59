"""A small network learned from one noisy image alone, for noise that is independent by pixel.

References:
  Mansour, Heckel, "Zero-shot Noise2Noise" (ZS-N2N), CVPR 2023.
  Lequyer et al., "A fast blind zero-shot denoiser" (Noise2Fast), Nature Machine Intelligence 2022.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from zoo.inference.curve_fit import ADAM, Bank, adam_step
from zoo.losses import weighted_mean
from zoo.models import create_model, init_variables
from zoo.selfsupervised import noise2fast, zs_n2n
from zoo.selfsupervised.pairs_of_halves import diagonal_means

METHODS = ("noise2fast", "zs-n2n")
"""The methods by name."""

STEPS = 1500
"""Of a training, unless more or fewer are asked for."""

_NAMES = {1: "dncnn-gray", 3: "dncnn-color"}
# So few layers see no more of an image than its noise and its edges, and cannot learn it by heart.
OPTIONS = {"depth": 3, "width": 48}
"""Of the network."""

# At 2e-3 one of two seeds gained a color image 1.6 dB, at this rate both gained it 14.
_RATE = 5e-4
# Steps from one progress to the next.
_PART = 25


def learn(
    bank: Bank,
    method: str,
    steps: int,
    seed: int,
    progress: Callable[[int, int], None] | None,
) -> tuple[str, nn.Module, dict]:
    """Trains the network on crops of the images.

    Args:
      bank: the images.
      method: one of `METHODS`.
      steps: of Adam, at a rate that falls to 0.
      seed: of the crops and the initial parameters.
      progress: called with the steps that are done and with all.

    Returns:
      The name of the architecture, the module and its variables.
    """
    name = _NAMES[bank.channels]
    model = create_model(name, **OPTIONS)
    rng, key = np.random.default_rng(seed), jax.random.key(seed)
    params = init_variables(model, key, (1, bank.side, bank.side, bank.channels))["params"]
    state = (params, ADAM.init(params))
    for number in range(steps):
        rate = np.float32(_RATE * (1 + np.cos(np.pi * number / steps)) / 2)
        own = jax.random.fold_in(key, number)
        state = adam_step(_loss, (model, method), state, rate, *bank.batch(rng), own)
        if (number + 1) % _PART == 0 or number + 1 == steps:
            # Waited for, so that Ctrl-C is heard soon.
            jax.block_until_ready(state)
            if progress is not None:
                progress(number + 1, steps)
    return name, model, {"params": state[0]}


def _loss(params, setup, x, known, key):
    model, method = setup

    def apply(params, x, level):
        return model.apply({"params": params}, x, level)

    keys, level = jax.random.split(key, len(x)), jnp.zeros(len(x))
    # What is not finite has a value that stands in for it, and counts for nothing.
    known = known.astype(jnp.float32)
    if method == "zs-n2n":
        whole = sum(diagonal_means(known)) == 2
        return weighted_mean(zs_n2n(keys, apply, params, x, level), whole)
    example = jax.vmap(noise2fast)(keys, x, level)
    # By the same keys, the same halves.
    there = jax.vmap(noise2fast)(keys, known, level)
    error = jnp.square(apply(params, example.input, level) - example.target)
    return weighted_mean(error, there.input * there.target)

"""Modules whose output is known without them."""

import jax.numpy as jnp
import numpy as np
from flax import linen as nn

HOP = 256


class Gain(nn.Module):
    """Scales; it streams with a lag of one hop, as the models here do."""

    gain: float = 1.0

    modality = "audio"
    sample_rate = 16000
    hop = HOP
    latency = HOP

    def __call__(self, x, level=None, *, train=False):
        return self.gain * x

    def init_state(self, batch, channels=1):
        return jnp.zeros((batch, HOP, channels))

    def step(self, variables, state, chunk):
        both = jnp.concatenate([state, chunk], axis=1)
        return both[:, -HOP:], self.gain * both[:, :-HOP]


class Learned(Gain):
    """Scales by a parameter, as a network would."""

    @nn.compact
    def __call__(self, x, level=None, *, train=False):
        return self.param("gain", nn.initializers.constant(self.gain), ()) * x


class Whole(Gain):
    """Scales, and does not stream."""

    hop = 0


class Difference(Gain):
    """Each sample less the one before: what shows where a stream is torn."""

    def __call__(self, x, level=None, *, train=False):
        return jnp.diff(x, axis=1, prepend=0 * x[:, :1])

    def init_state(self, batch, channels=1):
        return jnp.zeros((batch, HOP + 1, channels))

    def step(self, variables, state, chunk):
        both = jnp.concatenate([state, chunk], axis=1)
        return both[:, -HOP - 1 :], jnp.diff(both[:, :-HOP], axis=1)


def noise(length, channels=1, seed=0):
    """White, of standard deviation 0.1, within [-0.5, 0.5]."""
    x = 0.1 * np.random.default_rng(seed).standard_normal((length, channels))
    return np.clip(x, -0.5, 0.5).astype(np.float32)


def sine(frequency, rate, seconds=1.0):
    t = np.arange(round(rate * seconds)) / rate
    return (0.2 * np.sin(2 * np.pi * frequency * t)).astype(np.float32)[:, None]


def decibels(x):
    return 10 * np.log10(np.mean(np.square(x)) + 1e-20)

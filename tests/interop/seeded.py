"""Weights that PyTorch's process and ours draw alike, by NumPy, each by its key alone."""

import re
import zlib

import numpy as np


def seeded_tensor(key, shape):
    """A float32 tensor that a sum over many of its values keeps at order 1."""
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    value = rng.standard_normal(shape)
    if len(shape) > 1:
        value = value / np.sqrt(np.prod(shape[1:]))
    else:
        value = 0.1 * value + (key.endswith("weight") or key.endswith("running_var"))
    if key.endswith("running_var"):
        value = np.abs(value)
    return value.astype(np.float32)


def seeded_state(shapes, scales):
    """The state dict for `{key: shape}`; `scales` is that of a `Case`."""
    state = {key: seeded_tensor(key, tuple(shape)) for key, shape in shapes.items()}
    for pattern, factor in scales.items():
        for key in state:
            if re.search(pattern, key):
                state[key] *= np.float32(factor)
    return state


def seeded_image(shape):
    """A float32 image in [0, 1]."""
    return np.random.default_rng(0).random(shape, np.float32)


def seeded_recording(shape):
    """A float32 recording in [-1, 1] at 16 kHz: a gliding voice of harmonics, and noise."""
    rng, t = np.random.default_rng(0), np.arange(shape[1]) / 16000
    phase = 2 * np.pi * (140 * t + 30 * np.sin(2 * np.pi * t))
    voice = sum(np.sin(k * phase + k * k) / k for k in range(1, 20)) * np.sin(np.pi * 3 * t) ** 2
    x = 0.15 * voice[None, :, None] + 0.03 * rng.standard_normal(shape)
    return np.clip(x, -1, 1).astype(np.float32)


def seeded_input(shape):
    """An image or a recording."""
    return seeded_image(shape) if len(shape) == 4 else seeded_recording(shape)

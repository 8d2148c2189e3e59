"""Signals for tests of audio files."""

import numpy as np
import pytest

from zoo.errors import ZooError

RATE = 16000


def noise(length=4000, channels=1, seed=0):
    """Within [-0.5, 0.5), in float32."""
    return np.random.default_rng(seed).random((length, channels), np.float32) - 0.5


def sine(frequency, rate, seconds=1.0, amplitude=0.5):
    t = np.arange(round(rate * seconds)) / rate
    return (amplitude * np.sin(2 * np.pi * frequency * t)).astype(np.float32)[:, None]


def refused(match, function, *args, **options):
    with pytest.raises(ZooError, match=match) as caught:
        function(*args, **options)
    assert "\n" not in str(caught.value)

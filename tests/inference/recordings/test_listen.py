"""What is heard of a recording before a model hears it."""

import numpy as np
import pytest

from zoo.inference.audio_choice import band_edge


@pytest.mark.parametrize("samples", [1, 2, 511, 512])
@pytest.mark.parametrize("channels", [1, 3])
def test_recordings_shorter_than_a_frame_tell_nothing(samples, channels):
    assert band_edge([np.full((samples, channels), 0.3, np.float32)], 16000) is None

"""MPEG files without a header that tells their length, which libsndfile guesses."""

import numpy as np
import pytest

from zoo.data import audio_files
from zoo.errors import ZooError


def _headerless(path, rate=44100):
    import soundfile

    noise = 0.1 * np.random.default_rng(0).standard_normal(rate)
    mode = {"bitrate_mode": "CONSTANT", "compression_level": 0.8}
    soundfile.write(path, noise, rate, format="MP3", subtype="MPEG_LAYER_III", **mode)
    data = path.read_bytes()
    # The frame that holds the header is silence; the next begins by the same two bytes.
    path.write_bytes(data[data.index(data[:2], max(data.find(b"Info"), 4)) :])


def test_every_sample_of_an_mp3_without_a_header_is_read(tmp_path):
    path = tmp_path / "a.mp3"
    _headerless(path)
    read = audio_files.read(path)
    assert len(read) == audio_files.info(path).frames
    assert len(read) % 1152 == 0
    assert np.abs(read[-4000:]).max() > 0.01


def test_one_that_is_cut_within_a_frame_is_refused(tmp_path):
    path = tmp_path / "a.mp3"
    _headerless(path)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ZooError, match="truncated"):
        audio_files.read(path)

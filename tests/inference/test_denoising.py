"""`zoo.denoise` and `zoo.denoise_file` take images and audio, and say so where it is unclear."""

import numpy as np
import pytest
import soundfile
from flax import linen as nn
from PIL import Image

import zoo
from zoo.errors import ZooError


class HalfImage(nn.Module):
    """Halves an image of one channel."""

    channels: int = 1
    modality = "image"

    def __call__(self, x, level=None, *, train=False):
        return x / 2


class HalfAudio(nn.Module):
    """Halves a recording as a whole."""

    modality = "audio"
    sample_rate = 16000
    hop = 0

    def __call__(self, x, level=None, *, train=False):
        return x / 2


IMAGE = np.random.default_rng(0).integers(0, 255, (24, 36)).astype(np.uint8)
SOUND = (0.1 * np.random.default_rng(0).standard_normal((4000, 2))).astype(np.float32)


def test_arrays_are_audio_by_their_sample_rate():
    found = zoo.denoise(IMAGE, HalfImage())
    np.testing.assert_allclose(found, IMAGE / 2, atol=0.51)
    seen = []
    found = zoo.denoise(
        SOUND, HalfAudio(), sample_rate=16000, progress=lambda *done: seen.append(done)
    )
    np.testing.assert_allclose(found, SOUND / 2, atol=1e-6)
    assert seen == [(4000, 4000)]


@pytest.mark.parametrize(
    ("x", "model", "options", "message"),
    [
        (SOUND, HalfAudio(), {}, "HalfAudio denoises audio signals; give sample_rate=, in Hz"),
        (SOUND, HalfImage(), {"sample_rate": 16000}, "HalfImage denoises images; choose from"),
        (SOUND, None, {}, r"shape \(4000, 2\) may be audio; give sample_rate="),
        (SOUND[:, 0], None, {}, "may be audio; give sample_rate="),
        (SOUND, HalfAudio(), {"sample_rate": 16000, "tile": 64}, "tile= is an option of images"),
        (SOUND, HalfAudio(), {"sample_rate": 16000, "level": 0.1}, "level= is an option of ima"),
        (SOUND, HalfAudio(), {"sample_rate": 360}, "sample_rate is 360 Hz, which is not from"),
        (IMAGE, None, {"variables": {}}, "variables are given without their model"),
    ],
)
def test_what_is_unclear_or_of_the_other_kind_is_refused(x, model, options, message):
    with pytest.raises(ZooError, match=message) as caught:
        zoo.denoise(x, model, **options)
    assert "\n" not in str(caught.value)


def test_files_are_distinguished_by_their_content(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(IMAGE).save("a.png")
    soundfile.write("a.wav", SOUND, 16000, subtype="FLOAT")
    image = zoo.denoise_file("a.png", "b.png", HalfImage(), save_noise="n.png")
    np.testing.assert_allclose(Image.open("b.png"), IMAGE / 2, atol=0.51)
    assert (image.pages, image.size) == (1, IMAGE.shape)
    audio = zoo.denoise_file("a.wav", "b.wav", HalfAudio(), save_noise="n.wav")
    np.testing.assert_allclose(soundfile.read("b.wav")[0], SOUND / 2, atol=1e-6)
    np.testing.assert_allclose(soundfile.read("n.wav")[0], SOUND / 2, atol=1e-6)
    assert (audio.frames, audio.channels, audio.sample_rate) == (4000, 2, 16000)
    for src, model, options, message in (
        ("a.png", HalfAudio(), {}, "a.png is an image, and HalfAudio denoises audio signals"),
        ("a.wav", HalfImage(), {}, "a.wav is an audio signal, and HalfImage denoises images"),
        ("a.wav", HalfAudio(), {"stabilize": "poisson"}, "stabilize= is an option of images"),
        ("a.wav", HalfAudio(), {"save_noise": "a.wav"}, "a.wav is the input"),
        ("none.png", HalfImage(), {}, "none.png"),
        (__file__, HalfImage(), {}, "is neither an image nor audio"),
    ):
        with pytest.raises(ZooError, match=message):
            zoo.denoise_file(src, "c.wav", model, **options)
    assert not (tmp_path / "c.wav").exists()

"""What --reference prints, against scikit-image and by hand."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from families import first
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from zoo.cli import compare
from zoo.cli.job_plan import Job
from zoo.data import file_kinds
from zoo.errors import ZooError


def numbers(text):
    return [float(number) for number in re.findall(r"-?[\d.]+", text)]


def noisy(rng, x, sigma):
    return np.clip(np.rint(x + rng.normal(0, sigma, x.shape)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("height", first(2, [40, 522, 1040]))
@pytest.mark.parametrize("channels", first(1, [3, 1]))
def test_images_are_compared_in_strips_as_if_whole(height, channels):
    rng = np.random.default_rng(height)
    ramp = np.linspace(0, 255, height * 31 * channels).reshape(height, 31, channels)
    clean = ramp.astype(np.uint8)
    others = [noisy(rng, clean, sigma) for sigma in (30, 5)]
    expected = []
    for metric in (
        lambda a, b: peak_signal_noise_ratio(a, b, data_range=255),
        lambda a, b: structural_similarity(
            *(a, b),
            data_range=255,
            channel_axis=-1,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        ),
    ):
        expected += [metric(clean, other) for other in others]
    assert numbers(compare.images(clean, *others)) == pytest.approx(expected, abs=0.006)


def test_depth_and_alpha_do_not_count():
    rng = np.random.default_rng(0)
    clean = rng.integers(0, 256, (20, 20, 3)).astype(np.uint8)
    other = noisy(rng, clean, 9)
    reported = compare.images(clean, other, clean)
    assert "to inf dB" in reported
    deep = clean.astype(np.uint16) * 257
    alpha = np.concatenate([other, other[..., :1]], axis=-1)
    assert compare.images(deep, alpha, deep) == reported


def test_tiny_images_have_no_ssim():
    x = np.zeros((10, 30, 1), np.uint8)
    assert compare.images(x, x + np.uint8(1), x) == "PSNR 48.13 to inf dB"


def test_other_sizes_are_one_line():
    x = np.zeros((12, 20, 1), np.uint8)
    with pytest.raises(ZooError, match="12 x 20 and 20 x 12 pixels"):
        compare.images(x.swapaxes(0, 1), x, x)


def test_recordings_are_compared_by_si_sdr(tmp_path):
    rng = np.random.default_rng(0)
    clean = rng.normal(0, 0.1, 20000)
    # Orthogonal to it, so that the ratio is that of the powers.
    noise = rng.normal(0, 0.1, 20000)
    noise -= clean * (noise @ clean) / (clean @ clean)
    noise *= np.linalg.norm(clean) / np.linalg.norm(noise)
    files = [tmp_path / f"{name}.wav" for name in ("clean", "noisy", "denoised")]
    for file, x in zip(files, (clean, clean + noise, clean + noise / 10), strict=True):
        soundfile.write(file, x, 16000, subtype="FLOAT")
    reported = compare.audio(*files)
    assert reported.startswith("SI-SDR")
    assert numbers(reported) == pytest.approx([0, 20], abs=0.011)
    soundfile.write(files[0], clean[:-1], 16000, subtype="FLOAT")
    with pytest.raises(ZooError, match="differ in rate, channels or length"):
        compare.audio(*files)


def test_references_are_found_by_place_name_and_any_ending(tmp_path):
    def job(place, kind=file_kinds.IMAGE):
        return Job(Path("in") / place, Path("out") / place, None, kind, "", Path(place))

    (tmp_path / "a").mkdir()
    for name in ("a/x.png", "x.png", "y.TIF", "y.wav"):
        (tmp_path / name).touch()
    folder = str(tmp_path)
    assert compare.find(None, job("x.png")) is None
    assert compare.find("some/file.png", job("x.png")) == Path("some/file.png")
    assert compare.find(folder, job("a/x.png")) == tmp_path / "a" / "x.png"
    assert compare.find(folder, job("b/x.png")) == tmp_path / "x.png"
    assert compare.find(folder, job("b/y.jpg")) == tmp_path / "y.TIF"
    assert compare.find(folder, job("y.flac", file_kinds.AUDIO)) == tmp_path / "y.wav"
    with pytest.raises(ZooError, match=r"no reference of in/z.png in"):
        compare.find(folder, job("z.png"))

"""`zoo noise` on files."""

import os
import re

import imagecodecs
import numpy as np
import pytest
import soundfile
import tifffile
from PIL import Image

from zoo import cli

RATE = 8000


@pytest.fixture
def zoo(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        return cli.main(["noise", *arguments]), *capsys.readouterr()

    return run


def gray(name="a.png", size=(64, 64)):
    Image.fromarray(np.full(size, 128, np.uint8)).save(name)
    return name


def tone(name="a.wav", channels=1):
    x = 0.25 * np.sin(np.arange(2 * RATE) / 5)
    soundfile.write(name, np.stack([x] * channels, -1), RATE, subtype="PCM_24")
    return x


def test_a_level_of_an_intensity_is_of_255(zoo):
    code, output, errors = zoo(gray(), "--op", "gaussian", "--level", "20")
    assert (code, errors) == (0, "")
    assert output.startswith("a.png -> a.noisy.png: gaussian, sigma 20/255, ")
    noisy = np.asarray(Image.open("a.noisy.png")).astype(float)
    assert noisy.std() == pytest.approx(20, rel=0.05)
    assert noisy.mean() == pytest.approx(128, abs=1)


def test_the_noise_follows_from_seed_and_name_alone(zoo):
    os.mkdir("in")
    for name in ("in/a.png", "in/b.png"):
        gray(name, (16, 16))

    def noisy(output, *options):
        assert zoo(*options, "-o", output, "--op", "uniform", "--level", "9")[0] == 0
        return {name: np.asarray(Image.open(f"{output}/{name}")) for name in os.listdir(output)}

    both, alone, other = (
        noisy("x/", "in"),
        noisy("y/", "in/b.png"),
        noisy("z/", "in/b.png", "--seed", "1"),
    )
    np.testing.assert_array_equal(both["b.png"], alone["b.png"])
    assert (both["a.png"] != both["b.png"]).any()
    assert (other["b.png"] != alone["b.png"]).any()


def test_depth_alpha_and_pages_stay(zoo):
    rng = np.random.default_rng(0)
    deep = rng.integers(20000, 40000, (12, 10, 4)).astype(np.uint16)
    imagecodecs.imwrite("deep.png", deep)
    assert zoo("deep.png", "-o", "out.png", "--op", "gaussian", "--level", "5")[0] == 0
    found = imagecodecs.imread("out.png")
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found[..., 3], deep[..., 3])
    assert (found[..., :3] % 257 != 0).any()
    tifffile.imwrite("two.tif", np.moveaxis(deep[..., :2], -1, 0), photometric="minisblack")
    assert zoo("two.tif", "--op", "gaussian", "--level", "5,50")[0] == 0
    with tifffile.TiffFile("two.noisy.tif") as tiff:
        assert len(tiff.pages) == 2


def test_a_recording_gets_noise_at_its_ratio(zoo):
    x = tone()
    code, output, _ = zoo("a.wav", "--op", "white", "--level", "10")
    assert code == 0
    assert output.startswith("a.wav -> a.noisy.wav: white, snr 10, ")
    assert soundfile.info("a.noisy.wav").subtype == "PCM_24"
    noise = soundfile.read("a.noisy.wav")[0] - x
    assert 10 * np.log10(np.mean(x**2) / np.mean(noise**2)) == pytest.approx(10, abs=0.1)


def test_a_recording_is_mixed_in_at_the_inputs_rate(zoo):
    x = tone(channels=2)
    soundfile.write("noise.wav", np.random.default_rng(0).normal(0, 0.1, (16000, 3)), 16000)
    code, _, errors = zoo("a.wav", "--op", "add_at_snr", "--level=-3", "--noise", "noise.wav")
    assert (code, errors) == (0, "")
    noise = soundfile.read("a.noisy.wav")[0] - x[:, None]
    np.testing.assert_allclose(noise[:, 0], noise[:, 1], atol=1e-6)
    assert 10 * np.log10(np.mean(x**2) / np.mean(noise**2)) == pytest.approx(-3, abs=0.1)


def test_options_of_the_noise_are_reported(zoo):
    op = ("--op", "stripes", "--level", "20", "--option", "axis=column")
    assert zoo(gray(), *op)[0] == 0
    noisy = np.asarray(Image.open("a.noisy.png"))
    assert (noisy == noisy[:1]).all()
    assert (noisy[0] != noisy[0, 0]).any()


def test_a_range_is_drawn_for_each_file(zoo):
    gray("a.png", (8, 8))
    gray("b.png", (8, 8))
    _, output, _ = zoo("*.png", "-o", "out", "--op", "gaussian", "--level", "10,30")
    levels = [float(found) for found in re.findall(r"sigma ([\d.]+)/255", output)]
    assert len(set(levels)) == 2
    assert all(10 <= level <= 30 for level in levels)


def test_what_has_no_such_noise_fails_and_the_rest_is_done(zoo):
    gray()
    tone()
    code, _, errors = zoo("a.png", "a.wav", "-o", "out", "--op", "gaussian", "--level", "5")
    assert code == 1
    assert os.listdir("out") == ["a.png"]
    assert errors.startswith(
        "error: a.wav is an audio signal, of which there is no noise gaussian; leave it out"
    )


@pytest.mark.parametrize(
    ("options", "reported"),
    [
        (("--op", "gausian"), "unknown noise 'gausian'; did you mean 'gaussian'?"),
        (("--op", "gaussian", "--option", "x=1"), "unknown gaussian option 'x'"),
        (("--op", "gaussian", "--option", "level=1"), "gaussian: 'level' is not an option"),
        (("--op", "gaussian", "--level", "-1"), "gaussian: sigma must be at least 0"),
        (("--op", "gaussian", "--noise", "a.wav"), "gaussian mixes no noise file in"),
        (("--op", "poisson", "--unit", "1/255"), "poisson: peak is not an intensity"),
        (("--op", "correlated_gaussian"), "correlated_gaussian: the option 'kernel' is missing"),
    ],
)
def test_mistakes_are_one_line_before_anything_is_done(zoo, options, reported):
    level = () if "--level" in options else ("--level", "5")
    code, output, errors = zoo(gray(), *options, *level)
    assert (code, output) == (2, "")
    assert errors.startswith(f"error: {reported}")
    assert errors.count("\n") == 1


def test_a_seed_too_large_is_argparse_business(zoo, capsys):
    with pytest.raises(SystemExit):
        zoo(gray(), "--op", "gaussian", "--level", "5", "--seed", str(2**63))
    assert "argument --seed: '9223372036854775808' is not" in capsys.readouterr().err


def test_what_mixes_asks_for_a_recording(zoo):
    tone()
    reported = "error: add_at_snr mixes a noise file in; name it by --noise FILE\n"
    assert zoo("a.wav", "--op", "add_at_snr", "--level", "5") == (2, "", reported)


@pytest.mark.parametrize(
    ("low", "high", "dtype", "white"),
    [
        (-3000, 3000, np.int16, 32767),
        # Of floats beyond 1 white is the next power of two.
        (0, 900, np.float32, 1024),
        (-300, 900, np.float32, 2048),
        (100, 900, np.uint16, 65535),
    ],
)
def test_images_of_any_range_have_noise_in_shares_of_white(zoo, low, high, dtype, white):
    clean = np.linspace(low, high, 96 * 96).reshape(96, 96).astype(dtype)
    tifffile.imwrite("a.tif", clean)
    code, _, errors = zoo("a.tif", "--op", "gaussian", "--level", "1")
    assert (code, errors) == (0, "")
    noisy = tifffile.imread("a.noisy.tif")
    assert noisy.dtype == dtype
    difference = noisy.astype(float) - clean
    inner = difference[abs(clean.astype(float) - (low + high) / 2) < (high - low) / 8]
    assert inner.std() == pytest.approx(white / 255, rel=0.1)


def test_what_is_not_finite_stays(zoo):
    masked = np.full((40, 40), 0.5, np.float32)
    masked[3, 4], masked[5, 6] = np.nan, np.inf
    tifffile.imwrite("a.tif", masked)
    assert zoo("a.tif", "--op", "gaussian", "--level", "20")[0] == 0
    noisy = tifffile.imread("a.noisy.tif")
    assert np.isnan(noisy[3, 4])
    assert np.isposinf(noisy[5, 6])
    assert noisy[np.isfinite(noisy)].std() == pytest.approx(20 / 255, rel=0.1)

"""`zoo info` on files."""

import numpy as np
import pytest
import soundfile
import tifffile
from PIL import Image, ImageCms

from zoo import cli, weights
from zoo.inference import noise_level


@pytest.fixture
def zoo(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code = cli.main(["info", *arguments])
        output, errors = capsys.readouterr()
        blocks = [
            dict(line.split("  ", 1) for line in block.splitlines())
            for block in output.split("\n\n")
            if block
        ]
        blocks = [{name: value.strip() for name, value in one.items()} for one in blocks]
        return code, blocks, errors

    return run


def test_a_picture(zoo, monkeypatch):
    # Compiling it takes longer than all else here, and it has its own tests.
    level = lambda picture, scale: picture.shape[-1] / 255 * scale.seen  # noqa: E731
    monkeypatch.setattr(noise_level, "estimate_level", level)
    noisy = np.random.default_rng(0).normal(128, 10, (64, 48, 3)).round().astype(np.uint8)
    exif = Image.Exif()
    exif[271], exif[272], exif[274] = "Acme", "Acme One", 6
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(noisy).save("a.jpg", quality=92, exif=exif, icc_profile=icc)
    code, (told,), errors = zoo("a.jpg")
    assert (code, errors) == (0, "")
    assert told["file"] == "a.jpg"
    assert told["image"] == "jpeg, quality 92, 4:2:0"
    assert told["size"] == "64 x 48, 0.00 megapixels"
    assert told["depth"] == "8 bits"
    assert told["channels"] == "color"
    assert told["pages"] == "1"
    assert told["orientation"] == "turned by 90 degrees"
    assert told["camera"] == "Acme One"
    assert told["profile"].startswith("sRGB")
    assert told["noise"] == "about 3.0/255"


def test_pages_depth_and_a_picture_too_small(zoo):
    tifffile.imwrite("a.tif", np.zeros((3, 9, 8), np.uint16), photometric="minisblack")
    _, (told,), _ = zoo("a.tif")
    assert told["image"] == "tiff"
    assert told["size"].startswith("8 x 9, ")
    assert told["depth"] == "16 bits"
    assert told["channels"] == "gray"
    assert told["pages"] == "3"
    assert told["noise"] == "unknown, as the image is too small"


def test_a_recording(zoo):
    # A second of a tone and a second of noise at -60 dB.
    rate, rng = 8000, np.random.default_rng(0)
    x = np.concatenate([0.5 * np.sin(np.arange(rate) * 0.9), 1e-3 * rng.normal(size=rate)])
    soundfile.write("a.flac", x, rate, subtype="PCM_24")
    code, (told,), _ = zoo("a.flac")
    assert code == 0
    assert told["audio"] == "FLAC, PCM_24"
    assert told["sample rate"] == "8000 Hz"
    assert told["channels"] == "1"
    assert told["length"] == "2.000 s, 16000 samples"
    assert float(told["peak"].split()[0]) == pytest.approx(20 * np.log10(0.5), abs=0.06)
    rms = 20 * np.log10(np.sqrt(np.mean(x**2)))
    assert float(told["RMS"].split()[0]) == pytest.approx(rms, abs=0.06)
    assert float(told["floor"].split()[0]) == pytest.approx(-60, abs=1)


def test_silence_and_long_recordings(zoo):
    soundfile.write("a.wav", np.zeros(8000 * 75), 8000)
    _, (told,), _ = zoo("a.wav")
    assert told["peak"] == told["RMS"] == told["floor"] == "silence"
    assert told["length"] == "1 min 15.0 s, 600000 samples"


def test_weights(zoo):
    record = {
        "model": "unet-tiny",
        "options": {"channels": 1},
        "noise": {"name": "gaussian", "level": 25, "unit": "1/255"},
        "step": 700,
        "scores": {"validation_psnr": 31.456},
        "commit": "abc123",
    }
    weights.save("a.safetensors", {"params": {"a": np.zeros(3, np.float32)}}, record)
    _, (told,), _ = zoo("a.safetensors")
    assert told["weights of"] == "unet-tiny with channels=1"
    assert told["noise"] == "gaussian 25 1/255"
    assert told["step"] == "700"
    assert told["validation psnr"] == "31.46 dB"
    assert told["commit"] == "abc123"
    record["noise"] = {"name": "", "level": None, "unit": "1"}
    weights.save("b.safetensors", {"params": {"a": np.zeros(3, np.float32)}}, record)
    _, (told,), _ = zoo("b.safetensors")
    assert "noise" not in told


def test_what_cannot_be_told_is_one_line_and_the_rest_is_told(zoo, tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    (tmp_path / "b.png").write_bytes(b"")
    (tmp_path / "c").mkdir()
    soundfile.write("d.wav", np.zeros(10), 8000)
    code, (told,), errors = zoo("a.txt", "b.png", "c", "none.png", "d.wav")
    assert code == 1
    assert told["file"] == "d.wav"
    assert errors.splitlines() == [
        "error: a.txt is neither an image nor audio; convert it, or leave it out",
        "error: b.png is empty; fetch it again",
        "error: c is a folder; name files in it",
        "error: cannot read none.png: No such file or directory; check the path",
    ]


def test_an_image_without_a_finite_value_has_no_known_noise(zoo):
    tifffile.imwrite("nan.tif", np.full((32, 32), np.nan, np.float32))
    code, (facts,), errors = zoo("nan.tif")
    assert (code, errors) == (0, "")
    assert facts["noise"] == "unknown, as no value is finite"

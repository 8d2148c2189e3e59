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


def test_a_image(zoo, monkeypatch):
    # Compiling it takes longer than all else here, and it has its own tests.
    level = lambda image, scale: image.shape[-1] / 255 * scale.seen  # noqa: E731
    monkeypatch.setattr(noise_level, "estimate_level", level)
    noisy = np.random.default_rng(0).normal(128, 10, (64, 48, 3)).round().astype(np.uint8)
    exif = Image.Exif()
    exif[271], exif[272], exif[274] = "Acme", "Acme One", 6
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(noisy).save("a.jpg", quality=92, exif=exif, icc_profile=icc)
    code, (reported,), errors = zoo("a.jpg")
    assert (code, errors) == (0, "")
    assert reported["file"] == "a.jpg"
    assert reported["image"] == "jpeg, quality 92, 4:2:0"
    assert reported["size"] == "64 x 48, 0.00 megapixels"
    assert reported["depth"] == "8 bits"
    assert reported["channels"] == "color"
    assert reported["pages"] == "1"
    assert reported["orientation"] == "turned by 90 degrees"
    assert reported["camera"] == "Acme One"
    assert reported["profile"].startswith("sRGB")
    assert reported["noise"] == "about 3.0/255"


def test_pages_depth_and_a_image_too_small(zoo):
    tifffile.imwrite("a.tif", np.zeros((3, 9, 8), np.uint16), photometric="minisblack")
    _, (reported,), _ = zoo("a.tif")
    assert reported["image"] == "tiff"
    assert reported["size"].startswith("8 x 9, ")
    assert reported["depth"] == "16 bits"
    assert reported["channels"] == "gray"
    assert reported["pages"] == "3"
    assert reported["noise"] == "unknown, as the image is too small"


def test_a_recording(zoo):
    # A second of a tone and a second of noise at -60 dB.
    rate, rng = 8000, np.random.default_rng(0)
    x = np.concatenate([0.5 * np.sin(np.arange(rate) * 0.9), 1e-3 * rng.normal(size=rate)])
    soundfile.write("a.flac", x, rate, subtype="PCM_24")
    code, (reported,), _ = zoo("a.flac")
    assert code == 0
    assert reported["audio"] == "FLAC, PCM_24"
    assert reported["sample rate"] == "8000 Hz"
    assert reported["channels"] == "1"
    assert reported["length"] == "2.000 s, 16000 samples"
    assert float(reported["peak"].split()[0]) == pytest.approx(20 * np.log10(0.5), abs=0.06)
    rms = 20 * np.log10(np.sqrt(np.mean(x**2)))
    assert float(reported["RMS"].split()[0]) == pytest.approx(rms, abs=0.06)
    assert float(reported["floor"].split()[0]) == pytest.approx(-60, abs=1)


def test_silence_and_long_recordings(zoo):
    soundfile.write("a.wav", np.zeros(8000 * 75), 8000)
    _, (reported,), _ = zoo("a.wav")
    assert reported["peak"] == reported["RMS"] == reported["floor"] == "silence"
    assert reported["length"] == "1 min 15.0 s, 600000 samples"


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
    _, (reported,), _ = zoo("a.safetensors")
    assert reported["weights of"] == "unet-tiny with channels=1"
    assert reported["noise"] == "gaussian 25 1/255"
    assert reported["step"] == "700"
    assert reported["validation psnr"] == "31.46 dB"
    assert reported["commit"] == "abc123"
    record["noise"] = {"name": "", "level": None, "unit": "1"}
    weights.save("b.safetensors", {"params": {"a": np.zeros(3, np.float32)}}, record)
    _, (reported,), _ = zoo("b.safetensors")
    assert "noise" not in reported


def test_what_cannot_be_reported_is_one_line_and_the_rest_is_reported(zoo, tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    (tmp_path / "b.png").write_bytes(b"")
    (tmp_path / "c").mkdir()
    soundfile.write("d.wav", np.zeros(10), 8000)
    code, (reported,), errors = zoo("a.txt", "b.png", "c", "none.png", "d.wav")
    assert code == 1
    assert reported["file"] == "d.wav"
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

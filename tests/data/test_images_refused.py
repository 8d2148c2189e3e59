"""Damaged, foreign and oversized images are refused in one line."""

import struct

import numpy as np
import pytest
import tifffile
from image_cases import FILES, SHAPE, encoded, random
from PIL import Image

from zoo.data import image_files, pixels
from zoo.errors import ZooError


def refused(path, match):
    with pytest.raises(ZooError, match=match) as caught:
        image_files.read(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("suffix", FILES)
@pytest.mark.parametrize("part", [0.02, 0.3, 0.7, 0.95])
def test_truncated(tmp_path, suffix, part):
    data = encoded(tmp_path, suffix)
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(data[: int(len(data) * part)])
    refused(path, "truncated or broken .* fetch it again")


@pytest.mark.parametrize("suffix", FILES)
def test_noise_after_the_magic(tmp_path, suffix):
    data = encoded(tmp_path, suffix)[:12] + np.random.default_rng(0).bytes(500)
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(data)
    refused(path, "truncated or broken|has .* pixels|pages")


def test_empty_garbage_missing_folder(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    refused(tmp_path / "a.png", "is empty; fetch it again")
    (tmp_path / "b.png").write_bytes(b"<html>not found</html>")
    refused(tmp_path / "b.png", "is a web page, perhaps in place of an image")
    (tmp_path / "b.png").write_bytes(b"a tale")
    refused(
        tmp_path / "b.png",
        "is not png, jpeg, bmp, gif, tiff, webp, avif, heic, raw, DICOM, .* convert",
    )
    refused(tmp_path / "c.png", "No such file")
    refused(tmp_path, "is a folder; name files in it")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -0.01, 1.01])
def test_float_tiff_out_of_range(tmp_path, bad):
    array = np.full(SHAPE, 0.5, np.float32)
    array[3, 4] = bad
    tifffile.imwrite(tmp_path / "a.tif", array)
    refused(tmp_path / "a.tif", "NaN or infinity" if not np.isfinite(bad) else "scale floats")


def test_tiff_that_is_no_image(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((2, *SHAPE), np.uint8), photometric="minisblack")
    refused(tmp_path / "a.tif", "has 2 pages")
    tifffile.imwrite(tmp_path / "b.tif", np.zeros(SHAPE, np.int16))
    refused(tmp_path / "b.tif", "holds int16")
    tifffile.imwrite(tmp_path / "c.tif", random(4), photometric="separated")
    refused(tmp_path / "c.tif", "TIFF of CMYK; convert it to RGB")


def test_tiff_without_data(tmp_path):
    """tifffile would make it a black image."""
    tifffile.imwrite(tmp_path / "a.tif", random(1)[..., 0])
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as tiff:
        tiff.pages[0].tags["StripByteCounts"].overwrite(0)
    refused(tmp_path / "a.tif", "no data")


@pytest.mark.parametrize("suffix", FILES)
def test_flipped_bytes_raise_nothing_but_ours(tmp_path, suffix):
    whole = encoded(tmp_path, suffix)
    rng = np.random.default_rng(0)
    outcomes = set()
    for _ in range(40):
        data = bytearray(whole)
        for at in rng.integers(4, min(len(data), 300), 4):
            data[at] = rng.integers(256)
        try:
            outcomes.add(image_files.decode(bytes(data), "a").ndim)
        except ZooError as error:
            outcomes.add("\n" in str(error))
    assert outcomes <= {3, False}


@pytest.mark.parametrize("suffix", FILES)
def test_pixel_limit(tmp_path, suffix, monkeypatch):
    encoded(tmp_path, suffix)
    monkeypatch.setattr(pixels, "PIXEL_LIMIT", 64 * 80 - 1)
    refused(tmp_path / f"whole.{suffix}", "has 80 x 64 pixels, more than 5119; cut it")


def test_a_bmp_that_claims_more_than_it_has(tmp_path):
    """Before there is room made for it."""
    data = bytearray(encoded(tmp_path, "bmp"))
    data[18:26] = struct.pack("<ii", 2**14, 2**15)
    (tmp_path / "a.bmp").write_bytes(data)
    refused(tmp_path / "a.bmp", "broken bmp file .it ends in the middle")


def test_bomb_is_refused_unread_and_large_image_is_no_warning(tmp_path):
    header = struct.pack(">IIBBBBB", 10**6, 10**6, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header
    (tmp_path / "a.png").write_bytes(data)
    refused(tmp_path / "a.png", "has 1000000 x 1000000 pixels")
    # 100 megapixels, above where `Image.open` warns; as 1 bit a pixel it stays small.
    Image.new("1", (10000, 10000)).save(tmp_path / "b.bmp")
    assert image_files.read(tmp_path / "b.bmp").shape == (10000, 10000, 1)

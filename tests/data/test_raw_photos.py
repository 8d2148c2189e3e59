"""Raw files of cameras: they are developed, and what becomes of them is reported."""

import sys

import imagecodecs
import numpy as np
import pytest
import tifffile
from page_files import refused

from zoo.cli import main
from zoo.data import image_files
from zoo.data.file_kinds import IMAGE, kind_of
from zoo.data.image_files import read_pages, write_pages

# XYZ of D65 to linear sRGB (IEC 61966-2-1), so that the camera's colors are those of sRGB.
_MATRIX = (3.2406, -1.5372, -0.4986, -0.9689, 1.8758, 0.0415, 0.0557, -0.2040, 1.0570)
_NEUTRAL = (0.5, 1.0, 0.8)


def rational(values):
    return [n for value in values for n in (round(value * 10000), 10000)]


def mosaic(linear):
    """What a sensor with a Bayer pattern of red first sees of an image of linear sRGB."""
    sensor = linear[..., 1].copy()
    sensor[::2, ::2], sensor[1::2, 1::2] = linear[::2, ::2, 0], linear[1::2, 1::2, 2]
    sensor[::2, ::2] *= _NEUTRAL[0]
    sensor[1::2, 1::2] *= _NEUTRAL[2]
    return sensor


def dng(path, linear, preview=None, coded=False):
    """A DNG file (Adobe, "Digital Negative Specification 1.4"), with a preview if one is given.

    Its values are plain, or in lossless JPEG.
    """
    tags = [
        (33421, 3, 2, (2, 2), True),
        (33422, 1, 4, bytes((0, 1, 1, 2)), True),
        (50706, 1, 4, bytes((1, 4, 0, 0)), True),
        (50708, 2, 0, "A camera", True),
        (50717, 4, 1, 60000, True),
        (50721, 10, 9, rational(_MATRIX), True),
        (50728, 5, 3, rational(_NEUTRAL), True),
        (50778, 3, 1, 21, True),
        (271, 2, 0, "A maker", True),
        (272, 2, 0, "A model", True),
    ]
    sensor = np.rint(np.clip(mosaic(linear), 0, 1) * 60000).astype(np.uint16)
    with tifffile.TiffWriter(path) as writer:
        pixels = {"data": sensor}
        if coded:
            coded = iter([imagecodecs.ljpeg_encode(sensor, bitspersample=16)])
            pixels = {"data": coded, "shape": sensor.shape, "dtype": "uint16", "compression": 7}
            pixels["rowsperstrip"] = len(sensor)
        writer.write(**pixels, photometric="cfa", extratags=tags)
        if preview is not None:
            writer.write(preview, photometric="ycbcr", compression="jpeg", subfiletype=1)
    return path


def patches():
    """Four uniform patches of 48x48, among them a gray one and a white one."""
    colors = np.float64([[0.18, 0.18, 0.18], [0.9, 0.9, 0.9], [0.3, 0.1, 0.05], [0.05, 0.2, 0.3]])
    return colors, colors.reshape(2, 2, 3).repeat(48, 0).repeat(48, 1)


def linear_means(image):
    """Means of the patches' centers after the inverse of sRGB's curve."""
    x = image / 65535
    x = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    spots = [x[i : i + 24, j : j + 24] for i in (12, 60) for j in (12, 60)]
    return np.stack([spot.mean((0, 1)) for spot in spots])


def test_the_colors_are_those_of_the_scene(tmp_path):
    """But for a factor: the brightness is set automatically."""
    pytest.importorskip("rawpy")
    colors, scene = patches()
    path = dng(tmp_path / "a.dng", scene)
    assert kind_of(path) == IMAGE
    (page,) = read_pages(path)
    assert (page.image.shape, page.image.dtype) == ((96, 96, 3), np.uint16)
    means = linear_means(page.image.astype(float))
    # The brightest may be clipped.
    np.testing.assert_allclose(means[[0, 2, 3]] / means[0, 1], colors[[0, 2, 3]] / 0.18, atol=0.02)
    assert (np.diff(page.image[60:84, 60:84].reshape(-1, 3), axis=0) == 0).all()
    assert "it was developed by LibRaw: white balance" in " ".join(page.lost)
    np.testing.assert_array_equal(image_files.read(path), page.image)


def test_the_exif_of_its_preview_is_kept(tmp_path):
    pytest.importorskip("rawpy")
    preview = np.full((96, 96, 3), 128, np.uint8)
    (page,) = read_pages(dng(tmp_path / "a.dng", patches()[1], preview))
    assert page.metadata.camera() == "A maker A model"


def test_it_becomes_a_tiff(tmp_path, capsys):
    pytest.importorskip("rawpy")
    _, scene = patches()
    path = dng(tmp_path / "a.dng", scene)
    assert main(["noise", str(path), "--op", "gaussian", "--level", "5"]) == 0
    captured = capsys.readouterr()
    assert "developed by LibRaw" in captured.out + captured.err
    with tifffile.TiffFile(tmp_path / "a.noisy.tif") as file:
        assert file.asarray().shape == (96, 96, 3)
        assert file.pages[0].dtype == np.uint16
    refused("raw files of cameras are read and not written; end it in .tif", write_pages,
            tmp_path / "b.nef", read_pages(path))  # fmt: skip


def test_broken_files_are_refused(tmp_path):
    pytest.importorskip("rawpy")
    path = dng(tmp_path / "a.dng", patches()[1])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refused("a.dng is a truncated or broken raw file", image_files.read, path)
    path.write_bytes(b"IIRO\10\0\0\0".ljust(400, b"\0"))
    refused(
        "a.dng is a camera's raw file that rawpy does not read .*; develop it", read_pages, path
    )


@pytest.mark.parametrize("coded", [False, True])
def test_values_that_are_cut_off_are_missed(tmp_path, coded):
    """LibRaw takes coded ones that end in their header for black."""
    pytest.importorskip("rawpy")
    path = dng(tmp_path / "a.dng", patches()[1], coded=coded)
    assert image_files.read(path).shape == (96, 96, 3)
    whole = path.read_bytes()
    with tifffile.TiffFile(path) as file:
        (start,) = file.pages[0].dataoffsets
    for length in (start, start + 5, start + 30, len(whole) - 1):
        path.write_bytes(whole[:length])
        refused(r"a.dng is a truncated or broken raw file \(it ends", read_pages, path)


def test_values_that_cannot_be_decoded_are_refused(tmp_path):
    pytest.importorskip("rawpy")
    path = dng(tmp_path / "a.dng", patches()[1], coded=True)
    whole = path.read_bytes()
    path.write_bytes(whole[:-300] + b"\xff" * 40 + whole[-260:])
    refused(r"a.dng is a truncated or broken raw file \(Data error", read_pages, path)


def test_a_broken_preview_is_reported(tmp_path):
    pytest.importorskip("rawpy")
    preview = np.full((96, 96, 3), 128, np.uint8)
    path = dng(tmp_path / "a.dng", patches()[1], preview)
    with tifffile.TiffFile(path) as file:
        (start,), (length,) = file.pages[1].dataoffsets, file.pages[1].databytecounts
    whole = path.read_bytes()
    path.write_bytes(whole[:start] + bytes(length) + whole[start + length :])
    (page,) = read_pages(path)
    assert page.metadata.exif is None
    lost = "; ".join(page.lost)
    assert "developed by LibRaw" in lost
    assert "none of its metadata is kept" in lost


def test_without_its_library(tmp_path, monkeypatch):
    """In folders it is found all the same, and reported."""
    monkeypatch.setitem(sys.modules, "rawpy", None)
    path = dng(tmp_path / "a.dng", patches()[1])
    for read in (image_files.read, read_pages):
        refused(r"a.dng is a camera's raw file, which needs .*'denoising-zoo\[raw\]'", read, path)

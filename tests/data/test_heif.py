"""HEIC and AVIF, by their libraries as the independent writers."""

import io
import sys

import imagecodecs
import numpy as np
import pytest
from page_files import ICC, UPRIGHT_XMP, XMP, again, one, refused, smooth
from PIL import Image

from zoo.data import image_files
from zoo.data.image_files import write_pages

TURNED = Image.Exif()
TURNED[0x0112], TURNED[0x010F] = 6, "A maker"


def avif(path, photo, **options):
    sampling = "4:4:4" if photo.ndim == 3 else "4:0:0"
    Image.fromarray(photo).save(path, "AVIF", quality=100, subsampling=sampling, **options)
    return path


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_avif(tmp_path, channels):
    photo = np.concatenate([smooth(), smooth()[..., :1]], axis=-1)[..., :channels]
    path = avif(tmp_path / "a.avif", photo if channels > 1 else photo[..., 0])
    with Image.open(path) as image:
        expected = np.asarray(image).reshape(photo.shape)
    np.testing.assert_array_equal(image_files.read(path), expected)
    assert np.abs(expected.astype(int) - photo).max() <= 4
    target, lost = again(path, ".png")
    assert lost == ()
    np.testing.assert_array_equal(one(target).image, expected)
    refused("avif is read and not written; end it in .png", again, path, ".avif")


def test_what_lies_beside_an_avif_and_how_it_lies(tmp_path):
    path = avif(tmp_path / "a.avif", smooth(), exif=TURNED, icc_profile=ICC, xmp=XMP)
    page = one(path)
    assert page.image.shape == (48, 32, 3)
    assert np.abs(page.image.astype(int) - np.rot90(smooth(), -1)).max() <= 4
    assert (page.metadata.icc, page.metadata.xmp) == (ICC, UPRIGHT_XMP)
    target, lost = again(path, ".jpg")
    assert lost == ()
    with Image.open(target) as image:
        assert (image.getexif()[0x010F], image.getexif()[0x0112]) == ("A maker", 1)


@pytest.mark.parametrize("bits", [10, 12])
def test_deep_avif_is_not_made_shallow(tmp_path, bits):
    values = np.add.outer(np.arange(32), np.arange(48))[..., None] * [3, 5, 7] % 2**bits
    data = imagecodecs.avif_encode(values.astype(np.uint16), level=100, bitspersample=bits)
    (tmp_path / "a.avif").write_bytes(data)
    decoded = imagecodecs.avif_decode(data)
    photo = image_files.read(tmp_path / "a.avif")
    np.testing.assert_array_equal(photo, np.rint(decoded * (65535 / (2**bits - 1))))
    assert photo.dtype == np.uint16


def heic(path, photo, mode="RGB", **options):
    pillow_heif = pytest.importorskip("pillow_heif")
    if "encoder" not in str(pillow_heif.libheif_info()):
        pytest.skip("no encoder")
    size = photo.shape[1::-1]
    file = pillow_heif.from_bytes(mode, size, np.ascontiguousarray(photo).tobytes())
    out = io.BytesIO()
    file.save(out, quality=-1, chroma=444, matrix_coefficients=0, **options)
    path.write_bytes(out.getvalue())
    return path


@pytest.mark.parametrize("deep", [False, True])
def test_heic(tmp_path, deep):
    """Its EXIF may tell an orientation, which its reader has heeded or which does not hold."""
    photo = smooth().astype(np.uint16) * 257 if deep else smooth()
    path = heic(
        tmp_path / "a.heic", photo, "RGB;16" if deep else "RGB", exif=TURNED.tobytes(), xmp=XMP
    )
    page = one(path)
    assert page.image.dtype == photo.dtype
    if page.image.shape != photo.shape:
        photo = np.rot90(photo, -1)
    assert np.abs(page.image.astype(int) - photo).max() <= (65535 / 1023 if deep else 1)
    assert page.metadata.xmp == UPRIGHT_XMP
    target, lost = again(path, ".png")
    assert lost == ()
    with Image.open(target) as image:
        assert (image.getexif()[0x010F].strip("\0"), image.getexif()[0x0112]) == ("A maker", 1)
    refused("heic is read and not written", write_pages, tmp_path / "b.heic", [page])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refused("is a truncated or broken heic file", one, path)


def test_heic_without_its_library(tmp_path, monkeypatch):
    """In folders it is found all the same, and said."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    data = b"\0\0\0\x1cftypmif1\0\0\0\0mif1heicmiaf\0\0\2\x08meta".ljust(400, b"\0")
    (tmp_path / "a.heic").write_bytes(data)
    for read in (one, image_files.read):
        refused(r"a.heic is HEIC, which needs .*'denoising-zoo\[heic\]'", read, tmp_path / "a.heic")


def test_damaged_avif_is_one_line(tmp_path):
    whole = avif(tmp_path / "a.avif", smooth()).read_bytes()
    for part in (0.1, 0.5, 0.9):
        (tmp_path / "a.avif").write_bytes(whole[: int(part * len(whole))])
        refused("is a truncated or broken avif file", one, tmp_path / "a.avif")
    frames = [Image.fromarray(smooth()), Image.fromarray(smooth()[::-1])]
    frames[0].save(tmp_path / "b.avif", save_all=True, append_images=frames[1:])
    refused("is animated", one, tmp_path / "b.avif")

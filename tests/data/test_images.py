"""Images in and out, against Pillow and tifffile as the independent writers and readers."""

import os
import struct
import threading
import zlib

import numpy as np
import pytest
import tifffile
from image_cases import FILES, SHAPE, encoded, pil, random, same, save
from PIL import Image

from zoo.data import image_files, pixels
from zoo.errors import ZooError

# ------------------------------------------------------------------------------- round trips

LOSSLESS = (
    [("png", c, d) for c in (1, 2, 3, 4) for d in (np.uint8, np.uint16)]
    + [("tif", c, d) for c in (1, 2, 3, 4) for d in (np.uint8, np.uint16, np.float32)]
    + [("bmp", c, np.uint8) for c in (1, 3)]
    + [("webp", c, np.uint8) for c in (3, 4)]
)


@pytest.mark.parametrize(("suffix", "channels", "dtype"), LOSSLESS)
def test_what_is_written_is_read(tmp_path, suffix, channels, dtype):
    photo = random(channels, dtype)
    image_files.write(tmp_path / f"a.{suffix}", photo)
    same(tmp_path / f"a.{suffix}", photo)
    assert os.listdir(tmp_path) == [f"a.{suffix}"]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "webp"])
def test_pillow_reads_what_is_written(tmp_path, suffix, channels):
    photo = random(channels)
    path = tmp_path / f"a.{suffix}"
    if suffix == "bmp" and channels in (2, 4):
        with pytest.raises(ZooError, match="cannot hold alpha"):
            image_files.write(path, photo)
        return
    image_files.write(path, photo)
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
    with Image.open(path) as image:
        read = np.asarray(image.convert(mode)).reshape(photo.shape)
    np.testing.assert_array_equal(read, photo)


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "JPG"])
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_near(tmp_path, suffix, channels):
    ramp = np.linspace(20, 230, 32).astype(np.uint8)
    photo = np.stack([np.add.outer(ramp // 2, ramp // 2)] * channels, axis=-1)
    image_files.write(tmp_path / f"a.{suffix}", photo)
    read = image_files.read(tmp_path / f"a.{suffix}")
    assert read.shape == photo.shape
    assert np.abs(read.astype(int) - photo).max() <= 3


def test_16_bit_color_png_of_another_writer_survives(tmp_path):
    """Made by hand from the PNG specification: Pillow and scikit-image return it as uint8."""
    photo = random(3, np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in photo)

    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", SHAPE[1], SHAPE[0], 16, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows))
    (tmp_path / "a.png").write_bytes(data + chunk(b"IEND", b""))
    same(tmp_path / "a.png", photo)
    with Image.open(tmp_path / "a.png") as image:
        assert np.asarray(image).dtype == np.uint8  # the reason Pillow does not read PNG here


PNG_KINDS = {
    "1-bit": (pil(1, "1"), {}, "L"),
    "palette": (pil(3).quantize(16), {}, "RGB"),
    "2-bit palette": (pil(3).quantize(3), {}, "RGB"),
    "transparent palette": (pil(3).quantize(16), {"transparency": 3}, "RGBA"),
    "grey with a transparent value": (pil(1), {"transparency": 5}, "LA"),
    "grey and alpha": (pil(1, "LA"), {}, "LA"),
}


@pytest.mark.parametrize("kind", PNG_KINDS)
def test_png_kinds(tmp_path, kind):
    image, options, mode = PNG_KINDS[kind]
    path = save(tmp_path / "a.png", image, "PNG", **options)
    with Image.open(path) as reread:
        expected = np.asarray(reread.convert(mode))
    same(path, expected)


@pytest.mark.parametrize("kind", ["1", "L", "P", "RGB"])
def test_bmp_kinds(tmp_path, kind):
    image = pil(3).quantize(16) if kind == "P" else pil(3, kind)
    path = save(tmp_path / "a.bmp", image, "BMP")
    same(path, np.asarray(image.convert("RGB" if kind == "P" else "L" if kind == "1" else kind)))


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "P", "I;16"])
def test_tiff_kinds(tmp_path, mode, compression):
    if mode == "I;16":
        array = random(1, np.uint16)[..., 0]
        image = Image.fromarray(array)
    else:
        image = pil(4).convert("RGB").quantize(16) if mode == "P" else pil(4).convert(mode)
        array = np.asarray(image.convert({"1": "L", "P": "RGB"}.get(mode, mode)))
    path = save(tmp_path / "a.tif", image, "TIFF", compression=compression)
    same(path, array)


def test_tiff_fax_jpeg_planar_and_white_is_zero(tmp_path):
    one = pil(1, "1")
    same(save(tmp_path / "a.tif", one, "TIFF", compression="group4"), np.asarray(one.convert("L")))
    smooth = Image.fromarray(np.full((16, 16, 3), (200, 100, 50), np.uint8))
    read = image_files.read(save(tmp_path / "b.tif", smooth, "TIFF", compression="jpeg"))
    np.testing.assert_allclose(read, np.asarray(smooth), atol=2)
    color = random(3, np.uint16)
    tifffile.imwrite(
        tmp_path / "c.tif", np.moveaxis(color, -1, 0), photometric="rgb", planarconfig="separate"
    )
    same(tmp_path / "c.tif", color)
    gray = random(1)[..., 0]
    tifffile.imwrite(tmp_path / "d.tif", gray, photometric="miniswhite")
    same(tmp_path / "d.tif", 255 - gray)


def test_tiff_float64_becomes_float32(tmp_path):
    array = np.random.default_rng(0).random(SHAPE)
    tifffile.imwrite(tmp_path / "a.tif", array)
    same(tmp_path / "a.tif", array.astype(np.float32))


def test_cmyk_jpeg_becomes_color(tmp_path):
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    read = image_files.read(save(tmp_path / "a.jpg", image, "JPEG"))
    assert read.shape == (16, 16, 3)
    np.testing.assert_allclose(read[8, 8], [254, 0, 0], atol=4)


def test_content_tells_the_format(tmp_path):
    photo = random(3)
    image_files.write(tmp_path / "a.png", photo)
    os.rename(tmp_path / "a.png", tmp_path / "a.jpg")
    same(tmp_path / "a.jpg", photo)


# ------------------------------------------------------------------------------- orientation

# EXIF 2.32, table 6: where the stored row 0 and column 0 belong.
ORIENTED = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: np.swapaxes(a, 0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(np.swapaxes(a, 0, 1), 2),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", ORIENTED)
@pytest.mark.parametrize("suffix", ["jpg", "webp", "tif"])
def test_orientation(tmp_path, suffix, orientation):
    quadrants = np.kron([[10, 90], [170, 250]], np.ones((16, 24))).astype(np.uint8)
    color = np.repeat(quadrants[..., None], 3, axis=-1)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(color).save(path, exif=exif)
    read = image_files.read(path)
    expected = ORIENTED[orientation](color)
    assert read.shape == expected.shape
    assert np.abs(read.astype(int) - expected).mean() < 2


@pytest.mark.filterwarnings("ignore:Corrupt EXIF:UserWarning")
def test_broken_exif_does_not_matter(tmp_path):
    pil(3).save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert image_files.read(tmp_path / "a.jpg").shape == (*SHAPE, 3)


# ------------------------------------------------------------------------------- writing


def test_write_refuses(tmp_path):
    cases = [
        ("a.gif", random(3), "gif holds 256 colors"),
        ("a.jpg", random(3, np.uint16), "cannot hold uint16; write png or tif"),
        ("a.png", random(3, np.float32), "cannot hold float32"),
        ("a.jpg", random(4), "cannot hold alpha"),
        ("a.png", np.zeros((4, 4), np.uint8), "shape"),
        ("a.png", np.zeros((4, 4, 3), np.int32), "holds int32"),
        ("none/a.png", random(3), "cannot write"),
    ]
    for name, photo, match in cases:
        with pytest.raises(ZooError, match=match):
            image_files.write(tmp_path / name, photo)
    assert not list(tmp_path.iterdir())


def test_write_leaves_the_old_file_when_it_fails(tmp_path, monkeypatch):
    image_files.write(tmp_path / "a.png", random(1))
    before = (tmp_path / "a.png").read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(ZooError, match="No space left"):
        image_files.write(tmp_path / "a.png", random(3))
    assert (tmp_path / "a.png").read_bytes() == before
    assert os.listdir(tmp_path) == ["a.png"]


def test_a_gray_webp_is_color(tmp_path):
    image_files.write(tmp_path / "a.webp", random(1))
    same(tmp_path / "a.webp", np.repeat(random(1), 3, axis=-1))


def test_threads_read_alike(tmp_path):
    paths = []
    for suffix in FILES:
        encoded(tmp_path, suffix)
        paths.append(tmp_path / f"whole.{suffix}")
    expected = [image_files.read(path) for path in paths]
    failures = []

    def work():
        for path, photo in zip(paths * 5, expected * 5, strict=True):
            if not np.array_equal(image_files.read(path), photo):
                failures.append(path)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


# ------------------------------------------------------------------------------- helpers


def test_luma_is_pillows_and_exact():
    """Pillow's `convert("L")` is BT.601 in 16-bit fixed point; ours is exact: ties may differ."""
    photo = random(3, shape=(64, 64))
    luma = pixels.to_channels(photo, 1)
    with Image.fromarray(photo) as image:
        pillow = np.asarray(image.convert("L"), int)
    assert np.abs(luma[..., 0].astype(int) - pillow).max() <= 1
    assert (luma[..., 0] != pillow).mean() < 0.01
    for dtype in (np.uint8, np.uint16):
        photo = random(3, dtype)
        exact = photo.astype(object) @ np.array([299, 587, 114], object)
        expected = np.array((exact + 500) // 1000, dtype)
        np.testing.assert_array_equal(pixels.to_channels(photo, 1)[..., 0], expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_to_channels(dtype):
    for channels in (1, 2):
        photo = random(channels, dtype)
        np.testing.assert_array_equal(pixels.to_channels(photo, 1), photo[..., :1])
        color = pixels.to_channels(photo, 3)
        np.testing.assert_array_equal(color, photo[..., [0, 0, 0]])
        np.testing.assert_array_equal(pixels.to_channels(color, 1), photo[..., :1])
    for channels in (3, 4):
        photo = random(channels, dtype)
        np.testing.assert_array_equal(pixels.to_channels(photo, 3), photo[..., :3])
        gray = pixels.to_channels(photo, 1)
        assert gray.shape == (*SHAPE, 1)
        assert gray.dtype == dtype
    white = np.ones((2, 2, 3), dtype) * (1 if dtype == np.float32 else np.iinfo(dtype).max)
    white = white.astype(dtype)
    np.testing.assert_array_equal(pixels.to_channels(white, 1), white[..., :1])
    with pytest.raises(ZooError, match="channels is 4"):
        pixels.to_channels(white, 4)


def test_conversions_round():
    every = np.arange(65536, dtype=np.uint16)
    np.testing.assert_array_equal(pixels.to_uint8(every), np.rint(every / 65535 * 255))
    eight = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(pixels.to_uint16(eight), np.rint(eight / 255 * 65535))
    for integers in (eight, every):
        floats = pixels.to_float(integers)
        assert floats.dtype == np.float32
        assert floats.min() == 0
        assert floats.max() == 1
        back = pixels.to_uint8 if integers is eight else pixels.to_uint16
        np.testing.assert_array_equal(back(floats), integers)
    floats = np.array([-1, 0.5 / 255 - 1e-4, 0.5 / 255 + 1e-4, 0.999, 2], np.float32)
    np.testing.assert_array_equal(pixels.to_uint8(floats), [0, 0, 1, 255, 255])
    with pytest.raises(ZooError, match="NaN"):
        pixels.to_uint8(np.array([np.nan], np.float32))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("size", [(5, 7), (18, 13), (9, 13), (40, 3)])
def test_resize(dtype, size):
    photo = random(3, dtype)
    scaled = pixels.resize(photo, size)
    assert scaled.shape == (*size, 3)
    assert scaled.dtype == dtype
    flat = np.full((*SHAPE, 2), 1 if dtype == np.float32 else 200, dtype)
    np.testing.assert_allclose(pixels.resize(flat, size), flat[0, 0, 0], rtol=1e-6)
    if dtype == np.uint8:
        with Image.fromarray(photo) as image:
            pillow = np.asarray(image.resize(size[::-1], Image.Resampling.BICUBIC), int)
        np.testing.assert_allclose(scaled, pillow, atol=1)
    if dtype != np.float32:
        # Rounded to the nearest, not down, which would darken images by half a step.
        exact = pixels.resize(photo.astype(np.float32), size)
        inside = (exact > photo.min()) & (exact < photo.max())
        assert np.abs(scaled - exact)[inside].max() <= 0.51


def test_resize_antialiases():
    """Stripes above the new Nyquist frequency become their mean instead of an alias."""
    stripes = np.zeros((96, 96, 1), np.uint8)
    stripes[:, ::2] = 200
    small = pixels.resize(stripes, (32, 32))
    np.testing.assert_allclose(small[4:-4, 4:-4], 100, atol=12)


# ------------------------------------------------------------------------------- real data


@pytest.mark.matrix
def test_bsd68_is_the_luma_of_cbsd68(zoo_data):
    """BSD68 is CBSD68 through MATLAB's rgb2gray (BT.601); the names differ, so any may match."""
    color = [image_files.read(path) for path in sorted((zoo_data / "cbsd68").iterdir())]
    lumas = [pixels.to_channels(photo, 1).astype(int) for photo in color]
    for path in sorted((zoo_data / "bsd68").iterdir())[:10]:
        gray = image_files.read(path)
        apart = [np.abs(luma - gray) for luma in lumas if luma.shape == gray.shape]
        nearest = min(apart, key=np.mean)
        # MATLAB's weights are 0.2989, 0.5870, 0.1140: now and then a tie rounds the other way.
        assert nearest.max() <= 1
        assert nearest.mean() < 0.002


def test_png_of_a_real_set_is_pillows(zoo_data):
    path = sorted((zoo_data / "cbsd68").iterdir())[0]
    with Image.open(path) as image:
        np.testing.assert_array_equal(image_files.read(path), np.asarray(image.convert("RGB")))

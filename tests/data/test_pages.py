"""Image files read and written again: what was in them is in them still."""

import os
import struct
import tracemalloc
import zlib

import imagecodecs
import numpy as np
import pytest
import skimage.io
import tifffile
from page_files import (
    ICC,
    SHAPE,
    UPRIGHT_XMP,
    XMP,
    again,
    one,
    pil,
    random,
    refused,
    smooth,
    squeezed,
)
from PIL import Image, PngImagePlugin

from zoo.data import image_files
from zoo.data.image_files import read_pages, write_pages
from zoo.data.image_metadata import Metadata, Page

# ------------------------------------------------------------------------------- pixels

HELD = (
    [("png", c, d) for c in (1, 2, 3, 4) for d in (np.uint8, np.uint16)]
    + [("tif", c, d) for c in (1, 2, 3, 4) for d in (np.uint8, np.uint16, np.float32)]
    + [("tif", 3, np.float16), ("tif", 1, np.float64)]
    + [("bmp", c, np.uint8) for c in (1, 3)]
    + [("webp", c, np.uint8) for c in (3, 4)]
)


@pytest.mark.parametrize(("suffix", "channels", "dtype"), HELD)
def test_pixels_and_depth_survive(tmp_path, suffix, channels, dtype):
    """Written by the libraries, read by another one than wrote it here."""
    photo, path = random(channels, dtype), tmp_path / f"a.{suffix}"
    if suffix == "png":
        path.write_bytes(imagecodecs.png_encode(squeezed(photo)))
    elif suffix == "tif":
        photometric = "rgb" if channels >= 3 else "minisblack"
        planar = "contig" if channels > 1 else None
        extras = ["unassalpha"] if channels in (2, 4) else None
        tifffile.imwrite(
            path, squeezed(photo), photometric=photometric, planarconfig=planar,
            extrasamples=extras,
        )  # fmt: skip
    else:
        Image.fromarray(squeezed(photo)).save(path, lossless=True, exact=True)
    target, lost = again(path)
    assert lost == ()
    if suffix == "tif":
        read = tifffile.imread(target)
    elif suffix == "png" and dtype == np.uint16 and channels > 1:
        read = imagecodecs.png_decode(target.read_bytes())
    else:
        read = skimage.io.imread(target)
    assert read.dtype == dtype
    held = photo.astype(one(path).image.dtype)  # of 64-bit floats 32 bits
    np.testing.assert_array_equal(read, squeezed(held))
    np.testing.assert_array_equal(one(target).image, held)
    assert sorted(os.listdir(tmp_path)) == sorted([path.name, target.name])


@pytest.mark.parametrize(("mode", "becomes"), [("1", "L"), ("P", "RGB"), ("CMYK", "RGB")])
@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "gif", "jpg"])
def test_other_modes_become_these(tmp_path, suffix, mode, becomes):
    image = pil().quantize(8) if mode == "P" else pil().convert(mode)
    path = tmp_path / f"a.{suffix}"
    unheld = {("CMYK", "png"), ("CMYK", "bmp"), ("CMYK", "gif"), ("1", "jpg"), ("P", "jpg")}
    if (mode, suffix) in unheld:
        return None
    image.save(path)
    if (mode, suffix) == ("CMYK", "tif"):
        return refused("TIFF of CMYK; convert", lambda: list(read_pages(path)))
    page = one(path)
    with Image.open(path) as reread:
        expected = np.asarray(reread.convert(becomes))
    np.testing.assert_array_equal(squeezed(page.image), expected)
    assert any("CMYK" in line for line in page.lost) == (mode == "CMYK")
    if suffix == "gif":
        refused("256 colors", write_pages, tmp_path / "b.gif", [page])
    return None


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_animations_are_refused(tmp_path, suffix):
    frames = [Image.fromarray(random(3, seed=seed)) for seed in range(3)]
    path = tmp_path / f"a.{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    refused("is animated", read_pages, path)


def test_gif_with_a_transparent_color(tmp_path):
    pil().quantize(8).save(tmp_path / "a.gif", transparency=3)
    with Image.open(tmp_path / "a.gif") as image:
        expected = np.asarray(image.convert("RGBA"))
    target, _ = again(tmp_path / "a.gif", ".png")
    np.testing.assert_array_equal(skimage.io.imread(target), expected)


# ------------------------------------------------------------------------------- what lies beside


def test_png_chunks(tmp_path):
    text = PngImagePlugin.PngInfo()
    text.add_text("Author", "somebody")
    text.add_text("Long", "words " * 99, zip=True)
    text.add_itxt("Title", "Größe", "de", "Titel")
    text.add_itxt("XML:com.adobe.xmp", XMP.decode(), zip=True)
    pil().save(tmp_path / "a.png", icc_profile=ICC, pnginfo=text, dpi=(300, 200))
    target, lost = again(tmp_path / "a.png")
    assert lost == ()
    with Image.open(tmp_path / "a.png") as before, Image.open(target) as after:
        after.load()
        assert after.info["icc_profile"] == ICC
        assert after.info["dpi"] == before.info["dpi"]
        for name in ("Author", "Long", "Title"):
            assert after.text[name] == before.text[name]
        assert after.text["XML:com.adobe.xmp"].encode() == UPRIGHT_XMP
        assert after.text["Title"].lang == "de"


def test_16_bit_color_png_with_profile(tmp_path):
    """And with what its colors are, in figures."""
    photo = random(3, np.uint16)
    data = imagecodecs.png_encode(photo)
    parts = [(b"gAMA", struct.pack(">I", 45455)), (b"iCCP", b"name\0\0" + zlib.compress(ICC))]
    chunks = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    )
    (tmp_path / "a.png").write_bytes(data[:33] + chunks + data[33:])
    target, lost = again(tmp_path / "a.png")
    assert lost == ()
    np.testing.assert_array_equal(imagecodecs.png_decode(target.read_bytes()), photo)
    with Image.open(target) as image:
        assert image.info["icc_profile"] == ICC
        assert image.info["gamma"] == 0.45455
    bad = bytearray((tmp_path / "a.png").read_bytes())
    bad[33 + 10] ^= 1  # in the chunk gAMA
    (tmp_path / "b.png").write_bytes(bad)
    assert one(tmp_path / "b.png").lost == ("a broken gAMA chunk is not kept",)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
@pytest.mark.parametrize("source", ["png", "jpg", "webp", "tif"])
def test_beside_goes_from_format_to_format(tmp_path, source, suffix):
    exif = Image.Exif()
    exif[0x010F], exif[0x9C9B] = "A maker", b"t\0"
    exif.get_ifd(0x8769)[0x829D] = 2.5
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.5)
    path = tmp_path / f"a.{source}"
    xmp = {"xmp": XMP}
    if source == "png":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", XMP.decode())
        xmp = {"pnginfo": text}
    if source == "tif":
        exif[700] = XMP
        exif, xmp = exif.tobytes(), {}
    pil().save(path, exif=exif, icc_profile=ICC, dpi=(300, 300), **xmp)
    target, lost = again(path, f".{suffix}")
    assert not [line for line in lost if "40091" not in line]
    with Image.open(target) as image:
        assert image.info["icc_profile"] == ICC
        read = image.getexif()
        assert read[0x010F].strip("\0") == "A maker"
        assert float(read.get_ifd(0x8769)[0x829D]) == 2.5
        assert [float(value) for value in read.get_ifd(0x8825)[2]] == [52.0, 31.0, 12.5]
        if "webp" not in (source, suffix):
            assert image.info["dpi"] == pytest.approx((300, 300), abs=0.01)
    assert one(target).metadata.xmp == UPRIGHT_XMP


def test_profiles_that_do_not_fit(tmp_path):
    gray = ICC[:16] + b"GRAY" + ICC[20:]
    for photo, profile, kept in [
        (random(3), ICC, ICC),
        (random(3), gray, None),
        (random(1), gray, gray),
        (random(1), ICC, None),
    ]:
        write_pages(tmp_path / "a.png", [Page(photo, Metadata(icc=profile))], overwrite=True)
        with Image.open(tmp_path / "a.png") as image:
            assert image.info.get("icc_profile") == kept


def test_a_long_profile_in_jpeg(tmp_path):
    profile = ICC + bytes(100_000)
    write_pages(tmp_path / "a.jpg", [Page(random(3), Metadata(icc=profile))])
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.info["icc_profile"] == profile
    assert one(tmp_path / "a.jpg").metadata.icc == profile


def test_bmp_resolution(tmp_path):
    pil().save(tmp_path / "a.bmp", dpi=(300, 150))
    target, _ = again(tmp_path / "a.bmp")
    with Image.open(target) as image:
        assert image.info["dpi"] == pytest.approx((300, 150), abs=0.02)


@pytest.mark.parametrize("lossless", [True, False])
def test_webp_is_lossy_only_where_it_was(tmp_path, lossless):
    Image.fromarray(smooth()).save(tmp_path / "a.webp", lossless=lossless, quality=80)
    target, lost = again(tmp_path / "a.webp")
    assert lost == ()
    assert target.read_bytes()[12:16] == (b"VP8L" if lossless else b"VP8 ")
    apart = np.abs(image_files.read(target).astype(int) - image_files.read(tmp_path / "a.webp"))
    assert apart.max() == 0 if lossless else 0 < apart.mean() < 3
    write_pages(tmp_path / "png.webp", [Page(smooth())])
    np.testing.assert_array_equal(image_files.read(tmp_path / "png.webp"), smooth())


# ------------------------------------------------------------------------------- other formats


def test_depth_falls_to_what_is_held(tmp_path):
    deep = random(3, np.uint16)
    lost = write_pages(tmp_path / "a.webp", [Page(deep)])
    assert lost == ("16 bits became 8 bits, all that WebP holds",)
    expected = np.rint(deep / 257).astype(np.uint8)
    np.testing.assert_array_equal(image_files.read(tmp_path / "a.webp"), expected)
    floats = random(3, np.float32)
    assert write_pages(tmp_path / "a.png", [Page(floats)])
    np.testing.assert_array_equal(
        image_files.read(tmp_path / "a.png"),
        np.rint(floats.astype(float) * 65535).astype(np.uint16),
    )


def test_alpha_in_jpeg(tmp_path):
    photo = random(4)
    refused("hold transparency; end it in", write_pages, tmp_path / "a.jpg", [Page(photo)])
    assert not os.listdir(tmp_path)
    photo[..., 3] = 255
    assert "opaque" in write_pages(tmp_path / "a.jpg", [Page(photo)])[0]
    assert image_files.read(tmp_path / "a.jpg").shape == (*SHAPE, 3)


def test_what_cannot_be(tmp_path):
    page = Page(random(3))
    refused("2 pages; end it in .tif", write_pages, tmp_path / "a.png", [page, page])
    refused("cannot tell a format", write_pages, tmp_path / "a.xyz", [page])
    refused("16383", write_pages, tmp_path / "a.webp", [Page(np.zeros((1, 16384, 3), np.uint8))])
    refused("is a folder", write_pages, tmp_path, [page])
    for suffix in ("tif", "png"):
        refused("would have no page", write_pages, tmp_path / f"a.{suffix}", [])
    assert not os.listdir(tmp_path)


# ------------------------------------------------------------------------------- odd and too much


def with_chunks(path, *chunks):
    data = imagecodecs.png_encode(random(3))
    made = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    path.write_bytes(data[:33] + made + data[33:])
    return path


@pytest.mark.parametrize(
    ("kind", "head", "field"),
    [
        (b"iCCP", b"name\0\0", "icc"),
        (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0", "xmp"),
        (b"zTXt", b"Comment\0\0", None),
        (b"iTXt", b"Comment\0\1\0\0\0", None),
    ],
)
def test_what_inflates_beyond_measure(tmp_path, kind, head, field):
    """Many times over, as a hostile file has it; what is not inflated goes on as it is."""
    body = head + zlib.compress(bytes(2**24 + 1), 9)
    path = with_chunks(tmp_path / "a.png", *[(kind, body)] * 5)
    tracemalloc.start()
    page = one(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**26
    if field is None:
        assert page.metadata.chunks == ((kind, body),) * 5
    else:
        assert getattr(page.metadata, field) is None
        assert len(page.lost) == 1
        assert "of more than 16 MB, is not kept" in page.lost[0]


def test_what_is_not_kept_is_said(tmp_path):
    """Of every format, whatever kind of note it is."""
    page = one(with_chunks(tmp_path / "a.png", (b"caBX", b"signed"), (b"tIME", bytes(7))))
    assert page.lost == ("its PNG chunk caBX is not kept",)
    pil().save(tmp_path / "a.jpg", icc_profile=ICC)
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "b.jpg").write_bytes(data[:2] + b"\xff\xeb\0\x08JUMBF\0" + data[2:])
    assert one(tmp_path / "a.jpg").lost == ()
    assert one(tmp_path / "b.jpg").lost == ("its JPEG segment APP11 is not kept",)
    pil().save(tmp_path / "a.webp", lossless=True, xmp=XMP)
    data = (tmp_path / "a.webp").read_bytes()
    # The name of the chunk as some writers have it, and one that nobody knows.
    (tmp_path / "b.webp").write_bytes(data.replace(b"XMP ", b"XMP\0") + b"abcd\2\0\0\0xy")
    page = one(tmp_path / "b.webp")
    assert page.metadata.xmp == UPRIGHT_XMP
    assert page.lost == ("its WebP chunk abcd is not kept",)

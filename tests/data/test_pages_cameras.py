"""Image files as cameras and phones make them: turned, with EXIF, with things behind."""

import io
import struct

import numpy as np
import pytest
from page_files import UPRIGHT_XMP, XMP, again, one, random, refused, smooth
from PIL import Image

from zoo.data import exif
from zoo.data.image_files import write_pages
from zoo.data.image_metadata import Page
from zoo.errors import ZooError

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
# No other could be distinguished from garbage: places within it are those of the whole file.
MAKERS_NOTE = b"Maker\0" + bytes(range(200))


def phone(order="<", orientation=6, preview=b"\xff\xd8preview\xff\xd9"):
    """EXIF by hand: as phones write it, with a directory for the preview, which Pillow drops."""

    def word(text):
        return exif.Value(2, len(text) + 1, text + b"\0")

    def short(value):
        return exif.Value(3, 1, struct.pack(order + "H", value))

    def long(value):
        return exif.Value(4, 1, struct.pack(order + "I", value))

    degrees = exif.Value(5, 3, struct.pack(order + "6I", 52, 1, 31, 1, 125, 10))
    tags = {
        0x0100: long(48),
        0x0101: long(32),
        0x010F: word(b"A maker"),
        0x0110: word(b"A phone"),
        0x0112: short(orientation),
        0x0132: word(b"2026:11:21 22:00:00"),
        exif.EXIF: exif.Value(
            4,
            1,
            {
                0x829A: exif.Value(5, 1, struct.pack(order + "2I", 1, 50)),
                0x8827: short(3200),
                0x927C: exif.Value(7, len(MAKERS_NOTE), MAKERS_NOTE),
                0xA002: long(48),
                0xA003: long(32),
            },
        ),
        exif.GPS: exif.Value(4, 1, {1: word(b"N"), 2: degrees, 3: word(b"E"), 4: degrees}),
    }
    blob = bytearray(exif.build(tags, order))
    link = 8 + 2 + 12 * len(tags)
    blob[link : link + 4] = struct.pack(order + "I", len(blob))
    small = {0x0201: long(len(blob) + 30), 0x0202: long(len(preview)), 0x0112: short(orientation)}
    return bytes(blob) + exif.pack(small, len(blob), order) + preview


def stored(photo, suffix, path, **options):
    Image.fromarray(photo).save(path, quality=95, lossless=True, **options)


@pytest.mark.parametrize("orientation", ORIENTED)
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
def test_orientation_is_applied_once(tmp_path, suffix, orientation):
    """Not once in the pixels and again by whoever looks."""
    photo = np.kron([[10, 90], [170, 250]], np.ones((16, 24))).astype(np.uint8)
    photo = np.repeat(photo[..., None], 3, axis=-1)
    tags = Image.Exif()
    tags[0x0112] = orientation
    stored(photo, suffix, tmp_path / f"a.{suffix}", exif=tags, dpi=(300, 200))
    target, lost = again(tmp_path / f"a.{suffix}")
    assert lost == ()
    with Image.open(target) as image:
        read = np.asarray(image).astype(int)
        assert image.getexif().get(0x0112, 1) == 1
        if suffix != "webp":
            expected = (200, 300) if orientation >= 5 else (300, 200)
            assert image.info["dpi"] == pytest.approx(expected, abs=0.02)
    expected = ORIENTED[orientation](photo)
    assert read.shape == expected.shape
    assert np.abs(read - expected).mean() < 2
    twice, _ = again(target)
    assert one(twice).image.shape == expected.shape


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_a_phones_exif(tmp_path, suffix, order):
    blob = phone(order)
    Image.fromarray(smooth()).save(tmp_path / "a.jpg", quality=95, exif=b"Exif\0\0" + blob)
    target, lost = again(tmp_path / "a.jpg", f".{suffix}")
    moved = "its maker note is kept, but has moved: offsets that it may contain are wrong"
    assert lost == ("the small preview in its EXIF is not kept", moved)[: 1 + (suffix == "tif")]
    with Image.open(target) as image:
        assert image.size == (32, 48)
        tags = image.getexif()
        inner, place = tags.get_ifd(exif.EXIF), tags.get_ifd(exif.GPS)
        assert tags[0x010F].strip("\0") == "A maker"
        assert tags.get(0x0112, 1) == 1
        assert (inner[0xA002], inner[0xA003]) == (32, 48)
        assert float(inner[0x829A]) == 0.02
        assert inner[0x8827] == 3200
        assert inner[0x927C] == MAKERS_NOTE
        assert [float(value) for value in place[2]] == [52, 31, 12.5]
        assert place[1].strip("\0") == "N"
        if suffix != "tif":
            assert (tags[0x0100], tags[0x0101]) == (32, 48)
            assert not tags.get_ifd(1)
    if suffix != "tif":
        # The maker's note lies where it lay, and nothing but tags changed.
        kept = one(target).metadata.exif
        assert len(kept) == len(blob)
        assert kept.index(MAKERS_NOTE) == blob.index(MAKERS_NOTE)
        assert sum(a != b for a, b in zip(kept, blob, strict=True)) < 30


@pytest.mark.parametrize("quality", [40, 75, 90, 93, 100])
@pytest.mark.parametrize("sampling", [("4:4:4", "444"), ("4:2:2", "422"), ("4:2:0", "420")])
def test_jpeg_quality_and_subsampling(tmp_path, quality, sampling):
    """At least 90, and else the source's: its tables come out as they were."""
    pillows, ours = sampling
    Image.fromarray(smooth()).save(tmp_path / "a.jpg", quality=quality, subsampling=pillows)
    page = one(tmp_path / "a.jpg")
    assert page.metadata.quality == quality
    assert page.metadata.subsampling == ours
    target, _ = again(tmp_path / "a.jpg")
    with Image.open(target) as image, Image.open(tmp_path / "a.jpg") as before:
        assert image.layer == before.layer
        if quality >= 90:
            assert image.quantization == before.quantization
        else:
            assert one(target).metadata.quality == 90


def test_gray_and_progressive_jpeg(tmp_path):
    gray = smooth()[..., 0]
    Image.fromarray(gray).save(tmp_path / "a.jpg", quality=92, progressive=True)
    target, lost = again(tmp_path / "a.jpg")
    with Image.open(target) as image:
        assert image.mode == "L"
        assert np.abs(np.asarray(image).astype(int) - gray).max() <= 4
    assert lost == ()


def test_comment_and_photoshop_block(tmp_path):
    Image.fromarray(smooth()).save(tmp_path / "a.jpg", comment=b"by hand")
    data = (tmp_path / "a.jpg").read_bytes()
    block = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\0"
    part = struct.pack(">BBH", 0xFF, 0xED, len(block) + 2) + block
    (tmp_path / "a.jpg").write_bytes(data[:2] + part + data[2:])
    target, lost = again(tmp_path / "a.jpg")
    assert lost == ()
    assert part in target.read_bytes()
    with Image.open(target) as image:
        assert image.info["comment"] == b"by hand"
    _, lost = again(tmp_path / "a.jpg", ".png")
    assert lost == ("PNG has no place for the comment and Photoshop block of JPEG",)


@pytest.mark.parametrize("progressive", [False, True])
def test_what_phones_put_behind(tmp_path, progressive):
    """A second JPEG, and XMP that tells where it lies."""
    out = io.BytesIO()
    packet = XMP.replace(b"word=", b"Container:Directory=")
    Image.fromarray(smooth()).save(out, "JPEG", xmp=packet, progressive=progressive)
    path = tmp_path / "a.jpg"
    path.write_bytes(out.getvalue() + out.getvalue())
    target, lost = again(path)
    assert len(lost) == 2
    assert "behind" not in str(lost)
    assert "gain map" in lost[0] + lost[1]
    assert b"Container:" not in target.read_bytes()
    # Without anything behind it, or with padding only, it stays.
    path.write_bytes(out.getvalue() + b"\0" * 99)
    assert one(path).lost == ()
    assert b"Container:" in one(path).metadata.xmp


def test_exif_too_long_for_jpeg(tmp_path):
    tags = {0x010F: exif.Value(2, 70_000, b"a" * 69_999 + b"\0")}
    page = Page(random(3))
    page = page._replace(
        metadata=page.metadata._replace(exif=exif.build(tags, "<"), xmp=bytes(70_000))
    )
    lost = write_pages(tmp_path / "a.jpg", [page])
    assert lost == ("its EXIF is too long for JPEG", "its XMP is too long for JPEG")
    assert write_pages(tmp_path / "a.png", [page]) == ()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_broken_exif_does_not_matter(tmp_path):
    """Whatever is broken in it, there is an image, and what is written can be read."""
    blob = phone()
    rng = np.random.default_rng(0)
    Image.fromarray(smooth()).save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert one(tmp_path / "a.jpg").lost == ("its EXIF is broken and not kept",)
    for _ in range(60):
        bad = bytearray(blob)
        for at in rng.integers(0, len(blob), 6):
            bad[at] = rng.integers(256)
        Image.fromarray(smooth()).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + bytes(bad))
        for suffix in ("jpg", "tif"):
            target, _ = again(tmp_path / "a.jpg", f".{suffix}")
            assert one(target).image.size == 32 * 48 * 3
            target.unlink()


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "bmp", "gif"])
def test_damaged_files_are_one_line(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(random(3, shape=(64, 80))).save(path, lossless=True)
    data = path.read_bytes()
    for part in (0.02, 0.3, 0.7, 0.95):
        path.write_bytes(data[: int(part * len(data))])
        refused("truncated or broken", one, path)
    path.write_bytes(b"")
    refused("is empty", one, path)
    path.unlink()
    refused("No such file", one, path)
    lines, rng = [], np.random.default_rng(0)
    for _ in range(40):
        bad = bytearray(data)
        for at in rng.integers(4, min(len(data), 300), 4):
            bad[at] = rng.integers(256)
        path.write_bytes(bad)
        try:
            write_pages(tmp_path / "b.tif", [one(path)], overwrite=True)
        except ZooError as error:
            lines.append(str(error))
    assert not [line for line in lines if "\n" in line]


def test_xmp_of_both_kinds():
    element = b"<tiff:Orientation>8</tiff:Orientation>"
    assert exif.upright_xmp(element) == element.replace(b"8", b"1")
    assert exif.upright_xmp(XMP) == UPRIGHT_XMP
    assert exif.upright_xmp(b"<a>8</a>") == b"<a>8</a>"

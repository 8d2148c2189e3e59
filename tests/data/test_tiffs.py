"""TIFF files as the world writes them: read as others read them, or refused in one true line."""

import struct

import imagecodecs
import numpy as np
import pytest
import tifffile
from page_files import again, one, random, refused, smooth

from zoo.data import image_files
from zoo.data.image_files import read_pages

WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, OFFSETS = 256, 257, 258, 259, 262, 273
SAMPLES, ROWS, COUNTS, COLORS, SUBSAMPLING = 277, 278, 279, 320, 530


def by_hand(path, tags, data, order="<", big=False):
    """A page of these tags, all of 16 bits but the places, without any other."""
    wide, head, kind = ("Q", 16, 16) if big else ("I", 8, 4)
    tags = {WIDTH: 4, LENGTH: 4, BITS: 8, SAMPLES: 1, ROWS: 4} | tags
    start = head + len(data) + len(data) % 2
    entries, rest = [], b""
    inline = struct.calcsize(wide)
    after = start + (8 if big else 2) + (len(tags) + 2) * (20 if big else 12) + inline
    for code, value in sorted((tags | {OFFSETS: head, COUNTS: len(data)}).items()):
        form, number = (wide, kind) if code in (OFFSETS, COUNTS) else ("H", 3)
        values = value if isinstance(value, tuple) else (value,)
        field = struct.pack(f"{order}{len(values)}{form}", *values)
        if len(field) > inline:
            rest += field
            field = struct.pack(order + wide, after + len(rest) - len(field))
        entry = struct.pack(f"{order}HH{wide}", code, number, len(values))
        entries.append(entry + field.ljust(inline, b"\0"))
    mark = b"II" if order == "<" else b"MM"
    version = struct.pack(order + "HHHQ", 43, 8, 0, start) if big else None
    version = version or struct.pack(order + "HI", 42, start)
    count = struct.pack(order + ("Q" if big else "H"), len(entries))
    ifd = count + b"".join(entries) + bytes(inline) + rest
    path.write_bytes(mark + version + data + bytes(len(data) % 2) + ifd)
    return path


def stack(path, pages=3, **options):
    images = np.stack([smooth((40, 56)) + np.uint8(i) for i in range(pages)])
    tifffile.imwrite(path, images, photometric="rgb", **options)
    return images


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("missing", [COMPRESSION, PHOTOMETRIC])
def test_tags_that_old_files_lack(tmp_path, missing, order, big):
    """Nothing is compressed then, and black is zero, as libtiff and ImageJ have it."""
    for samples in (1, 3):
        pixels = random(samples, np.uint16, (4, 4))
        tags = {COMPRESSION: 1, PHOTOMETRIC: 2 if samples == 3 else 1}
        del tags[missing]
        tags |= {BITS: (16,) * samples, SAMPLES: samples}
        data = pixels.astype(f"{order}u2").tobytes()
        path = by_hand(tmp_path / "a.tif", tags, data, order, big)
        page = one(path)
        np.testing.assert_array_equal(page.image, pixels)
        np.testing.assert_array_equal(image_files.read(path), pixels)
        target, lost = again(path)
        assert lost == ()
        np.testing.assert_array_equal(tifffile.imread(target).reshape(pixels.shape), pixels)
        path.with_name("a-again.tif").unlink()


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palettes(tmp_path, bits, wide):
    """The color map is of 16 bits by the standard, and of 8 in some files."""
    rng = np.random.default_rng(bits)
    indices = rng.integers(0, 2**bits, (4, 8), np.uint8)
    colors = rng.integers(0, 255, (3, 2**bits), endpoint=True)
    row = np.unpackbits(indices[..., None], axis=-1)[..., 8 - bits :].reshape(4, -1)
    reported = colors * (257 if wide else 1)
    tags = {WIDTH: 8, BITS: bits, PHOTOMETRIC: 3, COLORS: tuple(map(int, reported.ravel()))}
    path = by_hand(tmp_path / "a.tif", tags, np.packbits(row, axis=1).tobytes())
    np.testing.assert_array_equal(one(path).image, colors.T[indices])


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_bits_between_8_and_16_are_stretched(tmp_path, bits):
    values = np.random.default_rng(0).integers(0, 2**bits, (4, 8), np.uint16)
    values[0, :2] = 0, 2**bits - 1
    text = "".join(f"{value:0{bits}b}" for value in values.ravel())
    data = int(text, 2).to_bytes(len(text) // 8, "big")
    tags = {WIDTH: 8, BITS: bits, COMPRESSION: 1, PHOTOMETRIC: 1}
    path = by_hand(tmp_path / "a.tif", tags, data)
    page = one(path)
    assert page.lost == (f"its {bits} bits became 16",)
    expected = np.rint(values * (65535 / (2**bits - 1))).astype(np.uint16)
    np.testing.assert_array_equal(page.image[..., 0], expected)


@pytest.mark.parametrize("sampling", [(1, 1), (2, 1), (2, 2)])
@pytest.mark.parametrize("compression", [1, 5, 8])
def test_ycbcr_that_is_not_jpeg(tmp_path, compression, sampling):
    """Pillow's libtiff converts it; tifffile gives it raw, or refuses."""
    h, v = sampling
    blocks = np.random.default_rng(1).integers(60, 200, (8 // v * (8 // h), h * v + 2), np.uint8)
    data = blocks.tobytes()
    encode = {1: bytes, 5: imagecodecs.lzw_encode, 8: imagecodecs.zlib_encode}[compression]
    tags = {WIDTH: 8, LENGTH: 8, ROWS: 8, BITS: (8, 8, 8), SAMPLES: 3, PHOTOMETRIC: 6}
    tags |= {COMPRESSION: compression, SUBSAMPLING: sampling}
    path = by_hand(tmp_path / "a.tif", tags, encode(data))
    page = one(path)
    assert page.lost == ("YCbCr became RGB",)
    # ITU-R BT.601-7: each block has its brightnesses, and one of both color differences.
    y, cb, cr = blocks[:, : h * v].astype(float), blocks[:, -2], blocks[:, -1]
    cb, cr = (np.repeat(one[:, None] - 128.0, h * v, axis=1) for one in (cb, cr))
    rgb = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], axis=-1)
    rgb = rgb.reshape(8 // v, 8 // h, v, h, 3).swapaxes(1, 2).reshape(8, 8, 3)
    np.testing.assert_allclose(page.image, np.clip(rgb, 0, 255), atol=1.5)
    # libtiff would take zeros for what is missing.
    by_hand(path, tags, encode(data[:-9]))
    refused("truncated or broken tiff", lambda: one(path))


@pytest.mark.parametrize("truncate", [True, False])
@pytest.mark.parametrize("imagej", [True, False])
def test_slices_of_one_directory(tmp_path, imagej, truncate):
    """ImageJ writes stacks beyond 4 GB so, and takes uncompressed ones for such."""
    slices = random(5, np.uint16, (20, 30)).transpose(2, 0, 1).copy()
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, slices, imagej=imagej, truncate=truncate, photometric="minisblack")
    target, lost = again(path)
    assert lost == ()
    with tifffile.TiffFile(target) as tiff:
        assert len(tiff.pages) == 5
        np.testing.assert_array_equal(np.stack([page.asarray() for page in tiff.pages]), slices)
        if imagej:
            data = target.read_bytes()
            start = tiff.pages[0].dataoffsets[0]
            read = np.frombuffer(data[start : start + slices.nbytes], f"{tiff.byteorder}u2")
            np.testing.assert_array_equal(read.reshape(slices.shape), slices)
    if truncate:
        path.write_bytes(path.read_bytes()[:-1300])
        refused("it has 3 of 5 slices", read_pages, path)
        # One that was taken out of a stack, with its description, is an image.
        with tifffile.TiffFile(path) as tiff:
            start = tiff.pages[0].dataoffsets[0]
        path.write_bytes(path.read_bytes()[: start + 1300])
        assert one(path).lost == ("its description mentions 5 slices, and there is one",)


@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "packbits", "zstd", "jpeg"])
def test_a_cut_file_is_no_shorter_one(tmp_path, compression):
    """Neither with fewer pages, nor with gray in place of what is missing."""
    path = tmp_path / "a.tif"
    stack(path, compression=compression, rowsperstrip=16)
    whole = path.read_bytes()
    assert len(read_pages(path)) == 3
    for part in np.linspace(0.05, 0.98, 14):
        path.write_bytes(whole[: int(part * len(whole))])
        refused("truncated or broken tiff", lambda: list(read_pages(path)))
    tifffile.imwrite(path, smooth((40, 56)), compression="jpeg", photometric="rgb")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2].ljust(len(whole), b"\0"))
    refused("is cut off", image_files.read, path)


@pytest.mark.parametrize("back", [0, 2])
def test_directories_in_a_circle(tmp_path, back):
    path = tmp_path / "a.tif"
    stack(path)
    with tifffile.TiffFile(path) as tiff:
        places = [page.offset for page in tiff.pages]
    data = bytearray(path.read_bytes())
    link = places[2] + 2 + 12 * struct.unpack_from("<H", data, places[2])[0]
    data[link : link + 4] = struct.pack("<I", places[back])
    path.write_bytes(data)
    for read in (read_pages, image_files.read):
        refused(f"leads in a circle, from page 3 to page {back + 1}; save it again", read, path)


def test_what_claims_too_much_is_not_decoded(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((9, 13, 100), np.uint8), photometric="minisblack",
                     planarconfig="contig")  # fmt: skip
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((5, 32, 32), np.uint8), volumetric=True,
                     tile=(1, 16, 16), photometric="minisblack")  # fmt: skip
    tifffile.imwrite(tmp_path / "c.tif", np.zeros((5, 5), np.complex64))
    monkeypatch.setattr(tifffile.TiffPage, "asarray", None)
    refused("has 100 samples a pixel, and an image 1 to 4", image_files.read, tmp_path / "a.tif")
    refused("is a volume of 5 layers", image_files.read, tmp_path / "b.tif")
    monkeypatch.undo()
    refused("holds complex64", lambda: one(tmp_path / "c.tif"))


@pytest.mark.parametrize(("number", "name"), [(34661, "jbig"), (34676, "sgilog"), (4711, "number")])
def test_codings_that_no_library_reads(tmp_path, number, name):
    tags = {COMPRESSION: number, PHOTOMETRIC: 1}
    path = by_hand(tmp_path / "a.tif", tags, bytes(16))
    refused(f"is compressed by {name}.*, which is not read; save it again", lambda: one(path))


# ------------------------------------------------------------------------- what is no image here


def raw(path, sensor="cfa"):
    with tifffile.TiffWriter(path) as writer:
        preview = {"subfiletype": 1, "subifds": 1, "photometric": "rgb"}
        writer.write(smooth(), extratags=[(50706, 1, 4, b"\1\4\0\0", True)], **preview)
        writer.write(random(1, np.uint16)[..., 0], photometric=sensor)


def test_raw_files_are_not_their_previews(tmp_path):
    for sensor in ("cfa", "linear_raw"):
        raw(tmp_path / "a.tif", sensor)
        for read in (read_pages, image_files.read):
            refused("is a camera's raw file, .* develop it", read, tmp_path / "a.tif")
    # Canon's preview is not marked as one.
    path = by_hand(tmp_path / "b.tif", {PHOTOMETRIC: 1}, b"CR\2\0".ljust(16, b"\0"))
    refused("is a camera's raw file", read_pages, path)


@pytest.mark.parametrize(
    ("data", "reported"),
    [
        (
            bytes(128) + b"DICM" + b"\2\0\2\0UI\x1a\0" + b"1.2.840.10008.1.3.10\0",
            "a DICOM file with",
        ),
        (b"IIRO\10\0\0\0", "a camera's raw file.*rawpy"),
        (b"FUJIFILMCCD-RAW 0201", "a camera's raw file"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "a camera's raw file"),
        (b"8BPS\0\1", "a Photoshop file"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"P5\n4 4\n255\n", "a Netpbm file"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 or netCDF file"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"\0\0\0\x18ftypM4A \0\0\0\0M4A mp42", "not png"),
    ],
)
def test_what_is_no_image_is_named(tmp_path, data, reported):
    (tmp_path / "a.tif").write_bytes(data.ljust(400, b"\0"))
    for read in (read_pages, image_files.read):
        refused(f"is {reported}", read, tmp_path / "a.tif")


def test_a_lone_page_marked_as_a_thumbnail_is_the_image(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", smooth(), photometric="rgb", subfiletype=1)
    np.testing.assert_array_equal(one(tmp_path / "a.tif").image, smooth())
    tifffile.imwrite(tmp_path / "b.tif", random(4, np.uint16), photometric="rgb",
                     extrasamples=["unspecified"])  # fmt: skip
    assert "not marked as alpha" in one(tmp_path / "b.tif").lost[0]


def test_jpeg_in_tiff_that_is_too_wide_for_jpeg(tmp_path):
    """As a whole; its tiles were not."""
    wide = np.zeros((16, 65552, 1), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", wide[..., 0], compression="jpeg", tile=(16, 3856))
    target, _ = again(tmp_path / "a.tif")
    np.testing.assert_array_equal(one(target).image, wide)


def test_a_width_of_many_values_is_refused_at_once(tmp_path):
    """Tifffile takes a tuple for a side, and a product with it would fill the memory."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((3, 9, 13), np.uint16), photometric="minisblack")
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        at = tiff.pages[0].tags[WIDTH].offset
    data[at + 4 : at + 12] = struct.pack("<II", 60, 8)
    path.write_bytes(data)
    refused("the size of a page is not a number", read_pages, path)

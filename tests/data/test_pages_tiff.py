"""TIFF files: pages, compression, tiles, tags; read back by tifffile and Pillow."""

import os

import numpy as np
import pytest
import tifffile
from page_files import ICC, again, one, random, refused, smooth, squeezed
from PIL import Image

from zoo.data.image_files import read_pages, write_pages, writing
from zoo.data.image_metadata import Page
from zoo.data.tiff_writing import Writer

GEO = [
    (33550, 12, 3, (0.5, 0.5, 0.0), True),
    (33922, 12, 6, (0, 0, 0, 3.5, 4.5, 0), True),
    (34735, 3, 4, (1, 1, 0, 0), True),
]


def test_pages_of_all_kinds(tmp_path):
    """Each its own depth, colors, alpha, resolution and words."""
    images = [
        random(channels, dtype, (7 + i, 30 - i), i)
        for i, (channels, dtype) in enumerate(
            [(1, np.uint8), (3, np.uint16), (4, np.uint8), (2, np.uint16), (3, np.float32)]
        )
    ]
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for i, photo in enumerate(images):
            channels = photo.shape[-1]
            writer.write(
                squeezed(photo),
                photometric="rgb" if channels >= 3 else "minisblack",
                planarconfig="contig" if channels > 1 else None,
                extrasamples=["assocalpha"] if channels in (2, 4) else None,
                resolution=(100 + i, 200 + i),
                resolutionunit=2 + i % 2,
                description=f"page {i}",
                software="somebody's",
                metadata=None,
            )
    target, lost = again(tmp_path / "a.tif")
    assert lost == ()
    assert len(read_pages(tmp_path / "a.tif")) == len(read_pages(target)) == 5
    with tifffile.TiffFile(target) as tiff:
        for i, (page, photo) in enumerate(zip(tiff.pages, images, strict=True)):
            read = page.asarray()
            assert read.dtype == photo.dtype
            np.testing.assert_array_equal(read, squeezed(photo))
            assert page.tags[282].value[0] / page.tags[282].value[1] == pytest.approx(100 + i)
            assert page.tags[283].value[0] / page.tags[283].value[1] == pytest.approx(200 + i)
            assert page.tags[296].value == 2 + i % 2
            assert page.description == f"page {i}"
            assert page.software == "somebody's"
            alpha = photo.shape[-1] in (2, 4)
            assert page.extrasamples == ((tifffile.EXTRASAMPLE.ASSOCALPHA,) if alpha else ())


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("tile", [None, (16, 32)])
@pytest.mark.parametrize(
    ("compression", "predictor"),
    [(None, False), ("lzw", True), ("zlib", True), ("zlib", False), ("packbits", False),
     ("zstd", True), ("lzma", False)],
)  # fmt: skip
def test_how_it_was_coded_is_kept(tmp_path, order, big, tile, compression, predictor):
    photo = random(3, np.uint16, (40, 70))
    options = {"compression": compression, "predictor": predictor, "tile": tile}
    tifffile.imwrite(
        tmp_path / "a.tif", photo, photometric="rgb", byteorder=order, bigtiff=big, **options
    )
    target, lost = again(tmp_path / "a.tif")
    assert lost == ()
    with tifffile.TiffFile(tmp_path / "a.tif") as a, tifffile.TiffFile(target) as b:
        assert (a.byteorder, a.is_bigtiff) == (b.byteorder, b.is_bigtiff)
        for name in ("compression", "predictor", "is_tiled", "tilelength", "tilewidth"):
            assert getattr(a.pages[0], name) == getattr(b.pages[0], name)
        np.testing.assert_array_equal(b.asarray(), photo)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_predictor_of_floats(tmp_path, dtype):
    photo = random(1, dtype)[..., 0]
    tifffile.imwrite(tmp_path / "a.tif", photo, compression="zlib", predictor=True)
    target, lost = again(tmp_path / "a.tif")
    assert lost == ()
    with tifffile.TiffFile(target) as tiff:
        assert tiff.pages[0].predictor == 3
        np.testing.assert_array_equal(tiff.asarray(), photo)


def test_compressions_that_are_not_kept(tmp_path):
    Image.fromarray(random(1)[..., 0]).convert("1").save(tmp_path / "a.tif", compression="group4")
    target, lost = again(tmp_path / "a.tif")
    assert len(lost) == 1
    assert lost[0].startswith("its compression ccitt")
    assert lost[0].endswith("became zlib")
    with Image.open(target) as a, Image.open(tmp_path / "a.tif") as b:
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b.convert("L")))


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_jpeg_in_tiff(tmp_path, mode):
    image = Image.fromarray(smooth((64, 80))).convert(mode)
    image.save(tmp_path / "a.tif", compression="jpeg", quality=95)
    target, lost = again(tmp_path / "a.tif")
    assert lost == ()
    with Image.open(target) as read:
        assert read.info["compression"] == "jpeg"
        assert np.abs(np.asarray(read).astype(int) - np.asarray(image)).max() <= 6


@pytest.mark.parametrize("big", [False, True])
def test_tags_and_directories_below(tmp_path, big):
    """Places on earth, and EXIF and GPS, which tifffile cannot write, on each of the pages."""
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x829D] = 2.5
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.5)
    Image.fromarray(random(3)).save(tmp_path / "exif.jpg", exif=exif)
    kept = one(tmp_path / "exif.jpg").metadata
    tifffile.imwrite(
        tmp_path / "geo.tif", random(3), photometric="rgb", extratags=GEO, iccprofile=ICC,
        bigtiff=big, description="here", metadata=None, byteorder="<", software="theirs",
    )  # fmt: skip
    page = one(tmp_path / "geo.tif")
    order = "<" if kept.exif.startswith(b"II") else ">"
    layout = page.metadata.tiff._replace(order=order, tags=page.metadata.tiff.tags[:1])
    plain = page._replace(metadata=page.metadata._replace(exif=kept.exif, tiff=layout))
    write_pages(tmp_path / "both.tif", [plain, plain])
    target, lost = again(tmp_path / "both.tif")
    assert lost == ()
    with tifffile.TiffFile(target) as tiff:
        assert tiff.is_bigtiff == big
        for read in tiff.pages:
            assert read.description == "here"
            assert read.tags[34675].value == ICC
            assert "FNumber" in read.tags[0x8769].value
            assert "GPSLatitude" in read.tags[0x8825].value
            np.testing.assert_array_equal(read.asarray(), page.image)
    loaded = Image.Exif()
    loaded.load(next(iter(read_pages(target))).metadata.exif)
    assert float(loaded.get_ifd(0x8769)[0x829D]) == 2.5
    assert [float(value) for value in loaded.get_ifd(0x8825)[2]] == [52.0, 31.0, 12.5]
    target, _ = again(tmp_path / "geo.tif")
    with tifffile.TiffFile(target) as tiff, tifffile.TiffFile(tmp_path / "geo.tif") as before:
        for code in (33550, 33922, 34735, 305):
            assert tiff.pages[0].tags[code].value == before.pages[0].tags[code].value


def test_what_is_not_kept_is_said(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif", random(3), photometric="rgb", extratags=[(65000, 4, 1, 7, True), *GEO]
    )
    _, lost = again(tmp_path / "a.tif")
    assert lost == ("its TIFF tags 65000 are not kept",)
    _, lost = again(tmp_path / "a.tif", ".png")
    assert lost[1] == "PNG has no place for the TIFF tags 33550, 33922, 34735"


def test_thumbnails_are_no_pages(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(random(3), photometric="rgb")
        writer.write(random(3, shape=(4, 6)), photometric="rgb", subfiletype=1)
    pages = read_pages(tmp_path / "a.tif")
    assert len(pages) == 1
    assert next(iter(pages)).lost == ("its reduced pages (thumbnails, pyramids) are not kept",)


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "u4", "f2", "f8"])
def test_numbers_of_any_range_stay(tmp_path, dtype):
    """NaN, infinity and what is below 0 too, in the file's own type; other formats refuse them."""
    values = np.array([[-9, 0, 99], [7, np.nan, np.inf]] if dtype[0] == "f" else [[0, 7, 99]])
    values = (values - (50 if dtype[0] == "i" else 0)).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack")
    target, lost = again(tmp_path / "a.tif")
    assert lost == ()
    read = tifffile.imread(target)
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, values)
    reported = "floats from nan" if dtype[0] == "f" else f"{8 * read.itemsize} bits"
    for suffix in (".png", ".jpg"):
        refused(f"cannot hold {reported}.*; end it in .tif", again, tmp_path / "a.tif", suffix)


def test_a_broken_page_of_many(tmp_path):
    """The pages before it can be had; what is written of them goes with the error."""
    stack = random(1, shape=(3, 40, 50))[..., 0]
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack", compression="zlib")
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as tiff:
        tiff.pages[2].tags["StripByteCounts"].overwrite(5)

    def copy():
        pages = read_pages(tmp_path / "a.tif")
        with writing(tmp_path / "b.tif", len(pages)) as put:
            for page in pages:
                put(page)

    refused("a.tif is a truncated or broken tiff", copy)
    assert os.listdir(tmp_path) == ["a.tif"]


def test_pages_are_decoded_one_at_a_time(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", random(1, shape=(4, 9, 13))[..., 0], photometric=0)
    decoded = []
    true = tifffile.TiffPage.asarray
    monkeypatch.setattr(
        tifffile.TiffPage, "asarray", lambda page: (decoded.append(page.index), true(page))[1]
    )
    each = iter(read_pages(tmp_path / "a.tif"))
    assert decoded == []
    next(each)
    next(each)
    assert decoded == [0, 1]


def test_beyond_4_gib_it_is_a_bigtiff(tmp_path):
    for size, big in [(2**30, False), (2**32, True)]:
        with (tmp_path / f"{size}.tif").open("w+b") as file:
            writer = Writer(file, Page(random(1)).metadata, size)
            writer.put(Page(random(1)))
            writer.finish()
        with tifffile.TiffFile(tmp_path / f"{size}.tif") as tiff:
            assert tiff.is_bigtiff == big


def test_hyperstacks_of_imagej_keep_axes_labels_and_the_size_of_a_pixel(tmp_path):
    data = np.random.default_rng(0).integers(0, 999, (2, 3, 2, 16, 20)).astype(np.uint16)
    labels = [f"plane {n}" for n in range(12)]
    metadata = {"axes": "TZCYX", "unit": "um", "spacing": 0.5, "Labels": labels, "Info": "mine"}
    options = {"imagej": True, "resolution": (5, 5), "metadata": metadata}
    tifffile.imwrite(tmp_path / "a.tif", data, **options)
    target, lost = again(tmp_path / "a.tif")
    assert not lost
    with tifffile.TiffFile(target) as after, tifffile.TiffFile(tmp_path / "a.tif") as before:
        (series,) = after.series
        assert (series.axes, series.shape) == ("TZCYX", data.shape)
        np.testing.assert_array_equal(series.asarray(), data)
        assert after.imagej_metadata == before.imagej_metadata
        assert after.pages[0].tags["XResolution"].value == (5, 1)


@pytest.mark.parametrize("planar", ["separate", "contig"])
def test_samples_of_no_color_are_pages(tmp_path, planar):
    data = np.random.default_rng(0).integers(0, 999, (5, 16, 20)).astype(np.uint16)
    options = {"photometric": "minisblack", "planarconfig": planar}
    stored = data if planar == "separate" else np.moveaxis(data, 0, -1)
    tifffile.imwrite(tmp_path / "a.ome.tif", stored, **options)
    pages = list(read_pages(tmp_path / "a.ome.tif"))
    np.testing.assert_array_equal([page.image[..., 0] for page in pages], data)
    target, lost = again(tmp_path / "a.ome.tif")
    assert not lost
    with tifffile.TiffFile(target) as after, tifffile.TiffFile(tmp_path / "a.ome.tif") as before:
        assert after.series[0].axes == before.series[0].axes
        assert after.ome_metadata == before.ome_metadata
        assert after.pages[0].photometric == tifffile.PHOTOMETRIC.MINISBLACK
        np.testing.assert_array_equal(after.asarray(), stored)
    # Some of them alone are pages of their own.
    write_pages(tmp_path / "b.tif", pages[:2])
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), data[:2])

"""Limits of the page on files and numbers, and its lines on errors."""

import os
import struct
import tracemalloc

import numpy as np
import pytest
import soundfile
from app_files import photo, tiff
from PIL import Image

from zoo.app import image_tab, limits
from zoo.app.jobs import Stopped
from zoo.errors import ZooError


def test_too_many_pixels_are_refused_by_the_header(tmp_path):
    path = tmp_path / "huge.png"
    Image.new("1", (9000, 9000)).save(path)
    with pytest.raises(ZooError, match="more than the 64 million pixels"):
        image_tab.look(path, tmp_path)
    limits.check_image(photo(tmp_path / "small.png"))


def test_what_swells_when_decoded_is_refused_by_its_header(tmp_path):
    for shape in ((8000, 8000, 3, 32), (8000, 7000, 4, 16), (4000, 1100, 100, 8)):
        with pytest.raises(ZooError, match="more than the 400 MB of memory"):
            limits.check_image(tiff(tmp_path / "bomb.tif", *shape))
    # The first page is not all there is.
    small = tiff(tmp_path / "pages.tif", 1, 1, 1, 8, pages=limits.MOST_PAGES + 1)
    with pytest.raises(ZooError, match="more than the 1000 pages"):
        limits.check_image(small)
    circle = bytearray(tiff(tmp_path / "circle.tif", 9, 9, 1, 8).read_bytes())
    circle[-4:] = struct.pack("<I", 8)
    (tmp_path / "circle.tif").write_bytes(circle)
    with pytest.raises(ZooError, match="more than the 1000 pages"):
        limits.check_image(tmp_path / "circle.tif")
    with pytest.raises(ZooError, match="more than the 64 million pixels"):
        limits.check_image(tiff(tmp_path / "many.tif", 4000, 4000, 1, 8, pages=5))
    for shape in ((8000, 8000, 3, 16), (8000, 8000, 1, 32), (64, 64, 3, 32)):
        limits.check_image(tiff(tmp_path / "good.tif", *shape))


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        ("jpg", {}),
        ("bmp", {}),
        ("gif", {}),
        ("webp", {}),
        ("webp", {"lossless": True}),
        ("webp", {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"}),
    ],
)
def test_only_the_header_is_read(suffix, options, tmp_path, monkeypatch):
    path = tmp_path / f"a.{suffix}"
    Image.new("L" if suffix == "jpg" else "RGB", (301, 203)).save(path, **options)
    os.truncate(path, 2**31)
    tracemalloc.start()
    limits.check_image(path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2**22
    monkeypatch.setattr(limits, "MOST_PIXELS", 301 * 203)
    limits.check_image(path)
    monkeypatch.setattr(limits, "MOST_PIXELS", 301 * 203 - 1)
    with pytest.raises(ZooError, match="million pixels that this page takes"):
        limits.check_image(path)


def test_the_header_of_avif_tells_its_size_too(tmp_path, monkeypatch):
    with Image.open(photo(tmp_path / "a.png")) as image:
        image.save(tmp_path / "a.avif")
        pixels = image.width * image.height
    limits.check_image(tmp_path / "a.avif")
    monkeypatch.setattr(limits, "MOST_PIXELS", pixels - 1)
    with pytest.raises(ZooError, match="million pixels that this page takes"):
        limits.check_image(tmp_path / "a.avif")


def test_what_is_too_large_for_a_trial_is_refused_by_the_header(tmp_path):
    source, recording = tmp_path / "photo.png", tmp_path / "talk.wav"
    Image.new("1", (4000, 2500)).save(source)
    soundfile.write(recording, np.zeros(601 * 100, np.int16), 100)
    with pytest.raises(ZooError, match="8 million pixels that a test with noise takes"):
        limits.check_trial(source, "image")
    limits.check_image(source)
    with pytest.raises(ZooError, match="longer than the 10 minutes that a test with noise takes"):
        limits.check_trial(recording, "audio")


@pytest.mark.parametrize("value", ["x", None, True, float("nan"), 1e30, -1, [1], 10**400])
def test_a_slider_gives_what_it_can_give(value):
    with pytest.raises(ZooError, match="the strength is from 0 to 100"):
        limits.number(value, 0, 100, "the strength")


def test_a_line_on_an_error_of_ours_says_no_more(capsys):
    assert limits.explain(Stopped()) == "Stopped."
    assert "memory" in limits.explain(MemoryError())
    assert "not your fault" in limits.explain(KeyError("x"))
    assert "KeyError" in capsys.readouterr().err


def test_volumes_are_for_the_command(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((20, 24)))
    with pytest.raises(ZooError, match="take zoo denoise for it"):
        limits.check_image(tmp_path / "a.npy")

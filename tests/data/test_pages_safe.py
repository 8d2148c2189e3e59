"""No file is lost, half written or in the way."""

import os
import subprocess
import sys

import pytest
from page_files import one, pil, random, refused

from zoo.data import pixels
from zoo.data.image_files import write_pages, writing
from zoo.data.image_metadata import Page

FULL = """
import resource, signal, sys
import numpy as np
from zoo.data.image_files import write_pages
from zoo.data.image_metadata import Page
from zoo.errors import ZooError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
image = np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8)
for path in sys.argv[1:]:
    try:
        write_pages(path, [Page(image)] * (2 if path.endswith("tif") else 1), overwrite=True)
    except ZooError as error:
        print(error)
"""


def test_a_file_is_replaced_only_when_asked(tmp_path):
    write_pages(tmp_path / "a.png", [Page(random(3))])
    before = (tmp_path / "a.png").read_bytes()
    refused("is there already; set overwrite", write_pages, tmp_path / "a.png", [Page(random(1))])
    assert (tmp_path / "a.png").read_bytes() == before
    write_pages(tmp_path / "a.png", [Page(random(1))], overwrite=True)
    assert one(tmp_path / "a.png").image.shape[-1] == 1


def test_links(tmp_path):
    """A link stays one and what it leads to is replaced; another name keeps what it had."""
    write_pages(tmp_path / "a.png", [Page(random(3))])
    os.symlink("a.png", tmp_path / "soft.png")
    os.link(tmp_path / "a.png", tmp_path / "hard.png")
    os.symlink("nowhere.png", tmp_path / "dangling.png")
    for name in ("soft.png", "hard.png", "dangling.png"):
        refused("is there already", write_pages, tmp_path / name, [Page(random(1))])
    write_pages(tmp_path / "soft.png", [Page(random(1))], overwrite=True)
    assert (tmp_path / "soft.png").is_symlink()
    assert one(tmp_path / "a.png").image.shape[-1] == 1
    assert one(tmp_path / "hard.png").image.shape[-1] == 3


def test_an_error_half_way_leaves_what_was(tmp_path):
    write_pages(tmp_path / "a.tif", [Page(random(3))])
    before = (tmp_path / "a.tif").read_bytes()

    def half():
        with writing(tmp_path / "a.tif", 2, overwrite=True) as put:
            put(Page(random(1)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half()
    assert (tmp_path / "a.tif").read_bytes() == before
    assert os.listdir(tmp_path) == ["a.tif"]


def test_missing_and_read_only_folders(tmp_path):
    refused("cannot write", write_pages, tmp_path / "none" / "a.png", [Page(random(3))])
    if os.geteuid() == 0:
        return
    os.chmod(tmp_path, 0o500)
    refused("Permission denied", write_pages, tmp_path / "a.png", [Page(random(3))])


def test_a_full_disk(tmp_path):
    """No more than 30 KB go into a file; of TIFF both when tifffile writes and when NumPy does."""
    names = ["a.png", "a.tif", "a.bmp", "a.jpg", "a.webp"]
    command = [sys.executable, "-c", FULL, *(str(tmp_path / name) for name in names)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) == len(names)
    for line, name in zip(lines, names, strict=True):
        assert f"cannot write {tmp_path / name}" in line
        assert "File too large" in line or "only a part" in line
    assert os.listdir(tmp_path) == []


def test_bombs_and_large_images(tmp_path, monkeypatch):
    pil().save(tmp_path / "a.gif")
    pil().save(tmp_path / "a.tif")
    pil().save(tmp_path / "a.webp")
    monkeypatch.setattr(pixels, "PIXEL_LIMIT", 100)
    for suffix in ("gif", "tif", "webp"):
        refused("has 13 x 9 pixels, more than 100", one, tmp_path / f"a.{suffix}")


LARGE = """
import resource, sys
import numpy as np
from zoo.data.image_files import read_pages, write_pages
from zoo.data.image_metadata import Page
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
rng = np.random.default_rng(0)
image = np.zeros((3000, 4000, 3), np.uint8)
image[:64] = rng.integers(0, 255, (64, 4000, 3), np.uint8)
size = image.nbytes
for suffix in ("png", "jpg", "tif"):
    write_pages(f"{sys.argv[1]}/a.{suffix}", [Page(image)])
base = peak() - size
del image
for suffix in ("png", "jpg", "tif"):
    (page,) = read_pages(f"{sys.argv[1]}/a.{suffix}")
    result = page.image.copy()
    write_pages(f"{sys.argv[1]}/b.{suffix}", [page._replace(image=result)])
    del page, result
    print((peak() - base) / size)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is counted in other units")
def test_memory_is_that_of_two_images(tmp_path):
    """Of 12 megapixels: decoded and denoised, and what the coder needs."""
    command = [sys.executable, "-c", LARGE, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    figures = [float(line) for line in done.stdout.splitlines()]
    assert len(figures) == 3
    assert max(figures) < 2.8

"""The gallery: what is drawn is what was given, pixel for pixel."""

import numpy as np
import pytest
from skimage import data

from zoo.data import image_files
from zoo.errors import ZooError
from zoo.evaluate.galleries import Panel, Row, busiest, gallery


def row(name, clean):
    noisy = np.clip(clean / 255 + np.random.default_rng(0).normal(0, 0.1, clean.shape), 0, 1)
    return Row(
        name, {"clean": Panel(clean), "noisy": Panel(noisy, ("20.00 dB", "SSIM 0.500"), 20.0)}
    )


def test_small_images_are_shown_whole_and_crisp(tmp_path):
    clean = np.random.default_rng(0).integers(0, 256, (8, 12, 1), np.uint8)
    gallery(tmp_path / "g.png", [row("$a$ \\ b", clean)], title="σ = 25 / 255")
    drawn = image_files.read(tmp_path / "g.png")
    # 288 pixels for 12, and gray in all three colors.
    expected = clean.repeat(24, axis=0).repeat(24, axis=1)
    found = drawn[64 : 64 + 192, 24 : 24 + 288, :3]
    np.testing.assert_array_equal(found, expected.repeat(3, axis=-1))
    assert [p.name for p in tmp_path.iterdir()] == ["g.png"]


def test_large_images_are_shown_by_their_detail(tmp_path):
    clean = data.chelsea()
    gallery(tmp_path / "g.png", [row("chelsea", clean), row("narrow", clean[:, 100:150])])
    drawn = image_files.read(tmp_path / "g.png")
    top, left = busiest(clean, 96)
    detail = clean[top : top + 96, left : left + 96].repeat(3, axis=0).repeat(3, axis=1)
    column = 24 + 288 + 12
    np.testing.assert_array_equal(drawn[64 : 64 + 288, column : column + 288, :3], detail)


def test_equal_images_are_equal_files(tmp_path):
    rows = [row("cat", data.chelsea()[:20, :20])]
    gallery(tmp_path / "a.png", rows)
    gallery(tmp_path / "b.png", rows)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_nothing_is_best_among_different_noises(tmp_path):
    clean = data.chelsea()[:20, :20]
    sheets = {}
    for comparable in (True, False):
        gallery(tmp_path / "g.png", [row("cat", clean)], comparable=comparable)
        # The foot says it too.
        sheets[comparable] = image_files.read(tmp_path / "g.png")[:-40]
    assert not np.array_equal(sheets[True], sheets[False])


def test_the_busiest_square_holds_the_detail():
    image = np.zeros((200, 300, 3), np.uint8)
    image[110:130:4, 210:230] = 255
    top, left = busiest(image, 64)
    assert top <= 110
    assert left <= 210
    assert top + 64 >= 130
    assert left + 64 >= 230
    assert busiest(image[:10, :10], 64) == (0, 0)


def test_mistakes(tmp_path):
    with pytest.raises(ZooError, match="at least one"):
        gallery(tmp_path / "g.png", [])
    with pytest.raises(ZooError, match="cannot write"):
        gallery(tmp_path / "missing" / "g.png", [row("cat", data.chelsea()[:20, :20])])

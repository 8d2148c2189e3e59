import numpy as np
import pytest

from zoo.data.image_files import write
from zoo.data.sources import load


def test_tiles_put_together_are_the_image(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (50, 71, 3), np.uint8)
    (tmp_path / "train").mkdir()
    (tmp_path / "test").mkdir()
    write(tmp_path / "train" / "a.png", image)
    write(tmp_path / "test" / "b.png", image[:10])
    sources = load("folder", channels=3, path=str(tmp_path), tile=(16, 20))
    tiles = sources["train"]
    assert len(tiles) == 9
    assert tiles.names[5] == "a_1_2" or tiles.names[5].endswith("a.png_1_2")
    rows = [np.concatenate([tiles[3 * r + c].target for c in range(3)], 1) for r in range(3)]
    np.testing.assert_array_equal(np.concatenate(rows), image[:48, :60])
    assert len(sources["test"]) == 0


def test_a_tile_is_two_numbers():
    with pytest.raises(ValueError, match=r"tile is \(16,\)"):
        load("photos", channels=3, tile=(16,))

"""Batches of crops that are cut while the run goes on."""

import itertools
from collections import Counter

import numpy as np
import pytest
from absl import flags

from zoo.data import image_files, sources
from zoo.data.batches import StreamBatches
from zoo.errors import ZooError

COUNT = 5


@pytest.fixture
def folder(tmp_path):
    """Images whose red and green are the row and the column, and whose blue is their number."""
    for n in range(COUNT):
        rows, columns = np.indices((20 + n, 30 - n), np.uint8)
        image_files.write(
            tmp_path / f"{n}.png", np.stack([rows, columns, np.full_like(rows, n)], -1)
        )
    return tmp_path


def source(folder):
    return sources.load("folder", channels=3, path=str(folder), fractions=(1, 0, 0))["train"]


def batches(folder, **options):
    defaults = {"size": (8, 6), "batch_size": 8, "seed": 3, "crops_per_picture": 2}
    return StreamBatches(source(folder), **defaults | options)


def take(batches, n=0, count=3):
    return list(itertools.islice(batches.starting_at(n), count))


def pixels(taken):
    return np.concatenate([batch.crops for batch in taken])


def test_every_crop_is_a_piece_of_its_image(folder):
    crops = pixels(take(batches(folder), count=10))
    assert crops.shape == (80, 8, 6, 3)
    assert crops.dtype == np.uint8
    for one in crops:
        y, x, n = one[0, 0]
        rows, columns = np.indices((8, 6))
        np.testing.assert_array_equal(one[..., 0], y + rows)
        np.testing.assert_array_equal(one[..., 1], x + columns)
        assert (one[..., 2] == n).all()
        assert y <= 20 + n - 8
        assert x <= 30 - n - 6
    # An image's crops stand side by side, and are not all the same piece.
    pairs = crops.reshape(40, 2, *crops.shape[1:])
    np.testing.assert_array_equal(pairs[:, 0, 0, 0, 2], pairs[:, 1, 0, 0, 2])
    assert (pairs[:, 0] != pairs[:, 1]).any(axis=(-1, -2, -3)).mean() > 0.8


def test_an_epoch_shows_every_image_once(folder):
    stream = batches(folder)
    assert stream.order.epoch_size == 2 * COUNT
    shown = pixels(take(stream, count=5))[::2, 0, 0, 2].tolist()
    assert [Counter(shown[i : i + COUNT]) for i in range(0, 20, COUNT)] == [
        Counter(range(COUNT))
    ] * 4


def test_seeds_differ_and_runs_agree(folder):
    first = pixels(take(batches(folder)))
    np.testing.assert_array_equal(first, pixels(take(batches(folder))))
    assert (first != pixels(take(batches(folder, seed=4)))).any()


def test_the_places_of_crops_differ_by_seed_and_by_visit(tmp_path):
    rows, columns = np.indices((64, 64), np.uint8)
    image_files.write(tmp_path / "one.png", np.stack([rows, columns, rows], -1))
    found = {
        tuple(batch.crops[:, 0, 0, :2].ravel().tolist())
        for seed in (0, 1)
        for batch in take(batches(tmp_path, seed=seed))
    }
    assert len(found) == 6


def test_a_stream_can_be_entered_anywhere(folder):
    whole = take(batches(folder), count=6)
    np.testing.assert_array_equal(pixels(whole[4:]), pixels(take(batches(folder), 4, 2)))
    np.testing.assert_array_equal(whole[4].slot, np.arange(8))
    assert whole[4].example is None


@pytest.mark.parametrize("hosts", [2, 4])
def test_the_hosts_parts_make_the_whole_batch(folder, hosts):
    whole = take(batches(folder), 1)
    parts = [take(batches(folder, host=host, hosts=hosts), 1) for host in range(hosts)]
    for batch, *split in zip(whole, *parts, strict=True):
        np.testing.assert_array_equal(np.concatenate([p.slot for p in split]), batch.slot)
        np.testing.assert_array_equal(pixels(split), batch.crops)


def test_paired_images_are_cut_at_the_same_place(tmp_path):
    for n in range(3):
        image = np.random.default_rng(n).integers(0, 100, (12, 14, 3), np.uint8)
        image_files.write(tmp_path / f"{n}_mean.png", image)
        image_files.write(tmp_path / f"{n}_real.png", image + 100)
    pairs = sources.load(
        "pairs",
        channels=3,
        path=str(tmp_path),
        fractions=(1, 0, 0),
        noisy="*_real.png",
        clean="*_mean.png",
    )["train"]
    stream = StreamBatches(pairs, size=(8, 8), batch_size=4, seed=0, crops_per_picture=2)
    found = next(stream.starting_at(0)).crops
    assert found.shape == (4, 8, 8, 6)
    np.testing.assert_array_equal(found[..., :3] + 100, found[..., 3:])


def test_images_of_one_size_can_be_taken_whole(tmp_path):
    for n in range(3):
        image_files.write(tmp_path / f"{n}.png", np.full((9, 7, 3), n, np.uint8))
    stream = batches(tmp_path, size=None, crops_per_picture=1, batch_size=3)
    assert stream.size == (9, 7)
    found = next(stream.starting_at(0)).crops
    assert found.shape == (3, 9, 7, 3)
    assert sorted(found[:, 0, 0, 0].tolist()) == [0, 1, 2]


def refused(stream, match, count=4):
    with pytest.raises(ZooError, match=match) as caught:
        take(stream, count=count)
    assert "\n" not in str(caught.value)


def test_whole_images_of_several_sizes_are_refused(folder):
    refused(batches(folder, size=None), r"[1-4]\.png is 2[1-4]x2[6-9], unlike the others")


def test_a_image_smaller_than_the_crop_is_named(folder):
    image_files.write(folder / "small.png", np.zeros((7, 30, 3), np.uint8))
    refused(batches(folder), r"small\.png is 7x30, smaller than the crop of 8x6")


def test_crops_that_do_not_fill_a_hosts_part_are_refused(folder):
    with pytest.raises(ZooError, match="crops_per_picture=4 does not divide the 2 slots of a host"):
        batches(folder, crops_per_picture=4, hosts=4)


@pytest.fixture
def unparsed():
    """As in plain Python, where nobody parses absl's flags."""
    flags.FLAGS.unparse_flags()


@pytest.mark.matrix
@pytest.mark.usefixtures("unparsed")
def test_processes_change_nothing(folder):
    alone, shared = take(batches(folder)), take(batches(folder, workers=2))
    np.testing.assert_array_equal(pixels(alone), pixels(shared))


@pytest.mark.matrix
@pytest.mark.usefixtures("unparsed")
def test_processes_state_mistakes_in_one_line(folder):
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:-60])
    refused(batches(folder, workers=1), r"2\.png is a truncated or broken png file")

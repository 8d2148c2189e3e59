"""Folders of images: their splits, and what is left out of them."""

import itertools

import numpy as np
import pytest
from source_files import fill, make_image, names_of, refused

from zoo.data import sources
from zoo.errors import ZooError


def test_folder_by_fractions(tmp_path):
    names = [f"{chr(97 + n % 5)}/{n:03}.png" for n in range(50)]
    path = fill(tmp_path, names, shape=(2, 2, 1))
    options = {"channels": 1, "path": path, "fractions": (0.6, 0.1, 0.3)}
    first = names_of(sources.load("folder", **options))
    assert {split: len(n) for split, n in first.items()} == {
        "train": 30,
        "validation": 5,
        "test": 15,
    }
    assert sorted(itertools.chain(*first.values())) == sorted(names)
    assert all(n == sorted(n) for n in first.values())
    assert names_of(sources.load("folder", **options)) == first
    assert names_of(sources.load("folder", seed=1, **options)) != first
    (tmp_path / "a/new.png").write_bytes((tmp_path / names[0]).read_bytes())
    more = names_of(sources.load("folder", **options))
    assert len(set(first["train"]) & set(more["train"])) >= 29


def test_folder_split_is_the_same_for_ever(tmp_path):
    """A change of this split would train on what was tested on before."""
    path = fill(tmp_path, [f"{n}.png" for n in range(8)])
    loaded = sources.load("folder", channels=3, path=path, fractions=(0.5, 0.25, 0.25))
    assert names_of(loaded) == FOREVER


FOREVER = {
    "train": ["1.png", "2.png", "6.png", "7.png"],
    "validation": ["0.png", "3.png"],
    "test": ["4.png", "5.png"],
}


def test_folder_default_fractions_leave_validation_empty(tmp_path):
    path = fill(tmp_path, [f"{n}.png" for n in range(10)])
    loaded = sources.load("folder", channels=3, path=path)
    assert [len(source) for source in loaded.values()] == [6, 0, 4]


def test_folder_ignores_what_is_no_image(tmp_path):
    path = fill(tmp_path, ["a.png", "sub/b.JPG", ".hidden/c.png", ".d.png"])
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "sub" / "thumbs.db").write_text("x")
    train = sources.load("folder", channels=3, path=path, fractions=(1, 0, 0))["train"]
    assert list(train.names) == ["a.png", "sub/b.JPG"]
    assert list(train.ignored) == ["notes.txt", "sub/thumbs.db"]


def test_folder_with_the_usual_sub_folders(tmp_path):
    path = fill(tmp_path, ["train/a.png", "train/x/b.png", "val/c.png", "test/d.png", "e.png"])
    expected = {
        "train": ["train/a.png", "train/x/b.png"],
        "validation": ["val/c.png"],
        "test": ["test/d.png"],
    }
    assert names_of(sources.load("folder", channels=3, path=path)) == expected


def test_folder_takes_validation_from_train_when_it_has_none(tmp_path):
    path = fill(tmp_path, [f"train/{n}.png" for n in range(10)] + ["test/a.png"])
    loaded = sources.load("folder", channels=3, path=path, fractions=(0.8, 0.2, 0))
    assert [len(source) for source in loaded.values()] == [8, 2, 1]
    assert not set(loaded["train"].names) & set(loaded["validation"].names)


def test_folder_exclude(tmp_path):
    fill(tmp_path, ["all/a.jpg", "all/b.jpg", "all/b_mask.png", "all/c.jpg", "bench/b.png"])
    path = str(tmp_path / "all")
    options = {"channels": 3, "fractions": (1, 0, 0)}
    loaded = sources.load("folder", path=path, exclude=["../bench", "*_mask.png"], **options)
    assert names_of(loaded)["train"] == ["a.jpg", "c.jpg"]
    loaded = sources.load(
        "folder", channels=3, path=path, train=".", test="../bench", exclude="../bench"
    )
    assert names_of(loaded)["train"] == ["a.jpg", "b_mask.png", "c.jpg"]
    assert names_of(loaded)["test"] == ["../bench/b.png"]
    np.testing.assert_array_equal(loaded["test"][0].target, make_image(4))
    # Split at random, an excluded folder is out as well.
    loaded = sources.load("folder", path=str(tmp_path), exclude="bench", **options)
    assert names_of(loaded)["train"] == ["all/a.jpg", "all/b_mask.png", "all/c.jpg"]
    refused("exclude '../benhc' leaves out no image", "folder", path=path, exclude="../benhc")
    refused("exclude leaves no image", "folder", path=path, exclude="*")


def test_folder_errors(tmp_path):
    path = fill(tmp_path / "a", ["train/a.png", "test/b.png"])
    (tmp_path / "none").mkdir()
    refused("no path to the folder", "folder")
    refused("does not exist", "folder", path=str(tmp_path / "b"))
    refused("is not a folder", "folder", path=path + "/train/a.png")
    refused("has no images; they end in", "folder", path=str(tmp_path / "none"))
    refused("valid does not exist", "folder", path=path, train="train", validation="valid")
    refused("in both train and test", "folder", path=path, train=".", test="test")


@pytest.mark.parametrize("option", ["train", "validation", "test", "exclude"])
@pytest.mark.parametrize("value", [8, None, (1, 2)])
def test_what_names_no_folder_is_one_line(tmp_path, option, value):
    with pytest.raises(ZooError, match=rf"^data\.options\.{option} is .+; give names, such as "):
        sources.load("folder", path=str(tmp_path), channels=3, **{option: value})

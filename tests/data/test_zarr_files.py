"""Zarr stores: each one file, written again with all but the values, and smaller levels again."""

import json
from pathlib import Path

import numpy as np
import pytest
from page_files import refused
from science_files import raised, values

from zoo.cli import paths
from zoo.data import file_kinds, image_files
from zoo.data.image_files import read_pages
from zoo.data.image_metadata import Page
from zoo.data.science.regions import regions
from zoo.data.science.zarr_pyramid import reduced
from zoo.data.sources import folders

zarr = pytest.importorskip("zarr")
pytestmark = pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")


def image(group, data, factors=(), **options):
    """An image of OME-Zarr in a group, axes `..., y, x`, whose smaller levels hold nothing."""
    names = [("t", "time"), ("c", "channel"), ("z", "space"), ("y", "space"), ("x", "space")]
    axes = [{"name": name, "type": kind} for name, kind in names[-data.ndim :]]
    axes[-1]["unit"] = "micrometer"
    shape, scale, datasets = data.shape, np.full(data.ndim, 0.5), []
    for level, by in enumerate(((1,) * data.ndim, *factors)):
        # Of odd sides some programs drop the last value, and others keep it.
        rounded = np.ceil if level % 2 else np.floor
        shape = tuple(int(rounded(side / one)) for side, one in zip(shape, by, strict=True))
        scale = scale * by
        array = group.create_array(str(level), shape=shape, dtype=data.dtype, **options)
        if level == 0:
            array[...] = data
        transform = {"type": "scale", "scale": scale.tolist()}
        datasets.append({"path": str(level), "coordinateTransformations": [transform]})
    facts = {"multiscales": [{"name": "cells", "axes": axes, "datasets": datasets}]}
    facts["omero"] = {"channels": [{"label": "DAPI", "color": "0000FF"}]}
    if group.metadata.zarr_format == 3:
        facts = {"ome": {"version": "0.5", **facts}}
    else:
        facts["multiscales"][0]["version"] = "0.4"
    group.attrs.update({**facts, "mine": [1, 2]})


def metadata(folder):
    """By its path."""
    found = [*folder.rglob(".z*"), *folder.rglob("zarr.json")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def means(data, by):
    """By hand, with what is left over cut off."""
    sides = [n // one * one for n, one in zip(data.shape, by, strict=True)]
    cut = data[tuple(map(slice, sides))].astype(np.float64)
    for axis, one in enumerate(by):
        cut = np.stack([np.take(cut, range(i, cut.shape[axis], one), axis) for i in range(one)])
        cut = cut.mean(0)
    return np.rint(cut)


@pytest.mark.parametrize("version", [2, 3])
def test_an_ome_zarr_image_keeps_all_but_its_values(tmp_path, version):
    data = values((2, 2, 5, 41, 50), ">u2")
    root = zarr.create_group(tmp_path / "a.ome.zarr", zarr_format=version)
    options = {"chunks": (1, 1, 2, 16, 24)}
    options |= {"shards": (1, 1, 4, 32, 48)} if version == 3 else {"order": "F"}
    image(root, data, [(1, 1, 1, 2, 2), (1, 1, 2, 3, 3)], **options)
    labels = root.create_group("labels", attributes={"labels": ["nuclei"]})
    image(labels.create_group("nuclei"), data, chunks=(1, 1, 2, 16, 24))
    assert len(raised(tmp_path / "a.ome.zarr", tmp_path / "b.ome.zarr")) == 20
    assert metadata(tmp_path / "b.ome.zarr") == metadata(tmp_path / "a.ome.zarr")
    after = zarr.open_group(tmp_path / "b.ome.zarr", mode="r")
    np.testing.assert_array_equal(after["0"], data + 1)
    np.testing.assert_array_equal(after["labels/nuclei/0"], data)
    assert after["0"].chunks == (1, 1, 2, 16, 24)
    # The first of the smaller levels keeps the last line of an odd side, the second drops it.
    first, second = after["1"][...], after["2"][...]
    expected = means(data + 1, (1, 1, 1, 2, 2))
    np.testing.assert_array_equal(first[..., :20, :], expected)
    last = (data + 1)[..., 40, :].reshape(2, 2, 5, 25, 2).mean(-1)
    np.testing.assert_array_equal(first[..., 20, :], np.rint(last))
    np.testing.assert_array_equal(second, means(first, (1, 1, 2, 3, 3)))


def test_planes_of_all_images_of_a_store(tmp_path):
    data = values((3, 20, 24), np.float32)
    root = zarr.create_group(tmp_path / "a.zarr", attributes={"bioformats2raw.layout": 3})
    for name in ("0", "1"):
        image(root.create_group(name), data + int(name), chunks=(2, 16, 24))
    pages = raised(tmp_path / "a.zarr", tmp_path / "b.zarr")
    assert len(pages) == 6
    np.testing.assert_array_equal(pages[4].image[..., 0], data[1] + 1)
    np.testing.assert_array_equal(zarr.open(tmp_path / "b.zarr")["1/0"], data + 2)


@pytest.mark.parametrize(
    ("shape", "pages", "page"),
    [((20, 24), 1, (20, 24, 1)), ((2, 20, 24, 3), 2, (20, 24, 3)), ((5, 20, 24), 5, (20, 24, 1))],
)
def test_an_array_of_its_own_is_as_one_of_numpy(tmp_path, shape, pages, page):
    data = values(shape, np.int16)
    zarr.create_array(tmp_path / "a.zarr", data=data, chunks=(7,) * data.ndim)
    found = raised(tmp_path / "a.zarr", tmp_path / "b.zarr")
    assert (len(found), next(iter(found)).image.shape) == (pages, page)
    np.testing.assert_array_equal(zarr.open(tmp_path / "b.zarr"), data + 1)


def test_other_formats_become_ome_zarr_and_back(tmp_path):
    data = values((2, 3, 20, 24))
    np.save(tmp_path / "a.npy", data)
    for name in ("b.zarr", "b.ome.zarr"):
        image_files.write_pages(tmp_path / name, list(read_pages(tmp_path / "a.npy")))
        lost = image_files.write_pages(
            tmp_path / f"{name}.tif", list(read_pages(tmp_path / name)), overwrite=True
        )
        assert lost == ("TIFF has no place for the header of Zarr",)
        back = np.stack([page.image[..., 0] for page in read_pages(tmp_path / f"{name}.tif")])
        np.testing.assert_array_equal(back, data.reshape(-1, 20, 24))
    facts = json.loads((tmp_path / "b.ome.zarr" / "zarr.json").read_text())["attributes"]["ome"]
    assert [axis["name"] for axis in facts["multiscales"][0]["axes"]] == ["c", "z", "y", "x"]
    # Nothing else is replaced, and nothing is left of what fails.
    refused("is there already", image_files.write_pages, tmp_path / "b.zarr", [Page(data[0, 0])])
    before = sorted(tmp_path.iterdir())
    pages = [Page(np.zeros((size, 8, 1), np.int16)) for size in (8, 9)]
    refused("its pages have the sizes", image_files.write_pages, tmp_path / "c.zarr", pages)
    assert sorted(tmp_path.iterdir()) == before


def test_a_store_is_one_file_of_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("in/a.ome.zarr", "in/deep/b", "in/c.zarr.unfinished"):
        zarr.create_array(tmp_path / name, data=values((3, 20, 24)), chunks=(1, 9, 9))
    Path("in/d.zarr").mkdir()
    found = paths.gather(["in"], word="denoised")
    known = {one.path.as_posix(): (one.place.as_posix(), one.problem) for one in found.inputs}
    assert known["in/a.ome.zarr"] == ("a.ome.zarr", "")
    assert known["in/deep/b"] == ("deep/b.ome.zarr", "")
    assert "holds no metadata of Zarr" in known["in/d.zarr"][1]
    assert [path.as_posix() for path in found.skipped] == ["in/c.zarr.unfinished"]
    (one,) = paths.gather(["in/a.ome.zarr"], word="denoised").inputs
    assert one.beside == Path("in/a.denoised.ome.zarr")
    refused("is an unfinished output", file_kinds.kind_of, "in/c.zarr.unfinished")
    # And a folder of a data source.
    (tmp_path / "in/d.zarr").rmdir()
    names, _ = folders.below(tmp_path / "in")
    assert names == [f"a.ome.zarr/{n:05}" for n in range(3)]
    read = folders.read_image(str(tmp_path / "in/a.ome.zarr/00001"), any_range=True)
    np.testing.assert_array_equal(read[..., 0], values((3, 20, 24))[1])


def test_stores_without_planes_or_whole_factors_are_refused(tmp_path):
    root = zarr.create_group(tmp_path / "a.zarr")
    root.create_array("x", shape=(20, 24), dtype="i2")
    refused(
        "a group of 1 arrays and no OME-Zarr image; name one, ", read_pages, tmp_path / "a.zarr"
    )
    assert read_pages(tmp_path / "a.zarr/x").form == "zarr"
    zarr.create_array(tmp_path / "b.zarr", shape=(20, 24), dtype="complex64")
    refused("holds values of type complex64", read_pages, tmp_path / "b.zarr")
    root = zarr.create_group(tmp_path / "c.zarr")
    image(root, values((30, 30)), [(1.4, 1.4)])
    assert len(read_pages(tmp_path / "c.zarr")) == 1
    refused("is no whole part of", raised, tmp_path / "c.zarr", tmp_path / "d.zarr")
    assert not (tmp_path / "d.zarr").exists()
    (tmp_path / "c.zarr/1").rename(tmp_path / "1")
    refused("holds no array 1; fetch it again", raised, tmp_path / "c.zarr", tmp_path / "d.zarr")
    (tmp_path / "c.zarr/0/zarr.json").write_text("{")
    refused("c.zarr", read_pages, tmp_path / "c.zarr")


def test_what_is_copied_can_be_written(tmp_path):
    root = zarr.create_group(tmp_path / "a.zarr")
    image(root, values((20, 24)))
    for folder in (tmp_path / "a.zarr/0", tmp_path / "a.zarr"):
        folder.chmod(0o555)
    raised(tmp_path / "a.zarr", tmp_path / "b.zarr")
    assert (tmp_path / "b.zarr").stat().st_mode & (tmp_path / "b.zarr/0").stat().st_mode & 0o200
    for folder in (tmp_path / "a.zarr", tmp_path / "a.zarr/0"):
        folder.chmod(0o755)


def test_the_mean_of_integers_of_64_bits(tmp_path):
    most = np.full((2, 2), np.iinfo(np.uint64).max)
    assert reduced(most, (2, 2)) == np.uint64(2**64 - 2**11)


@pytest.mark.parametrize(
    ("shape", "chunks", "plane"),
    [
        ((5, 100, 130), (1, 64, 64), 1),
        ((9, 20_000, 30_000), (4, 1000, 700), 1),
        ((3, 7, 6000, 5000, 3), (1, 2, 512, 512, 1), 2),
        ((40_000, 300), (37, 53), 0),
        ((2, 200, 230), (1, 40, 48), 1),
        ((100, 20_000, 20_000), (64, 8000, 8000), 1),
    ],
)
def test_regions_are_of_whole_chunks_and_cover_all(shape, chunks, plane):
    found = regions(shape, chunks, plane)
    assert sum(np.prod([p.stop - p.start for p in one]) for one in found) == np.prod(shape)
    assert len({tuple(part.start for part in one) for one in found}) == len(found)
    # A plane that fits is whole.
    height, width = shape[plane : plane + 2]
    if height * width * np.prod(chunks[:plane]) * np.prod(shape[plane + 2 :]) <= 2**24:
        assert {(one[plane].stop, one[plane + 1].stop) for one in found} == {(height, width)}
    for one in found:
        for part, chunk, side in zip(one[: plane + 2], chunks, shape, strict=False):
            assert part.start % chunk == 0
            assert part.stop % chunk == 0 or part.stop == side
        size = np.prod([part.stop - part.start for part in one])
        assert size <= max(2**24, np.prod(chunks) * shape[-1] if plane == 2 else np.prod(chunks))

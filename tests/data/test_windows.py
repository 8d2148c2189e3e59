"""Windows of planes: which planes they hold, and sources that read them from stacks."""

import dataclasses

import numpy as np
import pytest
import tifffile

from zoo.data import image_files, sources, windows
from zoo.data.sources.folders import around
from zoo.errors import ZooError


@pytest.mark.parametrize("window", [1, 3, 5, 7])
def test_a_plane_beyond_an_end_is_as_far_on_the_other_side(window):
    length, reach = window + 2, window // 2
    for place in range(length):
        found = windows.around(place, [(("", length),)], window, "x")
        assert found[reach] == place
        assert found.count(place) == 1
        distances = [abs(number - place) for number in found]
        assert distances == [abs(offset) for offset in range(-reach, reach + 1)]
        assert all(0 <= number < length for number in found)
        assert found == sorted(found) or not reach <= place < length - reach
        *same, beyond = windows.around(place, [(("", length),)], window, "x", frames=True)
        assert same == found
        assert abs(beyond - place) == reach + 1
        assert 0 <= beyond < length


def test_a_window_runs_along_z_or_else_time_and_never_along_channels():
    def steps(*axes, number=0, before=()):
        found = windows.around(number, [*before, axes], 3, "x")
        return [one - number for one in found]

    assert steps(("t", 4), ("c", 2), ("z", 5)) == [1, 0, 1]
    assert steps(("z", 5), ("t", 4), ("c", 2)) == [8, 0, 8]
    assert steps(("t", 4), ("c", 2), ("z", 1)) == [2, 0, 2]
    assert steps(("", 7), ("", 3), number=4) == [-1, 0, 1]
    # The next frame is the same plane at the next time, or the one before.
    both = (("t", 2), ("z", 4))
    assert windows.around(1, [both], 3, "x", frames=True) == [0, 1, 2, 5]
    assert windows.around(7, [both], 3, "x", frames=True) == [6, 7, 6, 3]
    # Each array of a file is a stack of its own.
    assert steps(("", 3), number=12, before=[(("", 4), ("", 3))]) == [1, 0, 1]
    with pytest.raises(ZooError, match="x is a single plane, where 3 are needed"):
        steps(("c", 9))
    with pytest.raises(ZooError, match="x is a stack of 2 planes, where 3 are needed"):
        steps(("z", 2), ("c", 9))


def volume(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 255, (*shape, 20, 24), np.uint8)


@pytest.fixture
def folder(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", volume(4, 2), imagej=True, metadata={"axes": "ZCYX"})
    tifffile.imwrite(tmp_path / "b.ome.tif", volume(2, 4, seed=1), metadata={"axes": "CTYX"})
    tifffile.imwrite(tmp_path / "c.tif", volume(5, seed=2), compression="zlib")
    np.save(tmp_path / "d.npy", volume(5, seed=3))
    return tmp_path


def load(path, fractions=(1, 0, 0), **options):
    return sources.load("folder", path=str(path), channels=1, fractions=fractions, **options)


def test_planes_of_stacks_are_images_and_have_windows(folder):
    planes = load(folder)["train"]
    assert len(planes) == 26
    found = {example.name: example.target[..., 0] for example in planes}
    np.testing.assert_array_equal(found["a.tif/00003"], volume(4, 2)[1, 1])
    np.testing.assert_array_equal(found["c.tif/00004"], volume(5, seed=2)[4])
    seen = {example.name: example.target for example in load(folder, window=3)["train"]}
    for name, wanted in {
        "a.tif/00003": volume(4, 2)[[0, 1, 2], 1],
        "a.tif/00006": volume(4, 2)[[2, 3, 2], 0],
        "b.ome.tif/00001": volume(2, 4, seed=1)[0, :3],
        "b.ome.tif/00004": volume(2, 4, seed=1)[1, [1, 0, 1]],
        "c.tif/00000": volume(5, seed=2)[[1, 0, 1]],
        "d.npy/00003": volume(5, seed=3)[2:],
    }.items():
        np.testing.assert_array_equal(seen[name], np.moveaxis(wanted, 0, -1))


def test_the_next_frame_is_the_target(folder):
    source = load(folder / "c.tif", window=3, frames=True)["train"]
    frames = volume(5, seed=2)
    for number, (beyond, seen) in enumerate(
        [(2, [1, 0, 1]), (3, [0, 1, 2]), (4, [1, 2, 3]), (1, [2, 3, 4]), (2, [3, 4, 3])]
    ):
        example = source[number]
        np.testing.assert_array_equal(example.target[..., 0], frames[beyond])
        np.testing.assert_array_equal(example.input, np.moveaxis(frames[seen], 0, -1))


def test_stacks_stay_together_in_a_split(folder):
    found = load(folder, (0.5, 0.25, 0.25))
    names = {split: {name.split("/")[0] for name in found[split].names} for split in found}
    stacks = {"a.tif", "b.ome.tif", "c.tif"}
    for name in stacks:
        assert sum(name in held for held in names.values()) == 1
    # Of one stack alone planes are apart.
    alone = load(folder / "c.tif", (0.6, 0.0, 0.4))
    assert [len(alone[split]) for split in ("train", "test")] == [3, 2]


def test_pages_are_read_in_any_order(folder):
    pages, every = image_files.read_pages(folder / "c.tif"), volume(5, seed=2)
    for number in (3, 0, 4, 0):
        np.testing.assert_array_equal(pages[number].image[..., 0], every[number])
    with pytest.raises(IndexError):
        pages[5]
    np.testing.assert_array_equal(pages[1].image[..., 0], every[1])


def write_ome(path, places):
    """Of 3 planes along z in 2 channels, the fastest first, each at its place in the file."""
    at = "".join(
        f'<TiffData IFD="{place}" FirstZ="{i % 3}" FirstC="{i // 3}" PlaneCount="1"/>'
        for i, place in enumerate(places)
    )
    pixels = 'DimensionOrder="XYZCT" Type="uint8" SizeX="8" SizeY="8" SizeZ="3" SizeC="2"'
    channels = '<Channel ID="C:0"/><Channel ID="C:1"/>'
    text = f'<OME><Image ID="I:0"><Pixels {pixels} SizeT="1">{channels}{at}</Pixels></Image></OME>'
    with tifffile.TiffWriter(path) as file:
        for number in range(6):
            file.write(
                np.zeros((8, 8), np.uint8), metadata=None, description=None if number else text
            )


def test_planes_are_counted_as_they_lie_in_the_file(tmp_path):
    path = tmp_path / "a.ome.tif"
    for places, axes in (
        ([0, 1, 2, 3, 4, 5], (("c", 2), ("z", 3))),
        ([0, 2, 4, 1, 3, 5], (("z", 3), ("c", 2))),
    ):
        write_ome(path, places)
        assert image_files.read_pages(path).stacks == (axes,)
    write_ome(path, [0, 3, 1, 4, 2, 5])
    with pytest.raises(ZooError, match=r"a\.ome\.tif are in the order of no axes"):
        assert image_files.read_pages(path).stacks


def test_what_is_no_stack_is_refused_in_one_line(folder):
    tifffile.imwrite(folder / "one.tif", volume()[None][0])
    with pytest.raises(ZooError, match=r"one\.tif is a single plane, where 3 are needed"):
        load(folder / "one.tif", window=3)["train"][0]
    with pytest.raises(ZooError, match=r"data\.name='pairs'"):
        around(str(folder / "one.tif"), 1, frames=True)
    photos = sources.load("photos", channels=1)["train"]
    with pytest.raises(ZooError, match="is of no stack, where 3 planes are needed"):
        dataclasses.replace(photos, window=3)[0]
    with pytest.raises(ZooError, match="data 'photos' has no stacks"):
        sources.load("photos", channels=1, window=3)
    with pytest.raises(ZooError, match="tiles have no stacks"):
        load(folder, window=3, tile=(8, 8))

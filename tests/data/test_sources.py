"""What every source obeys, and the kinds that read files: photos, folder, pairs and idx."""

import gzip
import pickle
import struct
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile
from source_files import fill, make_image, names_of, refused

from zoo.data import image_files, pixels, sources
from zoo.data.sources import image_sources
from zoo.errors import ZooError

# ------------------------------------------------------------------------------- every source


def test_a_source_is_a_sequence(tmp_path):
    path = fill(tmp_path, [f"{n}.png" for n in range(5)])
    source = sources.load("folder", channels=3, path=path, fractions=(1, 0, 0))["train"]
    assert len(source) == 5
    assert [p.name for p in source] == list(source.names) == [f"{n}.png" for n in range(5)]
    np.testing.assert_array_equal(source[np.int64(-1)].target, make_image(4))
    assert source[0].input is None
    with pytest.raises(IndexError):
        source[5]
    with pytest.raises(TypeError):
        source[1.0]


def test_threads_and_pickles_read_alike(tmp_path):
    path = fill(tmp_path, [f"{n}.png" for n in range(6)])
    source = sources.load("folder", channels=1, path=path, fractions=(1, 0, 0))["train"]
    copy = pickle.loads(pickle.dumps(source))
    assert len(pickle.dumps(source)) < 5000
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(copy.__getitem__, range(6)))
    for index, one in enumerate(read):
        expected = pixels.to_channels(make_image(index), 1)
        np.testing.assert_array_equal(one.target, expected)


def test_grain_takes_a_source(tmp_path):
    grain = pytest.importorskip("grain")
    path = fill(tmp_path, [f"{n}.png" for n in range(4)])
    source = sources.load("folder", channels=3, path=path, fractions=(1, 0, 0))["train"]
    data = grain.MapDataset.source(source).map(lambda p: p.target)
    np.testing.assert_array_equal(data[2], make_image(2))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("stored", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_channels_size_and_dtype(tmp_path, channels, stored, dtype):
    path = fill(tmp_path, ["a.png"], shape=(8, 10, stored), dtype=dtype)
    options = {"channels": channels, "path": path, "fractions": (0, 0, 1)}
    plain = sources.load("folder", **options)["test"][0].target
    assert plain.shape == (8, 10, channels)
    assert plain.dtype == dtype
    assert plain.flags.c_contiguous
    resized = sources.load("folder", size=[4, 6], **options)["test"][0].target
    np.testing.assert_array_equal(resized, pixels.resize(plain, (4, 6)))


def test_a_float_image_becomes_16_bit(tmp_path):
    values = np.linspace(0, 1, 80, dtype=np.float32).reshape(8, 10)
    tifffile.imwrite(tmp_path / "a.tif", values)
    loaded = sources.load("folder", channels=1, path=str(tmp_path), fractions=(1, 0, 0))
    target = loaded["train"][0].target
    assert target.dtype == np.uint16
    np.testing.assert_array_equal(target[..., 0], np.rint(values.astype(float) * 65535))


def test_on_error(tmp_path):
    path = fill(tmp_path, ["a.png", "b.png", "c.png"])
    whole = (tmp_path / "b.png").read_bytes()
    (tmp_path / "b.png").write_bytes(whole[: len(whole) // 2])
    tifffile.imwrite(tmp_path / "d.tif", np.full((8, 8), np.nan, np.float32))
    options = {"channels": 3, "path": path, "fractions": (1, 0, 0)}
    raising = sources.load("folder", **options)["train"]
    assert len(raising) == 4
    assert not raising.skipped
    with pytest.raises(ZooError, match=r"b\.png is a truncated"):
        raising[1]
    with pytest.raises(ZooError, match=r"d\.tif holds NaN"):
        raising[3]
    skipping = sources.load("folder", on_error="skip", **options)["train"]
    assert list(skipping.names) == ["a.png", "c.png"]
    np.testing.assert_array_equal(skipping[1].target, make_image(2))
    assert list(skipping.skipped) == ["b.png", "d.tif"]
    assert "truncated" in skipping.skipped["b.png"]


def test_wrong_arguments(tmp_path):
    path = fill(tmp_path, ["a.png"])
    refused("unknown kind of data 'foldr'; did you mean 'folder'", "foldr")
    refused("unknown on_error 'ignore'", "folder", path=path, on_error="ignore")
    refused("channels is 2", "folder", path=path, channels=2)
    refused("size is", "folder", path=path, size=(0, 4))
    refused("sum to 1", "folder", path=path, fractions=(0.5, 0.1, 0.1))
    refused("sum to 1", "folder", path=path, fractions=(1.5, -0.5, 0))
    refused("unknown option of folder 'trian'; did you mean 'train'", "folder", trian="x")
    refused("unknown option of photos 'train'", "photos", train="x")
    refused("data.options.noisy is 5; give a value of the kind str", "pairs", path=path, noisy=5)
    refused("needs the option 'clean'", "pairs", path=path, noisy="*.png")
    refused("needs the option 'name'", "tfds", path=path)


# ------------------------------------------------------------------------------- photos


def test_photos():
    loaded = sources.load("photos", channels=3)
    assert list(loaded["test"].names) == ["chelsea", "coffee", "camera"]
    assert list(loaded["validation"].names) == ["astronaut"]
    assert len(loaded["train"]) == len(image_sources.PHOTOS["train"])
    for source in loaded.values():
        for one in source:
            assert one.target.dtype == np.uint8
            assert one.target.shape[-1] == 3
            assert min(one.target.shape[:2]) >= 128
            assert one.input is None


def test_photos_are_what_scikit_image_shows():
    from skimage import data

    test = sources.load("photos", channels=3)["test"]
    np.testing.assert_array_equal(test[0].target, data.chelsea())
    np.testing.assert_array_equal(test[1].target, data.coffee())
    np.testing.assert_array_equal(test[2].target[..., 0], data.camera())


def test_no_photo_is_in_two_splits():
    """Also not scaled or slightly shifted: thumbnails of no two photos correlate."""
    loaded = sources.load("photos", channels=1, size=(16, 16))
    small = {p.name: p.target.ravel() for source in loaded.values() for p in source}
    assert len(small) == sum(map(len, loaded.values()))
    correlation = np.corrcoef(np.array(list(small.values()), float))
    np.fill_diagonal(correlation, 0)
    assert correlation.max() < 0.9


# ------------------------------------------------------------------------------- pairs


def fill_pairs(folder, scenes=10, shots=3):
    for scene in range(scenes):
        for shot in range(shots):
            clean = make_image(100 * scene + shot)
            image_files.write(folder / f"s{scene}_{shot}_clean.png", clean)
            image_files.write(folder / f"s{scene}_{shot}_noisy.png", clean ^ 1)
    return {"path": str(folder), "noisy": "*_noisy.png", "clean": "*_clean.png", "channels": 3}


def test_pairs_split_by_scene(tmp_path):
    options = fill_pairs(tmp_path) | {"scene": r"^s\d+"}
    loaded = sources.load("pairs", fractions=(0.6, 0.2, 0.2), **options)
    assert [len(source) for source in loaded.values()] == [18, 6, 6]
    scenes = [{name.split("_")[0] for name in source.names} for source in loaded.values()]
    assert sum(map(len, scenes)) == len(set.union(*scenes)) == 10
    for one in loaded["train"]:
        np.testing.assert_array_equal(one.target, one.input ^ 1)
        assert one.name.endswith("_noisy.png")
    again = sources.load("pairs", fractions=(0.6, 0.2, 0.2), seed=3, **options)
    assert names_of(again) != names_of(loaded)
    # A group names the scene, rather than the whole match.
    grouped = options | {"scene": r"^(s\d+)_\d"}
    same = sources.load("pairs", fractions=(0.6, 0.2, 0.2), **grouped)
    assert names_of(same) == names_of(loaded)


def test_pairs_in_two_folders_and_with_a_suffix_for_one(tmp_path):
    fill(tmp_path, ["clean/x/a.png", "noisy/x/a.png", "notes/b.png"])
    options = {"channels": 3, "path": str(tmp_path), "fractions": (1, 0, 0)}
    loaded = sources.load("pairs", noisy="noisy/*.png", clean="clean/*.png", **options)["train"]
    assert list(loaded.names) == ["noisy/x/a.png"]
    assert list(loaded.ignored) == ["notes/b.png"]
    np.testing.assert_array_equal(loaded[0].target, make_image(0))
    np.testing.assert_array_equal(loaded[0].input, make_image(1))
    options["path"] = fill(tmp_path / "flat", ["a.png", "a_gt.png"])
    loaded = sources.load("pairs", noisy="*.png", clean="*_gt.png", **options)["train"]
    assert list(loaded.names) == ["a.png"]
    np.testing.assert_array_equal(loaded[0].target, make_image(1))


def test_pairs_errors(tmp_path):
    options = fill_pairs(tmp_path, scenes=2, shots=1)
    refused("does not match the stem of s0_0_noisy.png", "pairs", **options, scene="x")
    refused("not a regular expression", "pairs", **options, scene="(")
    refused("must differ", "pairs", **options | {"noisy": "*_clean.png"})
    refused("as many or fewer", "pairs", **options | {"clean": "*_*_clean.png"})
    refused("no images named", "pairs", **options | {"noisy": "*.a", "clean": "*.b"})
    image_files.write(tmp_path / "s0_0_clean.png", make_image(0, (8, 8, 3)))
    loaded = sources.load("pairs", fractions=(1, 0, 0), **options)
    with pytest.raises(ZooError, match=r"s0_0_noisy\.png is 8 x 10 uint8 but .*s0_0_clean\.png"):
        loaded["train"][0]
    image_files.write(tmp_path / "s0_0_clean.png", make_image(0, dtype=np.uint16))
    skipping = sources.load("pairs", fractions=(1, 0, 0), on_error="skip", **options)["train"]
    assert list(skipping.skipped) == ["s0_0_noisy.png"]
    (tmp_path / "s1_0_clean.png").unlink()
    refused(r"s1_0_noisy\.png has no partner '\*_clean\.png'", "pairs", **options)


# ------------------------------------------------------------------------------- idx


def idx_bytes(pixels):
    return b"\x00\x00\x08\x03" + struct.pack(">III", *pixels.shape) + pixels.tobytes()


def fill_idx(folder, packed):
    train, test = make_image(0, (10, 4, 5)), make_image(1, (3, 4, 5))
    for prefix, block in (("train", train), ("t10k", test)):
        data = idx_bytes(block)
        name = f"{prefix}-images-idx3-ubyte" + (".gz" if packed else "")
        (folder / name).write_bytes(gzip.compress(data) if packed else data)
    return train, test


@pytest.mark.parametrize("packed", [False, True])
def test_idx(tmp_path, packed):
    train, test = fill_idx(tmp_path, packed)
    options = {"channels": 1, "path": str(tmp_path)}
    loaded = sources.load("idx", **options)
    assert [len(source) for source in loaded.values()] == [10, 0, 3]
    loaded = sources.load("idx", fractions=(0.8, 0.2, 0), **options)
    assert [len(source) for source in loaded.values()] == [8, 2, 3]
    np.testing.assert_array_equal([p.target[..., 0] for p in loaded["train"]], train[:8])
    np.testing.assert_array_equal([p.target[..., 0] for p in loaded["validation"]], train[8:])
    np.testing.assert_array_equal([p.target[..., 0] for p in loaded["test"]], test)
    assert loaded["validation"].names[0] == "train-00008"
    assert len(pickle.dumps(loaded["train"])) < 2000
    assert sources.load("idx", **options | {"channels": 3})["test"][0].target.shape == (4, 5, 3)


def test_idx_errors(tmp_path):
    pixels = idx_bytes(make_image(0, (3, 4, 5)))
    bad = {
        "not an idx file of images": b"\0\0\x08\x01" + pixels[4:],
        "truncated or too long": pixels[:-1],
        "truncated or too long:": pixels + b"\0",
        "truncated or too long: 10": pixels[:10],
        "fetch it again": gzip.compress(pixels)[:-12],
        "not an idx file of images:": b"",
        "cannot read": gzip.compress(pixels)[:20] + b"garbage" * 9,
    }
    for number, (match, data) in enumerate(bad.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        fill_idx(folder, packed=False)
        (folder / "train-images-idx3-ubyte").write_bytes(data)
        refused(match, "idx", path=str(folder))
    (tmp_path / "0" / "train-images-idx3-ubyte").unlink()
    refused("has no train-images-idx3-ubyte or", "idx", path=str(tmp_path / "0"))


# ------------------------------------------------------------------------------- real data


@pytest.mark.matrix
def test_bsds500_without_its_leak(zoo_data):
    """Of val exactly the 32 that are not in CBSD68 remain: by name, and by pixels."""
    loaded = sources.load(
        "folder",
        channels=3,
        path=str(zoo_data / "bsds500"),
        train=("train", "test"),
        validation="val",
        test="../cbsd68",
        exclude="../cbsd68",
    )
    assert [len(source) for source in loaded.values()] == [400, 32, 68]
    pixels = {split: {p.target.tobytes() for p in source} for split, source in loaded.items()}
    assert len(pixels["validation"] | pixels["test"]) == 100
    assert not pixels["validation"] & pixels["test"]
    assert not pixels["train"] & (pixels["validation"] | pixels["test"])


def test_polyu(zoo_data):
    loaded = sources.load(
        "pairs",
        channels=3,
        path=str(zoo_data / "polyu"),
        noisy="*_real.JPG",
        clean="*_mean.JPG",
        scene=r"([A-Za-z]+)_+\d+_real$",
        fractions=(0.7, 0.1, 0.2),
    )
    assert sum(map(len, loaded.values())) == 100
    counts = [len(source) for source in loaded.values()]
    assert np.abs(np.array(counts) - (70, 10, 20)).max() <= 8
    objects = [{n.split("_")[4] for n in source.names} for source in loaded.values()]
    assert not objects[0] & objects[1]
    assert not objects[0] & objects[2]
    assert not objects[1] & objects[2]
    one = loaded["test"][0]
    assert one.target.shape == one.input.shape == (512, 512, 3)
    error = np.mean((one.target / 255.0 - one.input / 255.0) ** 2)
    assert 25 < -10 * np.log10(error) < 50


def test_mnist(zoo_data):
    loaded = sources.load(
        "idx", channels=1, path=str(zoo_data / "mnist"), fractions=(0.9, 0.1, 0.0)
    )
    assert [len(source) for source in loaded.values()] == [54000, 6000, 10000]
    first = loaded["train"][0].target
    assert first.shape == (28, 28, 1)
    # The first training image is the well-known 5; its sum and the mean of the set are published.
    assert first.sum() == 27525
    some = np.stack([loaded["train"][n].target for n in range(0, 54000, 27)])
    assert some.mean() / 255 == pytest.approx(0.1307, abs=0.003)


def test_an_idx_file_unpacks_to_no_more_than_it_says(tmp_path):
    """32 MB of zeros behind a head of 60 pixels; and a head that claims 2**96."""
    fill_idx(tmp_path, packed=False)
    head = b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (3, 4, 5))
    file = tmp_path / "train-images-idx3-ubyte"
    file.write_bytes(gzip.compress(head + bytes(2**25), 1))
    tracemalloc.start()
    refused("truncated or too long", "idx", path=str(tmp_path))
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()
    file.write_bytes(gzip.compress(head[:4] + b"\xff" * 12))
    refused("more than 1073741824; split it", "idx", path=str(tmp_path))

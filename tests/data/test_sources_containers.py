"""Zip files and NumPy's arrays as folders of images, and pairs of many for one."""

import io
import os
import pickle
import signal
import struct
import zipfile

import numpy as np
import pytest
from PIL import Image
from source_files import fill, make_image, names_of, refused

from zoo.data import image_files, sources
from zoo.data.sources import archives
from zoo.errors import ZooError

WHOLE = {"channels": 3, "fractions": (1, 0, 0)}


def zipped(file, names, **extra):
    with zipfile.ZipFile(file, "w") as out:
        for index, name in enumerate(names):
            data = io.BytesIO()
            Image.fromarray(make_image(index)).save(data, "PNG")
            out.writestr(name, data.getvalue())
        for name, data in extra.items():
            out.writestr(name.replace("__", "."), data)
    return str(file)


def assert_images(source, expected):
    assert len(source) == len(expected)
    for one, wanted in zip(source, expected, strict=True):
        np.testing.assert_array_equal(one.target, wanted, err_msg=one.name)


def test_a_zip_is_a_folder_of_images(tmp_path):
    (tmp_path / "in").mkdir()
    hidden = {"__MACOSX/._a__png": b"x", "readme__txt": b"x"}
    file = zipped(tmp_path / "in" / "all.zip", ["b/1.png", "a.PNG"], **hidden)
    for path, prefix in ((str(tmp_path / "in"), "all.zip/"), (file, "")):
        source = sources.load("folder", path=path, **WHOLE)["train"]
        assert list(source.names) == [f"{prefix}a.PNG", f"{prefix}b/1.png"]
        assert_images(pickle.loads(pickle.dumps(source)), [make_image(1), make_image(0)])
        assert [name for name in source.ignored if name.endswith("readme.txt")]


def test_the_folders_in_a_zip_make_the_splits(tmp_path):
    file = zipped(tmp_path / "set.zip", ["train/1.png", "val/2.png", "test/3.png"])
    found = sources.load("folder", path=file, channels=3)
    assert list(names_of(found).values()) == [["train/1.png"], ["val/2.png"], ["test/3.png"]]
    assert_images(found["test"], [make_image(2)])


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (make_image(0), [make_image(0)]),
        (make_image(0)[..., 0], [np.repeat(make_image(0)[..., :1], 3, -1)]),
        (np.stack([make_image(0), make_image(1)]), [make_image(0), make_image(1)]),
        (
            np.stack([make_image(n)[..., 0] for n in range(5)]),
            [np.repeat(make_image(n)[..., :1], 3, -1) for n in range(5)],
        ),
    ],
    ids=["color", "gray", "many", "many gray"],
)
@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_arrays_are_images(tmp_path, array, expected, kind):
    {"npy": np.save, "npz": np.savez_compressed}[kind](tmp_path / f"a.{kind}", array)
    source = sources.load("folder", path=str(tmp_path), **WHOLE)["train"]
    assert_images(source, expected)


def test_several_arrays_in_one_file_and_floats(tmp_path):
    np.savez(tmp_path / "a.npz", x=make_image(0) / np.float32(255), y=np.stack([make_image(1)] * 2))
    source = sources.load("folder", path=str(tmp_path), **WHOLE)["train"]
    assert list(source.names) == ["a.npz/x", "a.npz/y/00000", "a.npz/y/00001"]
    np.testing.assert_array_equal(source[0].target, make_image(0) * np.uint16(257))
    np.testing.assert_array_equal(source[2].target, make_image(1))


def test_stacks_side_by_side_are_pairs(tmp_path):
    clean = np.stack([make_image(n) for n in range(3)])
    np.save(tmp_path / "clean.npy", clean)
    np.save(tmp_path / "noisy.npy", clean ^ 1)
    names = {"noisy": "noisy.npy/*", "clean": "clean.npy/*"}
    for one in sources.load("pairs", path=str(tmp_path), **names, **WHOLE)["train"]:
        np.testing.assert_array_equal(one.input, one.target ^ 1)


def header(shape, descr="'|u1'"):
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize(
    ("name", "data", "reported"),
    [
        ("a.npy", b"nonsense", "truncated or broken"),
        ("a.npy", header("(9000000, 90000, 3)"), "is truncated"),
        ("a.npy", header("(2, 2)", "'|O'"), "holds Python objects"),
        ("a.npy", header("(3, 40, 50)") + bytes(6000), "has the shape"),
        ("a.npy", header("(2, 2)", "'<i8'") + bytes(32), "holds int64"),
        ("a.npz", b"PK\x03\x04", "truncated or broken"),
        ("a.zip", b"PK\x03\x04", "truncated or broken"),
        ("a.zip", b"", "truncated or broken"),
    ],
)
def test_a_damaged_file(tmp_path, name, data, reported):
    (tmp_path / name).write_bytes(data)

    def read(kind, **options):
        return sources.load(kind, **options)["train"][0]

    with pytest.raises(ZooError, match=reported) as caught:
        read("folder", path=str(tmp_path), **WHOLE)
    assert "\n" not in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)
    fill(tmp_path, ["whole.png"])
    source = sources.load("folder", path=str(tmp_path), on_error="skip", **WHOLE)["train"]
    assert (list(source.names), list(source.skipped)) == (["whole.png"], [name])


def test_a_zip_that_lies_about_what_it_holds_is_bounded(tmp_path, monkeypatch):
    file = tmp_path / "a.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("a.png", bytes(10_000))
    monkeypatch.setattr("zoo.data.sources.archives._LIMIT", 9_999)
    with pytest.raises(ZooError, match=r"unpacks to 10,000 bytes"):
        sources.load("folder", path=str(file), **WHOLE)["train"][0]


# ------------------------------------------------------------------------------- pairs


def test_many_noisy_images_share_a_clean_one_and_a_split(tmp_path):
    names = [f"s{s}/{name}.png" for s in range(6) for name in ("clean", "n_0", "n_1", "n_2")]
    options = {"path": fill(tmp_path, names), "channels": 3}
    options |= {"noisy": "*/n_*.png", "clean": "*/clean.png"}
    found = sources.load("pairs", fractions=(0.5, 0.0, 0.5), **options)
    assert [len(one) for one in found.values()] == [9, 0, 9]
    train, _, test = ({name.split("/")[0] for name in one.names} for one in found.values())
    assert not train & test
    for source in found.values():
        for one in source:
            at = names.index(one.name)
            np.testing.assert_array_equal(one.input, make_image(at))
            np.testing.assert_array_equal(one.target, make_image(at - at % 4))


def test_partners_may_be_kept_in_another_format(tmp_path):
    path = fill(tmp_path, ["C/0.png", "C/1.tif", "N/0.bmp", "N/1.png"])
    options = {"path": path, "noisy": "N/*", "clean": "C/*", **WHOLE}
    source = sources.load("pairs", **options)["train"]
    assert list(source.names) == ["N/0.bmp", "N/1.png"]
    assert_images(source, [make_image(0), make_image(1)])
    image_files.write(tmp_path / "C" / "0.tif", make_image(0))
    refused("are both the clean image of the same", "pairs", **options)


def test_a_missing_partner_is_skipped_when_asked_for(tmp_path):
    path = fill(tmp_path, ["C/0.png", "C/2.png", "N/0.png", "N/1.png"])
    options = {"path": path, "noisy": "N/*.png", "clean": "C/*.png", **WHOLE}
    refused(
        r"1\.png has no partner 'C/\*\.png'; add it, or have data\.on_error=skip",
        "pairs",
        **options,
    )
    source = sources.load("pairs", on_error="skip", **options)["train"]
    assert list(source.names) == ["N/0.png"]
    assert sorted(source.skipped) == ["C/2.png", "N/1.png"]


@pytest.fixture
def soon():
    """Ends a test that waits for what does not come."""

    def late(*_):
        raise AssertionError("it waits")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(10)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("suffix", sorted(archives.SUFFIXES))
@pytest.mark.usefixtures("soon")
def test_a_pipe_named_as_a_container_is_refused_and_not_waited_for(tmp_path, suffix):
    image_files.write(tmp_path / "a.png", make_image(0))
    os.mkfifo(tmp_path / f"b{suffix}")
    source = sources.load("folder", path=str(tmp_path), **WHOLE)["train"]
    with pytest.raises(ZooError, match=rf"b\{suffix}: it is a pipe"):
        list(source)


def test_a_volume_is_a_folder_of_planes(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    planes = np.random.default_rng(0).integers(0, 4096, (3, 20, 24)).astype(np.uint16)
    nibabel.Nifti1Image(planes.T, np.eye(4), dtype=np.uint16).to_filename(tmp_path / "a.nii.gz")
    nibabel.Nifti1Image(planes[0].T, np.eye(4), dtype=np.uint16).to_filename(tmp_path / "b.nii")
    source = sources.load("folder", path=str(tmp_path), channels=1, fractions=(1, 0, 0))["train"]
    assert list(source.names) == [*(f"a.nii.gz/{n:05}" for n in range(3)), "b.nii"]
    source = pickle.loads(pickle.dumps(source))
    assert_images(source, [*planes[..., None], planes[0][..., None]])
    assert_images([source[2]], [planes[2][..., None]])

"""The tfds kind, on tiny data sets prepared here and read without TensorFlow."""

import importlib.util
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

from zoo.data import audio_writing, pcm, sources
from zoo.errors import ZooError

# By path and by a name without dots: tfds looks for the package of a builder's module on disk.
_SPEC = importlib.util.spec_from_file_location(
    "make_tfds", Path(__file__).with_name("make_tfds.py")
)
make_tfds = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(make_tfds)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    make_tfds.make(folder)
    return str(folder)


def load(folder, name, channels=3, **options):
    return sources.load("tfds", channels=channels, path=folder, name=name, **options)


@pytest.mark.parametrize(("name", "dtype"), [("tiny_tensor", np.uint8), ("tiny_image", np.uint16)])
def test_reads_what_was_prepared(folder, name, dtype):
    loaded = load(folder, name)
    assert [len(source) for source in loaded.values()] == [6, 0, 3]
    for split in ("train", "test"):
        expected = make_tfds.images(split, dtype)
        for index, one in enumerate(loaded[split]):
            assert one.name == f"{split}-0000{index}"
            assert one.target.dtype == dtype
            np.testing.assert_array_equal(one.target, expected[index])
    copy = pickle.loads(pickle.dumps(loaded["test"]))
    np.testing.assert_array_equal(copy[2].target, loaded["test"][2].target)
    assert "tensorflow" not in sys.modules


def test_floats_become_16_bit(folder):
    expected = make_tfds.images("test", np.float32, 1).astype(float)
    target = load(folder, "tiny_float", channels=1)["test"][1].target
    np.testing.assert_array_equal(target, np.rint(expected[1] * 65535))


def test_splits(folder):
    loaded = load(folder, "tiny_tensor", fractions=(0.5, 0.5, 0))
    assert [len(source) for source in loaded.values()] == [3, 3, 3]
    expected = make_tfds.images("train")
    np.testing.assert_array_equal(loaded["validation"][0].target, expected[3])
    loaded = load(folder, "tiny_tensor", train="train[:4]", validation="train[4:]")
    assert [len(source) for source in loaded.values()] == [4, 2, 3]
    np.testing.assert_array_equal(loaded["validation"][1].target, expected[5])


def test_nan(folder):
    with pytest.raises(ZooError, match="tiny_bad train-00001 holds NaN"):
        load(folder, "tiny_bad", channels=1)["train"][1]
    source = load(folder, "tiny_bad", channels=1, on_error="skip")["train"]
    assert list(source.names) == ["train-00000", "train-00002"]
    assert list(source.skipped) == ["train-00001"]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"name": "tiny_tensr"}, "tfds has no 'tiny_tensr'"),
        ({"name": "tiny_tensor", "feature": "imag"}, "did you mean 'image'"),
        ({"name": "tiny_tensor", "train": "trian"}, "unknown split .* did you mean 'train'"),
        ({"name": "tiny_tensor", "train": "train[:"}, "cannot open"),
        ({"name": "tiny_tensor", "test": "train[5:]"}, "overlaps train"),
    ],
)
def test_errors(folder, options, match):
    with pytest.raises(ZooError, match=match) as caught:
        load(folder, **options)
    assert "\n" not in str(caught.value)


def test_a_feature_that_is_no_image(folder):
    with pytest.raises(ZooError, match="tiny_tensor train-00000 has shape"):
        load(folder, "tiny_tensor", feature="label")["train"][0]


# ------------------------------------------------------------------------------- recordings


@pytest.mark.parametrize("name", ["tiny_sound", "tiny_audio"])
def test_reads_recordings(folder, name):
    options = {"rate": 8000} if name == "tiny_sound" else {}
    loaded = load(folder, name, channels=1, sample_rate=8000, **options)
    assert [len(source) for source in loaded.values()] == [6, 0, 3]
    for split in ("train", "test"):
        assert loaded[split].modality == "audio"
        assert loaded[split].lengths() == [800 + n for n in range(len(loaded[split]))]
        for index, one in enumerate(loaded[split]):
            assert one.name == f"{split}-0000{index}"
            assert one.target.dtype == np.int16
            np.testing.assert_array_equal(one.target[:, 0], make_tfds.sounds(split)[index])
    copy = pickle.loads(pickle.dumps(loaded["test"]))
    piece = copy.excerpt(2, 100, 30).target
    np.testing.assert_array_equal(piece[:, 0], make_tfds.sounds("test")[2][100:130])
    assert "tensorflow" not in sys.modules


def test_recordings_are_resampled_and_scaled(folder):
    source = load(folder, "tiny_audio", channels=2)["train"]
    x = make_tfds.sounds("train")[0].astype(np.float32)[:, None] / 32768
    expected = pcm.to_int16(pcm.resample(x, 8000, 16000))
    np.testing.assert_array_equal(source[0].target, np.repeat(expected, 2, axis=1))
    assert source.lengths()[0] == 1600
    source = load(folder, "tiny_float_sound", channels=1, rate=16000)["train"]
    expected = np.rint(make_tfds.sounds("train", np.float32)[1] * 32768)
    np.testing.assert_array_equal(source[1].target[:, 0], expected)
    source = load(folder, "tiny_sound", channels=1, rate=16000, bits=24)["train"]
    expected = np.rint(make_tfds.sounds("train")[1] / 256)
    np.testing.assert_array_equal(source[1].target[:, 0], expected)


def test_recordings_with_noise(folder, tmp_path):
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        audio_writing.write(tmp_path / split / "a.wav", np.ones((50, 1), np.int16), 16000)
    loaded = load(folder, "tiny_audio", channels=1, noise=str(tmp_path))
    assert loaded["test"].noise.names == ["test/a.wav"]
    with pytest.raises(ZooError, match="holds images; leave noise out"):
        load(folder, "tiny_tensor", noise=str(tmp_path))


def test_recordings_that_do_not_say_what_they_are(folder):
    with pytest.raises(ZooError, match="does not state the sample rate of 'audio'; set rate"):
        load(folder, "tiny_sound", channels=1)
    with pytest.raises(ZooError, match="more than its bits; set bits"):
        load(folder, "tiny_sound", channels=1, rate=8000, bits=8)["train"][0]


def test_unprepared_without_tensorflow(tmp_path):
    if importlib.util.find_spec("tensorflow"):
        pytest.skip("TensorFlow is installed and would download MNIST")
    with pytest.raises(ZooError, match="needs TensorFlow") as caught:
        load(str(tmp_path), "mnist")
    assert "pip install 'denoising-zoo[tfds]'" in str(caught.value)
    assert f"tfds build mnist --file_format=array_record --data_dir={tmp_path}" in str(caught.value)
    assert "\n" not in str(caught.value)

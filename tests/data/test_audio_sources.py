"""The kinds of source that read recordings from folders."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from zoo.data import audio_writing, pcm, sources
from zoo.errors import ZooError


def sound(seed, length=1000, channels=1):
    rng = np.random.default_rng(seed)
    return rng.integers(-9000, 9000, (length, channels), np.int16)


def fill(folder, names, rate=16000, **options):
    for seed, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        audio_writing.write(folder / name, sound(seed, **options), rate)
    return str(folder)


def names_of(loaded):
    return {split: list(source.names) for split, source in loaded.items()}


def load(kind, **options):
    return sources.load(kind, **{"channels": 1} | options)


def refused(match, kind, **options):
    with pytest.raises(ZooError, match=match) as caught:
        load(kind, **options)
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------- recordings


def test_reads_what_was_written(tmp_path):
    path = fill(tmp_path, [f"{n}.{suffix}" for n, suffix in enumerate(["wav", "flac"])])
    source = load("recordings", path=path, fractions=(1, 0, 0))["train"]
    assert source.modality == "audio"
    assert source.noise is None
    for index, one in enumerate(source):
        assert one.target.dtype == np.int16
        assert one.input is None
        np.testing.assert_array_equal(one.target, sound(index))
    np.testing.assert_array_equal(source[-1].target, sound(1))
    np.testing.assert_array_equal(source.excerpt(1, 200, 300).target, sound(1)[200:500])
    assert source.lengths() == [1000, 1000]
    with pytest.raises(IndexError):
        source[2]


def test_any_rate_and_channels_become_those_asked_for(tmp_path):
    path = fill(tmp_path, ["a.wav"], rate=48000, length=3000, channels=2)
    mono = load("recordings", path=path, fractions=(1, 0, 0))["train"]
    mean = pcm.to_channels(pcm.to_float(sound(0, 3000, 2)), 1)
    expected = pcm.to_int16(pcm.resample(mean, 48000, 16000))
    np.testing.assert_array_equal(mono[0].target, expected)
    assert mono.lengths() == [1000]
    np.testing.assert_allclose(mono.excerpt(0, 300, 100).target, expected[300:400], atol=1)
    stereo = load("recordings", path=path, fractions=(1, 0, 0), channels=2, sample_rate=8000)
    assert stereo["train"][0].target.shape == (500, 2)


def test_splits_by_sub_folders_with_noise(tmp_path):
    fill(tmp_path / "speech", ["train/a.wav", "val/b.flac", "test/c.wav", "train/notes.wav"])
    (tmp_path / "speech/train/readme.txt").write_text("x")
    fill(tmp_path / "noise", ["train/x.wav", "validation/y.wav", "test/z.wav"])
    loaded = load("recordings", path=str(tmp_path / "speech"), noise=str(tmp_path / "noise"))
    assert names_of(loaded) == {
        "train": ["train/a.wav", "train/notes.wav"],
        "validation": ["val/b.flac"],
        "test": ["test/c.wav"],
    }
    assert loaded["train"].ignored == ["train/readme.txt"]
    noises = {split: list(source.noise.names) for split, source in loaded.items()}
    assert noises == {
        "train": ["train/x.wav"],
        "validation": ["validation/y.wav"],
        "test": ["test/z.wav"],
    }
    np.testing.assert_array_equal(loaded["test"].noise[0].target, sound(2))
    assert loaded["test"].noise.sample_rate == 16000


def test_a_validation_split_is_taken_from_train_by_speaker(tmp_path):
    names = [f"train/s{n // 4:02}_{n}.wav" for n in range(40)] + ["test/t.wav"]
    path = fill(tmp_path / "speech", names, length=20)
    noise = fill(tmp_path / "noise", [f"train/{n}.wav" for n in range(10)] + ["test/t.wav"])
    options = {"path": path, "noise": noise, "fractions": (0.8, 0.2, 0)}
    loaded = load("recordings", speaker=r"^(s\d+|t)", **options)
    assert [len(source) for source in loaded.values()] == [32, 8, 1]
    assert [len(source.noise) for source in loaded.values()] == [8, 2, 1]
    speakers = [{name.split("_")[0] for name in source.names} for source in loaded.values()]
    assert not speakers[0] & speakers[1]
    refused(
        "speaker 'x' does not match the stem of train/s00_0.wav",
        "recordings",
        speaker="x",
        **options,
    )


def test_fractions_are_disjoint_and_stay(tmp_path):
    path = fill(tmp_path, [f"{n}.wav" for n in range(20)], length=20)
    options = {"path": path, "fractions": (0.5, 0.2, 0.3)}
    first = names_of(load("recordings", **options))
    assert [len(names) for names in first.values()] == [10, 4, 6]
    assert len(set().union(*first.values())) == 20
    assert names_of(load("recordings", **options)) == first
    assert names_of(load("recordings", seed=1, **options)) != first


def test_threads_and_pickles_read_alike(tmp_path):
    path = fill(tmp_path / "a", [f"{n}.wav" for n in range(6)])
    noise = fill(tmp_path / "b", [f"{n}.wav" for n in range(3)])
    source = load("recordings", path=path, noise=noise, fractions=(1, 0, 0))["train"]
    copy = pickle.loads(pickle.dumps(source))
    assert len(pickle.dumps(source)) < 5000
    with ThreadPoolExecutor(4) as pool:
        for index, one in enumerate(pool.map(copy.__getitem__, range(6))):
            np.testing.assert_array_equal(one.target, sound(index))
    np.testing.assert_array_equal(copy.noise[2].target, source.noise[2].target)


def test_unreadable_ones_are_reported_or_left_out(tmp_path):
    path = fill(tmp_path / "a", ["a.wav", "b.wav", "c.wav"])
    noise = fill(tmp_path / "n", ["a.wav", "b.wav"])
    for broken in (tmp_path / "a/b.wav", tmp_path / "n/a.wav"):
        broken.write_bytes(broken.read_bytes()[:-100])
    (tmp_path / "a" / "d.wav").write_text("no sound")
    options = {"path": path, "noise": noise, "fractions": (1, 0, 0)}
    raising = load("recordings", **options)["train"]
    with pytest.raises(ZooError, match=r"b\.wav is truncated"):
        raising[1]
    with pytest.raises(ZooError, match=r"b\.wav is truncated"):
        raising.lengths()
    skipping = load("recordings", on_error="skip", **options)["train"]
    assert list(skipping.names) == ["a.wav", "c.wav"]
    assert list(skipping.skipped) == ["b.wav", "d.wav"]
    assert list(skipping.noise.names) == ["b.wav"]
    assert skipping.lengths() == [1000, 1000]


def test_silence_is_kept(tmp_path):
    audio_writing.write(tmp_path / "a.wav", np.zeros((100, 1), np.int16), 16000)
    source = load("recordings", path=str(tmp_path), fractions=(1, 0, 0), on_error="skip")["train"]
    assert not source[0].target.any()


def test_errors(tmp_path):
    path = fill(tmp_path / "a", ["train/a.wav", "validation/b.wav"])
    noise = fill(tmp_path / "n", ["train/a.wav"])
    (tmp_path / "none").mkdir()
    refused("no path to the folder of audio files; set path", "recordings")
    refused(
        r"none has no audio files; they end in .*\.flac", "recordings", path=str(tmp_path / "none")
    )
    refused(
        "noise files .*b does not exist; set noise to an existing folder",
        "recordings",
        path=path,
        noise=str(tmp_path / "b"),
    )
    refused("has none for validation; give it sub-folders", "recordings", path=path, noise=noise)
    refused("in both train and validation", "recordings", path=path, train=".", validation="train")
    refused("exclude 'x' leaves out no audio file", "recordings", path=path, exclude="x")
    refused("size and tile are for images", "recordings", path=path, size=(8, 8))
    refused("unknown option of recordings 'nois'; did you mean 'noise'", "recordings", nois="x")


# ------------------------------------------------------------------------------- pairs


def fill_pairs(folder, clean, noisy, names, **options):
    for seed, name in enumerate(names):
        for number, one in enumerate((clean, noisy)):
            (folder / one / name).parent.mkdir(parents=True, exist_ok=True)
            x = sound(seed, **options) + np.int16(number)
            audio_writing.write(folder / one / name, x, 16000)
    return {"path": str(folder)}


@pytest.mark.parametrize("middle", ["", "28spk_"])
def test_voicebank_demand(tmp_path, middle):
    names = [f"p{n // 5}_{n:03}.wav" for n in range(20)]
    clean, noisy = (f"{kind}_trainset_{middle}wav" for kind in ("clean", "noisy"))
    fill_pairs(tmp_path, clean, noisy, names)
    options = fill_pairs(tmp_path, "clean_testset_wav", "noisy_testset_wav", ["p9_001.wav"])
    loaded = load("recording_pairs", **options, fractions=(0.75, 0.25, 0), speaker=r"^p\d+")
    assert [len(source) for source in loaded.values()] == [15, 5, 1]
    assert len({name.split("/p")[1][0] for name in loaded["validation"].names}) == 1
    for source in loaded.values():
        for one in source:
            np.testing.assert_array_equal(one.target + np.int16(1), one.input)
    assert loaded["test"].names == ["noisy_testset_wav/p9_001.wav"]
    piece = loaded["test"].excerpt(0, 10, 20)
    np.testing.assert_array_equal(piece.target, sound(0)[10:30])
    np.testing.assert_array_equal(piece.input, sound(0)[10:30] + 1)
    assert loaded["test"].lengths() == [1000]


def test_pairs_in_two_folders_are_split_by_fractions(tmp_path):
    names = [f"{n}.wav" for n in range(10)]
    options = fill_pairs(tmp_path, "clean", "noisy", names) | {"fractions": (0.6, 0.2, 0.2)}
    loaded = load("recording_pairs", **options)
    assert [len(source) for source in loaded.values()] == [6, 2, 2]
    named = load("recording_pairs", clean="clean", noisy="noisy", **options)
    assert names_of(named) == names_of(loaded)


def test_pairs_in_named_folders(tmp_path):
    fill_pairs(tmp_path, "a", "b", ["x/1.wav", "x/2.wav"])
    options = fill_pairs(tmp_path, "c", "d", ["3.wav"])
    loaded = load(
        "recording_pairs", clean="a", noisy="b", test_clean="c", test_noisy="d", **options
    )
    assert names_of(loaded) == {
        "train": ["b/x/1.wav", "b/x/2.wav"],
        "validation": [],
        "test": ["d/3.wav"],
    }


def test_pairs_errors(tmp_path):
    options = fill_pairs(tmp_path, "clean", "noisy", ["1.wav", "2.wav"])
    refused("has no folders clean and noisy", "recording_pairs", path=str(tmp_path / "clean"))
    refused("train has a folder 'clean' alone", "recording_pairs", clean="clean", **options)
    refused(
        "x does not exist; set clean and noisy", "recording_pairs", clean="x", noisy="y", **options
    )
    audio_writing.write(tmp_path / "noisy/1.wav", sound(0, 999), 16000)
    audio_writing.write(tmp_path / "noisy/2.wav", sound(0), 8000)
    train = load("recording_pairs", fractions=(1, 0, 0), **options)["train"]
    for index, match in enumerate(["has 999 samples at 16000 Hz but", "has 1000 samples at 8000"]):
        with pytest.raises(ZooError, match=match) as caught:
            train[index]
        assert "\n" not in str(caught.value)
    (tmp_path / "noisy/1.wav").unlink()
    refused(r"clean/1\.wav has no partner in .*noisy", "recording_pairs", **options)


# ------------------------------------------------------------------------------- real data


def test_speech_and_noise(zoo_data):
    folders = {"path": str(zoo_data / "speech"), "noise": str(zoo_data / "noise")}
    loaded = load("recordings", **folders, fractions=(0.9, 0.1, 0), speaker="^([^_]+)_")
    assert all(len(source) and len(source.noise) for source in loaded.values())
    minutes = sum(sum(source.lengths()) for source in loaded.values()) / 16000 / 60
    assert 30 < minutes < 40
    speakers = [{name.split("_")[0] for name in source.names} for source in loaded.values()]
    assert not speakers[0] & speakers[1]
    one = loaded["test"][0]
    assert one.target.shape == (loaded["test"].lengths()[0], 1)

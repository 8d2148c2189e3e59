"""Batches of pieces of recordings that are read while the run goes on."""

import itertools

import numpy as np
import pytest

from zoo.data import audio_files, audio_writing, sources
from zoo.data.batches import StreamBatches
from zoo.errors import ZooError

# In crops of 100, two to a group: 2, 1, 4, and one for what is shorter than a crop.
LENGTHS = (400, 150, 800, 60)
NOISE_LENGTHS = (30, 500)


def mark(n, length, start=0):
    """Samples that tell their recording and their place."""
    return (1000 * (n + 1) + np.arange(start, start + length, dtype=np.int16))[:, None]


@pytest.fixture
def folder(tmp_path):
    for name, lengths in (("clean", LENGTHS), ("noise", NOISE_LENGTHS)):
        (tmp_path / name).mkdir()
        for n, length in enumerate(lengths):
            suffix = "flac" if n % 2 else "wav"
            audio_writing.write(tmp_path / name / f"{n}.{suffix}", mark(n, length), 16000)
    return tmp_path


def batches(folder, *, noise=True, **options):
    source = sources.load(
        "recordings",
        channels=1,
        path=str(folder / "clean"),
        noise=str(folder / "noise") if noise else "",
        fractions=(1, 0, 0),
    )["train"]
    defaults = {"size": (100,), "batch_size": 8, "seed": 3, "crops_per_picture": 2}
    return StreamBatches(source, **defaults | options)


def take(batches, n=0, count=3):
    return list(itertools.islice(batches.starting_at(n), count))


def test_every_crop_is_a_piece_of_its_recording_and_comes_by_length(folder):
    stream = batches(folder)
    assert stream.size == (100,)
    assert stream.order.epoch_size == 16
    taken = take(stream, count=40)
    crops = np.concatenate([batch.crops for batch in taken])
    assert crops.shape == (320, 100, 1)
    assert crops.dtype == np.int16
    counts = [0] * 4
    for one in crops:
        n, start = divmod(int(one[0, 0]), 1000)
        n -= 1
        counts[n] += 1
        expected = np.zeros((100, 1), np.int16)
        piece = mark(n, min(100, LENGTHS[n]), start)
        expected[: len(piece)] = piece
        np.testing.assert_array_equal(one, expected)
        assert start <= max(LENGTHS[n] - 100, 0)
    # 320 crops are 20 epochs of 16.
    assert counts == [80, 40, 160, 40]


def test_noise_comes_by_length_and_starts_over(folder):
    taken = take(batches(folder), count=30)
    found = np.concatenate([batch.noise_crops for batch in taken])
    assert found.shape == (240, 100, 1)
    short = found[found[:, 0, 0] < 2000]
    np.testing.assert_array_equal(
        short, np.broadcast_to(np.resize(mark(0, 30), (100, 1)), short.shape)
    )
    share = 30 / 530
    assert abs(len(short) - 240 * share) < 5 * np.sqrt(240 * share)
    long = found[found[:, 0, 0] >= 2000]
    assert (np.diff(long[..., 0]) == 1).all()
    assert len(np.unique(long[:, 0, 0])) > 50
    assert take(batches(folder, with_noise=False), count=1)[0].noise_crops is None
    assert take(batches(folder, noise=False), count=1)[0].noise_crops is None


def everything(taken):
    return [np.concatenate([getattr(b, name) for b in taken]) for name in ("crops", "noise_crops")]


def test_a_stream_can_be_entered_anywhere(folder):
    whole = take(batches(folder), count=6)
    for straight, entered in zip(
        everything(whole[4:]), everything(take(batches(folder), 4, 2)), strict=True
    ):
        np.testing.assert_array_equal(straight, entered)
    other = take(batches(folder, seed=4), count=6)
    assert (everything(other)[0] != everything(whole)[0]).any()


@pytest.mark.parametrize("hosts", [2, 4])
def test_the_hosts_parts_make_the_whole_batch(folder, hosts):
    whole = take(batches(folder), 1)
    parts = [take(batches(folder, host=host, hosts=hosts), 1) for host in range(hosts)]
    for batch, *split in zip(whole, *parts, strict=True):
        for found, expected in zip(everything(split), everything([batch]), strict=True):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.matrix
def test_processes_change_nothing(folder):
    alone, shared = take(batches(folder)), take(batches(folder, workers=1))
    for one, other in zip(everything(alone), everything(shared), strict=True):
        np.testing.assert_array_equal(one, other)


def test_only_the_crop_is_read(folder, monkeypatch):
    taken = []
    read = audio_files.read

    def counting(path, **options):
        found = read(path, **options)
        taken.append(len(found))
        return found

    monkeypatch.setattr(audio_files, "read", counting)
    take(batches(folder), count=2)
    assert max(taken) == 100


def test_paired_recordings_are_cut_at_the_same_place(tmp_path):
    for n in range(3):
        for name, offset in (("clean", 0), ("noisy", 500)):
            (tmp_path / name).mkdir(exist_ok=True)
            x = mark(n, 200) + np.int16(offset)
            audio_writing.write(tmp_path / name / f"{n}.wav", x, 16000)
    pairs = sources.load("recording_pairs", channels=1, path=str(tmp_path), fractions=(1, 0, 0))[
        "train"
    ]
    stream = StreamBatches(pairs, size=(50,), batch_size=6, seed=0, crops_per_picture=3)
    found = next(stream.starting_at(0))
    assert found.crops.shape == (6, 50, 2)
    np.testing.assert_array_equal(found.crops[..., 0] + 500, found.crops[..., 1])
    assert found.noise_crops is None


def test_whole_recordings_must_be_of_one_length(folder):
    with pytest.raises(ZooError, match=r"samples, unlike the others; set data\.crop"):
        take(batches(folder, size=None))
    for n in (1, 2, 3):
        next((folder / "clean").glob(f"{n}.*")).unlink()
    stream = batches(folder, size=None, crops_per_picture=1)
    assert stream.size == (400,)
    np.testing.assert_array_equal(take(stream)[0].crops[0], mark(0, 400))


def test_a_broken_recording_is_reported_in_one_line(folder):
    stream = batches(folder)
    path = folder / "clean" / "2.wav"
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(ZooError, match=r"2\.wav is truncated") as caught:
        take(stream, count=4)
    assert "\n" not in str(caught.value)

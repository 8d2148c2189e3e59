"""Audio files out: piece by piece, whole or not at all."""

import signal
import subprocess
import sys

import numpy as np
import pytest
from audio_cases import RATE, noise, refused, sine

from zoo.data import audio_files, audio_writing


def test_writing_piece_by_piece(tmp_path):
    with audio_writing.writing(tmp_path / "a.wav", RATE, 1) as put:
        for piece in np.split(noise(), 4):
            put(piece)
        assert not (tmp_path / "a.wav").exists()
    audio_writing.write(tmp_path / "b.wav", noise(), RATE)
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


@pytest.mark.parametrize("suffix", ["w64", "aiff", "au", "caf", "oga", "opus"])
def test_every_ending_that_is_written_is_read(tmp_path, suffix):
    x = sine(440, 48000, 0.5)
    audio_writing.write(tmp_path / f"a.{suffix}", x, 48000)
    found = audio_files.read(tmp_path / f"a.{suffix}")
    assert found.shape == x.shape
    assert np.abs(found - x)[2000:-2000].max() < 0.02


def test_arrays_that_are_no_recording(tmp_path):
    def write(x, name="a.wav", **options):
        return audio_writing.write(tmp_path / name, x, RATE, **options)

    refused(r"shape \(2, 4000\); .* transpose it", write, noise(channels=2).T)
    refused(r"shape \(4000,\)", write, noise()[:, 0])
    refused(r"shape \(0, 1\)", write, noise(0))
    refused("holds int64", write, np.zeros((4, 1), np.int64))
    refused("holds NaN", write, np.full((4, 1), np.nan, np.float32))
    refused("cannot tell a format from", write, noise(), "a.txt")
    refused("cannot hold subtype 'PCM_32'; choose from", write, noise(), "a.flac", subtype="PCM_32")
    many = noise(channels=3)
    refused(r"3 channels at 16000 Hz .*; end it in \.flac or \.wav", write, many, "a.mp3")
    refused("cannot write", write, noise(), "none/a.wav")
    assert not list(tmp_path.iterdir())


def test_what_stood_there_stays_until_all_is_written(tmp_path):
    path = tmp_path / "a.wav"
    audio_writing.write(path, noise(), RATE)
    before = path.read_bytes()

    def half():
        with audio_writing.writing(path, RATE, 1) as put:
            put(noise(seed=1))
            put(noise(channels=2))

    refused("holds 1 channels, a piece 2", half)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["a.wav"]


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_that_ends_the_process_leaves_nothing(tmp_path, name):
    code = f"""
import os, signal
import numpy as np
from zoo.data import audio_writing
# Who started the tests may have them ignore it, as nohup does.
signal.signal(signal.{name}, signal.SIG_DFL)
with audio_writing.writing({str(tmp_path / "a.wav")!r}, 16000, 1) as put:
    put(np.zeros((100, 1), np.float32))
    assert len(os.listdir({str(tmp_path)!r})) == 1
    os.kill(os.getpid(), signal.{name})
"""
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -getattr(signal, name)
    assert not list(tmp_path.iterdir())


def test_who_listens_to_a_signal_still_does(tmp_path):
    def listen(signum, frame):
        pass

    before = signal.signal(signal.SIGTERM, listen)
    try:
        with audio_writing.writing(tmp_path / "a.wav", RATE, 1) as put:
            put(noise())
            assert signal.getsignal(signal.SIGTERM) is listen
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with audio_writing.writing(tmp_path / "a.wav", RATE, 1) as put:
            put(noise())
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("at", ["first write", "close"])
def test_ctrl_c_within_a_write_of_the_library_ends_it(tmp_path, monkeypatch, at):
    """libsndfile calls the sink, and discards what is raised there."""
    pressed = []
    write = audio_writing._Sink.write

    def press(sink, data):
        if armed and not pressed:
            pressed.append(signal.raise_signal(signal.SIGINT))
        return write(sink, data)

    monkeypatch.setattr(audio_writing._Sink, "write", press)
    armed = at == "first write"
    earlier = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with audio_writing.writing(tmp_path / "a.wav", RATE, 1) as put:
            put(noise())
            armed = True
    except KeyboardInterrupt:
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    else:
        pytest.fail("it was discarded")
    finally:
        signal.signal(signal.SIGINT, earlier)
    assert pressed
    assert not list(tmp_path.iterdir())

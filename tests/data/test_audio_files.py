"""Audio files in: whole, in part and in blocks; what is damaged is refused."""

import sys

import numpy as np
import pytest
import soundfile
from audio_cases import RATE, noise, refused, sine

from zoo.data import audio_files, audio_writing, pcm

INT_SUBTYPES = [("wav", "PCM_U8", 8), ("wav", "PCM_16", 16), ("wav", "PCM_24", 24)]
INT_SUBTYPES += [("wav", "PCM_32", 32), ("flac", "PCM_16", 16), ("flac", "PCM_24", 24)]


# ------------------------------------------------------------------------------- round trips


@pytest.mark.parametrize(("suffix", "subtype", "bits"), INT_SUBTYPES)
@pytest.mark.parametrize("channels", [1, 2])
def test_integers_come_back_rounded_to_the_nearest(tmp_path, suffix, subtype, bits, channels):
    path, x = tmp_path / f"a.{suffix}", noise(channels=channels)
    x[0], x[1] = 1.5, -1.5
    audio_writing.write(path, x, RATE, subtype=subtype)
    step = 2.0 ** (1 - bits)
    expected = np.clip(np.rint(x.astype(np.float64) / step), -(2.0 ** (bits - 1)), 1 / step - 1)
    np.testing.assert_array_equal(audio_files.read(path), (expected * step).astype(np.float32))
    assert audio_files.info(path) == (RATE, channels, 4000, subtype, suffix.upper())


def test_float_wav_keeps_every_bit_and_what_is_above_full_scale(tmp_path):
    path, x = tmp_path / "a.wav", noise() * 3
    audio_writing.write(path, x, 44100, subtype="FLOAT")
    np.testing.assert_array_equal(audio_files.read(path), x)
    found = audio_files.read(path, dtype=np.int16)
    np.testing.assert_array_equal(found, np.clip(np.rint(x * 32768), -32768, 32767))


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_int16_comes_back_as_it_was(tmp_path, suffix):
    x = np.random.default_rng(0).integers(-32768, 32767, (500, 2), np.int16, endpoint=True)
    audio_writing.write(tmp_path / f"a.{suffix}", x, RATE)
    np.testing.assert_array_equal(audio_files.read(tmp_path / f"a.{suffix}", dtype=np.int16), x)
    again = pcm.to_int16(audio_files.read(tmp_path / f"a.{suffix}"))
    np.testing.assert_array_equal(again, x)


@pytest.mark.parametrize("suffix", ["ogg", "mp3"])
def test_lossy_files_sound_alike(tmp_path, suffix):
    path, x = tmp_path / f"a.{suffix}", sine(440, RATE, 5)
    audio_writing.write(path, x, RATE)
    found = audio_files.read(path)
    assert found.shape == x.shape
    error = np.mean((found - x)[2000:-2000] ** 2) / np.mean(x**2)
    assert 10 * np.log10(error) < -20


@pytest.mark.parametrize("rate", [8000, 22050, 96000])
def test_files_are_what_soundfile_reads(tmp_path, rate):
    audio_writing.write(tmp_path / "a.wav", noise(), rate)
    found, found_rate = soundfile.read(tmp_path / "a.wav", always_2d=True, dtype="float32")
    assert found_rate == rate
    np.testing.assert_allclose(found, noise(), atol=2**-15)
    soundfile.write(tmp_path / "b.wav", noise(), rate, subtype="PCM_24")
    np.testing.assert_allclose(audio_files.read(tmp_path / "b.wav"), noise(), atol=2**-23)


def test_the_content_tells_the_format(tmp_path):
    audio_writing.write(tmp_path / "a.flac", noise(), RATE)
    (tmp_path / "a.flac").rename(tmp_path / "a.wav")
    assert audio_files.info(tmp_path / "a.wav").format == "FLAC"


# ------------------------------------------------------------------------------- pieces

PIECES = [(0, 10), (1, 700), (1000, 1), (3999, 5), (1234, None), (0, 4000), (5000, 5)]


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_seeking_is_slicing(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    audio_writing.write(path, noise(4000, 2), RATE)
    whole = audio_files.read(path)
    assert len(whole) == audio_files.info(path).frames == 4000
    for start, frames in PIECES:
        found = audio_files.read(path, start=start, frames=frames)
        expected = whole[start : None if frames is None else start + frames]
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, atol=1e-7 if suffix == "mp3" else 0)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_seeking_is_slicing_at_another_rate(tmp_path, rate):
    audio_writing.write(tmp_path / "a.wav", noise(3 * rate), rate)
    whole = audio_files.read(tmp_path / "a.wav", sample_rate=RATE)
    assert len(whole) == audio_files.info(tmp_path / "a.wav").length(RATE) == 3 * RATE
    for start, frames in [(0, 100), (1, 5000), (20011, 3000), (47000, 2000), (40000, None)]:
        found = audio_files.read(tmp_path / "a.wav", sample_rate=RATE, start=start, frames=frames)
        expected = whole[start : None if frames is None else start + frames]
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("size", [1000, 4096, 100000])
def test_blocks_are_the_whole(tmp_path, size):
    audio_writing.write(tmp_path / "a.flac", noise(20011, 2), 44100)
    found = list(audio_files.blocks(tmp_path / "a.flac", size))
    assert {len(block) for block in found[:-1]} <= {size}
    np.testing.assert_array_equal(np.concatenate(found), audio_files.read(tmp_path / "a.flac"))


# ------------------------------------------------------------------------------- bad input


def test_files_that_are_no_recording(tmp_path):
    (tmp_path / "text.wav").write_text("not a sound\n" * 200)
    (tmp_path / "text.mp3").write_text("not a sound\n" * 200)
    (tmp_path / "raw.raw").write_bytes(bytes(1000))
    (tmp_path / "empty.wav").write_bytes(b"")
    soundfile.write(tmp_path / "none.wav", np.zeros((0, 1)), RATE)
    for value in (np.nan, np.inf, 20000.0):
        soundfile.write(tmp_path / f"{value}.wav", np.array([0, value]), RATE, subtype="FLOAT")
    refused(r"text\.wav is not wav, flac, ogg or mp3", audio_files.read, tmp_path / "text.wav")
    refused(r"text\.mp3 is not wav, flac, ogg or mp3", audio_files.info, tmp_path / "text.mp3")
    refused(r"raw\.raw is not wav", audio_files.info, tmp_path / "raw.raw")
    refused(r"empty\.wav is empty", audio_files.read, tmp_path / "empty.wav")
    refused(r"none\.wav holds no samples", audio_files.read, tmp_path / "none.wav")
    refused("NaN or infinity", audio_files.read, tmp_path / "nan.wav", dtype=np.int16)
    refused("NaN or infinity", audio_files.read, tmp_path / "inf.wav")
    refused("spans 0 to 2e.04; scale", audio_files.read, tmp_path / "20000.0.wav")
    refused("No such file", audio_files.read, tmp_path / "missing.wav")
    refused("s a directory", audio_files.info, tmp_path)
    refused("No such file", list, audio_files.blocks("missing.wav", 10))


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_truncated_file_is_refused(tmp_path, suffix, share, capfd):
    path = tmp_path / f"a.{suffix}"
    audio_writing.write(path, noise(40000, 2), RATE)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    refused(rf"a\.{suffix} is truncated", audio_files.read, path)
    refused(rf"a\.{suffix} is truncated", list, audio_files.blocks(path, 1000))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("suffix", "form"),
    [("aiff", "AIFF"), ("au", "AU"), ("caf", "CAF"), ("w64", "W64"), ("wav", "RF64")],
)
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_other_containers_that_are_cut_are_refused(tmp_path, suffix, form, share):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, noise(4000, 2), RATE, "PCM_16", format=form)
    data = path.read_bytes()
    assert audio_files.info(path).frames == 4000
    path.write_bytes(data[: int(len(data) * share)])
    refused(rf"a\.{suffix} is truncated", audio_files.info, path)


@pytest.mark.parametrize("suffix", ["flac", "ogg"])
def test_a_file_damaged_in_its_middle_is_refused(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    audio_writing.write(path, noise(40000, 2), RATE)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x55
    path.write_bytes(data)
    refused(r"is truncated or (damaged|broken)", audio_files.read, path)
    refused(r"is truncated or (damaged|broken)", list, audio_files.blocks(path, 1000))


def test_a_wav_file_whose_writer_did_not_know_its_length_is_read(tmp_path):
    audio_writing.write(tmp_path / "a.wav", noise(), RATE)
    data = bytearray((tmp_path / "a.wav").read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = data[4:8] = b"\xff" * 4
    (tmp_path / "a.wav").write_bytes(data)
    assert len(audio_files.read(tmp_path / "a.wav")) == 4000


@pytest.mark.parametrize("last", [1, 0])
def test_what_a_crashed_recorder_left_is_read_and_said(tmp_path, last):
    """Its lengths are 0 still; the samples may be silent, too."""
    path, x = tmp_path / "a.wav", noise() * last
    audio_writing.write(path, x, RATE)
    whole = audio_files.read(path)
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = data[4:8] = bytes(4)
    path.write_bytes(data)
    np.testing.assert_array_equal(audio_files.read(path), whole)
    assert len(np.concatenate(list(audio_files.blocks(path, 999)))) == 4000
    assert audio_files.remarks(path) == (
        "its header states no length; all 0.2 s that are there were read",
    )
    assert path.read_bytes() == bytes(data)


def test_an_empty_recording_with_chunks_behind_it_is_empty(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros((0, 1)), RATE)
    path.write_bytes(path.read_bytes() + b"LIST" + (4).to_bytes(4, "little") + b"INFO")
    refused("holds no samples", audio_files.info, path)


def test_gsm_is_read_from_any_place(tmp_path):
    """libsndfile cannot seek in it."""
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(8000), 8000, "GSM610")
    with soundfile.SoundFile(path) as file:
        whole = file.read(file.frames, dtype="float32", always_2d=True)
    np.testing.assert_array_equal(audio_files.read(path), whole)
    np.testing.assert_array_equal(
        audio_files.read(path, start=777, frames=3000), whole[777 : 777 + 3000]
    )
    np.testing.assert_array_equal(np.concatenate(list(audio_files.blocks(path, 999))), whole)


# ------------------------------------------------------------------------------- by PyAV


def contained(path, x, rate, form, codec):
    """A recording (T, 1) in a container of PyAV's, beside a title."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w", format=form) as container:
        container.metadata["title"] = "Song"
        track = container.add_stream(codec, rate=rate, layout="mono")
        change = av.AudioResampler(
            format=track.codec_context.format,
            layout="mono",
            rate=rate,
            frame_size=track.codec_context.frame_size or None,
        )
        values = np.ascontiguousarray(pcm.to_int16(x).reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(values, format="s16", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        for piece in [*change.resample(frame), *change.resample(None)]:
            for packet in track.encode(piece):
                container.mux(packet)
        for packet in track.encode(None):
            container.mux(packet)


@pytest.mark.parametrize(
    ("name", "form", "codec", "limit"),
    [
        ("a.m4a", "ipod", "aac", 0.05),
        ("a.mov", "mov", "pcm_s16le", 1e-4),
        ("a.mkv", "matroska", "flac", 1e-4),
        ("a.ogg", "ogg", "flac", 1e-4),
    ],
)
def test_what_libsndfile_does_not_know_is_read_by_pyav(tmp_path, name, form, codec, limit):
    x = sine(440, 44100, 0.5)
    contained(tmp_path / name, x, 44100, form, codec)
    facts = audio_files.info(tmp_path / name)
    assert facts[:3] == (44100, 1, len(x))
    found = audio_files.read(tmp_path / name)
    assert np.abs(found - x)[2000:-2000].max() < limit
    np.testing.assert_array_equal(
        audio_files.read(tmp_path / name, start=5000, frames=99), found[5000:5099]
    )
    np.testing.assert_array_equal(
        np.concatenate(list(audio_files.blocks(tmp_path / name, 999))), found
    )


def test_a_film_that_is_cut_is_refused(tmp_path):
    path = tmp_path / "a.mkv"
    contained(path, noise(5 * RATE), RATE, "matroska", "flac")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    refused("is truncated", audio_files.info, path)
    contained(path, noise(5 * RATE), RATE, "ipod", "aac")
    path.write_bytes(path.read_bytes()[:20000])
    refused("lacks its end|truncated", audio_files.info, path)
    target = tmp_path / "a.wma"
    refused(r"\.wma is read and not written", audio_writing.write, target, noise(), RATE)


def test_without_pyav_it_is_named(tmp_path, monkeypatch):
    (tmp_path / "a.m4a").write_bytes(b"\0\0\0\x1cftypM4A " + bytes(99))
    monkeypatch.setitem(sys.modules, "av", None)
    refused(r"pip install 'denoising-zoo\[media\]'", audio_files.info, tmp_path / "a.m4a")


def test_a_flac_file_that_does_not_note_its_length_is_refused(tmp_path):
    path = tmp_path / "a.flac"
    audio_writing.write(path, noise(), RATE)
    data = bytearray(path.read_bytes())
    # The 36 bits of STREAMINFO that count samples.
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    path.write_bytes(data)
    refused("does not state its length", audio_files.read, path)


def test_a_file_of_too_many_channels_is_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros((100, 65)), RATE)
    for function in (audio_files.info, audio_files.read):
        refused("has 65 channels; split it", function, tmp_path / "a.wav")

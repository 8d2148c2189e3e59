"""What is beside the samples of a recording is kept: tags, covers, chapters, markers."""

import base64
import sys

import numpy as np
import pytest
import soundfile
from stubs import Gain, noise

from zoo import denoise_file
from zoo.data import audio_files, audio_writing


def chunk(name, data):
    return name + len(data).to_bytes(4, "little") + data + bytes(len(data) % 2)


@pytest.mark.parametrize(
    ("form", "subtype"), [("WAV", "PCM_16"), ("WAVEX", "PCM_24"), ("RF64", "PCM_16")]
)
def test_the_timecode_and_markers_of_wav_are_kept(tmp_path, form, subtype):
    src, dst = tmp_path / "a.wav", tmp_path / "b.wav"
    soundfile.write(src, noise(1000), 48000, subtype, format=form)
    # Tech 3285: 346 bytes of text, then the samples since midnight.
    bext = chunk(
        b"bext", b"take 2".ljust(338, b"\0") + (172800123).to_bytes(8, "little") + bytes(256)
    )
    more = bext + chunk(b"cue ", bytes(28)) + chunk(b"iXML", b"<x/>!")
    data = src.read_bytes()
    data = data + more
    if form != "RF64":
        data = data[:4] + (len(data) - 8).to_bytes(4, "little") + data[8:]
    src.write_bytes(data)
    report = denoise_file(src, dst, Gain())
    assert report.notes == ()
    found = dst.read_bytes()
    assert more in found
    # Before the samples, where recorders put it; and the lengths are those of the file.
    assert (found.index(b"bext") < found.index(b"data")) == (form != "RF64")
    size = found[20:28] if form == "RF64" else found[4:8]
    assert int.from_bytes(size, "little") == len(found) - 8
    assert audio_files.info(dst) == audio_files.info(src)
    np.testing.assert_allclose(audio_files.read(dst), audio_files.read(src), atol=1e-4)
    (note,) = denoise_file(src, tmp_path / "b.flac", Gain()).notes
    assert note.startswith("not kept: ")
    assert "timecode (bext)" in note
    assert "markers" in note


def tagged_mp3(path, rate=48000):
    id3 = pytest.importorskip("mutagen.id3")
    with soundfile.SoundFile(
        path,
        "w",
        rate,
        1,
        "MPEG_LAYER_III",
        format="MP3",
        compression_level=2 / 3,
        bitrate_mode="CONSTANT",
    ) as file:
        file.write(noise(2 * rate))
    tags = id3.ID3()
    tags.add(id3.TIT2(text="Episode"))
    tags.add(id3.APIC(mime="image/png", type=3, data=b"png" * 99))
    tags.add(id3.CHAP(element_id="c0", start_time=0, end_time=900, sub_frames=[id3.TIT2(text="A")]))
    tags.save(path, v2_version=3)
    return tags


def test_tags_cover_chapters_and_bit_rate_of_mp3_are_kept(tmp_path):
    from mutagen import mp3

    tags = tagged_mp3(tmp_path / "a.mp3")
    assert denoise_file(tmp_path / "a.mp3", tmp_path / "b.mp3", Gain()).notes == ()
    before, after = (mp3.MP3(tmp_path / f"{name}.mp3") for name in "ab")
    assert after.tags.version[1] == 3
    assert after["TIT2"] == "Episode"
    assert after["APIC:"].data == tags["APIC:"].data
    assert after["CHAP:c0"].end_time == 900
    assert after.info.bitrate == before.info.bitrate == 128000
    notes = denoise_file(tmp_path / "a.mp3", tmp_path / "b.flac", Gain()).notes
    assert notes == ("not kept: chapters, cover",)
    with soundfile.SoundFile(tmp_path / "b.flac") as file:
        assert file.title == "Episode"


@pytest.mark.parametrize("suffix", ["flac", "ogg", "opus"])
def test_tags_and_cover_of_flac_and_ogg_are_kept(tmp_path, suffix):
    mutagen = pytest.importorskip("mutagen")
    from mutagen import flac

    audio_writing.write(tmp_path / f"a.{suffix}", noise(9000), 48000)
    image = flac.Picture()
    image.type, image.mime, image.data = 3, "image/png", b"png" * 99
    source = mutagen.File(tmp_path / f"a.{suffix}")
    if source.tags is None:
        source.add_tags()
    source["title"], source["mood"], source["CHAPTER001"] = "Song", ["a", "b"], "0:00"
    if suffix == "flac":
        source.add_picture(image)
    else:
        source["metadata_block_picture"] = base64.b64encode(image.write()).decode()
    source.save()
    for target in {suffix, "flac"}:
        denoise_file(tmp_path / f"a.{suffix}", tmp_path / f"b.{target}", Gain())
        found = mutagen.File(tmp_path / f"b.{target}")
        assert (found["title"], found["mood"]) == (["Song"], ["a", "b"])
        inline = found.tags.get("metadata_block_picture", [""])[0]
        images = getattr(found, "pictures", ()) or [flac.Picture(base64.b64decode(inline))]
        assert images[0].data == image.data


def test_without_mutagen_titles_are_kept_and_the_rest_is_said(tmp_path, monkeypatch):
    tagged_mp3(tmp_path / "a.mp3")
    monkeypatch.setitem(sys.modules, "mutagen", None)
    notes = denoise_file(tmp_path / "a.mp3", tmp_path / "b.mp3", Gain()).notes
    assert notes == (
        "not kept: covers and chapters, which need pip install 'denoising-zoo[media]'",
    )
    with soundfile.SoundFile(tmp_path / "b.mp3") as file:
        assert file.title == "Episode"

"""Audio written by PyAV: what a container holds beside it is copied as it is."""

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from zoo.data import audio_files, audio_writing
from zoo.errors import ZooError

av = pytest.importorskip("av", minversion="16")
RATE, SECONDS = 48000, 2
TIME = np.arange(RATE * SECONDS) / RATE
SOUND = np.stack([0.3 * np.sin(2 * np.pi * f * TIME) for f in (440, 660)], 1).astype(np.float32)


def film(path, form, codec, subtitle=None, *, start=0):
    """Two seconds of video, of two audio tracks and of subtitles, with chapters and a title."""
    with av.open(str(path), "w", format=form) as out:
        out.metadata["title"] = "A talk"
        video = out.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        tracks = [out.add_stream(codec, rate=RATE, layout="stereo") for _ in range(2)]
        for track, language in zip(tracks, ("eng", "fra"), strict=True):
            track.metadata["language"] = language
        texts = out.add_mux_stream(subtitle) if subtitle else None
        unit = Fraction(1, 1000)
        ends = [(0, 500, "one"), (500, 2000, "two")]
        out.set_chapters(
            [
                {"id": i, "start": a, "end": b, "time_base": unit, "metadata": {"title": title}}
                for i, (a, b, title) in enumerate(ends)
            ]
        )
        packets = []
        for i in range(25 * SECONDS):
            frame = av.VideoFrame.from_ndarray(np.full((48, 32), 4 * i, np.uint8), format="yuv420p")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            packets += video.encode(frame)
        packets += video.encode(None)
        for track in tracks:
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(SOUND.T), "fltp", "stereo")
            frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
            packets += [*track.encode(frame), *track.encode(None)]
        for i in range(2 if subtitle else 0):
            packet = av.Packet(b"\0\5hello" if subtitle == "mov_text" else b"hello")
            packet.pts = packet.dts = 1000 * i
            packet.duration, packet.time_base, packet.stream = 900, unit, texts
            packets.append(packet)
        for packet in sorted(packets, key=lambda one: one.dts * one.time_base):
            out.mux(packet)


def contents(path):
    """Of each track its kind, language and, but for the first audio, packets with their times."""
    with av.open(str(path)) as file:
        first = file.streams.audio[0]
        chapters = [(one["metadata"], one["start"] * one["time_base"]) for one in file.chapters()]
        found = {}
        for packet in file.demux():
            stream = packet.stream
            if packet.size and stream is not first and stream.type != "data":
                key = (stream.type, stream.metadata.get("language"), stream.disposition)
                found.setdefault(key, []).append((bytes(packet), packet.pts * packet.time_base))
        return found, chapters, file.metadata["title"], first.metadata.get("language")


@pytest.mark.parametrize(
    ("suffix", "form", "codec", "subtitle"),
    [("mp4", "mp4", "aac", "mov_text"), ("mkv", "matroska", "libopus", "subrip")],
)
def test_all_but_the_sound_of_a_film_is_copied(tmp_path, suffix, form, codec, subtitle):
    source, target = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    film(source, form, codec, subtitle)
    facts = audio_files.info(source)
    with audio_writing.writing(target, RATE, 2, like=facts, source=source) as put:
        for x in audio_files.blocks(source, 30_000):
            assert put(x / 2) == 0
    assert put.lost == ()
    assert contents(target) == contents(source)
    assert len(contents(target)[0]) == 3
    # Its own codec, its length, and its samples in their places.
    assert audio_files.info(target) == facts
    x = audio_files.read(source) / 2
    error = audio_files.read(target) - x
    assert 10 * np.log10(np.square(x).sum() / np.square(error).sum()) > 20
    with audio_writing.writing(tmp_path / "b.m4a", RATE, 2, like=facts, source=source) as put:
        put(SOUND)
    other = "an audio track (opus), " if codec == "libopus" else ""
    assert put.lost == (f"video, {other}subtitle left out",)


def test_a_data_track_beside_chapters_is_reported(tmp_path):
    """As of phones and action cameras; FFmpeg shows the titles of chapters in mp4 as one too."""
    source, camera, target = (tmp_path / f"{name}.mp4" for name in "abc")
    film(source, "mp4", "aac")
    # Without the link to it, and of an unknown coding, the track of the titles is any data.
    camera.write_bytes(source.read_bytes().replace(b"chap", b"free").replace(b"text", b"gpmd"))
    for path, lost in ((source, ()), (camera, ("a data track left out",))):
        with audio_writing.writing(target, RATE, 2, source=path) as put:
            put(SOUND)
        assert put.lost == lost


def test_sound_that_begins_later_stays_with_the_video(tmp_path):
    source, target = tmp_path / "a.mkv", tmp_path / "b.mkv"
    film(source, "matroska", "flac", start=RATE // 2)
    facts = audio_files.info(source)
    with audio_writing.writing(target, RATE, 2, like=facts, source=source) as put:
        put(audio_files.read(source))
    for path in (source, target):
        with av.open(str(path)) as file:
            frame = next(file.decode(audio=0))
            assert float(frame.pts * frame.time_base) == 0.5
    np.testing.assert_allclose(audio_files.read(target), SOUND, atol=1 / 32768)


def test_m4a_keeps_tags_and_its_cover(tmp_path):
    mp4 = pytest.importorskip("mutagen.mp4")
    source, target, flac = tmp_path / "a.m4a", tmp_path / "b.m4a", tmp_path / "c.flac"
    audio_writing.write(source, SOUND, RATE)
    assert audio_files.info(source)[:4] == (RATE, 2, len(SOUND), "AAC")
    Image.new("RGB", (8, 8), "red").save(tmp_path / "cover.png")
    tags = mp4.MP4(source)
    cover = mp4.MP4Cover((tmp_path / "cover.png").read_bytes(), mp4.MP4Cover.FORMAT_PNG)
    tags.update({"covr": [cover], "\xa9nam": ["A talk"], "----:com.own:mood": [b"calm"]})
    tags.save()
    with audio_writing.writing(target, RATE, 2, source=source) as put:
        put(SOUND)
    assert put.lost == ()
    found = mp4.MP4(target).tags
    assert {key: found[key] for key in tags if key != "\xa9too"} == {
        key: tags[key] for key in tags if key != "\xa9too"
    }
    audio_writing.write(flac, SOUND, RATE)
    with audio_writing.writing(tmp_path / "d.m4a", RATE, 2, source=flac) as put:
        put(SOUND)
    assert audio_files.info(tmp_path / "d.m4a").subtype == "AAC"


def test_what_a_container_cannot_hold_is_one_line(tmp_path):
    many = np.zeros((RATE, 12), np.float32)
    with pytest.raises(
        ZooError, match=r"a\.m4a cannot hold 12 channels at 48000 Hz as aac; end it"
    ):
        audio_writing.write(tmp_path / "a.m4a", many, RATE)
    assert not [*tmp_path.iterdir()]
    audio_writing.write(tmp_path / "a.webm", SOUND[:9000], 44100)
    assert audio_files.info(tmp_path / "a.webm").sample_rate == 48000

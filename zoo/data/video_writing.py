"""The images of a video written by PyAV, in its codec; everything else of it is copied as it is."""

import contextlib
import os
import struct
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from zoo.data import audio_containers, media_copying, video_files
from zoo.data.file_kinds import MEDIA_FORMATS
from zoo.errors import ZooError


class _Coding(NamedTuple):
    """An encoder of a codec, its options, and the shortest side that it takes."""

    encoder: str
    options: Mapping[str, str] = {}
    shortest: int = 1


_SCALE = {"flags": "+qscale", "global_quality": str(2 * 118)}
CODINGS = {
    "h264": _Coding("libx264", {"crf": "12"}),
    # x265 writes beyond its memory for shorter sides.
    "hevc": _Coding("libx265", {"crf": "14", "x265-params": "log-level=none"}, 64),
    "vp8": _Coding("libvpx", {"crf": "4", "b": "200M", "cpu-used": "2"}),
    "vp9": _Coding("libvpx-vp9", {"crf": "12", "b": "0", "cpu-used": "3", "row-mt": "1"}),
    "av1": _Coding("libsvtav1", {"crf": "14", "preset": "7"}, 64),
    "mpeg4": _Coding("mpeg4", _SCALE),
    "mjpeg": _Coding("mjpeg", _SCALE),
    "prores": _Coding("prores_ks"),
    "ffv1": _Coding("ffv1", {"level": "3", "slices": "4", "slicecrc": "1"}),
    **{name: _Coding(name) for name in ("ffvhuff", "huffyuv", "utvideo", "png", "rawvideo")},
}
"""How each codec is written: without loss, or with so little that it is far below the noise."""

_FALLBACK = "h264"
_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm")
# Codecs that state the shape of pixels themselves; in Matroska PyAV cannot write that of others.
_SHAPED = ("h264", "hevc", "mpeg4")
# What an encoder gets from the decoder.
_TAGS = ("color_range", "color_primaries", "color_trc", "colorspace", "chroma_sample_location")
_HDR = ("MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL", "DYNAMIC_HDR_PLUS", "DOVI_METADATA")
# Packets state how long their frames are shown: AV_CODEC_FLAG_FRAME_DURATION.
_DURATIONS = 1 << 8


def check(path: str | os.PathLike, codec: str | None = None) -> None:
    """Refuses a file that cannot hold video, or not that of a codec.

    Args:
      path: the file to write.
      codec: of the video; None where it is not known yet.

    Raises:
      ZooError: its suffix is of another kind, or its container does not take the codec.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _SUFFIXES:
        raise ZooError(f"{path} cannot hold video; end it in .mp4, .mov, .mkv or .webm")
    if codec in CODINGS and not holds(path, codec):
        raise ZooError(f"{path} cannot hold {codec}; end it in .mkv")


def holds(path: str | os.PathLike, codec: str) -> bool:
    """Whether the container of a file to write, by its suffix, takes a codec."""
    import av  # noqa: PLC0415 - an extra

    form = MEDIA_FORMATS[Path(path).suffix.lower()][0]
    with av.open(os.devnull, "w", format=form) as trial:
        return codec in trial.supported_codecs


@contextlib.contextmanager
def writing(
    path: str | os.PathLike, *, source: str | os.PathLike, overwrite: bool
) -> Iterator["VideoPut"]:
    """Write a video like another, frame by frame.

    Args:
      path: the file to write; its suffix chooses the container. It appears at the end, whole, or
        not at all; its folder exists.
      source: the video whose frames are changed; all else is copied of it: audio, subtitles,
        chapters, attachments and metadata.
      overwrite: whether an existing file is replaced.

    Yields:
      A function that appends a frame of PyAV, with its time, of the source's size and format.

    Raises:
      ZooError: the container cannot hold the codec, there is no encoder, or the file cannot be
        written.
    """
    path = Path(path)
    check(path)
    # SVT-AV1 prints facts about itself otherwise.
    os.environ.setdefault("SVT_LOG", "1")

    def refusal(put: VideoPut | None) -> tuple[str, str]:
        ends = path.suffix.lower() == ".mkv"
        remedy = "convert the input to h264" if ends else "end it in .mkv"
        return f"be written as {put.codec}" if put else "be written", remedy

    begin = partial(VideoPut, path)
    with media_copying.writing(path, Path(source), begin, refusal, overwrite=overwrite) as put:
        yield put


class VideoPut:
    """Function that appends frames to a video.

    Attributes:
      lost: once the file is complete, sentences on what of the source was not kept.
      left: names of the parts of the source that the container cannot hold.
      codec: of the images.
    """

    def __init__(self, path: Path, before, after):
        self.lost: tuple[str, ...] = ()
        self._path, self._after = path, after
        self._source = video_files.video_track(before)
        self._copies = media_copying.Copies(path, before, after)
        self.left, self.codec = self._copies.left, ""
        for stream in before.streams:
            if stream is self._source:
                self._track = self._encoder(stream)
            else:
                self._copies.add(stream)
                if stream.type == "video" and not audio_containers.is_cover(stream):
                    self.lost += ("another video track as it was",)
        self._copies.begin()
        self._first = True

    def __call__(self, frame) -> None:
        """Append a frame."""
        if self._first and any(kind.name in _HDR for kind in frame.side_data):
            self.lost += ("metadata of the HDR mastering left out",)
        self._first = False
        # Or the encoder would repeat the kinds of frames of the source.
        frame.pict_type = 0
        self._write(self._track.encode(frame))

    def finish(self) -> None:
        """Write what is held back, and the rest of the source's other tracks."""
        self._write(self._track.encode(None))
        self._copies.pass_on(float("inf"))

    def _write(self, packets) -> None:
        for packet in packets:
            at = float(packet.dts * packet.time_base)
            self._after.mux_one(packet)
            # In step, or the muxer would hold all of one track in memory.
            self._copies.pass_on(at)

    def _encoder(self, source):
        """The track for the images, like the source's."""
        old = source.codec_context
        settings = {name: getattr(old, name) for name in ("width", "height", "pix_fmt", *_TAGS)}
        shape = source.sample_aspect_ratio
        settings |= {"sample_aspect_ratio": shape} if shape else {}
        settings["time_base"] = source.time_base
        rate = source.average_rate or source.guessed_rate or 25
        coding = self._choose(old.codec.canonical_name, {**settings, "framerate": rate})
        track = self._after.add_stream(coding.encoder, rate=rate, options=dict(coding.options))
        for name, value in settings.items():
            setattr(track.codec_context, name, value)
        track.codec_context.flags |= _DURATIONS
        track.metadata.update(media_copying.kept(source.metadata))
        track.disposition = source.disposition.value
        if matrix := old.coded_side_data.get("display_matrix"):
            track.set_display_matrix(struct.unpack("=9i", bytes(matrix)))
        if "spherical" in old.coded_side_data:  # which PyAV cannot write
            self.lost += ("that it is spherical video left out",)
        form = self._after.format.name
        odd = shape and (shape.numerator, shape.denominator) not in ((0, 1), (1, 1))
        if odd and form in ("matroska", "webm") and self.codec not in _SHAPED:
            self.lost += (f"the shape of pixels, {shape}, left out, for {form} with {self.codec}",)
        return track

    def _choose(self, codec: str, settings: Mapping[str, Any]) -> _Coding:
        """How to write the images: in the codec of the source where there is an encoder."""
        holds = self._after.supported_codecs
        for self.codec in dict.fromkeys((codec, _FALLBACK)):
            coding = CODINGS.get(self.codec)
            if coding and self.codec in holds and _works(coding, settings):
                if self.codec != codec:
                    self.lost += (f"as {self.codec}, for want of an encoder for this {codec}",)
                return coding
        size = "{width} x {height}, {pix_fmt}".format(**settings)
        raise ZooError(
            f"there is no encoder for {self._path}: {codec}, {size}; end it in .mkv, or convert "
            "the input to h264"
        )


def _works(coding: _Coding, settings: Mapping[str, Any]) -> bool:
    """Whether there is such an encoder, and it takes such frames."""
    import av  # noqa: PLC0415 - an extra

    if min(settings["width"], settings["height"]) < coding.shortest:
        return False
    try:
        formats = av.Codec(coding.encoder, "w").video_formats
        if formats and settings["pix_fmt"] not in {one.name for one in formats}:
            return False
        trial = av.CodecContext.create(coding.encoder, "w")
        for name, value in settings.items():
            setattr(trial, name, value)
        trial.options = dict(coding.options)
        trial.open()
    except (ValueError, av.error.FFmpegError):
        return False
    return True

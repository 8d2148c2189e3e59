"""Files written by PyAV: one track of their own, and all others copied as they are.

Video, subtitles, other audio tracks, attachments, chapters and metadata, packet by packet; covers
and tags of mp4 by mutagen.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from zoo import files
from zoo.data import audio_containers
from zoo.data.file_kinds import MEDIA_FORMATS
from zoo.errors import ZooError

# Written by the muxer itself, or true of the source's bytes alone.
_OWN = ("major_brand", "minor_version", "compatible_brands", "encoder", "duration", "bps")
_OWN += ("number_of_frames", "number_of_bytes", "_statistics_")
# Of QuickTime, which cameras write; its muxer takes them only where it is asked to.
_KEYS = "com."
# Formats whose covers and tags mutagen writes.
_TAGGED = ("ipod", "mp4")
# Endings of files that hold no films.
_AUDIO_ONLY = (".m4a", ".m4b", ".mka")


class Copies:
    """The tracks of a container that are copied to another.

    Args:
      path: the file that is written.
      before: the container that is read.
      after: the container that is written; its tracks are added in the order of the source.

    Attributes:
      left: names of the parts of the source that the container cannot hold.
    """

    def __init__(self, path: Path, before, after):
        self.left: list[str] = []
        self._path, self._before, self._after = path, before, after
        # Then its covers and tags are copied at the end, see `writing`.
        self._tagged = "mp4" in before.format.name.split(",")
        self._copies, self._waiting, self._packets = {}, None, iter(())

    def add(self, stream) -> None:
        """Add a track of the source."""
        import av  # noqa: PLC0415

        name = {"audio": "an audio track", "data": "a data track"}.get(stream.type, stream.type)
        matroska = self._after.format.name == "matroska"
        if audio_containers.is_cover(stream):
            # They come first.
            with av.open(self._before.name) as again:
                packets = again.demux(again.streams[stream.index])
                packet = next((one for one in packets if one.size), None)
            if packet is None:
                return
            if matroska:
                kind = "png" if stream.codec_context.name == "png" else "jpeg"
                self._after.add_attachment(f"cover.{kind}", f"image/{kind}", bytes(packet))
            elif not self._after.format.name.startswith(_TAGGED) or not self._tagged:
                self.left.append("cover")
            return
        if stream.type == "data" and _has_chapters(stream, self._before.chapters()):
            return  # the muxer of mp4 writes them itself
        alone = self._path.suffix.lower() in _AUDIO_ONLY
        if alone and stream.type in ("video", "subtitle", "data"):
            self.left.append(name)
            return
        codec = stream.codec_context and stream.codec_context.codec.canonical_name
        if stream.type != "attachment" and not (codec and codec in self._after.supported_codecs):
            self.left.append(f"{name} ({codec})" if codec else name)
            return
        try:
            copy = self._after.add_stream_from_template(stream, opaque=True)
        except (ValueError, av.error.FFmpegError):
            self.left.append(name)
            return
        copy.metadata.update(kept(stream.metadata))
        copy.disposition = stream.disposition.value
        if stream.type != "attachment":
            self._copies[stream] = copy

    def begin(self) -> None:
        """Copy metadata and chapters, once all tracks are added."""
        self._after.metadata.update(kept(self._before.metadata))
        chapters = self._before.chapters()
        if chapters and self._after.format.name != "adts":
            for one in chapters:
                # The muxer takes times of this type alone.
                base = one["time_base"]
                one["time_base"] = Fraction(base.numerator, base.denominator)
            self._after.set_chapters(chapters)
        if self._copies:
            self._packets = self._before.demux([*self._copies])

    def pass_on(self, until: float) -> None:
        """Copy the packets of the other tracks up to a time in seconds."""
        if not self._copies:
            return
        while True:
            packet = self._waiting
            if packet is None:
                with audio_containers.intact(self._before.name):
                    packet = next(self._packets, None)
            self._waiting = None
            if packet is None:
                return
            if packet.dts is not None and float(packet.dts * packet.time_base) > until:
                self._waiting = packet
                return
            # The last of a track is empty and only says that it ends.
            if packet.size:
                packet.stream = self._copies[packet.stream]
                self._after.mux_one(packet)


def _has_chapters(stream, chapters: Sequence) -> bool:
    """Whether a track without a decoder has the titles of the chapters, as in mp4."""
    if stream.codec_context is not None or not chapters:
        return False
    # The demuxer has its packets passed over, which PyAV tells from version 19 on.
    discard = getattr(stream, "discard", None)
    return stream.frames == len(chapters) if discard is None else discard.name == "all"


def kept(metadata: Mapping[str, str]) -> dict[str, str]:
    """The metadata that is as true of the copy."""
    return {key: text for key, text in metadata.items() if not key.lower().startswith(_OWN)}


@contextlib.contextmanager
def writing(
    path: Path,
    source: Path | None,
    begin: Callable[..., Any],
    refusal: Callable[[Any], tuple[str, str]],
    *,
    overwrite: bool,
) -> Iterator[Any]:
    """Write a file, whole or not at all.

    Args:
      path: the file, whose suffix chooses the container.
      source: the file to copy from; None for none.
      begin: from the container that is read, or None, and that which is written, to what is
        yielded; it has `finish`, `lost` and `left` as `zoo.data.media_writing.MediaPut`.
      refusal: from what `begin` returned, None before that, to what the container cannot do, and
        the remedy.
      overwrite: whether a file that is there is replaced.

    Raises:
      ZooError: the file cannot be written.
    """
    av, form, put = audio_containers.pyav(path), MEDIA_FORMATS[path.suffix.lower()][0], None
    with files.staged(files.free(path, overwrite), overwrite=overwrite) as part:
        try:
            with contextlib.ExitStack() as stack:
                before = stack.enter_context(av.open(str(source))) if source else None
                options = {} if form in ("matroska", "webm") else {"movflags": "+faststart"}
                tags = before.metadata if before else {}
                if form == "mov" and any(key.startswith(_KEYS) for key in tags):
                    options["movflags"] += "+use_metadata_tags"
                target = av.open(str(part), "w", format=form, options=options)
                put = begin(before, stack.enter_context(target))
                yield put
                put.finish()
        except av.error.FFmpegError as error:
            if isinstance(error, OSError):
                raise OSError(error.errno, error.strerror) from None
            what, remedy = refusal(put)
            raise ZooError(f"{path} cannot {what} ({error.strerror}); {remedy}") from None
        left = [*put.left]
        if source:
            put.lost = _with_tags(source, part, put.lost) if form in _TAGGED else put.lost
            left += [f"tag {key}" for key in _missing(source, part)]
        put.lost += (f"{', '.join(left)} left out",) if left else ()


def _missing(source: Path, part: Path) -> list[str]:
    """The names of the metadata of a file whose texts are not in another."""
    import av  # noqa: PLC0415

    with av.open(str(source)) as before, av.open(str(part)) as after:
        there = {*after.metadata.values()}
        return [key for key, text in kept(before.metadata).items() if text not in there]


def _with_tags(source: Path, part: Path, lost: tuple[str, ...]) -> tuple[str, ...]:
    """Copy covers and tags of one mp4 to another, among them those that FFmpeg does not know.

    Returns:
      What was lost, and the cover if it is.
    """
    try:
        from mutagen import MutagenError, mp4  # noqa: PLC0415 - an extra
    except ImportError:
        return (*lost, "covers and tags of its own, which need mutagen, left out")
    try:
        before = mp4.MP4(source).tags
        if before:
            after = mp4.MP4(part)
            if after.tags is None:
                after.add_tags()
            after.tags.update({key: value for key, value in before.items() if key != "\xa9too"})
            after.save()
    except MutagenError as error:
        if error.args and isinstance(error.args[0], OSError):
            raise error.args[0] from None
    return lost

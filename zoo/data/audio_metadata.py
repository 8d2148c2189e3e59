"""Metadata of audio files: tags, covers, chapters, markers, timecode.

libsndfile reads and writes text tags in most formats. The rest is copied between files of the same
family: the chunks of wav or aiff files as they are (one of them holds the timecode, EBU Tech 3285),
the tags of mp3, flac and ogg files by mutagen.
"""

import base64
import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from zoo import files
from zoo.data import audio_integrity

# Names in libsndfile of the tags of most formats.
_TAGS = ("title", "artist", "album", "date", "comment", "genre", "copyright", "license")
_TAGS += ("tracknumber",)

_RIFF, _AIFF, _ID3, _COMMENTS = "RIFF", "AIFF", "ID3", "comments"
_FAMILIES = {
    **dict.fromkeys(("WAV", "WAVEX", "RF64"), _RIFF),
    **dict.fromkeys(("FLAC", "OGG"), _COMMENTS),
    **{"AIFF": _AIFF, "MP3": _ID3},
}
# Chunks that describe the samples, pad, or would be wrong for other samples.
_OWN = {b"fmt ", b"data", b"fact", b"ds64", b"PEAK", b"levl", b"COMM", b"SSND", b"FVER"}
_OWN |= {b"JUNK", b"junk", b"PAD ", b"FLLR", b"filr"}
_NAMED = {b"bext": "timecode (bext)", b"cue ": "markers", b"MARK": "markers", b"iXML": "iXML"}
# Text chunks, whose content libsndfile has too.
_TEXT_CHUNKS = {b"LIST", b"NAME", b"AUTH", b"ANNO", b"(c) "}
_MOST_BYTES = 2**26
_KEYS = {"APIC": "cover", "CHAP": "chapters", "CTOC": "chapters", "USLT": "lyrics"}
_HELP = "covers and chapters, which need pip install 'denoising-zoo[media]'"


class AudioMetadata(NamedTuple):
    """The contents of a file besides its samples.

    Attributes:
      path: the file.
      family: the family of its format, within which all is kept; empty for others.
      tags: the text tags, by libsndfile's names.
      chunks: the chunks of wav and aiff, consecutive, as in the file.
      more: contents that only the same family can hold, such as "cover".
    """

    path: Path
    family: str = ""
    tags: Mapping[str, str] = {}
    chunks: bytes = b""
    more: tuple[str, ...] = ()


def read(path: str | os.PathLike, file) -> AudioMetadata:
    """Read the metadata of a file.

    Args:
      path: the file.
      file: the same, opened as a `soundfile.SoundFile` or a `ContainedAudio`.
    """
    family = _FAMILIES.get(file.format, "")
    if hasattr(file, "other_parts"):
        more = tuple(one for one in file.other_parts if one in ("cover", "chapters"))
        if file.format == "OGG":
            more = tuple(dict.fromkeys((*more, *_by_mutagen(path))))
        tags = {key.lower(): text for key, text in file.tags.items()}
        tags.setdefault("tracknumber", tags.get("track", ""))
        family = family if family == _COMMENTS else ""
        return AudioMetadata(Path(path), family, _known(tags), b"", more)
    tags = _known(file.copy_metadata())
    chunks, more = b"", ()
    if family in (_RIFF, _AIFF):
        chunks, more = _chunks(path)
    elif family:
        more = _by_mutagen(path)
    return AudioMetadata(Path(path), family, tags, chunks, more)


def _known(tags: Mapping[str, str]) -> dict[str, str]:
    return {name: tags[name] for name in _TAGS if tags.get(name)}


def chunks_for(metadata: AudioMetadata, form: str) -> bytes:
    """The chunks to write into a file of libsndfile's format `form`, each of an even length."""
    return metadata.chunks if metadata.family == _FAMILIES.get(form) else b""


def set_tags(metadata: AudioMetadata, file) -> bool:
    """Set the tags of a `soundfile.SoundFile` before its first sample; return whether all are."""
    import soundfile  # noqa: PLC0415

    kept = True
    for name, text in metadata.tags.items():
        try:
            setattr(file, name, text)
        except soundfile.LibsndfileError:
            kept = False
    return kept


def finish(metadata: AudioMetadata, part: Path, form: str, *, tagged: bool) -> tuple[str, ...]:
    """Add the remaining metadata to a written file.

    Args:
      metadata: that of the source.
      part: the file, closed.
      form: its format, as named by libsndfile.
      tagged: whether its text tags are set already.

    Returns:
      Names of what could not be added.

    Raises:
      OSError: there is no room for it.
    """
    lost = [] if tagged else ["tags"]
    family = _FAMILIES.get(form, "")
    if family and family == metadata.family:
        if family in (_RIFF, _AIFF):
            return tuple(lost)
        with contextlib.suppress(ImportError):
            return _copied(metadata.path, part, family)
        return tuple(lost + [_HELP] * bool(metadata.more))
    return (*lost, *metadata.more)


def _chunks(path: str | os.PathLike) -> tuple[bytes, tuple[str, ...]]:
    found, more, size = [], [], os.path.getsize(path)
    with files.opened(path) as file:
        order = "big" if file.read(4) == b"FORM" else "little"
        for name, start, length in audio_integrity.chunks(file):
            if name in _OWN or not length or start + length > min(size, start + _MOST_BYTES):
                continue
            place = file.tell()
            file.seek(start)
            data = file.read(length)
            file.seek(place)
            found.append(name + length.to_bytes(4, order) + data + bytes(length % 2))
            if name == b"LIST" and data[:4] != b"INFO":
                more.append("markers")
            elif name not in _TEXT_CHUNKS:
                text = name.decode("latin-1").strip()
                more.append(
                    _NAMED.get(name, f"the chunk {text}" if text.isprintable() else "a chunk")
                )
    return b"".join(found), tuple(dict.fromkeys(more))


def _by_mutagen(path: str | os.PathLike) -> tuple[str, ...]:
    """Contents of the tags of an mp3, flac or ogg file other than text."""
    try:
        source = _opened(path)
    except ImportError:
        return ("covers and chapters, if it has any",)
    if source is None:
        return ()
    found = []
    for entry in source.tags or ():
        key = entry[0] if isinstance(entry, tuple) else entry
        if key[:4] in _KEYS:
            found.append(_KEYS[key[:4]])
        elif key.lower().startswith("chapter"):
            found.append("chapters")
        elif key.lower() == "metadata_block_picture":
            found.append("cover")
    if getattr(source, "pictures", None):
        found.append("cover")
    return tuple(dict.fromkeys(found))


def _opened(path: str | os.PathLike):
    """A file opened by mutagen according to its content; None where that fails."""
    from mutagen import flac, id3, oggflac, oggopus, oggvorbis  # noqa: PLC0415 - an extra

    with files.opened(path) as file:
        head = file.read(64)
    try:
        if head[:4] == b"fLaC":
            return flac.FLAC(path)
        if head[:4] == b"OggS":
            for mark, kind in ((b"Opus", oggopus.OggOpus), (b"FLAC", oggflac.OggFLAC)):
                if mark in head:
                    return kind(path)
            return oggvorbis.OggVorbis(path)
        return id3.ID3FileType(path)
    except Exception:  # broken tags do not affect the samples
        return None


def _copied(source: Path, target: Path, family: str) -> tuple[str, ...]:
    """Copy the tags of a file to one of its family; return what could not be copied.

    Raises:
      OSError: the file cannot be written.
    """
    import mutagen  # noqa: PLC0415

    try:
        before = _opened(source)
        if before is not None and before.tags is not None:
            if family == _ID3:
                _copy_id3(source, target)
            else:
                _copy_comments(before, target)
    except mutagen.MutagenError as error:
        if error.args and isinstance(error.args[0], OSError):
            raise error.args[0] from None
        return ("tags",)
    return ()


def _copy_id3(source: Path, target: Path) -> None:
    from mutagen import id3  # noqa: PLC0415

    tags = id3.ID3(source, translate=False)
    if tags.version[1] < 3:
        tags.update_to_v23()
    # Not all players read both versions.
    tags.save(target, v2_version=min(max(tags.version[1], 3), 4))


def _copy_comments(before, target: Path) -> None:
    from mutagen import flac  # noqa: PLC0415

    after = _opened(target)
    pictures = getattr(before, "pictures", [])
    kept = [(key, text) for key, text in before.tags if key.lower() != "encoder"]
    inline = [text for key, text in kept if key.lower() == "metadata_block_picture"]
    if isinstance(after, flac.FLAC):
        kept = [one for one in kept if one[0].lower() != "metadata_block_picture"]
        pictures = pictures or [flac.Picture(base64.b64decode(text)) for text in inline]
        for picture in pictures:
            after.add_picture(picture)
        after.cuesheet = getattr(before, "cuesheet", None)
    else:
        codes = [base64.b64encode(picture.write()).decode() for picture in pictures]
        kept += [("metadata_block_picture", code) for code in codes]
    if after.tags is None:
        after.add_tags()
    after.tags[:] = kept
    after.save()

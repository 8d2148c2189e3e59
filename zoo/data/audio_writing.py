"""Audio files, written whole or not at all, at once or piece by piece."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from zoo import files, signals
from zoo.data import audio_files, audio_metadata, media_writing, pcm
from zoo.data.audio_files import Info
from zoo.data.file_kinds import AUDIO_FORMATS, MEDIA_FORMATS, READ_ONLY_AUDIO, listed_suffixes
from zoo.errors import ZooError

# Containers that share the suffix of another; a copy keeps the one it finds.
_VARIANTS = {"WAVEX": "WAV", "RF64": "WAV"}
# Codings that preserve the number of samples; others, such as ADPCM, pad blocks.
_LOSSY = frozenset({"VORBIS", "OPUS", "MPEG_LAYER_III"})
_PLAIN = frozenset({"ULAW", "ALAW", "FLOAT", "DOUBLE"}) | _LOSSY
# The least and the most kilobits per second: of mp3 from a sample rate on, of Opus per channel.
# libsndfile expects a share of the way from the most to the least.
_MP3_RATES = ((32000, 32, 320), (16000, 8, 160), (0, 8, 64))
_OPUS_RATES = (6, 256)
_MP3_FRAME = 250
# Bytes of samples beyond which a wav file cannot state its length; with room for its header.
_WAV_LIMIT = 2**32 - 2**16
_BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}
# libsndfile's Vorbis encoder overflows the stack when it is given minutes at once.
_WRITE_BLOCK = 2**16
_FLAC_CHANNELS = 8


def write(
    path: str | os.PathLike,
    x: np.ndarray,
    sample_rate: int,
    *,
    subtype: str | None = None,
) -> None:
    """Write audio; the suffix determines the format, and the file appears whole or not at all.

    Args:
      path: the file; its folder exists. A file already there is replaced.
      x: `(T, C)`, int16 or float; for integer subtypes a float is rounded to the nearest and
        clipped to [-1, 1).
      sample_rate: samples per second.
      subtype: the coding of a sample, as named by libsndfile; None for 16 bits in wav and flac,
        Vorbis in ogg and layer III in mp3.

    Raises:
      ZooError: the suffix is in neither `AUDIO_FORMATS` nor `MEDIA_FORMATS`, the array is not
        audio, the format cannot hold it, or the folder cannot be written to.
    """
    x = pcm.check(np.asarray(x), f"the audio for {path}")
    with writing(path, sample_rate, x.shape[1], subtype=subtype) as put:
        put(x)


@contextlib.contextmanager
def writing(
    path: str | os.PathLike,
    sample_rate: int,
    channels: int,
    *,
    subtype: str | None = None,
    like: Info | None = None,
    source: str | os.PathLike | None = None,
    overwrite: bool = True,
) -> Iterator["Put"]:
    """Write audio of any length piece by piece; the file appears at the end, whole.

    Args:
      path: as in `write`.
      sample_rate: samples per second.
      channels: C of every piece.
      subtype: as in `write`.
      like: properties of the source file. Its container is kept where the suffix is one of it, and
        its coding where the container can hold it, unless `subtype` is given. A wav of its length
        beyond 4 GiB becomes RF64.
      source: that file, whose tags, cover, chapters, timecode and bit rate are kept as far as the
        format holds them.
      overwrite: whether a file there, at the beginning or at the end, is replaced.

    Yields:
      A function that appends a piece `(T, C)` and returns the number of clipped values; once the
      file is complete, its `lost` holds sentences on what was not kept.

    Raises:
      ZooError: as `write`; then, as after any other error, nothing of the file is left.
    """
    import soundfile  # noqa: PLC0415

    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in MEDIA_FORMATS and subtype is None:
        settings = {"source": None if source is None else Path(source), "overwrite": overwrite}
        with media_writing.writing(path, sample_rate, channels, **settings) as put:
            yield put
        return
    form, usual = _usual(path)
    if like is not None:
        form, usual = _alike(like, suffix)
    subtype = subtype or usual
    if not soundfile.check_format(form, subtype):
        choices = ", ".join(sorted(soundfile.available_subtypes(form)))
        raise ZooError(f"{path} cannot hold subtype {subtype!r}; choose from {choices}")
    metadata = (
        audio_files.metadata(source) if source is not None else audio_metadata.AudioMetadata(path)
    )
    level = {}
    if like is not None and source is not None:
        level = _level(like, Path(source), form, subtype)
    with files.staged(files.free(path, overwrite), overwrite=overwrite) as part:
        with part.open("wb", buffering=0) as raw:
            sink = _Sink(raw, audio_metadata.chunks_for(metadata, form))
            try:
                settings = (sink, "w", sample_rate, channels, subtype)
                with _encoder(*settings, format=form, **level) as file:
                    tagged = bool(sink.chunks) or audio_metadata.set_tags(metadata, file)
                    put = Put(path, file, channels, subtype)
                    yield put
            except soundfile.LibsndfileError as error:
                if not sink.refused:
                    roomier = ".flac or .wav" if channels <= _FLAC_CHANNELS else ".wav"
                    raise ZooError(
                        f"{path} cannot hold {channels} channels at {sample_rate} Hz as {subtype} "
                        f"({audio_files.reason(error)}); end it in {roomier}"
                    ) from None
            # soundfile asserts that libsndfile wrote everything.
            except AssertionError:
                if not sink.refused:
                    raise
            if sink.refused:
                raise sink.refused
            sink.finish(form)
        lost = audio_metadata.finish(metadata, part, form, tagged=tagged)
        lost = (f"not kept: {', '.join(lost)}",) if lost else ()
        if source is not None and like is not None and like.subtype != subtype:
            recoded = Path(source).suffix.lower() == suffix
            lost += (f"coded as {subtype}, for {like.subtype} is not written",) * recoded
        parts = audio_files.other_parts(source) if source is not None else ()
        # Of covers and chapters `finish` says whether they are kept.
        if left := [part for part in parts if part not in ("cover", "chapters")]:
            lost += (f"{', '.join(left)} left out",)
        put.lost = lost


@contextlib.contextmanager
def _encoder(*settings, **further):
    """A `soundfile.SoundFile` to write to; each of its calls may call the sink it writes to."""
    import soundfile  # noqa: PLC0415

    file = None
    try:
        with signals.held_back():
            file = soundfile.SoundFile(*settings, **further)
        yield file
    finally:
        if file is not None:
            with signals.held_back():
                file.close()


def _usual(path: Path) -> tuple[str, str]:
    """The container and the usual coding of a suffix."""
    suffix = path.suffix.lower()
    if suffix not in AUDIO_FORMATS:
        reason = f"cannot tell a format from {path}"
        if suffix in READ_ONLY_AUDIO:
            reason = f"{path}: {suffix} is read and not written"
        raise ZooError(f"{reason}; end it in {listed_suffixes({*AUDIO_FORMATS, *MEDIA_FORMATS})}")
    return AUDIO_FORMATS[suffix]


class Put:
    """Function that appends pieces to a file.

    Attributes:
      lost: once the file is complete, sentences on what of the source was not kept.
    """

    def __init__(self, path: Path, file, channels: int, subtype: str):
        self.lost: tuple[str, ...] = ()
        self._path, self._file = path, file
        self._channels, self._subtype = channels, subtype

    def __call__(self, x: np.ndarray) -> int:
        """Append a piece `(T, C)`; return the number of clipped values."""
        x = pcm.check(np.asarray(x), f"the audio for {self._path}")
        if x.shape[1] != self._channels:
            raise ZooError(
                f"{self._path} holds {self._channels} channels, a piece {x.shape[1]}; convert it"
            )
        clipped = 0
        for at in range(0, len(x), _WRITE_BLOCK):
            piece, over = _coded(x[at : at + _WRITE_BLOCK], self._subtype)
            with signals.held_back():
                self._file.write(piece)
            clipped += over
        return clipped


def _coded(x: np.ndarray, subtype: str) -> tuple[np.ndarray, int]:
    """A piece that libsndfile stores without rounding, and the number of clipped values.

    Full scale is 2**(bits - 1).
    """
    bits = _BITS.get(subtype)
    if bits is None:
        return pcm.to_float(x), 0
    if x.dtype == np.int16 and bits >= 16:
        return x, 0
    full = 2.0 ** (bits - 1)
    whole = np.rint(pcm.to_float(x).astype(np.float64) * full)
    held = np.clip(whole, -full, full - 1)
    return held.astype(np.int32) << (32 - bits), int(np.count_nonzero(held != whole))


def _alike(like: Info, suffix: str) -> tuple[str, str]:
    """The container and the coding of a copy with this suffix."""
    import soundfile  # noqa: PLC0415

    form, usual = AUDIO_FORMATS[suffix]
    if _VARIANTS.get(like.format) == form:
        form = like.format
    kept = like.subtype in _PLAIN or like.subtype in _BITS
    # libsndfile accepts the coding of mp3 in wav files; most players do not.
    kept = kept and (form == like.format or like.subtype not in _LOSSY)
    subtype = like.subtype if kept and soundfile.check_format(form, like.subtype) else usual
    width = {"FLOAT": 32, "DOUBLE": 64}.get(subtype) or _BITS.get(subtype, 8)
    if suffix == ".wav" and like.frames * like.channels * width // 8 > _WAV_LIMIT:
        form = "RF64"
    return form, subtype


def _level(like: Info, source: Path, form: str, subtype: str) -> dict[str, object]:
    """Options of soundfile for the bit rate of a source of the same coding."""
    if like.subtype != subtype or subtype not in ("MPEG_LAYER_III", "OPUS"):
        return {}
    kilobits = audio_files.coded_bytes(source) * like.sample_rate / like.frames * 8 / 1000
    if subtype == "OPUS":
        least, most = (like.channels * one for one in _OPUS_RATES)
        mode = {}
    else:
        least, most = next(r[1:] for r in _MP3_RATES if like.sample_rate >= r[0])
        # Shorter frames have no room for the encoder's tag with the length.
        frame = (144 if like.sample_rate >= 32000 else 72) * kilobits * 1000 / like.sample_rate
        mode = {"bitrate_mode": "CONSTANT" if frame >= _MP3_FRAME else "AVERAGE"}
    # At the least itself libsndfile refuses.
    return {"compression_level": min(max((most - kilobits) / (most - least), 0.0), 0.99), **mode}


class _Sink:
    """The file that libsndfile writes to, which records the error that libsndfile hides on closing.

    The chunks of the source are placed before the samples: everything from there on is shifted,
    transparently to libsndfile. Those of RF64 come last.
    """

    def __init__(self, file: BinaryIO, chunks: bytes = b""):
        self.refused: OSError | None = None
        self.chunks = chunks
        # In aiff behind the head of the file, in wav behind the format of the samples.
        self._file, self._first, self._at = file, 12, 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position, as seen by libsndfile."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at}.get(whence)
        if start is None:
            end = self._file.seek(0, os.SEEK_END)
            start = end - len(self.chunks) if end > self._first else end
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        """The position, as seen by libsndfile."""
        return self._at

    def write(self, data: bytes) -> int:
        """Write, or record the error."""
        left = memoryview(data)
        if self._at == 0:
            head = bytes(left[:128])
            fmt = head.find(b"fmt ")
            if fmt >= 0:
                self._first = fmt + 8 + int.from_bytes(left[fmt + 4 : fmt + 8], "little")
            if head[:4] == b"RF64":
                # There libsndfile cannot continue behind a chunk of odd length.
                self._first = 2**63
        try:
            while left:
                behind = self._at >= self._first
                piece = left if behind else left[: self._first - self._at]
                self._file.seek(self._at + len(self.chunks) * behind)
                count = self._file.write(piece)
                left, self._at = left[count:], self._at + count
        except OSError as error:
            self.refused = error
        return len(data) - len(left)

    def finish(self, form: str) -> None:
        """Write the chunks, and add their length to that of the whole."""
        if not self.chunks:
            return
        end = self._file.seek(0, os.SEEK_END)
        self._file.seek(min(self._first, end + end % 2))
        self._file.write(self.chunks)
        place, width = (20, 8) if form == "RF64" else (4, 4)
        order = "big" if form == "AIFF" else "little"
        size = self._file.seek(0, os.SEEK_END) - 8
        self._file.seek(place)
        self._file.write(size.to_bytes(width, order))

"""Audio files out: whole or not at all, at once or piece by piece."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from zoo import files
from zoo.data import samples
from zoo.data.recordings import beside, reading
from zoo.data.recordings.facts import FORMATS, READ_ONLY, Info, check, reason
from zoo.errors import ZooError

# Containers that end as another does; a copy keeps the one it finds.
_KIN = {"WAVEX": "WAV", "RF64": "WAV"}
# Codings that give back as many samples as they get; others, such as ADPCM, fill up blocks.
_LOSSY = frozenset({"VORBIS", "OPUS", "MPEG_LAYER_III"})
_PLAIN = frozenset({"ULAW", "ALAW", "FLOAT", "DOUBLE"}) | _LOSSY
# The least and the most kilobits a second: of mp3 by the sample rate from which they hold, of Opus
# for each channel. libsndfile takes a share of the way from the most to the least.
_MP3_RATES = ((32000, 32, 320), (16000, 8, 160), (0, 8, 64))
_OPUS_RATES = (6, 256)
_MP3_FRAME = 250
# Beyond it a wav file cannot note its length; room is left for its header.
_WAV_LIMIT = 2**32 - 2**16
_BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}
# libsndfile's Vorbis encoder overflows the stack when it is given minutes at once.
_WRITE_BLOCK = 2**16


def write(
    path: str | os.PathLike,
    x: np.ndarray,
    sample_rate: int,
    *,
    subtype: str | None = None,
) -> None:
    """Write a recording; the suffix tells the format, and the file appears whole or not at all.

    Args:
      path: the file; its folder exists. A file already there is replaced.
      x: `(T, C)`, int16 or float; for integer subtypes a float is rounded to the nearest and
        clipped to [-1, 1).
      sample_rate: samples a second.
      subtype: how a sample is coded, in libsndfile's words; None for 16 bits in wav and flac,
        Vorbis in ogg and layer III in mp3.

    Raises:
      ZooError: the suffix is none of `FORMATS`, the array is no recording, the format cannot hold
        it, or the folder cannot be written to.
    """
    x = check(np.asarray(x), f"the recording for {path}")
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
    """Write a recording of any length piece by piece; the file appears at the end, whole.

    Args:
      path: as `write` takes it.
      sample_rate: samples a second.
      channels: C of every piece.
      subtype: as `write` takes it.
      like: of a file that this one is made from: its container is kept where the suffix is one of
        it, and its coding where the container can hold it, unless `subtype` says otherwise. A wav
        of its length that would pass 4 GiB becomes RF64.
      source: that file, whose tags, cover, chapters, timecode and bit rate go along as far as the
        format holds them.
      overwrite: whether a file that stands there, at the beginning or at the end, is replaced.

    Yields:
      A function that appends a piece `(T, C)` and returns how many of its values were clipped; when
      the file is there its `lost` says what could not go along.

    Raises:
      ZooError: as `write`; then, as after any other error, no piece of the file is left behind.
    """
    import soundfile  # noqa: PLC0415

    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        told = f"cannot tell a format from {path}"
        if suffix in READ_ONLY:
            told = f"{path}: {suffix} is read and not written"
        raise ZooError(f"{told}; end it in {', '.join(sorted(FORMATS))}")
    form, usual = FORMATS[suffix]
    if like is not None:
        form, usual = _alike(like, suffix)
    subtype = subtype or usual
    if not soundfile.check_format(form, subtype):
        choices = ", ".join(sorted(soundfile.available_subtypes(form)))
        raise ZooError(f"{path} cannot hold subtype {subtype!r}; choose from {choices}")
    others = reading.others(source) if source is not None else beside.Beside(path)
    level = {}
    if like is not None and source is not None:
        level = _level(like, Path(source), form, subtype)
    sink = None
    try:
        with files.beside(files.free(path, overwrite), overwrite=overwrite) as part:
            with part.open("wb", buffering=0) as raw:
                sink = _Sink(raw, beside.chunks_for(others, form))
                with soundfile.SoundFile(
                    sink, "w", sample_rate, channels, subtype, format=form, **level
                ) as file:
                    words = bool(sink.chunks) or beside.put_words(others, file)
                    put = Put(path, file, channels, subtype)
                    yield put
                sink.finish(form)
            if sink.refused:
                raise ZooError(_unwritable(path, sink.refused))
            try:
                lost = beside.finish(others, part, form, words=words)
            except OSError as error:
                raise ZooError(_unwritable(path, error)) from None
            lost = (f"not kept: {', '.join(lost)}",) if lost else ()
            if source is not None and like is not None and like.subtype != subtype:
                recoded = Path(source).suffix.lower() == suffix
                lost += (f"coded as {subtype}, for {like.subtype} is not written",) * recoded
            put.lost = lost
    # soundfile asserts that libsndfile wrote all.
    except (soundfile.LibsndfileError, AssertionError) as error:
        if sink is not None and sink.refused:
            raise ZooError(_unwritable(path, sink.refused)) from None
        if isinstance(error, AssertionError):
            raise
        raise ZooError(
            f"{path} cannot hold {channels} channels at {sample_rate} Hz as {subtype} "
            f"({reason(error)}); choose another suffix or subtype"
        ) from None


class Put:
    """Appends pieces to a file.

    Attributes:
      lost: when the file is there, what of another could not go along, in words.
    """

    def __init__(self, path: Path, file, channels: int, subtype: str):
        self.lost: tuple[str, ...] = ()
        self._path, self._file = path, file
        self._channels, self._subtype = channels, subtype

    def __call__(self, x: np.ndarray) -> int:
        """Appends a piece `(T, C)`; returns how many of its values were clipped."""
        x = check(np.asarray(x), f"the recording for {self._path}")
        if x.shape[1] != self._channels:
            raise ZooError(
                f"{self._path} holds {self._channels} channels, a piece {x.shape[1]}; mend it"
            )
        clipped = 0
        for at in range(0, len(x), _WRITE_BLOCK):
            piece, over = _coded(x[at : at + _WRITE_BLOCK], self._subtype)
            self._file.write(piece)
            clipped += over
        return clipped


def _coded(x: np.ndarray, subtype: str) -> tuple[np.ndarray, int]:
    """A piece as libsndfile takes it without rounding of its own, and how many values it clips.

    Full scale is 2**(bits - 1).
    """
    bits = _BITS.get(subtype)
    if bits is None:
        return samples.to_float(x), 0
    if x.dtype == np.int16 and bits >= 16:
        return x, 0
    full = 2.0 ** (bits - 1)
    whole = np.rint(samples.to_float(x).astype(np.float64) * full)
    held = np.clip(whole, -full, full - 1)
    return held.astype(np.int32) << (32 - bits), int(np.count_nonzero(held != whole))


def _alike(like: Info, suffix: str) -> tuple[str, str]:
    """The container and the coding of a copy with this suffix."""
    import soundfile  # noqa: PLC0415

    form, usual = FORMATS[suffix]
    if _KIN.get(like.format) == form:
        form = like.format
    kept = like.subtype in _PLAIN or like.subtype in _BITS
    # To libsndfile a wav file may hold what mp3 files do; most players differ.
    kept = kept and (form == like.format or like.subtype not in _LOSSY)
    subtype = like.subtype if kept and soundfile.check_format(form, like.subtype) else usual
    width = {"FLOAT": 32, "DOUBLE": 64}.get(subtype) or _BITS.get(subtype, 8)
    if suffix == ".wav" and like.frames * like.channels * width // 8 > _WAV_LIMIT:
        form = "RF64"
    return form, subtype


def _level(like: Info, source: Path, form: str, subtype: str) -> dict[str, object]:
    """What soundfile must be told for a bit rate as that of a file of the same coding."""
    if like.subtype != subtype or subtype not in ("MPEG_LAYER_III", "OPUS"):
        return {}
    kilobits = reading.sound_bytes(source) * like.sample_rate / like.frames * 8 / 1000
    if subtype == "OPUS":
        least, most = (like.channels * one for one in _OPUS_RATES)
        mode = {}
    else:
        least, most = next(r[1:] for r in _MP3_RATES if like.sample_rate >= r[0])
        # Of shorter frames none has room for the encoder's note on how long the recording is.
        frame = (144 if like.sample_rate >= 32000 else 72) * kilobits * 1000 / like.sample_rate
        mode = {"bitrate_mode": "CONSTANT" if frame >= _MP3_FRAME else "AVERAGE"}
    # At the least itself libsndfile refuses.
    return {"compression_level": min(max((most - kilobits) / (most - least), 0.0), 0.99), **mode}


def _unwritable(path: Path, error: OSError) -> str:
    return f"cannot write {path} whole: {error.strerror}; make room on its disk"


class _Sink:
    """A file that libsndfile writes to; it keeps the error that libsndfile, at a close, hides.

    Chunks of another file have their place before the samples: from there on all is put further
    back, which libsndfile does not see. Those of RF64 come last.
    """

    def __init__(self, file: BinaryIO, chunks: bytes = b""):
        self.refused: OSError | None = None
        self.chunks = chunks
        # Of aiff behind the head of the file, of wav behind what says how samples are coded.
        self._file, self._first, self._at = file, 12, 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Goes to a place, as libsndfile counts."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at}.get(whence)
        if start is None:
            end = self._file.seek(0, os.SEEK_END)
            start = end - len(self.chunks) if end > self._first else end
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        """The place, as libsndfile counts."""
        return self._at

    def write(self, data: bytes) -> int:
        """Writes, or keeps why it could not."""
        left = memoryview(data)
        if self._at == 0:
            head = bytes(left[:128])
            fmt = head.find(b"fmt ")
            if fmt >= 0:
                self._first = fmt + 8 + int.from_bytes(left[fmt + 4 : fmt + 8], "little")
            if head[:4] == b"RF64":
                # There libsndfile loses its way behind a chunk of an odd length.
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
        """Puts the chunks into their place, and their length into that of the whole."""
        if not self.chunks or self.refused:
            return
        try:
            end = self._file.seek(0, os.SEEK_END)
            self._file.seek(min(self._first, end + end % 2))
            self._file.write(self.chunks)
            place, width = (20, 8) if form == "RF64" else (4, 4)
            order = "big" if form == "AIFF" else "little"
            size = self._file.seek(0, os.SEEK_END) - 8
            self._file.seek(place)
            self._file.write(size.to_bytes(width, order))
        except OSError as error:
            self.refused = error

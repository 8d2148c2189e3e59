"""Audio files out: whole or not at all, at once or piece by piece."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from zoo import files
from zoo.data import samples
from zoo.data.recordings.facts import SUFFIXES, Info, check, reason
from zoo.errors import ZooError

# Each format's name in libsndfile and the subtype it gets unless told.
_FORMATS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}
# Containers that end alike, of which a copy keeps the one it finds.
_KIN = {"WAVEX": ".wav", "RF64": ".wav"} | {form: end for end, (form, _) in _FORMATS.items()}
# Codings that give back as many samples as they get; others, such as ADPCM, fill up blocks.
_LOSSY = frozenset({"VORBIS", "OPUS", "MPEG_LAYER_III"})
_PLAIN = frozenset({"ULAW", "ALAW", "FLOAT", "DOUBLE"}) | _LOSSY
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
      ZooError: the suffix is none of `SUFFIXES`, the array is no recording, the format cannot hold
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
    overwrite: bool = True,
) -> Iterator[Callable[[np.ndarray], int]]:
    """Write a recording of any length piece by piece; the file appears at the end, whole.

    Args:
      path: as `write` takes it.
      sample_rate: samples a second.
      channels: C of every piece.
      subtype: as `write` takes it.
      like: of a file that this one is made from: its container is kept where the suffix is one of
        it, and its coding where the container can hold it, unless `subtype` says otherwise. A wav
        of its length that would pass 4 GiB becomes RF64.
      overwrite: whether a file that stands there, at the beginning or at the end, is replaced.

    Yields:
      A function that appends a piece `(T, C)` and returns how many of its values were clipped.

    Raises:
      ZooError: as `write`; then, as after any other error, no piece of the file is left behind.
    """
    import soundfile  # noqa: PLC0415

    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ZooError(f"cannot tell a format from {path}; end it in {', '.join(sorted(SUFFIXES))}")
    form, usual = _FORMATS[suffix]
    if like is not None:
        form, usual = _alike(like, suffix)
    subtype = subtype or usual
    if not soundfile.check_format(form, subtype):
        choices = ", ".join(sorted(soundfile.available_subtypes(form)))
        raise ZooError(f"{path} cannot hold subtype {subtype!r}; choose from {choices}")
    sink = None
    try:
        with files.beside(files.free(path, overwrite), overwrite=overwrite) as part:
            with (
                part.open("wb", buffering=0) as raw,
                soundfile.SoundFile(
                    sink := _Sink(raw), "w", sample_rate, channels, subtype, format=form
                ) as file,
            ):

                def put(x: np.ndarray) -> int:
                    x = check(np.asarray(x), f"the recording for {path}")
                    if x.shape[1] != channels:
                        raise ZooError(
                            f"{path} holds {channels} channels, a piece {x.shape[1]}; mend it"
                        )
                    clipped = 0
                    for at in range(0, len(x), _WRITE_BLOCK):
                        piece, over = _coded(x[at : at + _WRITE_BLOCK], subtype)
                        file.write(piece)
                        clipped += over
                    return clipped

                yield put
            if sink.refused:
                raise ZooError(_unwritable(path, sink.refused))
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

    form, usual = _FORMATS[suffix]
    if _KIN.get(like.format) == suffix:
        form = like.format
    kept = like.subtype in _PLAIN or like.subtype in _BITS
    # To libsndfile a wav file may hold what mp3 files do; most players differ.
    kept = kept and (form == like.format or like.subtype not in _LOSSY)
    subtype = like.subtype if kept and soundfile.check_format(form, like.subtype) else usual
    width = {"FLOAT": 32, "DOUBLE": 64}.get(subtype) or _BITS.get(subtype, 8)
    if suffix == ".wav" and like.frames * like.channels * width // 8 > _WAV_LIMIT:
        form = "RF64"
    return form, subtype


def _unwritable(path: Path, error: OSError) -> str:
    return f"cannot write {path} whole: {error.strerror}; make room on its disk"


class _Sink:
    """A file that libsndfile writes to; it keeps the error that libsndfile, at a close, hides."""

    def __init__(self, file: BinaryIO):
        self.refused: OSError | None = None
        self.seek, self.tell = file.seek, file.tell
        self._file = file

    def write(self, data: bytes) -> int:
        left = memoryview(data)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            self.refused = error
        return len(data) - len(left)

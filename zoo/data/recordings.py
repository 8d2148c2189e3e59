"""Audio files in and out: wav, flac, ogg (Vorbis) and mp3, by soundfile.

A recording is an array `(T, C)`, T samples of C channels: int16, or float32 where full scale is
[-1, 1]. A float file may pass full scale, as mixers make it; integers are clipped to it.
"""

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from zoo import files
from zoo.data import samples
from zoo.data.truncated import is_truncated
from zoo.errors import ZooError

SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".mp3"})
"""The endings, in lower case, by which a folder's recordings are told from its other files."""

LOUDEST = 32.0
"""The largest magnitude of a float recording; beyond it the values are no signal in [-1, 1]."""

CHANNEL_LIMIT = 64
"""The most channels a recording may have: more are samples, in an array the wrong way round."""

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
# libsndfile's own way from these to int16 is exact.
_FITS_INT16 = ("PCM_16", "PCM_S8", "PCM_U8")
# libsndfile claims the largest integer for a flac file that was piped and notes no length.
_FRAME_LIMIT = 2**48
# libsndfile's Vorbis encoder overflows the stack when it is given minutes at once.
_WRITE_BLOCK = 2**16


class Info(NamedTuple):
    """What a file says of its recording.

    Attributes:
      sample_rate: samples a second.
      channels: how many.
      frames: samples of each channel.
      subtype: how a sample is coded, in libsndfile's words: `"PCM_16"`, `"FLOAT"`, `"VORBIS"`.
      format: the container: `"WAV"` or its kin `"WAVEX"` and `"RF64"`, `"FLAC"`, `"OGG"`, `"MP3"`.
    """

    sample_rate: int
    channels: int
    frames: int
    subtype: str
    format: str

    def length(self, sample_rate: int | None = None) -> int:
        """Samples of each channel after resampling; None for the file's own rate."""
        rate = sample_rate or self.sample_rate
        return samples.resampled_length(self.frames, self.sample_rate, rate)


def info(path: str | os.PathLike) -> Info:
    """What a file says of its recording; nothing is decoded.

    Raises:
      ZooError: the file is missing, empty, truncated, holds no samples or is no audio file.
    """
    with _opened(path) as file:
        return _info(file)


def read(
    path: str | os.PathLike,
    *,
    sample_rate: int | None = None,
    channels: int | None = None,
    start: int = 0,
    frames: int | None = None,
    dtype: type = np.float32,
) -> np.ndarray:
    """Read an audio file, or a piece of it; its content, not its suffix, tells the format.

    `read(path, start=s, frames=n, ...)` is `read(path, ...)[s : s + n]`, but only about that piece
    is decoded: exactly at the file's own rate, else to the last bits of float32. mp3 has no exact
    places, and a piece may differ in those bits too.

    Args:
      path: the file: wav of 8 to 32 bits or float, flac, ogg, mp3, or what else
        libsndfile knows.
      sample_rate: samples a second to resample to; None keeps the file's.
      channels: 1 averages the channels, 2 repeats one; None keeps the file's.
      start: the first sample, counted at `sample_rate`; 0 is the beginning.
      frames: how many samples at most, counted likewise; None reads to the end.
      dtype: float32, or int16, which is rounded to the nearest and clipped.

    Returns:
      The recording `(T, C)`. T is 0 where `start` is behind the end.

    Raises:
      ZooError: the file is missing, empty, truncated, garbled, holds no samples, NaN or values far
        outside [-1, 1], or is no audio file; or its channels cannot become `channels`.
    """
    with _opened(path) as file:
        rate, wanted = file.samplerate, sample_rate or file.samplerate
        total = samples.resampled_length(file.frames, rate, wanted)
        if not total:
            raise ZooError(f"{path} is shorter than one sample at {wanted} Hz; remove it")
        start = min(start, total)
        frames = total - start if frames is None else min(frames, total - start)
        plain = rate == wanted
        first, count, skip = (start, frames, 0)
        if not plain:
            first, count, skip = samples.reach(start, frames, rate, wanted)
        count = min(count, file.frames - first)
        direct = plain and dtype == np.int16 and file.subtype in _FITS_INT16
        x = _decode(file, path, first, count, "int16" if direct else "float32")
    if channels is not None:
        with _about(path):
            x = samples.to_channels(x, channels)
    x = samples.resample(x, rate, wanted)[skip : skip + frames]
    return samples.to_int16(x) if dtype == np.int16 else x


def blocks(
    path: str | os.PathLike,
    size: int,
    *,
    sample_rate: int | None = None,
    channels: int | None = None,
) -> Iterator[np.ndarray]:
    """Read an audio file of any length piece by piece, in flat memory.

    Args:
      path: the file.
      size: samples of a block; the last may be shorter.
      sample_rate: samples a second to resample to; None keeps the file's.
      channels: as `read` takes it.

    Yields:
      Blocks `(size, C)` float32; together they are what `read` returns.

    Raises:
      ZooError: as `read`, when the place is reached.
    """
    with _opened(path) as file:
        count = channels or file.channels
        change, total = (
            _changer(file.samplerate, sample_rate, count),
            _info(file).length(sample_rate),
        )
        held, left = np.zeros((0, count), np.float32), total
        for first in range(0, file.frames, size):
            x = _decode(file, path, first, min(size, file.frames - first), "float32")
            if channels is not None:
                with _about(path):
                    x = samples.to_channels(x, channels)
            last = first + size >= file.frames
            held = np.concatenate([held, change(x, last)])
            if last:
                held = samples.lengthen(held, left)[:left]
            while len(held) >= size or (last and len(held)):
                yield held[:size]
                held, left = held[size:], left - size


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
    # Beside its place, as `zoo.files` does, for only within one file system is a move one step.
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    sink = None
    try:
        with (
            files.gone_when_killed(part),
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
        os.replace(part, path)
    except OSError as error:
        raise ZooError(f"cannot write {path}: {error.strerror}; mend the path") from None
    # soundfile asserts that libsndfile wrote all.
    except (soundfile.LibsndfileError, AssertionError) as error:
        if sink is not None and sink.refused:
            raise ZooError(_unwritable(path, sink.refused)) from None
        if isinstance(error, AssertionError):
            raise
        raise ZooError(
            f"{path} cannot hold {channels} channels at {sample_rate} Hz as {subtype} "
            f"({_reason(error)}); choose another suffix or subtype"
        ) from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def check(x: np.ndarray, name: str) -> np.ndarray:
    """Refuse an array that is no recording.

    Args:
      x: what was read or computed.
      name: what to call it in the error.

    Returns:
      `x` itself, or as float32 if it was float16 or float64.

    Raises:
      ZooError: not `(T, C)`, no samples, more than `CHANNEL_LIMIT` channels, not int16 or a float,
        or a float that is not finite or above `LOUDEST`.
    """
    if x.ndim != 2 or x.size == 0:
        raise ZooError(f"{name} has shape {x.shape}; a recording is (samples, channels)")
    if x.shape[1] > CHANNEL_LIMIT:
        raise ZooError(
            f"{name} has shape {x.shape}; a recording is (samples, channels), so transpose it"
        )
    if x.dtype == np.int16:
        return x
    if x.dtype not in (np.float16, np.float32, np.float64):
        raise ZooError(f"{name} holds {x.dtype}; make it int16 or float32 in [-1, 1]")
    if not np.isfinite(x).all():
        raise ZooError(f"{name} holds NaN or infinity; mend or remove it")
    if max(x.max(), -x.min()) > LOUDEST:
        raise ZooError(f"{name} spans {x.min():.4g} to {x.max():.4g}; scale floats to -1 to 1")
    return x.astype(np.float32, copy=False)


@contextlib.contextmanager
def _opened(path: str | os.PathLike):
    """The file, or why it is no audio file that can be read."""
    import soundfile  # noqa: PLC0415 - only recordings need it

    try:
        with open(path, "rb") as file:
            empty = not file.read(1)
        cut = not empty and is_truncated(path)
    except OSError as error:
        raise ZooError(f"cannot read {path}: {error.strerror}; mend the path") from None
    if empty:
        raise ZooError(f"{path} is empty; fetch it again or remove it")
    if cut:
        raise ZooError(f"{path} is truncated; fetch it again or remove it")
    try:
        file = soundfile.SoundFile(os.fspath(path))
    # TypeError: by a suffix such as .raw soundfile takes it for samples without a header.
    except (soundfile.LibsndfileError, TypeError):
        raise ZooError(f"{path} is not wav, flac, ogg or mp3; convert or remove it") from None
    with file:
        if not file.frames:
            raise ZooError(f"{path} holds no samples; fetch it again or remove it")
        if file.frames > _FRAME_LIMIT:
            raise ZooError(f"{path} does not say how long it is; encode it again")
        if file.channels > CHANNEL_LIMIT:
            raise ZooError(
                f"{path} has {file.channels} channels; split it into files of at most "
                f"{CHANNEL_LIMIT}"
            )
        yield file


def _info(file) -> Info:
    return Info(file.samplerate, file.channels, file.frames, file.subtype, file.format)


def _decode(file, path: str | os.PathLike, first: int, count: int, dtype: str) -> np.ndarray:
    """Samples of a file `(count, C)`, checked."""
    import soundfile  # noqa: PLC0415

    if count <= 0:
        return np.zeros((0, file.channels), dtype)
    try:
        # Only where it must move: libsndfile's place in an ogg file is inexact after a second seek.
        if file.tell() != first:
            file.seek(first)
        x = file.read(count, dtype=dtype, always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ZooError(
            f"{path} is truncated or broken ({_reason(error)}); fetch it again or remove it"
        ) from None
    if len(x) < count:
        raise ZooError(f"{path} is truncated; fetch it again or remove it")
    return check(x, str(path))


def _changer(rate: int, sample_rate: int | None, channels: int) -> Callable:
    """A function `(block, last) -> block` that resamples what follows on what it had before."""
    if sample_rate in (None, rate):
        return lambda x, last: x
    import soxr  # noqa: PLC0415

    stream = soxr.ResampleStream(rate, sample_rate, channels, dtype="float32")
    return lambda x, last: stream.resample_chunk(np.ascontiguousarray(x), last=last)


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


@contextlib.contextmanager
def _about(path: str | os.PathLike):
    """Names the file in an error that knows only of its samples."""
    try:
        yield
    except ZooError as error:
        raise ZooError(f"{path}: {error}") from None


def _reason(error: Exception) -> str:
    return getattr(error, "error_string", "").strip(" .") or "it ends early"

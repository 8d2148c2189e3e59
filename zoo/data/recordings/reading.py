"""Audio files in: whole, in pieces, or a piece of one."""

import contextlib
import io
import os
from collections.abc import Callable, Iterator

import numpy as np

from zoo import files
from zoo.data import samples
from zoo.data.recordings import beside, mpeg
from zoo.data.recordings.containers import Contained
from zoo.data.recordings.facts import Info, check, reason
from zoo.data.samples import MOST_CHANNELS
from zoo.data.truncated import chunks, id3_length, is_truncated
from zoo.errors import ZooError

# libsndfile's own way from these to int16 is exact.
_FITS_INT16 = ("PCM_16", "PCM_S8", "PCM_U8")
# libsndfile claims the largest integer for a flac file that was piped and notes no length.
_FRAME_LIMIT = 2**48
# Samples of each channel: silence in flac takes 11 bytes for 65,535 of them, and nothing less.
_MOST_PER_BYTE = 2**13
_FORWARD = 2**18


def info(path: str | os.PathLike) -> Info:
    """What a file says of its recording; nothing is decoded.

    Raises:
      ZooError: the file is missing, empty, truncated, holds no samples or is no audio file.
    """
    with _opened(path) as file:
        return _info(file)


def remarks(path: str | os.PathLike) -> tuple[str, ...]:
    """What was mended in a file to read it, or left out of it, in words.

    Raises:
      ZooError: as `info`.
    """
    with _opened(path) as file:
        found = [f"{', '.join(left)} left out"] if (left := _left_out(file)) else []
        if isinstance(file.name, _Mended):
            seconds = file.frames / file.samplerate
            found.append(
                f"its header tells no length; all {seconds:.1f} s that are there were read"
            )
    return tuple(found)


def sound_bytes(path: str | os.PathLike) -> int:
    """The bytes of a file without the tags at its beginning."""
    with files.opened(path) as file:
        return os.path.getsize(path) - id3_length(file)


def others(path: str | os.PathLike) -> beside.Beside:
    """What lies in a file beside its samples.

    Raises:
      ZooError: as `info`.
    """
    with _opened(path) as file:
        return beside.read(path, file)


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
      path: the file: wav of 8 to 32 bits or float, flac, ogg, mp3, or what else libsndfile
        knows; with PyAV m4a, aac, wma, films and what else that knows.
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
            raise ZooError(f"{path} is shorter than one sample at {wanted} Hz; leave it out")
        start = min(start, total)
        frames = total - start if frames is None else min(frames, total - start)
        plain = rate == wanted
        first, count, skip = (start, frames, 0)
        if not plain:
            first, count, skip = samples.reach(start, frames, rate, wanted)
        count = min(count, file.frames - first)
        if not file.seekable():
            _pass_over(file, first)
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
            # What is damaged within an ogg file libsndfile passes over; then its place is ahead.
            if first and file.seekable() and file.tell() != first:
                raise ZooError(_damaged(path))
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


@contextlib.contextmanager
def _opened(path: str | os.PathLike):
    """The file, or why it is no audio file that can be read."""
    with files.opened(path) as file:
        if not file.read(1):
            raise ZooError(f"{path} is empty; fetch it again, or leave it out")
    if is_truncated(path):
        raise ZooError(f"{path} is truncated; fetch it again, or leave it out")
    with _decoder(path) as file:
        if not file.frames:
            raise ZooError(f"{path} holds no samples; fetch it again, or leave it out")
        if file.frames > min(_FRAME_LIMIT, _MOST_PER_BYTE * os.path.getsize(path)):
            raise ZooError(f"{path} does not say how long it is; encode it again")
        if file.channels > MOST_CHANNELS:
            raise ZooError(
                f"{path} has {file.channels} channels; split it into files of at most "
                f"{MOST_CHANNELS}"
            )
        yield file


@contextlib.contextmanager
def _decoder(path: str | os.PathLike):
    """The file in the hands of libsndfile, or of PyAV where that cannot read it."""
    import soundfile  # noqa: PLC0415 - only recordings need it

    with contextlib.ExitStack() as stack:
        mended = _mended(path)
        if mended is not None:
            stack.enter_context(mended)
        try:
            file = soundfile.SoundFile(mended or os.fspath(path))
        # TypeError: by a suffix such as .raw soundfile takes it for samples without a header.
        except (soundfile.LibsndfileError, TypeError):
            file = Contained(path)
        else:
            total = mpeg.count(path) if file.format == "MP3" else None
            if total is not None and total != file.frames:
                file.close()
                # Behind its own guess libsndfile gives nothing.
                if total > file.frames:
                    raise ZooError(f"{path} does not say how long it is; encode it again")
                kind = {"frames": property(lambda _: total)}
                file = type("Counted", (soundfile.SoundFile,), kind)(os.fspath(path))
        yield stack.enter_context(file)


class _Mended(io.FileIO):
    """A file some of whose bytes are read as others; as it lies, it stays as it is."""

    def __init__(self, path: str | os.PathLike, others: dict[int, bytes]):
        super().__init__(path)
        self._others = others

    def readinto(self, buffer) -> int:
        """Reads what fits into the buffer, as `io.FileIO` does."""
        at, view = self.tell(), memoryview(buffer).cast("B")
        count = super().readinto(view)
        for place, data in self._others.items():
            for index, byte in enumerate(data, place - at):
                if 0 <= index < count:
                    view[index] = byte
        return count


def _mended(path: str | os.PathLike) -> _Mended | None:
    """A wav file that a recorder left behind when it crashed, its length still 0, else None."""
    with files.opened(path) as file:
        if file.read(4) != b"RIFF":
            return None
        found = {chunk.name: chunk for chunk in chunks(file) if chunk.name.isascii()}
        data, size = found.get(b"data"), os.path.getsize(path)
        if data is None or data.length or data.start >= size:
            return None
        # An empty recording may have other chunks behind it, which fill the file to its end.
        after = [chunk for chunk in chunks(file) if chunk.start > data.start]
        named = all(chunk.name.isascii() and chunk.name.decode().isprintable() for chunk in after)
        if after and named and after[-1].start + after[-1].length <= size:
            return None
    lengths = {4: size - 8, data.start - 4: size - data.start}
    return _Mended(path, {at: min(n, 2**32 - 1).to_bytes(4, "little") for at, n in lengths.items()})


def _left_out(file) -> list[str]:
    """What a file of PyAV's has beside the sound that is read, but covers and chapters."""
    return [one for one in getattr(file, "beside", ()) if one not in ("cover", "chapters")]


def _info(file) -> Info:
    return Info(file.samplerate, file.channels, file.frames, file.subtype, file.format)


def _decode(file, path: str | os.PathLike, first: int, count: int, dtype: str) -> np.ndarray:
    """Samples of a file `(count, C)`, checked."""
    import soundfile  # noqa: PLC0415

    if count <= 0:
        return np.zeros((0, file.channels), dtype)
    try:
        # Only where it must move: libsndfile's place in an ogg file is inexact after a second seek.
        if file.seekable() and file.tell() != first:
            file.seek(first)
        x = file.read(count, dtype=dtype, always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ZooError(
            f"{path} is truncated or broken ({reason(error)}); fetch it again, or leave it out"
        ) from None
    if len(x) < count:
        raise ZooError(_damaged(path))
    return check(x, str(path))


def _pass_over(file, count: int) -> None:
    """Decodes so many samples for nothing, of a file in which one cannot go to a place at once."""
    while count > 0:
        found = len(file.read(min(count, _FORWARD), dtype="float32", always_2d=True))
        count = count - found if found else 0


def _damaged(path: str | os.PathLike) -> str:
    return f"{path} is truncated or damaged; fetch it again, or leave it out"


def _changer(rate: int, sample_rate: int | None, channels: int) -> Callable:
    """A function `(block, last) -> block` that resamples what follows on what it had before."""
    if sample_rate in (None, rate):
        return lambda x, last: x
    import soxr  # noqa: PLC0415

    stream = soxr.ResampleStream(rate, sample_rate, channels, dtype="float32")
    return lambda x, last: stream.resample_chunk(np.ascontiguousarray(x), last=last)


@contextlib.contextmanager
def _about(path: str | os.PathLike):
    """Names the file in an error that knows only of its samples."""
    try:
        yield
    except ZooError as error:
        raise ZooError(f"{path}: {error}") from None

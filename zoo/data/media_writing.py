"""Audio written into containers that libsndfile lacks, by PyAV: m4a, mp4, mov, mkv, webm.

The audio takes the place of the source's first audio track, in its codec where there is an encoder
and at its bit rate. Everything else of the source is copied as it is, packet by packet: video,
subtitles, other audio tracks, attachments, chapters and metadata.
"""

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from zoo.data import media_copying, pcm
from zoo.data.file_kinds import MEDIA_FORMATS
from zoo.errors import ZooError

# Encoders, by the name of the codec; of others it is the name itself.
_ENCODERS = {"opus": "libopus", "mp3": "libmp3lame"}
_CODECS = frozenset({"aac", "ac3", "alac", "eac3", "flac", "mp2", "mp3", "opus"})
# By the number of channels, for sources whose layout an encoder does not take.
_LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
# Bits a second of each channel, where the source has another codec.
_BIT_RATE = 96_000
_PIECE = 2**16


@contextlib.contextmanager
def writing(
    path: Path,
    sample_rate: int,
    channels: int,
    *,
    source: Path | None,
    overwrite: bool,
) -> Iterator["MediaPut"]:
    """Write audio piece by piece; for the arguments and errors see `zoo.data.audio_writing`."""

    def begin(before, after) -> MediaPut:
        return MediaPut(path, before, after, sample_rate, channels)

    def refusal(put: MediaPut | None) -> tuple[str, str]:
        return f"hold {channels} channels at {sample_rate} Hz", "end it in .wav"

    with media_copying.writing(path, source, begin, refusal, overwrite=overwrite) as put:
        yield put


class MediaPut:
    """Function that appends pieces to a file.

    Attributes:
      lost: once the file is complete, sentences on what of the source was not kept.
      left: names of the parts of the source that the container cannot hold.
    """

    def __init__(self, path: Path, before, after, sample_rate: int, channels: int):
        self.lost: tuple[str, ...] = ()
        self.left: list[str] = []
        self._path, self._before, self._after = path, before, after
        self._rate, self._channels = sample_rate, channels
        self._copies = media_copying.Copies(path, before, after) if before else None
        # Where the first sample lies, in samples.
        self._at = 0
        source = before.streams.audio[0] if before and before.streams.audio else None
        if source is None:
            self._track = self._encoder(None)
        for stream in before.streams if source else ():
            if stream is source:
                self._track = self._encoder(stream)
                self._at = round(_start(before, stream) * sample_rate)
            else:
                self._copies.add(stream)
        if before:
            self._copies.begin()
            self.left = self._copies.left
        self._integers = not self._track.codec_context.format.name.startswith(("flt", "dbl"))

    def __call__(self, x: np.ndarray) -> int:
        """Append a piece `(T, C)`; return the number of clipped values."""
        import av  # noqa: PLC0415

        x = pcm.to_float(pcm.check(np.asarray(x), f"the audio for {self._path}"))
        if x.shape[1] != self._channels:
            raise ZooError(
                f"{self._path} holds {self._channels} channels, a piece {x.shape[1]}; convert it"
            )
        clipped = 0
        if self._integers:
            clipped = int(np.count_nonzero(np.abs(x) > 1))
            x = np.clip(x, -1, 1)
        layout = self._track.codec_context.layout
        for at in range(0, len(x), _PIECE):
            piece = np.ascontiguousarray(x[at : at + _PIECE].T)
            frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout=layout)
            frame.sample_rate, frame.time_base = self._rate, Fraction(1, self._rate)
            frame.pts = self._at
            self._at += piece.shape[1]
            self._after.mux(self._track.encode(frame))
            # In step, or the muxer would hold all of one track in memory.
            if self._copies:
                self._copies.pass_on(self._at / self._rate)
        return clipped

    def finish(self) -> None:
        """Write what is held back, and the rest of the source's other tracks."""
        self._after.mux(self._track.encode(None))
        if self._copies:
            self._copies.pass_on(float("inf"))

    def _encoder(self, source):
        """The track for the audio, like the source's."""
        _, usual = MEDIA_FORMATS[self._path.suffix.lower()]
        old = source.codec_context if source else None
        codec = old.codec.canonical_name if source else ""
        known = codec in _CODECS or codec.startswith("pcm_")
        # Of a wav or flac file in another container the usual codec, which all players know.
        kept = known and codec in self._after.supported_codecs and _is_media(self._before)
        codec = codec if kept else usual
        import av  # noqa: PLC0415

        name = _ENCODERS.get(codec, codec)
        rates, rate = av.Codec(name, "w").audio_rates, self._rate
        if rates and rate not in rates:
            rate = min((one for one in rates if one >= rate), default=max(rates))
            self.lost += (f"at {rate} Hz, for {codec} takes no {self._rate} Hz",)
        settings = {}
        if codec not in ("alac", "flac") and not codec.startswith("pcm_"):
            settings["bit_rate"] = (kept and old.bit_rate) or _BIT_RATE * self._channels
        layout, form = _fitting(self._path, name, rate, old, self._channels)
        track = self._after.add_stream(name, rate=rate, layout=layout, format=form, **settings)
        if source:
            track.metadata.update(media_copying.kept(source.metadata))
            track.disposition = source.disposition.value
        return track


def _start(container, track) -> float:
    """The time of the first sample in seconds, of the container itself."""
    import av  # noqa: PLC0415

    with av.open(container.name) as again:
        frame = next(again.decode(again.streams[track.index]), None)
    return float(frame.pts * frame.time_base) if frame is not None and frame.pts else 0.0


def _is_media(container) -> bool:
    """Whether a container is one of those written here."""
    names = {form for form, _ in MEDIA_FORMATS.values()}
    return bool(names & set(container.format.name.split(",")))


def _fitting(path: Path, name: str, rate: int, old, channels: int) -> tuple[str, str]:
    """A layout and a sample format that an encoder takes, the nearest to those of the source.

    Raises:
      ZooError: it takes so many channels in no layout, or not at such a rate.
    """
    import av  # noqa: PLC0415

    formats = [one.name for one in av.Codec(name, "w").audio_formats or ()]
    wanted = old.format.name if old else "fltp"
    form = min(formats or [wanted], key=lambda one: (one.rstrip("p") != wanted.rstrip("p"), one))
    layouts = [old.layout.name] if old and len(old.layout.channels) == channels else []
    layouts += [_LAYOUTS.get(channels, ""), f"{channels} channels"]
    for layout in dict.fromkeys(filter(None, layouts)):
        trial = av.CodecContext.create(name, "w")
        try:
            trial.sample_rate, trial.layout, trial.format = rate, layout, form
            trial.time_base = Fraction(1, rate)
            trial.open()
        except (ValueError, av.error.FFmpegError):
            continue
        return layout, form
    raise ZooError(
        f"{path} cannot hold {channels} channels at {rate} Hz as {name}; end it in .wav or .flac"
    )

"""Evaluation of audio: mixtures of speech and noise, in pieces of few lengths."""

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from zoo import files
from zoo.data import audio_writing, file_kinds, pcm
from zoo.errors import ZooError
from zoo.evaluate import spectrograms
from zoo.evaluate.batching import Decoded, Group, Item
from zoo.evaluate.degrade import Mixture, Noise, excerpt, mix
from zoo.evaluate.measure import Evaluator, File, Measured, Sheet, evaluates, figures
from zoo.evaluate.protocol import LOUDEST, SHAPES_IN, AudioProtocol
from zoo.evaluate.result import Apply, Level
from zoo.modality import AUDIO, Metric, to_float
from zoo.models import create_model

# What a model gets in one call: so many seconds in all, in at most so many recordings.
_SECONDS = 64
_BATCH = 16


class Piece(NamedTuple):
    """A recording, or as much of a long one as is scored at once.

    Attributes:
      place: of the recording in its whole set.
      name: of the recording, and where the piece begins if there are several.
      start: its first sample.
      stop: the sample after its last.
      channels: of the recording.
      paired: whether it brings its noisy version.
    """

    place: int
    name: str
    start: int
    stop: int
    channels: int
    paired: bool

    @property
    def length(self) -> int:
        """In samples."""
        return self.stop - self.start


@evaluates(AUDIO)
class AudioEvaluator(Evaluator):
    """Evaluation of recordings at signal-to-noise ratios; see `AudioProtocol` for every choice.

    Every method gets the same mixtures. They depend on the protocol's seed, on the noises and on a
    recording's place in its set: not on the devices, the limit, or the other recordings.
    """

    protocols = AudioProtocol
    baselines: Mapping[str, str] = {name: name for name in ("spectral-gate", "wiener")}
    usual_baselines = ("spectral-gate", "wiener")
    suffixes = file_kinds.AUDIO_SUFFIXES
    skip_undefined = True
    sheets = ("spectrograms", "waveforms")
    rows = 4
    mixes = True
    usual_levels = (0, 5, 10)

    def __init__(self, modality, source, *, noise=None, protocol=None, **options):
        protocol = protocol or AudioProtocol(sample_rate=_rate(source) or 16000)
        if not isinstance(source, Decoded):
            source = Decoded(source, pcm.check)
        super().__init__(modality, source, noise=noise, protocol=protocol, **options)
        self.gains: dict[Path, float] = {}
        self._pieces: list[Piece] = []

    def prepare(self, levels: Mapping[Level, Noise | None]) -> list[str]:
        """Checks the set, the noises and the levels; cuts long recordings.

        Raises:
          ZooError: there is nothing to score or to mix in, or a level without a number of dB.
        """
        notes = super().prepare(levels)
        self.noise = self._noises(levels)
        self._pieces, silent = cut(self.source, self.count, self.protocol)
        return notes + silent

    @property
    def paired(self) -> bool:
        """Whether the recordings bring their own noisy versions."""
        return self.source.excerpt(0, 0, 1).input is not None

    def keys(self) -> list[tuple[tuple[int, int], str]]:
        """The keys and names of all pieces, in order."""
        return [((piece.place, piece.start), piece.name) for piece in self._pieces]

    def groups(self) -> Iterator[Group]:
        """All pieces in batches, the short ones first."""
        return groups(self.source, self._pieces, self.protocol.sample_rate)

    def degrade(
        self, group: Group, level: Level, noise: Noise | None
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """The clean recordings, scaled as their mixtures are, the mixtures and the SNRs."""
        if group.paired:
            mixtures = [Mixture(to_float(i.target), to_float(i.input)) for i in group.items]
        else:
            mixtures = [
                mix(to_float(item.target), self._noise_of(item), level.value, self.protocol)
                for item in group.items
            ]
        clean, noisy = (group.lay(x) for x in zip(*mixtures, strict=True))
        # As in training: where no level is known, 0 stands for it.
        given = np.full(group.capacity, level.value or 0.0, np.float32)
        return jax.device_put((clean, noisy, given))

    def compare(
        self, output: jax.Array, target: jax.Array, sizes: jax.Array, metrics: tuple[Metric, ...]
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """As `Evaluator.compare`."""
        rate = self.protocol.sample_rate
        return output, figures(output, target, sizes, metrics, sample_rate=rate)

    def baseline(self, name: str, group: Group, noisy: jax.Array, level: jax.Array) -> jax.Array:
        """The output of a registered model without parameters."""
        return jnp.asarray(_classical(name, self.protocol.sample_rate)(noisy, level), jnp.float32)

    def write(self, path: Path, part: Measured, method: str, at: int) -> Path:
        """As a wav of 16 bits, scaled down if it would clip; see `gains`."""
        path = path.with_name(f"{path.name}.wav")
        self.write_wavs({path: part.output(method, at)})
        return path

    def write_wavs(self, wavs: Mapping[Path, np.ndarray]) -> None:
        """Writes recordings with one gain for all, 1 unless one would clip."""
        peak = max(float(np.abs(signal).max()) for signal in wavs.values())
        gain = LOUDEST / max(peak, LOUDEST)
        for path, signal in wavs.items():
            audio_writing.write(path, signal * np.float32(gain), self.protocol.sample_rate)
            if gain < 1:
                self.gains[path] = gain

    def draw(self, sheet: Sheet) -> Iterator[File]:
        """Draws spectrograms and waveforms, and writes the output of every method for the ear."""
        drawn = []
        for row in sheet.rows:
            panels = {}
            for method in sheet.shown:
                found = sheet.figures(row.name, method)
                scores = (_captions(found), found.get("si_sdr"))
                panels[method] = spectrograms.Panel(row.signals[method], *scores)
            drawn.append(spectrograms.Row(row.name, panels))
        kinds = (("spectrograms", spectrograms.spectrograms), ("waveforms", spectrograms.waveforms))
        for kind, draw in kinds:
            rate = self.protocol.sample_rate
            draw(sheet.path(kind), drawn, sample_rate=rate, title=sheet.title)
            yield File(sheet.path(kind), kind, sheet.level)
        for row in sheet.rows:
            folder = sheet.outdir / "listen" / sheet.ending
            files.make_folder(folder)
            paths = {m: folder / f"{row.file}_{files.slug(m)}.wav" for m in row.signals}
            self.write_wavs({paths[method]: signal for method, signal in row.signals.items()})
            for method, path in paths.items():
                yield File(path, "listen", sheet.level, row.name, method)

    def facts(self, outdir: Path) -> dict[str, object]:
        """The number of pieces, and the wavs scaled down with their gains."""
        gains = {str(path.relative_to(outdir)): gain for path, gain in self.gains.items()}
        return {"pieces scored": len(self._pieces), "wavs scaled down": gains}

    def _noises(self, levels: Mapping[Level, Noise | None]) -> Decoded | None:
        """The recordings to mix in; None for paired recordings."""
        noise = getattr(self.source, "noise", None) if self.noise is None else self.noise
        for source in (self.source, noise):
            if _rate(source) not in (0, self.protocol.sample_rate):
                raise ZooError(
                    f"the protocol is for {self.protocol.sample_rate} Hz and a set has "
                    f"{_rate(source)} Hz; load it at that rate"
                )
        first = self.source.excerpt(0, 0, 1)
        if self.paired:
            if [level.value for level in levels] != [None]:
                raise ZooError(
                    f"{first.name} brings its own noisy version; give one level without a number"
                )
            return None
        if noise is None or not len(noise):
            raise ZooError(
                f"{first.name} brings no noisy version and there are no noises to mix it with; "
                "name a folder of noises, or take paired recordings"
            )
        for level in levels:
            if level.value is None or not np.isfinite(level.value):
                raise ZooError(f"the level {level.label} has no SNR; give it a number of dB")
        return noise if isinstance(noise, Decoded) else Decoded(noise, pcm.check)

    def _noise_of(self, item: Item) -> np.ndarray:
        length, channels = item.target.shape
        noise = excerpt(
            self.noise, seed=self.protocol.seed, place=item.place, start=item.start, length=length
        )
        if noise.shape[1] not in (1, channels):
            raise ZooError(
                f"the noises have {noise.shape[1]} channels and {item.name} has {channels}; "
                "load both with the same number"
            )
        return noise


def cut(source: Decoded, count: int, protocol: AudioProtocol) -> tuple[list[Piece], list[str]]:
    """The pieces of the first `count` recordings, and a line about each that is left out.

    Raises:
      ZooError: a recording or pair cannot be scored, or some are paired and others not.
    """
    pieces, left_out = [], []
    for place in range(count):
        length = source.length(place)
        number = math.ceil(length / protocol.longest)
        size = math.ceil(length / number)
        for start in range(0, length, size):
            stop = min(start + size, length)
            name, target, noisy = source.excerpt(place, start, stop - start)
            if number > 1:
                name = f"{name} at {start / protocol.sample_rate:.1f} s"
            if target.any():
                pieces.append(Piece(place, name, start, stop, target.shape[1], noisy is not None))
            else:
                left_out.append(f"{name} is silent and was left out")
    if len({piece.paired for piece in pieces}) > 1:
        raise ZooError("some recordings are paired with noisy ones and others not; split them")
    if not pieces:
        raise ZooError("every recording is silent; check the data")
    return pieces, left_out


def groups(source: Decoded, pieces: Sequence[Piece], sample_rate: int) -> Iterator[Group]:
    """All pieces in batches, the short ones first."""
    kinds: dict[tuple[int, int], list[Piece]] = {}
    for piece in pieces:
        kinds.setdefault((canvas(piece.length, sample_rate), piece.channels), []).append(piece)
    for (size, _), own in sorted(kinds.items()):
        most = max(1, min(_BATCH, int(_SECONDS * sample_rate / size)))
        # As even as can be: 17 pieces are 9 and 8, not 16 and one that is computed 16 times.
        capacity = math.ceil(len(own) / math.ceil(len(own) / most))
        for first in range(0, len(own), capacity):
            items = []
            for piece in own[first : first + capacity]:
                _, *signals = source.excerpt(piece.place, piece.start, piece.length)
                items.append(Item(piece.place, piece.name, *signals, piece.start))
            yield Group(items, (size,), capacity, "constant")


def canvas(length: int, sample_rate: int) -> int:
    """The length to which recordings of a length are padded, in samples.

    Multiples of 2 s up to 16 s; beyond, of twice as many every time the length doubles. So there
    are at most four sizes an octave and at most a quarter of zeros in a long one.
    """
    unit = int(SHAPES_IN * sample_rate)
    while length > 8 * unit:
        unit *= 2
    return -(-length // unit) * unit


@functools.cache
def _classical(name: str, rate: int) -> Apply:
    model = create_model(name, sample_rate=rate)
    return jax.jit(lambda x, level: model.apply({}, x, level))


def _rate(source: Sequence | None) -> int:
    """The sample rate that a `Source` knows of itself; 0 for other sequences."""
    return getattr(source, "sample_rate", 0)


def _captions(values: Mapping[str, float]) -> list[str]:
    """The scores below a drawing."""
    words = {"si_sdr": "SI-SDR {:.1f} dB", "pesq": "PESQ {:.2f}", "stoi": "STOI {:.2f}"}
    return [
        w.format(values[name]) for name, w in words.items() if np.isfinite(values.get(name, np.nan))
    ]

"""Evaluation of audio: mixtures of speech and noise, in pieces of few lengths."""

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from zoo import files
from zoo.data import audio_writing, file_kinds, pcm
from zoo.errors import ZooError
from zoo.evaluate import spectrograms
from zoo.evaluate.batching import Decoded, Group, Item, Piece, Size, kind_of
from zoo.evaluate.degrade import Mixture, Noise, excerpt, mix
from zoo.evaluate.galleries import Sheet
from zoo.evaluate.measure import Evaluator, Measured, evaluates
from zoo.evaluate.protocol import LOUDEST, SHAPES_IN, AudioProtocol
from zoo.evaluate.result import Apply, File, Level
from zoo.modality import AUDIO, to_float
from zoo.models import create_model

# What a model gets in one call: so many seconds in all, in at most so many signals.
_SECONDS = 64
_BATCH = 16


@evaluates(AUDIO)
class AudioEvaluator(Evaluator):
    """Evaluation of audio at signal-to-noise ratios; see `AudioProtocol` for every choice.

    Every method gets the same mixtures. They depend on the protocol's seed, on the noises and on a
    signal's place in its set: not on the devices, the limit, or the other signals.
    """

    protocols = AudioProtocol
    baselines: Mapping[str, str] = {name: name for name in ("spectral-gate", "wiener")}
    usual_baselines = ("spectral-gate", "wiener")
    suffixes = file_kinds.AUDIO_SUFFIXES
    padding = "constant"
    skip_undefined = True
    sheets = ("spectrograms", "waveforms")
    captions: Mapping[str, str] = {
        "si_sdr": "SI-SDR {:.1f} dB",
        "pesq": "PESQ {:.2f}",
        "stoi": "STOI {:.2f}",
    }
    rows = 4
    mixes = True
    usual_levels = (0, 5, 10)

    def __init__(self, modality, source, *, noise=None, protocol=None, **options):
        protocol = protocol or AudioProtocol(sample_rate=_rate(source) or 16000)
        if not isinstance(source, Decoded):
            source = Decoded(source, pcm.check)
        super().__init__(modality, source, noise=noise, protocol=protocol, **options)
        self.gains: dict[Path, float] = {}

    def prepare(self, levels: Mapping[Level, Noise | None]) -> list[str]:
        """Checks the set, the noises and the levels; cuts long signals.

        Raises:
          ZooError: there is nothing to score or to mix in, or a level without a number of dB.
        """
        notes = super().prepare(levels)
        if not self.pieces:
            raise ZooError("all audio is silent; check the data")
        if len({piece.paired for piece in self.pieces}) > 1:
            raise ZooError("some audio files are paired with noisy ones and others not; split them")
        self.noise = self._noises(levels)
        return notes

    def cut(self, place: int) -> tuple[list[Piece], list[str]]:
        """As `Evaluator.cut`: equal pieces of at most `AudioProtocol.seconds`."""
        pieces, left_out = [], []
        length = self.source.lengths[place]
        number = math.ceil(length / self.protocol.longest)
        size = math.ceil(length / number)
        for start in range(0, length, size):
            frames = min(size, length - start)
            name, target, noisy = self.source.excerpt(place, start, frames)
            if number > 1:
                name = f"{name} at {start / self.protocol.sample_rate:.1f} s"
            if target.any():
                kind = kind_of(self.canvas(target.shape[:1]), target, noisy)
                pieces.append(Piece(place, name, kind, start, frames))
            else:
                left_out.append(f"{name} is silent and was left out")
        return pieces, left_out

    def canvas(self, size: Size) -> Size:
        """As `Evaluator.canvas`.

        Multiples of 2 s up to 16 s; beyond, of twice as many every time the length doubles. So
        there are at most four sizes an octave and at most a quarter of zeros in a long one.
        """
        unit = int(SHAPES_IN * self.protocol.sample_rate)
        while size[0] > 8 * unit:
            unit *= 2
        return (-(-size[0] // unit) * unit,)

    def most(self, canvas: Size) -> int:
        """As `Evaluator.most`."""
        return max(1, min(_BATCH, int(_SECONDS * self.protocol.sample_rate / canvas[0])))

    def degrade(
        self, group: Group, level: Level, noise: Noise | None
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """The clean signals, scaled as their mixtures are, the mixtures and the SNRs."""
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

    def baseline(self, name: str, group: Group, noisy: jax.Array, level: jax.Array) -> jax.Array:
        """The output of a registered model without parameters."""
        return jnp.asarray(_classical(name, self.protocol.sample_rate)(noisy, level), jnp.float32)

    def write(self, path: Path, part: Measured, method: str, at: int) -> Path:
        """As a wav of 16 bits, scaled down if it would clip; see `gains`."""
        path = path.with_name(f"{path.name}.wav")
        self.write_wavs({path: part.output(method, at)})
        return path

    def write_wavs(self, wavs: Mapping[Path, np.ndarray]) -> None:
        """Writes signals with one gain for all, 1 unless one would clip."""
        peak = max(float(np.abs(signal).max()) for signal in wavs.values())
        gain = LOUDEST / max(peak, LOUDEST)
        for path, signal in wavs.items():
            audio_writing.write(path, signal * np.float32(gain), self.protocol.sample_rate)
            if gain < 1:
                self.gains[path] = gain

    def draw(self, sheet: Sheet) -> Iterator[File]:
        """Draws spectrograms and waveforms, and writes the output of every method for the ear."""
        rows, rate = sheet.panels(self.captions), self.protocol.sample_rate
        for kind in self.sheets:
            path = sheet.path(kind)
            spectrograms.draw(path, rows, kind, sample_rate=rate, title=sheet.title)
            yield File(path, kind, sheet.level)
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
        return {"pieces scored": len(self.pieces), "wavs scaled down": gains}

    def _noises(self, levels: Mapping[Level, Noise | None]) -> Decoded | None:
        """The signals to mix in; None for paired signals."""
        noise = getattr(self.source, "noise", None) if self.noise is None else self.noise
        for source in (self.source, noise):
            if _rate(source) not in (0, self.protocol.sample_rate):
                raise ZooError(
                    f"the protocol is for {self.protocol.sample_rate} Hz and a set has "
                    f"{_rate(source)} Hz; load it at that rate"
                )
        first = self.pieces[0]
        if self.paired:
            if [level.value for level in levels] != [None]:
                raise ZooError(
                    f"{first.name} brings its own noisy version; give one level without a number"
                )
            return None
        if noise is None or not len(noise):
            raise ZooError(
                f"{first.name} brings no noisy version and there are no noises to mix it with; "
                "name a folder of noises, or take pairs of noisy and clean files"
            )
        for level in levels:
            if level.value is None or not np.isfinite(level.value):
                raise ZooError(f"the level {level.label} has no SNR; give it a number of dB")
        return noise if isinstance(noise, Decoded) else Decoded(noise, pcm.check)

    def _noise_of(self, item: Item) -> np.ndarray:
        length, channels = item.target.shape
        noise = excerpt(
            self.noise,
            seed=self.protocol.seed,
            place=item.piece.place,
            start=item.piece.start,
            length=length,
        )
        if noise.shape[1] not in (1, channels):
            raise ZooError(
                f"the noises have {noise.shape[1]} channels and {item.name} has {channels}; "
                "load both with the same number"
            )
        return noise


@functools.cache
def _classical(name: str, rate: int) -> Apply:
    model = create_model(name, sample_rate=rate)
    return jax.jit(lambda x, level: model.apply({}, x, level))


def _rate(source: Sequence | None) -> int:
    """The sample rate that a `Source` knows of itself; 0 for other sequences."""
    return getattr(source, "sample_rate", 0)

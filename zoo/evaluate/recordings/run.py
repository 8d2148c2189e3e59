"""Scores denoisers and classical methods on recordings; writes tables, wavs and pictures."""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import jax
import numpy as np

from zoo import files
from zoo.data import file_kinds
from zoo.data.sources import Example
from zoo.errors import ZooError, unknown
from zoo.evaluate import means, naming
from zoo.evaluate.means import Means
from zoo.evaluate.pictures import spread
from zoo.evaluate.recordings import figures, outputs
from zoo.evaluate.recordings.measure import Apply, measure
from zoo.evaluate.recordings.pieces import Piece, cut
from zoo.evaluate.recordings.pool import Pool
from zoo.evaluate.recordings.protocol import RecordingProtocol
from zoo.evaluate.recordings.reading import Reader
from zoo.evaluate.recordings.result import METRICS, Result, Score
from zoo.models import create_model

BASELINES = ("spectral-gate", "wiener")
_GALLERY_ROWS = 4


def evaluate_recordings(
    models: Mapping[str, Apply],
    recordings: Sequence[Example],
    *,
    levels: Mapping[str, float | None],
    outdir: str | os.PathLike,
    noise: Sequence[Example] | None = None,
    protocol: RecordingProtocol | None = None,
    baselines: Sequence[str] = BASELINES,
    metrics: Sequence[str] = METRICS,
    heading: str = "{}",
    limit: int | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Result:
    """Denoises mixtures at every level by the models and the baselines, and scores them all.

    Every method hears the same mixtures. They depend on the protocol's seed, on the noises and on
    a recording's place in its set: not on the devices, the limit, or the other recordings.

    Written under `outdir`, each file whole or not at all: `per_recording.csv`; `summary.json` and
    `summary.csv`, the means over all recordings and levels; `by_level.json`; `protocol.json`;
    `curves_<metric>.png`, the means by level; the first model's recordings as
    `denoised/<level>/<name>.wav`; and of a few recordings, spread over the set,
    `listen/<level>/<name>_<method>.wav`, `spectrograms_<level>.png` and `waveforms_<level>.png`.
    Wavs have 16 bits. One that would leave their range is scaled down, those of one recording in
    `listen` together; `protocol.json` says which and by how much. What an earlier evaluation left
    in `denoised` and `listen` is removed.

    A figure that is undefined for a recording by any method, as PESQ is where it hears no speech,
    is left out of the means of all methods, and `notes` counts it; `per_recording.csv` says nan.

    Args:
      models: the models by name, `(noisy (B, T, C), level (B,)) -> (B, T, C)`, float32. They
        are called as they are: jit them, with the parameters among their arguments. B is at most
        16, and as many as come to a minute; T is 2 s or a multiple. The level is the SNR in dB,
        0 for paired recordings.
      recordings: what to score on; each is read twice, to look for silence and to be scored.
      levels: for each printable label, such as "5", the SNR in dB. Recordings that bring their own
        noisy twin ignore it; theirs is None, with any one label.
      outdir: the folder, made if missing.
      noise: the recordings to mix in; None for those of `recordings.noise`, if it has them.
      protocol: the choices, the sample rate among them; None for the defaults at the rate of
        `recordings`, or 16 kHz where it tells none.
      baselines: registered models without parameters.
      metrics: of `METRICS`; those whose package is missing are left out, which `notes` tells.
      heading: what stands above pictures, with `{}` for the level's label.
      limit: only the first so many recordings, for every method; None for all.
      workers: how many processes compute PESQ and STOI; None for one a core, 0 for none.
      progress: called with the number of recordings done and to do, over all levels.

    Raises:
      ZooError: for no recordings, levels or noises, an unknown name, shapes that do not agree, an
        output that is not finite, or a file that cannot be written.
    """
    outdir = Path(outdir)
    protocol = protocol or RecordingProtocol(sample_rate=_rate(recordings) or 16000)
    count, noises = _check(recordings, levels, noise, limit, protocol)
    reader = Reader(recordings)
    wanted, notes = figures.available(metrics, protocol.sample_rate)
    methods = _methods(models, baselines, protocol.sample_rate)
    pieces, silent = cut(reader, count, protocol)
    notes += silent
    for old in ("denoised", "listen"):
        shutil.rmtree(outdir / old, ignore_errors=True)
    for level in levels:
        for folder in ("denoised", "listen"):
            files.make_folder(outdir / folder / files.slug(level))
    for old in [*outdir.glob("spectrograms_*.png"), *outdir.glob("waveforms_*.png")]:
        old.unlink()

    first = next(iter(models), None)
    names = _file_names(pieces)
    samples = {pieces[place] for place in spread(len(pieces), _GALLERY_ROWS)}
    kept: dict[str, dict[Piece, dict[str, np.ndarray]]] = {level: {} for level in levels}
    gains: dict[str, float] = {}
    pending: list[tuple[tuple, dict]] = []
    total, done = len(pieces) * len(levels), 0
    jobs = total * (len(methods) + 1) * sum(name in figures.LISTENERS for name in wanted)
    with Pool(jobs, workers) as pool:
        measured = measure(
            methods,
            reader,
            pieces,
            noises=noises,
            levels=levels,
            protocol=protocol,
            wanted=wanted,
            pool=pool,
        )
        for part in measured:
            for at, piece in enumerate(part.pieces):
                for method, values in part.scores.items():
                    key = (part.level, piece, method)
                    pending.append((key, {name: v[at] for name, v in values.items()}))
                heard = {"clean": part.mixtures[at].clean}
                heard |= {method: outputs[at] for method, outputs in part.outputs.items()}
                if first is not None:
                    place = f"denoised/{files.slug(part.level)}/{names[piece]}.wav"
                    outputs.write_wavs(outdir, {place: heard[first]}, protocol.sample_rate, gains)
                if piece in samples:
                    # Copies: a slice would keep its whole batch.
                    kept[part.level][piece] = {name: x.copy() for name, x in heard.items()}
            done += len(part.pieces)
            if progress:
                progress(done, total)
        scores, undefined = _settle(pending, levels, pieces, wanted)
    notes += undefined

    result = Result(
        scores,
        _means(scores, wanted),
        {level: _means([s for s in scores if s.level == level], wanted) for level in levels},
        protocol,
        wanted,
        notes,
        noises is None,
    )
    for level, heard in kept.items():
        outputs.write_listening(outdir, level, heard, names, protocol.sample_rate, gains)
        outputs.draw_rows(
            outdir, level, heading.format(level), heard, result, list(models), baselines
        )
    outputs.draw_curves(outdir, levels, result, ["noisy", *baselines], len(pieces))
    facts = {
        "levels": dict(levels),
        "recordings": count,
        "pieces scored": len(pieces),
        "limit": limit,
        "metrics": {name: figures.COLUMNS[name].heading for name in wanted},
        "notes": notes,
        "wavs scaled down": gains,
    }
    outputs.write_tables(outdir, result, facts)
    return result


def mean_si_sdr(
    apply: Apply,
    recordings: Sequence[Example],
    *,
    levels: Mapping[str, float | None],
    noise: Sequence[Example] | None = None,
    protocol: RecordingProtocol | None = None,
    limit: int | None = None,
) -> float:
    """The figure `evaluate_recordings` gives for a model's SI-SDR, without the rest and the files.

    Arguments and errors as there; the mixtures are the same too.

    Returns:
      The mean over all recordings and levels, in dB.
    """
    protocol = protocol or RecordingProtocol(sample_rate=_rate(recordings) or 16000)
    count, noises = _check(recordings, levels, noise, limit, protocol)
    reader = Reader(recordings)
    pieces, _ = cut(reader, count, protocol)
    measured = measure(
        {"model": apply},
        reader,
        pieces,
        noises=noises,
        levels=levels,
        protocol=protocol,
        wanted=("si_sdr",),
        noisy_too=False,
    )
    return float(np.mean([v for part in measured for v in part.scores["model"]["si_sdr"]]))


def _check(
    recordings: Sequence[Example],
    levels: Mapping[str, float | None],
    noise: Sequence[Example] | None,
    limit: int | None,
    protocol: RecordingProtocol,
) -> tuple[int, Reader | None]:
    """How many recordings are scored, and the noises; None for paired recordings."""
    count = len(recordings) if limit is None else min(limit, len(recordings))
    if count < 1:
        raise ZooError("there is no recording to evaluate on; check the data and the limit")
    if not levels:
        raise ZooError("there is no level to evaluate at; name at least one")
    if len({files.slug(label) for label in levels}) < len(levels):
        raise ZooError(f"two levels would share a file name: {', '.join(levels)}; rename one")
    noise = getattr(recordings, "noise", None) if noise is None else noise
    for source in (recordings, noise):
        if _rate(source) not in (0, protocol.sample_rate):
            raise ZooError(
                f"the protocol is for {protocol.sample_rate} Hz and a set has {_rate(source)} Hz; "
                "load it at that rate"
            )
    first = Reader(recordings).read(0, 0, 1)
    if first.input is not None:
        if list(levels.values()) != [None]:
            raise ZooError(
                f"{first.name} brings its own noisy twin; give one level, whose SNR is None"
            )
        return count, None
    if noise is None or not len(noise):
        raise ZooError(
            f"{first.name} brings no noisy twin and there are no noises to mix it with; name a "
            "folder of noises, or take paired recordings"
        )
    for label, snr in levels.items():
        if snr is None or not np.isfinite(snr):
            raise ZooError(f"the level {label} has no SNR; give it a number of dB")
    return count, Reader(noise)


def _rate(recordings: Sequence[Example]) -> int:
    """The sample rate that a `Source` knows of itself; 0 for other sequences."""
    return getattr(recordings, "sample_rate", 0)


def _methods(models: Mapping[str, Apply], baselines: Sequence[str], rate: int) -> dict[str, Apply]:
    """The models, then the baselines."""
    methods = dict(models)
    for name in baselines:
        if name not in BASELINES:
            raise unknown("baseline", name, BASELINES)
        if name in methods:
            raise ZooError(f"two rows would be called {name}; name each method once")
        methods[name] = _classical(name, rate)
    for name in ("clean", "noisy"):
        if name in models:
            raise ZooError(f"a model cannot be called {name}, as the recordings are; rename it")
    return methods


def _classical(name: str, rate: int) -> Apply:
    model = create_model(name, sample_rate=rate)
    return jax.jit(lambda x, level: model.apply({}, x, level))


def _file_names(pieces: Sequence[Piece]) -> dict[Piece, str]:
    used: Counter[str] = Counter()
    return {piece: naming.unique(piece.name, used, file_kinds.AUDIO_SUFFIXES) for piece in pieces}


def _settle(
    pending: Sequence[tuple[tuple[str, Piece, str], dict]],
    levels: Mapping[str, float | None],
    pieces: Sequence[Piece],
    wanted: tuple[str, ...],
) -> tuple[list[Score], list[str]]:
    """The scores in the order of levels and recordings, and a note about undefined figures."""
    place = {level: number for number, level in enumerate(levels)}
    order = {piece: number for number, piece in enumerate(pieces)}
    scores, reasons = [], {}
    for (level, piece, method), values in sorted(
        pending, key=lambda item: (place[item[0][0]], order[item[0][1]])
    ):
        found = {}
        for name in wanted:
            value = values[name]
            if not isinstance(value, float):
                value, why = value.result()
                if why:
                    reasons.setdefault(name, {}).setdefault((level, piece), (method, why))
            found[name] = value
        scores.append(Score(level, piece.name, method, found))
    notes = []
    for name, cases in reasons.items():
        (_, piece), (method, why) = next(iter(cases.items()))
        notes.append(
            f"no {name.upper()} for {len(cases)} of {len(levels) * len(pieces)} mixtures, left out "
            f"of every method's mean; {method} of {piece.name}: {why}"
        )
    return scores, notes


def _means(scores: Sequence[Score], wanted: tuple[str, ...]) -> Means:
    """Method -> metric -> mean over the mixtures for which every method has a figure."""
    lost: dict[str, set] = {
        name: {(s.level, s.recording) for s in scores if not np.isfinite(s.figures[name])}
        for name in wanted
    }
    found: Means = {}
    for method in dict.fromkeys(score.method for score in scores):
        mine = [score for score in scores if score.method == method]
        found[method] = {}
        for name in wanted:
            values = [s.figures[name] for s in mine if (s.level, s.recording) not in lost[name]]
            found[method][name] = means.finite(np.mean(values)) if values else None
    return found

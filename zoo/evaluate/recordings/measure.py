"""The core of an evaluation of recordings: mix, denoise, compare, in batches on the device."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from zoo.data import pcm
from zoo.errors import ZooError
from zoo.evaluate.recordings import figures
from zoo.evaluate.recordings.mixing import Mixture, excerpt, mix
from zoo.evaluate.recordings.pieces import Group, Piece, groups
from zoo.evaluate.recordings.pool import Pool
from zoo.evaluate.recordings.protocol import RecordingProtocol
from zoo.evaluate.recordings.reading import Reader

Apply = Callable[[jax.Array, jax.Array], jax.Array]
"""`(noisy (B, T, C), level (B,)) -> (B, T, C)`, float32."""


class Measured(NamedTuple):
    """What came of one group of pieces at one level.

    Attributes:
      level: its label.
      pieces: which.
      mixtures: what was denoised, one a piece.
      outputs: method -> one (T, C) a piece, float32, "noisy" among them.
      scores: method -> metric -> one figure a piece: a float, or a future `Verdict`.
    """

    level: str
    pieces: list[Piece]
    mixtures: list[Mixture]
    outputs: dict[str, list[np.ndarray]]
    scores: dict[str, dict[str, Sequence[float | Future]]]


def measure(
    models: Mapping[str, Apply],
    recordings: Reader,
    pieces: Sequence[Piece],
    *,
    noises: Reader | None,
    levels: Mapping[str, float | None],
    protocol: RecordingProtocol,
    wanted: tuple[str, ...],
    pool: Pool | None = None,
    noisy_too: bool = True,
) -> Iterator[Measured]:
    """Scores methods on pieces at every level, group by group.

    Args:
      models: by name; called as they are, so jit them, with the parameters among their arguments.
      recordings: the whole set; each piece is read once.
      pieces: as `pieces.cut` finds them.
      noises: the noise recordings; None for paired ones.
      levels: label -> SNR in dB, None for paired ones.
      protocol: the choices.
      wanted: of `figures.COLUMNS`.
      pool: who computes those of `figures.LISTENERS`; needed if one is wanted.
      noisy_too: whether the mixture is scored as the method "noisy".

    Raises:
      ZooError: a model's output does not fit or is not finite, or a noise cannot be used.
    """
    for group in groups(pieces, protocol.sample_rate):
        sources = [_read(recordings, piece) for piece in group.pieces]
        backgrounds = None
        if not group.pieces[0].paired:
            backgrounds = [_noise(noises, piece, protocol.seed) for piece in group.pieces]
        for label, snr in levels.items():
            if backgrounds is None:
                mixtures = [Mixture(clean, noisy) for clean, noisy in sources]
            else:
                mixtures = [
                    mix(clean, noise, snr, protocol)
                    for (clean, _), noise in zip(sources, backgrounds, strict=True)
                ]
            outputs, scores = _denoise(models, group, mixtures, snr, protocol, wanted, noisy_too)
            for method, values in scores.items():
                for metric in figures.LISTENERS:
                    if metric in wanted:
                        values[metric] = [
                            pool.judge(metric, output, mixture.clean, protocol.sample_rate)
                            for output, mixture in zip(outputs[method], mixtures, strict=True)
                        ]
            yield Measured(label, group.pieces, mixtures, outputs, scores)


def _read(recordings: Reader, piece: Piece) -> tuple[np.ndarray, np.ndarray | None]:
    """The target of a piece, and its own input if it has one, as float32."""
    _, target, noisy = recordings.read(piece.place, piece.start, piece.stop)
    return pcm.to_float(target), None if noisy is None else pcm.to_float(noisy)


def _noise(noises: Reader, piece: Piece, seed: int) -> np.ndarray:
    noise = excerpt(noises, seed=seed, place=piece.place, start=piece.start, length=piece.length)
    if noise.shape[1] not in (1, piece.channels):
        raise ZooError(
            f"the noises have {noise.shape[1]} channels and {piece.name} has {piece.channels}; "
            "load both with the same number"
        )
    return noise


def _denoise(
    models: Mapping[str, Apply],
    group: Group,
    mixtures: Sequence[Mixture],
    snr: float | None,
    protocol: RecordingProtocol,
    wanted: tuple[str, ...],
    noisy_too: bool,
) -> tuple[dict, dict]:
    """What every method makes of a group, and what the device says of it."""
    clean, noisy = jax.device_put(
        (group.lay([m.clean for m in mixtures]), group.lay([m.noisy for m in mixtures]))
    )
    lengths = group.lengths
    # As in training: where no level is known, 0 stands for it.
    level = jnp.full(group.capacity, snr or 0.0, jnp.float32)
    outputs, scores = {}, {}
    methods: dict[str, Apply] = dict(models)
    if noisy_too:
        methods["noisy"] = lambda x, _: x
    for name, apply in methods.items():
        output = jnp.asarray(apply(noisy, level), jnp.float32)
        if output.shape != noisy.shape:
            raise ZooError(f"{name} turned recordings of {noisy.shape} into {output.shape}")
        found = figures.measure(
            output, clean, lengths, wanted=wanted, sample_rate=protocol.sample_rate
        )
        found, whole = jax.device_get((found, output))
        for piece, good in zip(group.pieces, found.pop("finite"), strict=False):
            if not good:
                raise ZooError(
                    f"the output of {name} for {piece.name} is not finite; if it diverged in "
                    "training, take an earlier checkpoint or a lower learning rate"
                )
        outputs[name] = [whole[at, : piece.length] for at, piece in enumerate(group.pieces)]
        scores[name] = {
            metric: [float(value) for value in found[metric][: len(group.pieces)]]
            for metric in figures.COLUMNS
            if metric in found
        }
    if "si_sdr_gain" in wanted:
        for values in scores.values():
            values["si_sdr_gain"] = [
                mine - theirs
                for mine, theirs in zip(values["si_sdr"], scores["noisy"]["si_sdr"], strict=True)
            ]
    return outputs, scores

"""The core of every evaluation: degrade, denoise, compare, in batches on the device.

An `Evaluator` states how the examples of one modality are batched, degraded, compared and written;
`measure` drives any of them. The base class suits every modality: examples of any number of axes,
noise by the samplers of `zoo.noise`, metrics of the modality. Images and audio refine it.
"""

import functools
import importlib.util
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from zoo.data.windows import middle
from zoo.errors import ZooError, unknown
from zoo.evaluate.batching import Decoded, Group, Piece, Size, groups, kind_of
from zoo.evaluate.degrade import Noise, degrade
from zoo.evaluate.galleries import Sheet
from zoo.evaluate.protocol import Protocol
from zoo.evaluate.result import Apply, File, Level
from zoo.metrics.perceptual import Pool
from zoo.modality import Metric, Modality, get, of_batch, to_float

# What a model gets in one call: 64 images of 64x64, or as many values of larger ones.
_BATCH = 64
_BATCH_VALUES = 64 * 64 * 64


class Measured(NamedTuple):
    """The outcome of one group at one level.

    Attributes:
      group: the items.
      target: (B, *canvas, C), what the outputs are compared with.
      outputs: method -> (B, *canvas, C) as it was scored, "noisy" among them. They stay on the
        device until looked at.
      scores: method -> metric -> one figure for each item.
      reasons: (metric, place in the group, method) -> why there is no figure.
    """

    group: Group
    target: jax.Array
    outputs: dict[str, jax.Array]
    scores: dict[str, dict[str, list[float]]]
    reasons: dict[tuple[str, int, str], str]

    def output(self, method: str, at: int) -> np.ndarray:
        """A method's output for one item, (..., C), without its padding; "clean" is the target."""
        whole = self.target if method == "clean" else self.outputs[method]
        # The whole batch, which jax then keeps: one transfer for all its items.
        return np.asarray(whole)[at][tuple(map(slice, self.group.sizes[at]))]


class Evaluator:
    """How the examples of one modality are evaluated.

    Args:
      modality: of the examples.
      source: the test set, any sequence of examples.
      noise: signals to mix in, for modalities that do.
      protocol: the choices; the defaults if None.
      limit: only the first so many examples; None for all.
      sigma_known: whether the level is the standard deviation of white noise, and is given to the
        baselines; they estimate it otherwise, and always for paired data.

    Attributes:
      protocols: the class of the choices.
      baselines: the classical methods by name.
      usual_baselines: those that an evaluation runs by default.
      suffixes: of files, in lower case, which names of examples lose.
      padding: as for `Group`.
      pieces: what is scored, in order; there once `prepare` is called.
      skip_undefined: as for `mean_scores`.
      sheets: the kinds of files that `draw` writes.
      captions: how scores read below an example that is drawn, the main one first.
      rows: how many examples are drawn.
      mixes: whether levels are SNRs at which signals of noise are mixed in.
      usual_levels: of a training that names none.
    """

    protocols: type[Protocol] = Protocol
    baselines: Mapping[str, Any] = {}
    usual_baselines: tuple[str, ...] = ()
    suffixes: Collection[str] = ()
    padding = "reflect"
    skip_undefined = False
    sheets: tuple[str, ...] = ()
    captions: Mapping[str, str] = {}
    rows = 0
    mixes = False
    usual_levels: tuple[float, ...] = ()

    def __init__(
        self,
        modality: Modality,
        source: Sequence,
        *,
        noise: Sequence | None = None,
        protocol: Protocol | None = None,
        limit: int | None = None,
        sigma_known: bool = False,
    ):
        self.modality = modality
        self.source = source if isinstance(source, Decoded) else Decoded(source)
        self.noise = noise
        self.protocol = protocol or self.protocols()
        self.count = len(source) if limit is None else min(limit, len(source))
        self.sigma_known = sigma_known

    def prepare(self, levels: Mapping[Level, Noise | None]) -> list[str]:
        """Checks the set and the levels, and plans `pieces`; returns notes about what is left out.

        Raises:
          ZooError: there is nothing to score, or an example or a level does not fit.
        """
        if self.count < 1:
            raise ZooError(
                f"there is no {self.modality.noun} to evaluate on; check the data and the limit"
            )
        if not levels:
            raise ZooError("there is no noise level to evaluate at; name at least one")
        found = [self.cut(place) for place in range(self.count)]
        self.pieces = [piece for pieces, _ in found for piece in pieces]
        return [note for _, notes in found for note in notes]

    def cut(self, place: int) -> tuple[list[Piece], list[str]]:
        """The pieces of an example, and notes about those that are left out."""
        name, target, noisy = self.source[place]
        return [Piece(place, name, kind_of(self.canvas(target.shape[:-1]), target, noisy))], []

    def canvas(self, size: Size) -> Size:
        """The spatial size to which examples of a size are padded."""
        return size

    def most(self, canvas: Size) -> int:
        """How many items one call of a model takes."""
        return min(_BATCH, max(_BATCH_VALUES // math.prod(canvas), 1))

    def center(self, x: jax.Array) -> jax.Array:
        """What counts of an example: of a window of planes its center, (B, *canvas, C)."""
        windowed = getattr(self.source, "window", 1) > 1
        return middle(x, self.source.channels) if windowed else x

    @property
    def paired(self) -> bool:
        """Whether the examples bring their own noise."""
        return self.pieces[0].paired

    @property
    def scales(self) -> dict[str, float]:
        """What metrics are given of the signals: their range, and their sample rate in Hz."""
        low, high = self.modality.range
        return {"data_range": high - low, "sample_rate": self.protocol.sample_rate}

    def groups(self) -> Iterator[Group]:
        """All pieces in batches."""
        return groups(self.source, self.pieces, self.most, self.padding)

    def degrade(
        self, group: Group, level: Level, noise: Noise | None
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """The targets, the noisy inputs and the levels that models are given, on the device.

        Raises:
          ZooError: an item has no input of its own, and there is no noise to add.
        """
        target = jax.device_put(group.lay([item.target for item in group.items]))
        if group.paired:
            # As in training: no level is known, and 0 stands for it.
            noisy = to_float(group.lay([item.input for item in group.items]))
            return target, *jax.device_put((noisy, np.zeros(len(noisy), np.float32)))
        return target, *self.add_noise(group, target, level, noise)

    def add_noise(
        self, group: Group, target: jax.Array, level: Level, noise: Noise | None
    ) -> tuple[jax.Array, jax.Array]:
        """The noisy inputs and the levels of items without inputs of their own."""
        if noise is None:
            name = group.items[0].name
            raise ZooError(f"{name} brings no input of its own; name a noise to add")
        return degrade(noise, self.protocol.seed, group.index, to_float(target))

    def compare(
        self, output: jax.Array, target: jax.Array, sizes: jax.Array, metrics: tuple[Metric, ...]
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """The outputs as they are scored, and the figures; see `figures`."""
        return output, figures(output, to_float(target), sizes, metrics, **self.scales)

    def baseline(
        self, name: str, group: Group, noisy: jax.Array, level: jax.Array
    ) -> np.ndarray | jax.Array:
        """The output of a baseline, (B, *canvas, C)."""
        return self.baselines[name](noisy, level)

    def available(self, names: Iterable[str] | None) -> tuple[tuple[Metric, ...], list[str]]:
        """Those of some metrics that can be computed here, and why the others cannot.

        Args:
          names: which; None for the usual ones.

        Raises:
          ZooError: a metric is unknown.
        """
        found, notes = [], []
        rate = self.protocol.sample_rate
        for metric in self.modality.choose(names):
            title = metric.name.upper()
            if metric.package and importlib.util.find_spec(metric.package) is None:
                notes.append(
                    f"no {title}: it needs the package {metric.package}; "
                    f"pip install {metric.package}, or denoising-zoo[audio]"
                )
            elif metric.sample_rates and rate not in metric.sample_rates:
                rates = " and ".join(map(str, sorted(metric.sample_rates, reverse=True)))
                notes.append(f"no {title}: it is defined at {rates} Hz, not {rate}")
            else:
                found.append(metric)
        return tuple(found), notes

    def write(self, path: Path, part: Measured, method: str, at: int) -> Path:
        """Writes an output to a file of that path with a suffix added; returns the file."""
        path = path.with_name(f"{path.name}.npy")
        np.save(path, part.output(method, at))
        return path

    def draw(self, sheet: Sheet) -> Iterator[File]:
        """Draws some examples and yields the files written."""
        return iter(())

    def facts(self, outdir: Path) -> dict[str, object]:
        """Further facts for `protocol.json`, with files below `outdir`."""
        return {}


_EVALUATORS: dict[str, type[Evaluator]] = {}


def evaluates(modality: Modality):
    """A decorator that makes a class the `Evaluator` of a modality."""

    def register(kind: type[Evaluator]) -> type[Evaluator]:
        _EVALUATORS[modality.name] = kind
        return kind

    return register


def modality_of(source: Sequence) -> Modality:
    """The modality of a source, or of a sequence of examples by their number of axes.

    Raises:
      ZooError: it cannot be known.
    """
    name = getattr(source, "modality", "")
    if name:
        return get(name)
    if not len(source):
        raise ZooError("there is nothing to evaluate on; check the data")
    found = of_batch(source[0].target.ndim + 1)
    if found is None:
        raise ZooError(f"an example has shape {source[0].target.shape}; name the modality")
    return found


def evaluator_class(modality: Modality) -> type[Evaluator]:
    """The class that evaluates a modality."""
    return _EVALUATORS.get(modality.name, Evaluator)


def measure(
    models: Mapping[str, Apply],
    evaluator: Evaluator,
    level: Level,
    noise: Noise | None,
    *,
    metrics: tuple[Metric, ...],
    baselines: Sequence[str] = (),
    pool: Pool | None = None,
    with_noisy: bool = True,
) -> Iterator[Measured]:
    """Scores methods at one level, group by group.

    Args:
      models: by name; called as they are, so jit them, with the parameters among their arguments.
      evaluator: of the test set.
      level: of the noise.
      noise: the noise itself; None for paired examples and where the evaluator mixes.
      metrics: which.
      baselines: names of `evaluator.baselines`.
      pool: computes the metrics of packages; needed if there is one.
      with_noisy: whether the noisy input is scored as the method "noisy".

    Raises:
      ZooError: an example or a model's output does not fit, or an output is not finite.
    """
    methods: dict[str, Apply] = dict(models)
    if with_noisy:
        methods["noisy"] = lambda x, level: evaluator.center(x)
    gained = (evaluator.modality.metrics[one.gain_of] for one in metrics if one.gain_of)
    needed = tuple(dict.fromkeys([*metrics, *gained]))
    for group in evaluator.groups():
        target, seen, given = evaluator.degrade(group, level, noise)
        target, noisy = evaluator.center(target), evaluator.center(seen)
        sizes = jax.device_put(group.sizes)
        outputs, scores = {}, {}

        def score(name, output, target=target, sizes=sizes, outputs=outputs, scores=scores):
            outputs[name], scores[name] = evaluator.compare(output, target, sizes, needed)

        for name, apply in methods.items():
            output = jnp.asarray(apply(seen, given), jnp.float32)
            if output.shape != noisy.shape:
                plural = evaluator.modality.plural
                raise ZooError(f"{name} turned {plural} of {noisy.shape} into {output.shape}")
            score(name, output)
        for name in baselines:
            score(name, evaluator.baseline(name, group, noisy, given))
        part = Measured(group, target, outputs, _fetched(scores, group), {})
        yield _completed(part, evaluator, metrics, pool)


def _fetched(scores: Mapping, group: Group) -> dict[str, dict[str, list[float]]]:
    """The figures on the host, without those of what filled a batch up."""
    found = {}
    for method, values in jax.device_get(scores).items():
        for item, good in zip(group.items, values["finite"], strict=False):
            if not good:
                raise ZooError(
                    f"the output of {method} for {item.name} is not finite; if it diverged in "
                    "training, take an earlier checkpoint or a lower learning rate"
                )
        found[method] = {
            name: [float(value) for value in values[name][: len(group.items)]]
            for name in values
            if name != "finite"
        }
    # In the order of `scores`: what jax returns is sorted by name.
    return {method: found[method] for method in scores}


def _completed(
    part: Measured, evaluator: Evaluator, metrics: tuple[Metric, ...], pool: Pool | None
) -> Measured:
    """The figures of all metrics in their order: of JAX, of packages, and gains."""
    count = range(len(part.group.items))
    packaged = {m.name: m.bound(**evaluator.scales) for m in metrics if m.package}
    keys = [(name, at, method) for method in part.scores for name in packaged for at in count]
    jobs = [
        (packaged[name], *(to_float(part.output(one, at)) for one in (method, "clean")))
        for name, at, method in keys
    ]
    verdicts = dict(zip(keys, pool.judge(jobs) if jobs else (), strict=True))

    def values(method: str, metric: Metric) -> list[float]:
        own = part.scores[method]
        if metric.gain_of:
            pairs = zip(own[metric.gain_of], part.scores["noisy"][metric.gain_of], strict=True)
            return [after - before for after, before in pairs]
        if metric.package:
            return [verdicts[metric.name, at, method].value for at in count]
        return own[metric.name]

    return part._replace(
        scores={method: {m.name: values(method, m) for m in metrics} for method in part.scores},
        reasons={key: verdict.reason for key, verdict in verdicts.items() if verdict.reason},
    )


@functools.partial(jax.jit, static_argnames=("metrics", "sample_rate"))
def figures(
    output: jax.Array,
    target: jax.Array,
    sizes: jax.Array,
    metrics: tuple[Metric, ...],
    *,
    data_range: jax.Array | float = 1.0,
    scale: jax.Array | float = 1.0,
    sample_rate: int = 0,
) -> dict[str, jax.Array]:
    """The figures that functions of JAX compute.

    Args:
      output: (B, *canvas, C), float32.
      target: of the same shape.
      sizes: (B, number of spatial axes), the part of each that counts.
      metrics: which; those of packages are passed over, and of gains the metric they compare.
      data_range: for the metrics that take it, a number or (B,).
      scale: what figures with the signal's unit are divided by, to its power.
      sample_rate: for the metrics that take it, in Hz.

    Returns:
      Metric -> (B,), NaN where the canvas is too small for it.
    """
    extent = {"size": sizes} if sizes.shape[1] > 1 else {"length": sizes[:, 0]}
    given = {"data_range": data_range, "sample_rate": sample_rate, **extent}
    own = [metric for metric in metrics if metric.function and not metric.package]
    found = {metric.name: _figure(metric, output, target, given, scale) for metric in own}
    return found | {"finite": all_finite(output, sizes)}


def _figure(metric: Metric, output, target, given: Mapping, scale) -> jax.Array:
    if min(output.shape[1:-1]) < metric.least:
        return jnp.full(output.shape[:1], jnp.nan)
    value = metric.bound(**given)(output, target)
    return value / scale**metric.power if metric.power else value


def all_finite(output: jax.Array, sizes: jax.Array) -> jax.Array:
    """Whether every value of each example that counts is finite, (B,)."""
    inside = inside_of(sizes, output.shape[1:-1])
    return jnp.all(jnp.isfinite(output) | ~inside[..., None], axis=tuple(range(1, output.ndim)))


def inside_of(sizes: jax.Array, canvas: Sequence[int]) -> jax.Array:
    """Which places of a canvas belong to each example, (B, *canvas)."""
    limits = sizes.reshape(*sizes.shape, *(1 for _ in canvas))
    return jnp.all(jnp.indices(canvas)[None] < limits, axis=1)


def check_baselines(names: Iterable[str], known: Mapping[str, Any]) -> None:
    """Refuses unknown baselines.

    Raises:
      ZooError: there is one.
    """
    for name in names:
        if name not in known:
            raise unknown("baseline", name, known)

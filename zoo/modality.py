"""The kinds of signals: what images, audio and others differ in, stated once.

Whatever depends on the kind of signal takes a `Modality`: the registries of noise, losses, metrics,
baselines and data sources, the training step and the evaluation. A further kind, such as volumes,
is one more instance, `register(Modality("volume", ...))`, and entries in those registries.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from zoo.errors import ZooError, unknown


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Metric:
    """A figure of merit: its function and how it is shown.

    Attributes:
      name: its key, such as `"psnr"`.
      function: `(output, target, **options) -> (...)`, one figure for each example; for `options`
        see `bound`.
      heading: its column heading, with the unit.
      digits: after the decimal point.
      higher: whether larger is better.
      usual: whether an evaluation computes it by default.
      power: in which power of the signal's unit the figure is; 0 without a unit.
      least: the shortest side for which it is defined, in pixels or samples.
      options: further keywords of the function.
      gain_of: the metric of which it is the gain over the noisy input; it has no function then.
      package: the distribution that computes it, on the host, example by example; empty for
        functions of JAX.
      sample_rates: at which it is defined, in Hz; empty for all.
      average: `(output, target) -> (...)`, what training averages over a batch instead of the
        figures themselves.
      finish: from that average to the figure.
    """

    name: str
    function: Callable[..., Any] | None
    heading: str
    digits: int
    higher: bool = True
    usual: bool = True
    power: int = 0
    least: int = 0
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    gain_of: str = ""
    package: str = ""
    sample_rates: tuple[int, ...] = ()
    average: Callable[..., Any] | None = None
    finish: Callable[..., Any] | None = None

    def bound(self, **given: Any) -> Callable[..., Any]:
        """Its function with `options`, and with those of `given` that it takes."""
        taken = inspect.signature(self.function).parameters
        known = {name: value for name, value in given.items() if name in taken}
        return functools.partial(self.function, **known, **self.options)

    def of_batch(self, output: Any, target: Any) -> Any:
        """What training averages over the devices: a scalar; `finished` makes it the figure."""
        return (self.average or self.function)(output, target).mean()

    def finished(self, mean: Any) -> Any:
        """The figure of a batch from the mean of `of_batch` over the devices."""
        return self.finish(mean) if self.finish else mean

    @property
    def unit(self) -> str:
        """The unit of its figures, as its heading has it; empty without one."""
        return self.heading.partition(", ")[2]

    def text(self, value: float | None) -> str:
        """A value with its digits, `-` where it is unknown, undefined or infinite."""
        return "-" if value is None or not np.isfinite(value) else f"{value:.{self.digits}f}"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Modality:
    """One kind of signal.

    Attributes:
      name: its key, such as `"image"`, as specifications of models have it.
      noun: what one example is called in text.
      plural: what several are called in text.
      item: what one example is called in the files that an evaluation writes.
      axes: one letter for each axis of an example, the channels last.
      range: the lowest and highest value of floats.
      dtypes: the integers in which examples are kept on the host.
      channels: the channels an example may have, by name.
      merit: the metric that validation and the best weights go by; larger is better.
      sides: the spatial axes in words.
      typical: the spatial size of an example to trace networks with.
      has_rate: whether examples have a sample rate.
      metrics: the metrics by name, in the order of tables; `metric` adds one, and those of images
        and audio are there once `zoo.metrics` is imported.
    """

    name: str
    noun: str
    plural: str
    item: str
    axes: str
    range: tuple[float, float]
    dtypes: tuple[np.dtype, ...]
    merit: str
    sides: tuple[str, ...]
    typical: tuple[int, ...]
    channels: Mapping[int, str] = dataclasses.field(default_factory=dict)
    has_rate: bool = False
    metrics: dict[str, Metric] = dataclasses.field(default_factory=dict, repr=False)

    @property
    def ndim(self) -> int:
        """The number of axes of one example, without the batch's."""
        return len(self.axes)

    @property
    def span(self) -> str:
        """The range in words."""
        return "[{:g}, {:g}]".format(*self.range)

    @property
    def scale(self) -> int:
        """What the usual integers are divided by to become floats of the range."""
        return full_scale(self.dtypes[0])

    def count(self, number: int) -> str:
        """A number of examples in words, such as "1 image" or "3 images"."""
        return f"{number} {self.noun if number == 1 else self.plural}"

    def metric(self, heading: str, digits: int, **options: Any) -> Callable[[Callable], Callable]:
        """A decorator that registers a function as a metric.

        Args:
          heading: as `Metric.heading`.
          digits: as `Metric.digits`.
          **options: the other fields of `Metric`; the name is the function's by default.

        Raises:
          ValueError: the name is taken.
        """

        def register_metric(function: Callable) -> Callable:
            shown = {"heading": heading, "digits": digits}
            self.add(Metric(**{"name": function.__name__, "function": function} | shown | options))
            return function

        return register_metric

    def add(self, metric: Metric) -> None:
        """Registers a metric.

        Raises:
          ValueError: the name is taken.
        """
        if metric.name in self.metrics:
            raise ValueError(f"two metrics of {self.plural} are called {metric.name!r}")
        self.metrics[metric.name] = metric

    def choose(self, names: Iterable[str] | None = None) -> tuple[Metric, ...]:
        """Some metrics in the order of tables.

        Args:
          names: their names; None for the usual ones.

        Raises:
          ZooError: a name is unknown.
        """
        names = [m.name for m in self.metrics.values() if m.usual] if names is None else [*names]
        for name in names:
            if name not in self.metrics:
                raise unknown("metric", name, self.metrics)
        return tuple(metric for name, metric in self.metrics.items() if name in names)


_MODALITIES: dict[str, Modality] = {}


def register(modality: Modality) -> Modality:
    """Adds a kind of signal.

    Raises:
      ValueError: the name is taken.
    """
    if modality.name in _MODALITIES:
        raise ValueError(f"two modalities are called {modality.name!r}")
    _MODALITIES[modality.name] = modality
    return modality


def get(name: "str | Modality") -> Modality:
    """The modality of a name; a `Modality` is returned as it is.

    Raises:
      ZooError: there is no such modality.
    """
    if isinstance(name, Modality):
        return name
    if name not in _MODALITIES:
        raise unknown("modality", name, _MODALITIES)
    return _MODALITIES[name]


def names() -> list[str]:
    """The registered names, in the order of registration."""
    return list(_MODALITIES)


def of_batch(ndim: int) -> Modality | None:
    """The modality whose batches have so many axes; None if no or several kinds have."""
    found = [one for one in _MODALITIES.values() if one.ndim + 1 == ndim]
    return found[0] if len(found) == 1 else None


def full_scale(dtype: Any) -> int:
    """What integers are divided by to become floats: 255, 65535; of signed ones 128, 32768."""
    limits = np.iinfo(dtype)
    return int(-limits.min or limits.max)


def to_float(x: Any) -> Any:
    """Float32 values: unsigned integers in [0, 1], signed ones in [-1, 1), floats unchanged.

    Args:
      x: an array of NumPy or JAX, traced or not.

    Raises:
      ZooError: it is neither of integers nor of floats.
    """
    if x.dtype.kind not in "iu":
        if not np.issubdtype(x.dtype, np.floating) and x.dtype.name != "bfloat16":
            raise ZooError(f"cannot convert {x.dtype} to float; give integers or floats")
        return x.astype(np.float32)
    return x.astype(np.float32) / np.float32(full_scale(x.dtype))


IMAGE = register(
    Modality(
        name="image",
        noun="image",
        plural="images",
        item="image",
        axes="HWC",
        range=(0.0, 1.0),
        dtypes=(np.dtype(np.uint8), np.dtype(np.uint16)),
        channels={1: "gray", 3: "color"},
        merit="psnr",
        sides=("height", "width"),
        typical=(64, 64),
    )
)
"""Images `(H, W, C)`: floats in [0, 1]; on the host uint8 or uint16."""

AUDIO = register(
    Modality(
        name="audio",
        noun="audio signal",
        plural="audio signals",
        item="recording",
        axes="TC",
        range=(-1.0, 1.0),
        dtypes=(np.dtype(np.int16),),
        channels={1: "mono", 2: "stereo"},
        merit="si_sdr",
        sides=("samples",),
        typical=(4096,),
        has_rate=True,
    )
)
"""Audio signals `(T, C)`: floats in [-1, 1]; on the host int16."""

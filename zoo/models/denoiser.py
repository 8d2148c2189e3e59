"""The base classes of all models, which state and enforce their contract, and its specification."""

import dataclasses
import functools
import inspect
from typing import Any, Literal, get_args, get_origin

import jax
import jax.numpy as jnp
from flax import linen as nn

from zoo.data import windows
from zoo.errors import ZooError
from zoo.models.layers import Layer, pad_to_multiple
from zoo.models.torch_layout import Layout


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """Inputs and outputs of a model: the contract that its tests and its users rely on.

    Attributes:
      name: the public name, family and variant, such as `"unet-small"`.
      family: the architecture.
      modality: `"image"` for signals `(N, H, W, C)`, `"audio"` for `(B, T, C)`.
      channels: C; an audio model takes any number, and processes each channel by itself.
      range: lowest and highest value of the signals it is made for.
      size: the only (H, W) it takes, or None.
      multiple: H and W must be multiples of this; 1 where the model pads by itself.
      takes_level: whether `level` (in signal units) changes the output.
      locality: `"local"` (an output pixel depends on a bounded neighborhood), `"windowed"` or
        `"global"`.
      reach: the receptive field's radius: how many pixels away, along H or W, the farthest pixel
        may lie that an output pixel of a local model depends on; 0 for other models, and where it
        is not known.
      stride: it pads H and W by itself to multiples of this, below and to the right; an image
        shifted by as many pixels gives the output shifted, away from its edges.
      margin: how it pads, a mode of `jax.numpy.pad`.
      canvas: whether an image on a larger canvas has the same output; see `zoo.models.canvas`.
      sample_rate: of the audio it is made for, in Hz; 0 for images.
      hop: samples a streaming step takes, or a multiple of it; 0 where it does not stream.
      latency: samples the streamed output lags behind the input, beyond the hop itself.
      planes: K, odd: it takes K neighboring planes of a stack at once, `(N, H, W, K C)` plane by
        plane, and returns the one in the center, `(N, H, W, C)`; see `zoo.data.windows`.
    """

    name: str
    family: str
    modality: str = "image"
    channels: int = 3
    range: tuple[float, float] = (0.0, 1.0)
    size: tuple[int, int] | None = None
    multiple: int = 1
    takes_level: bool = False
    locality: Literal["local", "windowed", "global"] = "local"
    reach: int = 0
    stride: int = 1
    margin: Literal["edge", "reflect", "constant"] = "edge"
    canvas: bool = False
    sample_rate: int = 0
    hop: int = 0
    latency: int = 0
    planes: int = 1

    @property
    def inputs(self) -> int:
        """The channels of the input: those of all planes."""
        return self.planes * self.channels


def spec_of(model: nn.Module, name: str = "") -> ModelSpec:
    """The specification of a module, as its fields, attributes and properties of those names state.

    Args:
      model: one of ours, or any Linen module with the same `__call__`.
      name: the name to give it; that of its class by default.
    """
    return ModelSpec(
        name or type(model).__name__,
        getattr(model, "family", type(model).__module__.rpartition(".")[2]),
        *(getattr(model, f.name, f.default) for f in dataclasses.fields(ModelSpec)[2:]),
    )


class CheckedModule(nn.Module):
    """What the base classes share: fields are checked against their `Literal` types when a module
    is built, and there is no published layout unless an architecture states one."""

    def __post_init__(self):
        for field, choices in _choices(type(self)).items():
            if getattr(self, field) not in choices:
                raise ZooError(
                    f"{type(self).__name__}: {field}={getattr(self, field)!r} is unknown; "
                    f"choose from {', '.join(map(repr, choices))}"
                )
        super().__post_init__()

    def torch_layout(self) -> Layout | None:
        """Where the variables are stored in published PyTorch files; None where there are none."""
        return None


@functools.cache
def _choices(module: type[nn.Module]) -> dict[str, tuple]:
    hints = {}
    for owner in reversed(module.__mro__):
        try:
            hints |= inspect.get_annotations(owner, eval_str=True)
        except NameError:  # Of a plug-in, which imports some names for type checkers alone.
            hints |= inspect.get_annotations(owner)
    return {k: get_args(hint) for k, hint in hints.items() if get_origin(hint) is Literal}


class Denoiser(CheckedModule, Layer):
    """The base class of image denoisers, (N, H, W, C) to the same shape and dtype.

    With K `planes` the input is (N, H, W, K C), see `ModelSpec`, and what is said of
    the input below is said of its center plane.

    It checks the input, pads it, has the architecture's `_denoise` process it, crops the result and
    turns it into the clean image by `output`. An architecture overrides as attributes, properties
    or fields what its `ModelSpec` states otherwise, and these two.

    Attributes:
      channels: C of the signal.
      dtype: the dtype of the computation; None follows the input.
      param_dtype: the dtype of the parameters.
      output: what `_denoise` returns: `"linear"`, the clean image; `"sigmoid"`, its logits;
        `"noise"`, to be subtracted from the input; or `"residual"`, to be added to it.
      learning_rate: that of a training whose config states none; None for the trainer's default.
    """

    channels: int = 3

    size = None
    planes = 1
    takes_level = False
    stride = 1
    margin = "edge"
    output = "linear"
    learning_rate = None

    def __post_init__(self):
        windows.check(self.planes, type(self).__name__)
        super().__post_init__()

    def __call__(
        self, x: jax.Array, level: jax.Array | float | None = None, *, train: bool = False
    ) -> jax.Array:
        """Denoises a batch.

        Args:
          x: (N, H, W, C), or (N, H, W, K C) of a window, any float dtype, made for [0, 1].
          level: standard deviation of the noise in signal units, a number or (N,); ignored unless
            the model takes a level.
          train: whether batch norm uses and updates the statistics of this batch; ignored by
            models without.

        Returns:
          The clean estimate (N, H, W, C), dtype of `x`.

        Raises:
          ZooError: `x` is not a batch of images of floats, or has a size or a number of channels
            the model does not take; or there is no level where it takes one.
        """
        self._check(x)
        level = self._checked_level(x, level) if self.takes_level else None
        y = self._denoise(pad_to_multiple(x, self.stride, self.margin), level, train)
        # Cast before the sigmoid: near 1 a bfloat16 one has steps of 1/256.
        y = (y if self.stride == 1 else y[:, : x.shape[1], : x.shape[2]]).astype(x.dtype)
        x = windows.middle(x, self.channels)
        match self.output:
            case "noise":
                return x - y
            case "residual":
                return x + y
            case "sigmoid":
                return nn.sigmoid(y)
        return y

    def _denoise(self, x: jax.Array, level: jax.Array | None, train: bool) -> jax.Array:
        """The network; an architecture implements it with `nn.compact`.

        Args:
          x: (N, H, W, K C), H and W multiples of `stride`.
          level: (N, 1, 1, 1), dtype of `x`; None unless `takes_level`.
          train: as for `__call__`.

        Returns:
          (N, H, W, C), any float dtype; what it is, `output` states.
        """
        raise NotImplementedError

    def _check(self, x: jax.Array) -> None:
        name = type(self).__name__
        if x.ndim != 4:
            raise ZooError(f"{name} takes (N, H, W, C), got shape {x.shape}; add the axes it lacks")
        check_float(x, name, "images", "[0, 1], such as uint8 / 255")
        # A wrong C would pass through `init`, which shapes the parameters after the signal.
        if x.shape[-1] != self.planes * self.channels:
            what, remedy = "images", f"build it with channels={x.shape[-1]} or convert the images"
            if self.planes > 1:
                what, remedy = f"windows of {self.planes} planes", "give it stacks of planes"
            raise ZooError(
                f"{name} takes {what} of {self.channels} channels, got {x.shape[-1]}; {remedy}"
            )
        if self.size and x.shape[1:3] != tuple(self.size):
            size = "x".join(map(str, self.size))
            raise ZooError(
                f"{name} takes images of {size}, got {x.shape[1]}x{x.shape[2]}; "
                f"crop or resize them to {size}, or build it with that size and train it"
            )

    def _checked_level(self, x: jax.Array, level: Any) -> jax.Array:
        name = type(self).__name__
        if level is None:
            raise ZooError(f"{name} takes a noise level: call it with level=..., in signal units")
        level = jnp.asarray(level, x.dtype)
        try:
            column = level.reshape(level.shape + (1,) * (4 - level.ndim))
            return jnp.broadcast_to(column, (x.shape[0], 1, 1, 1))
        except ValueError:
            raise ZooError(
                f"{name} got levels of shape {level.shape} for a batch of {x.shape[0]}; give it a "
                f"number, or ({x.shape[0]},)"
            ) from None


def check_float(x: jax.Array, model: str, signals: str, scale: str) -> None:
    """Raises `ZooError` for integers, which the layers would promote without scaling them; the
    texts are for its message."""
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ZooError(f"{model} takes {signals} of floats, got {x.dtype}; scale them to {scale}")

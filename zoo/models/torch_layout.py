"""Layouts of published PyTorch weights: where each tensor of a file belongs among our variables.

An architecture with published weights has a method `torch_layout()`, in its own file, that names
every variable of the module and nothing else. NumPy arrays only; PyTorch is not needed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

Shape = tuple[int, ...]

EPSILON = 1e-5
"""What batch norm adds to the variance, in PyTorch and here."""


class Form(NamedTuple):
    """The storage of one kind of tensor.

    Attributes:
      convert: from the file's array to ours.
      shape: from our shape to the file's.
    """

    convert: Callable[[np.ndarray], np.ndarray]
    shape: Callable[[Shape], Shape]


class Tensor(NamedTuple):
    """One variable and where it is stored in a published file.

    Attributes:
      path: its path among the variables, joined by "/", such as "params/head/kernel".
      key: its key in the state dict, such as "m_head.weight".
      form: how it is stored there.
    """

    path: str
    key: str
    form: Form


class Layout(NamedTuple):
    """The contents of a module's published files.

    Attributes:
      tensors: every variable of the module.
      ignored: regular expressions for whole keys of buffers that hold nothing learned.
      fixed: by their keys, tensors of the file that are constants of the module; a file need not
        hold them, but must not hold others.
    """

    tensors: tuple[Tensor, ...]
    ignored: Sequence[str] = ()
    fixed: Mapping[str, np.ndarray] = {}


def _transposed(*axes: int) -> Form:
    back = np.argsort(axes)
    return Form(lambda a: a.transpose(axes), lambda shape: tuple(shape[i] for i in back))


SAME = Form(lambda a: a, lambda shape: shape)
"""Biases, scales, tables: as they are."""

CONV = _transposed(2, 3, 1, 0)
"""A convolution's kernel, grouped or not: (out, in, h, w) to (h, w, in, out)."""

POINTWISE = Form(lambda a: a[:, :, 0, 0].T, lambda shape: (*shape[::-1], 1, 1))
"""A 1x1 convolution that is a Dense layer here: (out, in, 1, 1) to (in, out)."""

UP = _transposed(0, 2, 3, 1)
"""The kernel of `layers.Up`: a transposed convolution's (in, out, h, w) to (in, h, w, out)."""

LINEAR = _transposed(1, 0)
"""A matrix: (out, in) to (in, out)."""

CHANNEL = Form(lambda a: a.reshape(-1), lambda shape: (1, *shape, 1, 1))
"""One value a channel: (1, C, 1, 1) to (C,)."""


def shuffled(form: Form, axis: int, factor: int = 2, extra: int = 0) -> Form:
    """The form of a layer next to a pixel shuffle.

    PyTorch orders the channels of a shuffle channel, row, column; ours are row, column, channel.

    Args:
      form: how the layer is stored otherwise.
      axis: our array's axis that counts the shuffled channels: -1 of what goes into a
        `depth_to_space`, -2 of a kernel behind a `space_to_depth`.
      factor: of the shuffle.
      extra: channels after the shuffled ones that keep their place, such as a level map.
    """

    def convert(array: np.ndarray) -> np.ndarray:
        array = np.moveaxis(form.convert(array), axis, 0)
        count = len(array) - extra
        order = np.arange(count).reshape(-1, factor * factor).T.reshape(-1)
        array = np.concatenate([array[:count][order], array[count:]])
        return np.moveaxis(array, 0, axis)

    return Form(convert, form.shape)


def kernel(path: str, key: str, form: Form) -> Tensor:
    """The kernel of a layer, by its path among our parameters and by its key."""
    return Tensor(f"params/{path}/kernel", f"{key}.weight", form)


def layer(path: str, key: str, form: Form) -> Iterator[Tensor]:
    """The kernel and the bias of a layer."""
    yield kernel(path, key, form)
    yield Tensor(f"params/{path}/bias", f"{key}.bias", SAME)


def norm(path: str, key: str) -> Iterator[Tensor]:
    """The scale and the bias of a norm."""
    yield Tensor(f"params/{path}/scale", f"{key}.weight", SAME)
    yield Tensor(f"params/{path}/bias", f"{key}.bias", SAME)


def batch_norm(path: str, key: str) -> Iterator[Tensor]:
    """The scale, the bias and the running statistics of a batch norm."""
    yield from norm(path, key)
    yield Tensor(f"batch_stats/{path}/mean", f"{key}.running_mean", SAME)
    yield Tensor(f"batch_stats/{path}/var", f"{key}.running_var", SAME)


def with_merged_norm(path: str, key: str, form: Form, norm: str) -> Iterator[Tensor]:
    """A layer whose published kernel and bias have its batch norm merged into them.

    Args:
      path: of the layer among our parameters.
      key: of its kernel and bias in the file.
      form: of the kernel.
      norm: of the module: `"merged"`; or `"batch"`, for which the batch norm becomes one that
        leaves what comes in as it is and adds the bias.
    """
    yield kernel(path, key, form)
    if norm == "merged":
        yield Tensor(f"params/{path}/bias", f"{key}.bias", SAME)
        return
    for where, name, value in (
        ("params", "scale", float(np.sqrt(1 + EPSILON))),
        ("batch_stats", "mean", 0.0),
        ("batch_stats", "var", 1.0),
    ):
        yield Tensor(f"{where}/{path}/norm/{name}", f"{key}.bias", _filled(value))
    yield Tensor(f"params/{path}/norm/bias", f"{key}.bias", SAME)


def _filled(value: float) -> Form:
    """A constant for every bias of the file."""
    return Form(lambda a: np.full_like(a, value), SAME.shape)

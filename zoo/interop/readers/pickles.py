"""Reads the pickles in PyTorch's files without running anything they ask for.

A machine of its own for the two dozen opcodes that `torch.save` uses, because a
`pickle.Unpickler` with a strict `find_class` still sets attributes on whatever it finds, hashes any
key (a deep tuple ends the process) and reserves the memory that one damaged index asks for.
"""

import pickletools
from collections.abc import Callable, Iterable
from types import FunctionType
from typing import Any, BinaryIO, NamedTuple

import ml_dtypes
import numpy as np

from zoo.errors import ZooError

# Far above what the largest network takes, and still little memory and time.
_MOST_OPCODES = 2_000_000
_MOST_AXES = 32


class Storage(NamedTuple):
    """Values that tensors lie in.

    Attributes:
      dtype: of each value.
      key: its name in the file.
      numel: how many values the file has under that name.
      start: the first of them that belongs here.
      length: how many of them do.
    """

    dtype: np.dtype
    key: str
    numel: int
    start: int
    length: int


class Tensor(NamedTuple):
    """A tensor by its place in a storage; offset and strides count values."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def load(stream: BinaryIO) -> tuple[Any, dict[str, Storage]]:
    """Reads one pickle.

    Args:
      stream: where it begins; its `read(n)` must not reserve more than is left, as `BytesIO` does
        not. Left behind the pickle's end.

    Returns:
      What it holds, and its storages by key. Tensors are `Tensor`, ordered dicts are dicts, and
      dicts have their string keys alone.

    Raises:
      ZooError: it asks for anything but tensors and plain containers.
      Exception: of any kind, where it is damaged.
    """
    machine = _Machine()
    for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        if count == _MOST_OPCODES:
            raise ZooError("holds far more than a state dict; save model.state_dict() alone")
        if opcode.name in _LITERALS:
            machine.stack.append(argument)
        elif opcode.name in _STEPS:
            _STEPS[opcode.name](machine, argument)
        else:
            raise ValueError(f"opcode {opcode.name}, which torch.save does not write")
    (value,) = machine.stack
    return value, machine.storages


class _Machine:
    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, Storage] = {}

    def take(self, count: int) -> list[Any]:
        """The last so many values, off the stack."""
        return self.cut(len(self.stack) - count)

    def take_marked(self) -> list[Any]:
        """The values behind the last mark, off the stack."""
        return self.cut(self.marks.pop())

    def cut(self, start: int) -> list[Any]:
        if not 0 <= start <= len(self.stack):
            raise IndexError("its stack is too short")
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def memoize(self, index: int | None) -> None:
        self.memo[len(self.memo) if index is None else index] = self.stack[-1]

    def set_items(self, flat: list[Any]) -> None:
        _set_items(self.stack[-1], zip(flat[::2], flat[1::2], strict=True))

    def find(self, name: str) -> None:
        if name in _DTYPES:
            self.stack.append(_DTYPES[name])
        elif name in _CALLS:
            self.stack.append(_CALLS[name])
        else:
            raise ZooError(
                f"asks to run {ascii(name)[1:-1][:100]}, and only tensors are read from a pickle; "
                "where it was made, save it anew with torch.save(model.state_dict(), ...)"
            )

    def call(self) -> None:
        function, arguments = self.take(2)
        if not isinstance(function, FunctionType):
            raise TypeError("it calls a value")
        self.stack.append(function(*arguments))

    def find_storage(self) -> None:
        kind, dtype, key, _, numel, *rest = self.stack.pop()
        if kind != "storage" or not isinstance(dtype, np.dtype) or not isinstance(key, str):
            raise ValueError("it refers to no storage")
        # Before PyTorch 0.4 a storage could be a part of another.
        _, start, length = rest[0] if rest and rest[0] else (None, 0, numel)
        storage = Storage(dtype, key, *_counts((numel, start, length)))
        if start + length > numel:
            raise ValueError("a storage reaches beyond its end")
        if self.storages.setdefault(key, storage)[:3] != storage[:3]:
            raise ValueError("one storage is told in two ways")
        self.stack.append(storage)


def _counts(values: Iterable[Any]) -> tuple[int, ...]:
    values = tuple(values)
    if not all(type(value) is int and 0 <= value < 2**63 for value in values):
        raise ValueError("a size or an offset is no size")
    return values


def _set_items(target: dict, pairs: Iterable[tuple[Any, Any]]) -> None:
    if type(target) is not dict:
        raise TypeError("it sets items of what is no dict")
    target.update((key, value) for key, value in pairs if type(key) is str)


def _ordered_dict(pairs: Iterable[tuple[Any, Any]] = ()) -> dict[str, Any]:
    result: dict[str, Any] = {}
    _set_items(result, pairs)
    return result


def _tensor(storage: Storage, offset: int, shape: tuple, strides: tuple, *_: Any) -> Tensor:
    if type(storage) is not Storage or not len(shape) == len(strides) <= _MOST_AXES:
        raise ValueError("a tensor is none")
    (offset,), shape, strides = _counts([offset]), _counts(shape), _counts(strides)
    numel, last = 1, offset
    for size, stride in zip(shape, strides, strict=True):
        numel *= size
        last += (size - 1) * stride
    # The first bound keeps views that repeat their values from growing without end.
    if numel > storage.length or (numel and last >= storage.length):
        raise ZooError("holds a tensor that is larger than its storage; save a copy of it")
    return Tensor(storage, offset, shape, strides)


def _parameter(data: Any, *_: Any) -> Any:
    return data


def _nothing(*_: Any) -> None:
    return None


_CALLS: dict[str, Callable] = {
    "collections.OrderedDict": _ordered_dict,
    "torch.Size": _nothing,
    "torch.device": _nothing,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
}

_STORAGES = {
    "Double": np.float64,
    "Float": np.float32,
    "Half": np.float16,
    "BFloat16": ml_dtypes.bfloat16,
    "Long": np.int64,
    "Int": np.int32,
    "Short": np.int16,
    "Char": np.int8,
    "Byte": np.uint8,
    "Bool": np.bool_,
}
_DTYPES = {
    f"torch.{prefix}{name}Storage": np.dtype(dtype)
    for prefix in ("", "cuda.")
    for name, dtype in _STORAGES.items()
} | {f"torch.{np.dtype(dtype).name}": np.dtype(dtype) for dtype in _STORAGES.values()}

_LITERALS = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"}
_LITERALS |= {"SHORT_BINUNICODE", "BINSTRING", "SHORT_BINSTRING"}

_STEPS: dict[str, Callable[[_Machine, Any], Any]] = {
    "PROTO": _nothing,
    "FRAME": _nothing,
    "STOP": _nothing,
    "NONE": lambda m, _: m.stack.append(None),
    "NEWTRUE": lambda m, _: m.stack.append(True),
    "NEWFALSE": lambda m, _: m.stack.append(False),
    "EMPTY_TUPLE": lambda m, _: m.stack.append(()),
    "EMPTY_LIST": lambda m, _: m.stack.append([]),
    "EMPTY_DICT": lambda m, _: m.stack.append({}),
    "MARK": lambda m, _: m.marks.append(len(m.stack)),
    "TUPLE": lambda m, _: m.stack.append(tuple(m.take_marked())),
    "TUPLE1": lambda m, _: m.stack.append(tuple(m.take(1))),
    "TUPLE2": lambda m, _: m.stack.append(tuple(m.take(2))),
    "TUPLE3": lambda m, _: m.stack.append(tuple(m.take(3))),
    "APPEND": lambda m, _: _append(m, m.take(1)),
    "APPENDS": lambda m, _: _append(m, m.take_marked()),
    "SETITEM": lambda m, _: m.set_items(m.take(2)),
    "SETITEMS": lambda m, _: m.set_items(m.take_marked()),
    "BINPUT": _Machine.memoize,
    "LONG_BINPUT": _Machine.memoize,
    "MEMOIZE": _Machine.memoize,
    "BINGET": lambda m, index: m.stack.append(m.memo[index]),
    "LONG_BINGET": lambda m, index: m.stack.append(m.memo[index]),
    "GLOBAL": lambda m, name: m.find(name.replace(" ", ".")),
    "STACK_GLOBAL": lambda m, _: m.find(".".join(m.take(2))),
    "REDUCE": lambda m, _: m.call(),
    # Attributes, such as the versions of a state dict's modules; nothing here has any.
    "BUILD": lambda m, _: m.take(1),
    "BINPERSID": lambda m, _: m.find_storage(),
}


def _append(machine: _Machine, values: list[Any]) -> None:
    if type(machine.stack[-1]) is not list:
        raise TypeError("it appends to what is no list")
    machine.stack[-1].extend(values)

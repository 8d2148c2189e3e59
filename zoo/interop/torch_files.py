"""PyTorch files without PyTorch: zip files since version 1.6, pickles in a row before.

A pickle is read by the unpickler that the standard library has in Python, limited to the opcodes
that `torch.save` uses, and runs nothing. `pickle.Unpickler`, in C, would even with a strict
`find_class` set attributes on whatever it finds, hash any key (a deep tuple ends the process) and
reserve the memory that a damaged index implies.
"""

import functools
import io
import pickle
import pickletools
import struct
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import ml_dtypes
import numpy as np

from zoo import files
from zoo.errors import ZooError

_NESTS = ("params_ema", "params", "state_dict", "model_state_dict", "model")
_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_REMEDY = "save model.state_dict() alone with torch.save"

# Far above what the largest network takes, and still little memory and time.
_MOST_OPCODES = 2_000_000
_MOST_AXES = 32
_WRITTEN = (
    "PROTO FRAME STOP NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT BINUNICODE "
    "SHORT_BINUNICODE BINSTRING SHORT_BINSTRING EMPTY_TUPLE EMPTY_LIST EMPTY_DICT MARK TUPLE "
    "TUPLE1 TUPLE2 TUPLE3 APPEND APPENDS SETITEM SETITEMS BINPUT LONG_BINPUT MEMOIZE BINGET "
    "LONG_BINGET GLOBAL STACK_GLOBAL REDUCE BUILD BINPERSID"
)
_OPCODES = frozenset(_WRITTEN.split())


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


def read_zip(path: Path) -> dict[str, np.ndarray]:
    """Reads a zip file whose `data.pkl` names the members that hold the storages.

    Raises:
      ZooError: as `read_state`, without the path.
      Exception: of any kind, where it is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        paths = [member.filename for member in members]
        if any(p.endswith("/constants.pkl") for p in paths):
            raise ZooError(
                "is a TorchScript program; where it was made, save it again with "
                "torch.save(model.state_dict(), ...)"
            )
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise ZooError("is a compressed zip file, which PyTorch does not write; unpack it")
        # Members that overlap could claim any amount of memory.
        if sum(member.file_size for member in members) > path.stat().st_size:
            raise ValueError("its members are larger than the file")
        roots = [p.removesuffix("data.pkl") for p in paths if p.split("/")[-1] == "data.pkl"]
        if len(roots) != 1:
            raise ZooError("is a zip file, but not of PyTorch: it has no data.pkl; unpack it")
        (root,) = roots
        order = f"{root}byteorder"
        big = order in paths and archive.read(order) == b"big"
        tree, storages = load_pickle(io.BytesIO(archive.read(f"{root}data.pkl")))

        def values(storage: Storage) -> np.ndarray:
            return _values(archive.read(f"{root}data/{storage.key}"), storage, big)

        return _arrays(tree, storages, values)


def read_legacy(path: Path) -> dict[str, np.ndarray]:
    """Reads the older format: five pickles, the fourth the state dict, then the storages.

    Raises:
      ZooError: as `read_state`, without the path.
      Exception: of any kind, where it is damaged.
    """
    data = files.read(path)
    stream = io.BytesIO(data)
    magic, _ = load_pickle(stream)
    if magic != _MAGIC:
        raise ZooError(f"is a pickle, but not of PyTorch; {_REMEDY}")
    protocol, _ = load_pickle(stream)
    if protocol != _PROTOCOL:
        raise ZooError(f"is not of PyTorch's protocol {_PROTOCOL}; {_REMEDY}")
    load_pickle(stream)  # The machine it was saved on; the values are little-endian on all.
    tree, storages = load_pickle(stream)
    keys, _ = load_pickle(stream)

    found, place = {}, stream.tell()
    for key in keys:
        if type(key) is not str:  # To look up a deep tuple would end the process.
            raise TypeError("a storage has no name")
        storage = storages[key]
        (numel,) = struct.unpack_from("<q", data, place)
        end = place + 8 + numel * storage.dtype.itemsize
        found[key] = memoryview(data)[place + 8 : end]
        if numel != storage.numel or end > len(data):
            raise ValueError("a storage is cut short")
        place = end
    return _arrays(tree, storages, lambda storage: _values(found[storage.key], storage))


def _values(raw: bytes | memoryview, storage: Storage, big: bool = False) -> np.ndarray:
    """All values that the file has under a storage's key."""
    size = storage.dtype.itemsize
    if len(raw) != size * storage.numel:
        raise ValueError("a storage is not as long as it claims")
    # By way of integers, since bfloat16 has one byte order only.
    flat = np.frombuffer(raw, f"{'>' if big else '<'}u{size}").astype(f"=u{size}", copy=False)
    return flat.view(storage.dtype)


def _arrays(
    tree: Any, storages: dict[str, Storage], read: Callable[[Storage], np.ndarray]
) -> dict[str, np.ndarray]:
    """The tensors of the state dict in a pickle; each storage is read once, and only if needed."""
    values = functools.cache(lambda key: read(storages[key]))
    return {key: _array(tensor, values) for key, tensor in _state_dict(tree).items()}


def _state_dict(tree: Any) -> dict[str, Tensor]:
    if type(tree) is not dict:
        raise ZooError(f"holds no state dict; {_REMEDY}")
    nests = (tree.get(name) for name in _NESTS)
    state = next((n for n in nests if type(n) is dict and Tensor in map(type, n.values())), tree)
    if Tensor not in map(type, state.values()):
        raise ZooError(f"holds no state dict; {_REMEDY}")
    odd = [ascii(key)[:50] for key, value in state.items() if type(value) is not Tensor]
    if odd:
        raise ZooError(f"holds more than tensors: {', '.join(odd[:10])}; {_REMEDY}")
    return state


def _array(tensor: Tensor, values: Callable[[str], np.ndarray]) -> np.ndarray:
    storage = tensor.storage
    flat = values(storage.key)[storage.start : storage.start + storage.length]
    if 0 in tensor.shape:
        return np.zeros(tensor.shape, flat.dtype)
    # Its place in the storage was checked as the pickle was read.
    strides = tuple(stride * flat.itemsize for stride in tensor.strides)
    offset = tensor.offset * flat.itemsize
    return np.ndarray(tensor.shape, flat.dtype, flat, offset, strides)


def load_pickle(stream: BinaryIO) -> tuple[Any, dict[str, Storage]]:
    """Reads one pickle.

    Args:
      stream: where it begins; its `read(n)` must not reserve more than is left, as `BytesIO` does
        not. Left at the pickle's end.

    Returns:
      What it holds, and its storages by key. Tensors are `Tensor`, ordered dicts are dicts, and
      dicts have their string keys alone.

    Raises:
      ZooError: it asks for anything but tensors and plain containers.
      Exception: of any kind, where it is damaged.
    """
    start = stream.tell()
    if any(count == _MOST_OPCODES for count, _ in enumerate(pickletools.genops(stream))):
        raise ZooError("holds far more than a state dict; save model.state_dict() alone")
    end = stream.tell()
    stream.seek(start)
    unpickler = _Unpickler(stream, encoding="latin1")
    value = unpickler.load()
    stream.seek(end)
    return value, unpickler.storages


class _Loaders(dict[int, Callable]):
    """The methods of an unpickler by opcode."""

    def __missing__(self, code: int) -> None:
        name = pickletools.code2op[chr(code)].name
        raise ValueError(f"opcode {name}, which torch.save does not write")


class _Unpickler(pickle._Unpickler):
    """Unpickler of tensors, plain containers, numbers and strings."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.storages: dict[str, Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        found = _NAMES.get(f"{module}.{name}")
        if found is None:
            raise ZooError(
                f"asks to run {ascii(f'{module}.{name}')[1:-1][:100]}, and only tensors are read "
                "from a pickle; where it was made, save it again with "
                "torch.save(model.state_dict(), ...)"
            )
        return found

    def persistent_load(self, pid: Any) -> Storage:
        kind, dtype, key, _, numel, *rest = pid
        if kind != "storage" or not isinstance(dtype, np.dtype) or not isinstance(key, str):
            raise ValueError("it refers to no storage")
        # Before PyTorch 0.4 a storage could be a part of another.
        _, start, length = rest[0] if rest and rest[0] else (None, 0, numel)
        storage = Storage(dtype, key, *_counts((numel, start, length)))
        if start + length > numel:
            raise ValueError("a storage reaches beyond its end")
        if self.storages.setdefault(key, storage)[:3] != storage[:3]:
            raise ValueError("a storage has two records")
        return storage

    def load_build(self) -> None:
        # Attributes, such as the versions of a state dict's modules; nothing here has any.
        self.stack.pop()

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        _set_items(self.stack[-1], [(key, value)])

    def load_setitems(self) -> None:
        flat = self.pop_mark()
        _set_items(self.stack[-1], zip(flat[::2], flat[1::2], strict=True))

    dispatch = _Loaders(
        (code, load)
        for code, load in pickle._Unpickler.dispatch.items()
        if pickletools.code2op[chr(code)].name in _OPCODES
    )
    dispatch[pickle.BUILD[0]] = load_build
    dispatch[pickle.SETITEM[0]] = load_setitem
    dispatch[pickle.SETITEMS[0]] = load_setitems


def _counts(values: Iterable[Any]) -> tuple[int, ...]:
    values = tuple(values)
    if not all(type(value) is int and 0 <= value < 2**63 for value in values):
        raise ValueError("a size or an offset is not a count")
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
        raise ValueError("a tensor record is malformed")
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


_CALLS: dict[str, Any] = {
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

_NAMES = _CALLS | _DTYPES

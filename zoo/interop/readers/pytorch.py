"""What `torch.save` writes: zip files since PyTorch 1.6, pickles in a row before."""

import functools
import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from zoo import files
from zoo.errors import ZooError
from zoo.interop.readers import pickles
from zoo.interop.readers.pickles import Storage, Tensor

_NESTS = ("params_ema", "params", "state_dict", "model_state_dict", "model")
_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_REMEDY = "save model.state_dict() alone with torch.save"


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
                "is a TorchScript program; where it was made, save it anew with "
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
        tree, storages = pickles.load(io.BytesIO(archive.read(f"{root}data.pkl")))

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
    magic, _ = pickles.load(stream)
    if magic != _MAGIC:
        raise ZooError(f"is a pickle, but not of PyTorch; {_REMEDY}")
    protocol, _ = pickles.load(stream)
    if protocol != _PROTOCOL:
        raise ZooError(f"is not of PyTorch's protocol {_PROTOCOL}; {_REMEDY}")
    pickles.load(stream)  # The machine it was saved on; the values are little-endian on all.
    tree, storages = pickles.load(stream)
    keys, _ = pickles.load(stream)

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

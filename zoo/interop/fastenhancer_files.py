"""Files of FastEnhancer's published weights: numbers in a row, batch norm merged, no names.

The models of 48 kHz are files of fastenhancer-web (MIT): 20 bytes of head (the letters FEW1, the
version, the model, the count of numbers and their CRC-32, little-endian) and float32. The Tiny of
16 kHz is a file of fastenhancer.c.wasm: float32 alone, known by their count. The names of the
tensors here are ours, see `zoo.models.StreamUNet.torch_layout`.
"""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zoo.errors import ZooError

MAGIC = b"FEW1"
"""What the files of 48 kHz begin with."""

BARE_SIZE = 95_288
"""The bytes of the file of 16 kHz, which has no head."""

_HEAD = struct.Struct("<4sIIII")
_VERSION, _HEADS = 1, 4
# The largest file has 833 thousand.
_MOST_BYTES = 2**20
# Trained weights are far smaller; other files of that size, read as floats, are not.
_LARGEST = 1e3

State = dict[str, np.ndarray]


class _Size(NamedTuple):
    """A model's; see the attributes of `zoo.models.StreamUNet`."""

    width: int
    convs: int
    inner: int
    bands: int
    blocks: int
    bins: int


_TINY_16K = _Size(24, 2, 20, 16, 2, 64)
# By the number that the head names.
_SIZES = (
    _Size(24, 2, 20, 24, 2, 128),
    _Size(48, 2, 36, 36, 3, 128),
    _Size(64, 3, 48, 48, 3, 128),
)


class _Numbers:
    """The numbers of a file, taken in their order."""

    def __init__(self, numbers: np.ndarray):
        self._numbers, self._at = numbers, 0

    def take(self, *shape: int) -> np.ndarray:
        """The next as an array."""
        start, self._at = self._at, self._at + int(np.prod(shape))
        return self._numbers[start : self._at].reshape(shape)

    def rest(self) -> int:
        """How many are left over."""
        return len(self._numbers) - self._at


def read(path: Path) -> State:
    """Reads a file of a model of 48 kHz.

    Raises:
      ZooError: as `read_state`, without the path.
    """
    with path.open("rb") as file:
        data = file.read(_MOST_BYTES)
    if len(data) < _HEAD.size:
        raise ZooError("is cut short; download it again")
    _, version, model, count, checksum = _HEAD.unpack_from(data)
    body = data[_HEAD.size :]
    if version != _VERSION:
        raise ZooError(f"is of version {version} of its kind; give one of version {_VERSION}")
    if model >= len(_SIZES):
        raise ZooError(f"holds model {model} of FastEnhancer; give Tiny, Base or Small of 48 kHz")
    if len(body) != 4 * count or zlib.crc32(body) != checksum:
        raise ZooError("is damaged: it does not hold what its head says; download it again")
    return _state(body, _SIZES[model], _wide)


def read_bare(path: Path) -> State:
    """Reads the file of the Tiny model of 16 kHz.

    Raises:
      ZooError: as `read_state`, without the path.
    """
    return _state(path.read_bytes(), _TINY_16K, _narrow)


def _state(body: bytes, size: _Size, parts) -> State:
    numbers = np.frombuffer(body, "<f4")
    # NaN fails it too.
    if not (np.abs(numbers) < _LARGEST).all():
        raise ZooError("is damaged, or not a weight file: its numbers are no weights")
    left = _Numbers(numbers)
    state = dict(parts(left.take, size))
    if left.rest():
        raise ZooError("is damaged: it does not hold as many numbers as its model has")
    state["mask.scale"] = np.linalg.norm(state["mask.weight"]).astype(np.float32).reshape(1)
    return state


Parts = Iterator[tuple[str, np.ndarray]]


def _wide(take, size: _Size) -> Parts:
    """The tensors of a file of 48 kHz: of each convolution a gain for its outputs apart."""
    c, convs, r, bands, blocks, bins = size

    def convolution(name: str, *shape: int) -> Parts:
        kernel, gain, bias = take(*shape), take(shape[0]), take(shape[0])
        yield f"{name}.weight", kernel * gain.reshape(-1, *[1] * (kernel.ndim - 1))
        yield f"{name}.bias", bias

    yield from convolution("stem", c, 2, 8)
    for i in range(convs):
        yield from convolution(f"encoder.{i}", c, c, 3)
    yield "narrow.weight", take(bands, bins)
    yield from convolution("inward", r, c)
    for i in range(blocks):
        yield from _wide_block(take, f"blocks.{i}", r, bands if i == 0 else 0)
    yield from convolution("outward", c, r)
    yield "widen.weight", take(bins, bands)
    for i in reversed(range(convs)):
        yield from convolution(f"join.{i + 1}", c, 2 * c)
        yield from convolution(f"decoder.{i}", c, c, 3)
    yield from convolution("join.0", c, 2 * c)
    yield "mask.weight", take(c, 2, 8)
    yield "mask.bias", take(2)


def _wide_block(take, name: str, r: int, bands: int) -> Parts:
    # Update gate, reset gate and candidate; the two gates have one bias for two.
    (wz, uz, z), (wr, ur, reset) = (
        (take(r, r), take(r, r), take(r)),
        (take(r, r), take(r, r), take(r)),
    )
    wn, un, input_bias, hidden_bias = take(r, r), take(r, r), take(r), take(r)
    none = np.zeros(2 * r, np.float32)
    yield f"{name}.gru.input_weight", np.concatenate([wr, wz, wn])
    yield f"{name}.gru.hidden_weight", np.concatenate([ur, uz, un])
    yield f"{name}.gru.input_bias", np.concatenate([reset, z, input_bias])
    yield f"{name}.gru.hidden_bias", np.concatenate([none, hidden_bias])
    yield f"{name}.time.weight", take(r, r)
    yield f"{name}.time.bias", take(r)
    if bands:
        yield f"{name}.place", take(bands, r)
    pairs = [(take(r, r), take(r)) for _ in range(3)]
    if any(bias.any() for _, bias in pairs):
        raise ZooError("has biases in its attention; give Tiny, Base or Small as published")
    yield f"{name}.qkv.weight", np.concatenate([kernel for kernel, _ in pairs])
    yield f"{name}.frequency.weight", take(r, r)
    yield f"{name}.frequency.bias", take(r)


def _narrow(take, size: _Size) -> Parts:
    """The tensors of the file of 16 kHz, as PyTorch stores them."""
    c, convs, r, bands, blocks, bins = size

    def convolution(name: str, *shape: int) -> Parts:
        yield f"{name}.weight", take(*shape)
        yield f"{name}.bias", take(shape[0])

    # It takes the samples of a stride as channels: (out, place * channel, part).
    kernel = take(c, 4, 2, 2)
    yield "stem.weight", kernel.transpose(0, 2, 3, 1).reshape(c, 2, 8)
    yield "stem.bias", take(c)
    for i in range(convs):
        yield from convolution(f"encoder.{i}", c, c, 3)
    yield "narrow.weight", take(bands, bins)
    yield from convolution("inward", r, c)
    for i in range(blocks):
        yield from _narrow_block(take, f"blocks.{i}", r, bands if i == 0 else 0)
    yield "widen.weight", take(bins, bands)
    yield from convolution("outward", c, r)
    for i in reversed(range(convs)):
        yield from convolution(f"join.{i + 1}", c, 2 * c)
        yield from convolution(f"decoder.{i}", c, c, 3)
    yield from convolution("join.0", c, 2 * c)
    yield "mask.weight", take(c, 2, 8)
    yield "mask.bias", take(2)


def _narrow_block(take, name: str, r: int, bands: int) -> Parts:
    for part in ("input", "hidden"):
        yield f"{name}.gru.{part}_weight", take(3 * r, r)
        yield f"{name}.gru.{part}_bias", take(3 * r)
    yield f"{name}.time.weight", take(r, r)
    yield f"{name}.time.bias", take(r)
    # Head by head, each with its queries, keys and values.
    kernel = take(_HEADS, 3, r // _HEADS, r)
    yield f"{name}.qkv.weight", kernel.swapaxes(0, 1).reshape(3 * r, r)
    yield f"{name}.frequency.weight", take(r, r)
    yield f"{name}.frequency.bias", take(r)
    if bands:
        yield f"{name}.place", take(bands, r)

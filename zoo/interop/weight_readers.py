"""Published weight files as NumPy arrays; a file's kind is recognized by its content."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import ml_dtypes  # noqa: F401, NumPy knows bfloat16 by name once it is imported
import numpy as np

from zoo import files
from zoo.errors import ZooError
from zoo.interop import deepfilternet_files, fastenhancer_files, torch_files

_KINDS = (
    "what torch.save writes, .safetensors, MATLAB v7.3 .mat, FastEnhancer's .bin or "
    "DeepFilterNet3's .onnx"
)
# The largest kernel of these networks has 83,000 values; one entry may claim any number of them.
_MOST_VALUES = 2**24
_MOST_LAYERS = 1000


def read_state(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Reads the state dict of a published weight file, without PyTorch and without running it.

    Takes what `torch.save` writes (zip files, and the format before PyTorch 1.6), safetensors, the
    MatConvNet networks of DnCNN and FFDNet in MATLAB v7.3 files, FastEnhancer's `.bin`, and one of
    the three `.onnx` files of DeepFilterNet3, whose others lie beside it. In a
    PyTorch file the state dict is `params_ema`, `params`, `state_dict`, `model_state_dict` or
    `model`, the first that is there, with the containers, numbers and strings beside it passed
    over; or else the whole. The moving average goes before the rest because it is what BasicSR's
    trainings are scored with.

    Args:
      path: the file. What is read takes about its size in memory.

    Returns:
      Key to array, as the file has them: PyTorch's axes, the file's dtypes, read-only perhaps, and
      tensors that shared memory still share it.

    Raises:
      ZooError: the file is missing, damaged, of another kind, asks to run code, or holds more than
        tensors.
    """
    path = Path(path)
    if not os.path.lexists(path):
        raise ZooError(f"there is no weight file {path}; check the path")
    with files.opened(path, limit=files.LIMIT) as file:
        head = file.read(1024)
    try:
        state = _reader(head, path.stat().st_size)(path)
        _check_keys(state)
    except ZooError as error:
        raise ZooError(f"{path} {error}") from None
    # Parsers trip over damaged bytes in more ways than can be listed.
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ZooError(f"{path} is damaged or cut short ({reason}); download it again") from None
    return state


def _reader(head: bytes, size: int) -> Callable[[Path], Mapping[str, np.ndarray]]:
    """The reader for a file that begins like this and has so many bytes."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not head:
        raise ZooError("is empty; download it again")
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise ZooError("is a web page; download the file that its link leads to")
    if text.startswith(b"version https://git-lfs"):
        raise ZooError("is a git-lfs pointer; fetch the file itself with `git lfs pull`")
    if head.startswith(b"MATLAB 5.0"):
        raise ZooError("is a MATLAB file before v7.3; load it in MATLAB and save(..., '-v7.3')")
    if head[257:262] == b"ustar":
        raise ZooError("is a tar archive, as PyTorch saved before 0.1.10 or packed; save it again")
    readers = (
        (head.startswith(b"PK"), torch_files.read_zip),
        (head.startswith(b"\x80"), torch_files.read_legacy),
        (b"\x89HDF\r\n\x1a\n" in (head[:8], head[512:520]), _read_matlab),
        (head[8:9] == b"{", _read_safetensors),
        (head.startswith(fastenhancer_files.MAGIC), fastenhancer_files.read),
        (deepfilternet_files.HEAD in head[:16], deepfilternet_files.read),
        (size == fastenhancer_files.BARE_SIZE, fastenhancer_files.read_bare),
    )
    for found, reader in readers:
        if found:
            return reader
    raise ZooError(f"is not a weight file; give {_KINDS}")


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    import safetensors  # noqa: PLC0415, only weight files need it

    with safetensors.safe_open(path, framework="np") as file:
        return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118, it is no dict


def _check_keys(state: Mapping[str, np.ndarray]) -> None:
    """Keeps keys that would break an error's line or hide in it out of every error."""
    odd = [key for key in state if not key.isprintable()]
    if odd:
        raise ZooError(f"names a tensor {odd[0][:50]!a}; keys are printable")
    if not state:
        raise ZooError("holds no tensors; save model.state_dict()")


def _read_matlab(path: Path) -> dict[str, np.ndarray]:
    """Reads a MatConvNet network of DnCNN or FFDNet, keys as of PyTorch's `nn.Sequential`."""
    import h5py  # noqa: PLC0415, only such files need it

    with h5py.File(path) as file:
        references = file.get("net/layers")
        if not isinstance(references, h5py.Dataset):
            raise ZooError(
                "is not a MatConvNet network: it has no list net.layers; give another file"
            )
        if references.size > _MOST_LAYERS:
            raise ValueError("more layers than any of these networks has")
        layers = [file[reference] for reference in references[()].ravel()]
        kinds = [_text(layer["type"]) for layer in layers]
        other = sorted(set(kinds) - {"conv", "relu", "SubP", "concat"})
        if other:
            raise ZooError(
                f"has layers that are not read: {', '.join(ascii(kind)[:20] for kind in other)}; "
                "give the published network, with its batch norm merged"
            )
        if kinds.count("relu") != kinds.count("conv") - 1:
            raise ZooError("is not a chain of convolutions and ReLUs; give DnCNN or FFDNet")
        for layer in layers:
            _check_plain(layer)
        convolutions = [layer for layer, kind in zip(layers, kinds, strict=True) if kind == "conv"]
        weights = [_weights(file, layer) for layer in convolutions]
    if "SubP" in kinds:
        shuffled = len(weights[-1][1])
        weights[0] = (_swapped(weights[0][0], shuffled, axis=1), weights[0][1])
        weights[-1] = tuple(_swapped(array, shuffled, axis=0) for array in weights[-1])
    return {
        f"model.{2 * i}.{name}": array
        for i, pair in enumerate(weights)
        for name, array in zip(("weight", "bias"), pair, strict=True)
    }


def _text(dataset) -> str:
    return "".join(map(chr, _array(dataset).ravel().astype(int)))


def _array(dataset) -> np.ndarray:
    if dataset.size > _MOST_VALUES:
        raise ValueError("an array is larger than any of these networks has")
    return dataset[()]


def _check_plain(layer) -> None:
    """Checks what the keys do not show: all steps are 1, and no ReLU leaks."""
    for option, value in (("stride", 1), ("dilate", 1), ("pad", 1), ("leak", 0)):
        if option in layer and np.any(_array(layer[option]) != value):
            raise ZooError(f"has a layer with another {option} than {value}; give DnCNN or FFDNet")


def _weights(file, layer) -> tuple[np.ndarray, np.ndarray]:
    """Filters (out, in, h, w) and biases (out,); the file has out, in, w, h."""
    filters, biases = (_array(file[r]) for r in _array(layer["weights"]).ravel())
    biases = biases.ravel()
    # MATLAB drops the last axis, ours the first, where it is 1.
    filters = filters.reshape(len(biases), *filters.shape[-3:]).transpose(0, 1, 3, 2)
    return filters.astype(np.float32), biases.astype(np.float32)


def _swapped(array: np.ndarray, count: int, axis: int) -> np.ndarray:
    """Orders the four pixels of each 2x2 patch by rows, which MATLAB orders by columns.

    Channels after the first `count`, the level map, stay.
    """
    order = np.arange(array.shape[axis])
    order[:count] = order[:count].reshape(-1, 4)[:, [0, 2, 1, 3]].ravel()
    return array.take(order, axis)

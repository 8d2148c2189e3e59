"""DnCNN and FFDNet as their authors published them: MatConvNet networks in MATLAB v7.3 files."""

from pathlib import Path

import numpy as np

from zoo.errors import ZooError

# The largest kernel of these networks has 83,000 values; one entry may claim any number of them.
_MOST_VALUES = 2**24
_MOST_LAYERS = 1000


def read(path: Path) -> dict[str, np.ndarray]:
    """Reads the convolutions of a network as PyTorch's `nn.Sequential` with ReLUs would name them.

    Raises:
      ZooError: as `read_state`, without the path.
      Exception: of any kind, where it is damaged.
    """
    import h5py  # noqa: PLC0415, only who brings such a file waits for it

    with h5py.File(path) as file:
        references = file.get("net/layers")
        if not isinstance(references, h5py.Dataset):
            raise ZooError(
                "is no MatConvNet network: it has no list net.layers; bring another file"
            )
        if references.size > _MOST_LAYERS:
            raise ValueError("more layers than any of these networks has")
        layers = [file[reference] for reference in references[()].ravel()]
        kinds = [_text(layer["type"]) for layer in layers]
        other = sorted(set(kinds) - {"conv", "relu", "SubP", "concat"})
        if other:
            raise ZooError(
                f"has layers that are not read: {', '.join(ascii(kind)[:20] for kind in other)}; "
                "bring the published network, with its batch norm merged"
            )
        if kinds.count("relu") != kinds.count("conv") - 1:
            raise ZooError("is no chain of convolutions and ReLUs; bring DnCNN or FFDNet")
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
    """Holds a layer against what the keys cannot tell: all steps are 1, and no ReLU leaks."""
    for option, value in (("stride", 1), ("dilate", 1), ("pad", 1), ("leak", 0)):
        if option in layer and np.any(_array(layer[option]) != value):
            raise ZooError(f"has a layer with another {option} than {value}; bring DnCNN or FFDNet")


def _weights(file, layer) -> tuple[np.ndarray, np.ndarray]:
    """Filters (out, in, h, w) and biases (out,); the file has out, in, w, h."""
    filters, biases = (_array(file[r]) for r in _array(layer["weights"]).ravel())
    biases = biases.ravel()
    # MATLAB drops the last axis, ours the first, where it is 1.
    filters = filters.reshape(len(biases), *filters.shape[-3:]).transpose(0, 1, 3, 2)
    return filters.astype(np.float32), biases.astype(np.float32)


def _swapped(array: np.ndarray, count: int, axis: int) -> np.ndarray:
    """Orders the four pixels of each 2x2 patch by rows, which MATLAB orders by columns.

    What stands behind the first `count` channels, the level map, stays.
    """
    order = np.arange(array.shape[axis])
    order[:count] = order[:count].reshape(-1, 4)[:, [0, 2, 1, 3]].ravel()
    return array.take(order, axis)

"""MatConvNet networks as MATLAB writes them."""

import h5py
import numpy as np


def put_matlab(file, path, layers, **options):
    """A MatConvNet network: dicts of layers as MATLAB writes them, a list under `weights`."""
    references = []
    for i, layer in enumerate(layers):
        group = file.create_group(f"#refs#/l{i}")
        for key, value in layer.items():
            match value:
                case str():
                    group[key] = np.array([[ord(c)] for c in value], np.uint16)
                case list():
                    arrays = [
                        file.create_dataset(f"#refs#/l{i}w{j}", data=a, **options)
                        for j, a in enumerate(value)
                    ]
                    group[key] = np.array([[a.ref for a in arrays]], h5py.ref_dtype)
                case _:
                    group[key] = value
        references.append(group.ref)
    file[path] = np.array(references, h5py.ref_dtype)[:, None]


def write_matlab(path, layers, **options):
    with h5py.File(path, "w", userblock_size=512) as file:
        put_matlab(file, "net/layers", layers, **options)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(512))
    return path


def conv(out, inside, seed, **options):
    rng = np.random.default_rng(seed)
    filters = rng.random((out, inside, 3, 3), np.float32)  # out, in, w, h
    bias = rng.random((1, out), np.float32)
    # MATLAB drops a last axis of 1, which stands first here.
    return {"type": "conv", "weights": [filters[0] if out == 1 else filters, bias], **options}


def dncnn():
    return [conv(4, 1, 0), {"type": "relu"}, conv(4, 4, 1), {"type": "relu"}, conv(1, 4, 2)]

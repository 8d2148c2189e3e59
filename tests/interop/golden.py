"""Makes the golden files from the original PyTorch networks, or a reading of them in NumPy.

In an environment of its own, under Python 3.11 (it needs neither jax nor this package):

    pip install torch==2.13.0 deepinv onnx onnxruntime
    python tests/interop/golden.py            # all families
    python tests/interop/golden.py drunet     # one

Each case of `cases/` becomes `golden/<case>.npz`: the keys and shapes of the original's state dict,
its output for seeded weights and a seeded input, and the outputs of the modules that the case
names. Nothing is fetched from the network. A case of published weights reads their file from the
folder that ZOO_DATA names, and is left as it is without.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import sys
import types
from pathlib import Path
from unittest import mock

import numpy as np

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE)]

from seeded import seeded_input, seeded_state  # noqa: E402


class _Absent(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Stands in for torchvision, which deepinv imports and its networks do not use.

    The real one does not load beside a PyTorch without CUDA.
    """

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torchvision":
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        return mock.MagicMock(__spec__=spec, __path__=[])

    def exec_module(self, module):
        pass


def deepinv_model(name):
    """`deepinv.models.<name>`, without running the packages' own `__init__`."""
    if "deepinv" not in sys.modules:
        root = Path(importlib.util.find_spec("deepinv").submodule_search_locations[0])
        for package, path in (("deepinv", root), ("deepinv.models", root / "models")):
            sys.modules[package] = types.ModuleType(package)
            sys.modules[package].__path__ = [str(path)]
    return importlib.import_module(f"deepinv.models.{name}")


sys.meta_path.insert(0, _Absent())


def to_ours(tensor):
    """NCHW to NHWC; tokens (N, HW, C) stay."""
    array = tensor.detach().numpy()
    return array.transpose(0, 2, 3, 1) if array.ndim == 4 else array


def published(file):
    """The state dict of a published file; `model` where there is more beside it."""
    import torch

    state = torch.load(path_of(file), map_location="cpu", weights_only=True)
    return state.get("model", state)


def path_of(file):
    return Path(os.environ["ZOO_DATA"]) / "weights" / file


def make(case, family):
    """The arrays of one golden file."""
    if hasattr(family, "read"):
        return make_by_reading(case, family)
    import torch

    with torch.no_grad():
        return make_by_torch(case, family)


def make_by_reading(case, family):
    """The same, where the original is a reading in NumPy of the published file."""
    x = seeded_input(case.shape)
    output, seen = family.read(case, path_of(case.weights), x[0, :, 0])
    arrays = {f"group:{name}": value.astype(np.float32) for name, value in seen.items()}
    output = output.astype(np.float32).reshape(case.shape)
    return arrays | {"shapes": np.array("{}"), "output": output}


def make_by_torch(case, family):
    """The same, where it is a PyTorch network."""
    import torch

    net, call = family.original(case)
    net.eval()
    shapes = {key: list(value.shape) for key, value in net.state_dict().items()}
    constant = getattr(family, "is_constant", lambda k: False)
    constants = {f"constant:{k}": v.numpy() for k, v in net.state_dict().items() if constant(k)}
    if case.weights:
        net.load_state_dict(published(case.weights))
    else:
        buffer = getattr(family, "is_buffer", constant)
        floats = [k for k, v in net.state_dict().items() if v.is_floating_point()]
        learnt = {k: shapes[k] for k in floats if not buffer(k)}
        state = {k: torch.from_numpy(v) for k, v in seeded_state(learnt, case.scales).items()}
        net.load_state_dict(state, strict=False)

    seen = {}
    modules = dict(net.named_modules())
    for ours, theirs in case.groups.items():
        hook = lambda module, args, output, ours=ours: seen.update({ours: to_ours(output)})  # noqa: E731
        modules[theirs].register_forward_hook(hook)
    x = torch.from_numpy(np.moveaxis(seeded_input(case.shape), -1, 1).copy())
    output = np.moveaxis(call(net, x, case.level).numpy(), 1, -1)
    assert output.shape == case.shape, (output.shape, case.shape)
    assert set(seen) == set(case.groups)
    arrays = {f"group:{name}": value.astype(np.float32) for name, value in seen.items()}
    shapes = {k: s for k, s in shapes.items() if not constant(k)}
    arrays |= {"shapes": np.array(json.dumps(shapes)), "output": output.astype(np.float32)}
    return arrays if case.weights else arrays | constants


if __name__ == "__main__":
    names = sys.argv[1:] or sorted(path.stem for path in (HERE / "cases").glob("[a-z]*.py"))
    (HERE / "golden").mkdir(exist_ok=True)
    for name in names:
        family = importlib.import_module(f"cases.{name}")
        for label, case in family.CASES.items():
            if case.weights and "ZOO_DATA" not in os.environ:
                print(f"{label:30} left as it is: ZOO_DATA is not set")
                continue
            arrays = make(case, family)
            path = HERE / "golden" / f"{label}.npz"
            np.savez_compressed(path, **arrays)
            print(
                f"{label:30} {path.stat().st_size / 1e3:8.0f} kB, std {arrays['output'].std():.3f}"
            )

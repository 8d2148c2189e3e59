"""Makes the golden files from the original PyTorch networks.

In an environment of its own, under Python 3.11 (it needs neither jax nor this package):

    pip install torch==2.13.0 deepinv
    python tests/interop/golden.py            # all families
    python tests/interop/golden.py drunet     # one

Each case of `cases/` becomes `golden/<case>.npz`: the keys and shapes of the original's state dict,
its output for seeded weights and a seeded input, and the outputs of the modules that the case
names. Nothing is fetched from the network.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import sys
import types
from pathlib import Path
from unittest import mock

import numpy as np
import torch

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE)]

from seeded import seeded_picture, seeded_state  # noqa: E402


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


@torch.no_grad()
def make(case, family):
    """The arrays of one golden file."""
    net, call = family.original(case)
    net.eval()
    shapes = {key: list(value.shape) for key, value in net.state_dict().items()}
    floats = {k: s for k, s in shapes.items() if net.state_dict()[k].is_floating_point()}
    learnt = {
        k: s for k, s in floats.items() if not getattr(family, "is_buffer", lambda k: False)(k)
    }
    state = {k: torch.from_numpy(v) for k, v in seeded_state(learnt, case.scales).items()}
    net.load_state_dict(state, strict=False)

    seen = {}
    modules = dict(net.named_modules())
    for ours, theirs in case.groups.items():
        hook = lambda module, args, output, ours=ours: seen.update({ours: to_ours(output)})  # noqa: E731
        modules[theirs].register_forward_hook(hook)
    x = torch.from_numpy(seeded_picture(case.shape).transpose(0, 3, 1, 2).copy())
    output = to_ours(call(net, x, case.level))
    assert output.shape == case.shape, (output.shape, case.shape)
    assert set(seen) == set(case.groups)
    arrays = {f"group:{name}": value.astype(np.float32) for name, value in seen.items()}
    return {"shapes": np.array(json.dumps(shapes)), "output": output.astype(np.float32), **arrays}


if __name__ == "__main__":
    names = sys.argv[1:] or sorted(path.stem for path in (HERE / "cases").glob("[a-z]*.py"))
    (HERE / "golden").mkdir(exist_ok=True)
    for name in names:
        family = importlib.import_module(f"cases.{name}")
        for label, case in family.CASES.items():
            arrays = make(case, family)
            path = HERE / "golden" / f"{label}.npz"
            np.savez_compressed(path, **arrays)
            print(
                f"{label:30} {path.stat().st_size / 1e3:8.0f} kB, std {arrays['output'].std():.3f}"
            )

"""Makes the files here with PyTorch itself, and what it reads out of them.

In the environment of tests/interop/golden.py: `python tests/interop/files/make_files.py`.
"""

import os
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from torch import nn

HERE = Path(__file__).parent


class Evil:
    """Runs code where it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("owned",)


def tensors():
    generator = torch.Generator().manual_seed(0)
    normal = torch.randn(4, 3, 2, generator=generator)
    shared = torch.randn(20, generator=generator)
    return {
        "float32": normal,
        "float64": normal.double(),
        "float16": normal.half(),
        "bfloat16": normal.bfloat16(),
        "transposed": normal.permute(2, 0, 1),
        "slanted": shared.as_strided((3, 2), (5, 3), 2),
        "view": shared[7:13],
        "shared": shared,
        "int64": torch.tensor(7),
        "int16": torch.arange(-3, 3, dtype=torch.int16),
        "uint8": torch.arange(250, 256, dtype=torch.uint8),
        "bool": torch.tensor([True, False, True]),
        "empty": torch.zeros(3, 0),
        "parameter": nn.Parameter(normal[0]),
    }


def module():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))


def checkpoint():
    """What a training script saves."""
    net = module()
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(1, 1, 8, 8)).sum().backward()
    optimizer.step()
    return {
        "epoch": 3,
        "best": 31.25,
        "size": torch.Size([1, 8]),
        "device": torch.device("cpu"),
        "dtype": torch.float16,
        "history": [1, 2.5, None, (True, "a")],
        "optimizer": optimizer.state_dict(),
        "state_dict": net.state_dict(),
    }


def arrays(state):
    wide = {k: v.detach().double() if v.is_floating_point() else v for k, v in state.items()}
    return {key: value.numpy() for key, value in wide.items()}


if __name__ == "__main__":
    state, legacy = tensors(), {"_use_new_zipfile_serialization": False}
    scores = {"a": torch.tensor([1.0])}, {"a": torch.tensor([2.0])}
    nested = {"params": scores[0], "params_ema": scores[1], "epoch": 3}
    for name, value, options in (
        ("zip", state, {}),
        ("zip4", state, {"pickle_protocol": 4}),
        ("legacy", state, legacy),
        ("nested", nested, {}),
        ("checkpoint", checkpoint(), {}),
        ("checkpoint_legacy", checkpoint(), legacy),
        ("whole_module", module(), {}),
        ("evil", {"a": torch.zeros(1), "b": Evil()}, {}),
        ("evil_legacy", OrderedDict(b=Evil()), legacy),
    ):
        torch.save(value, HERE / f"{name}.pth", **options)
    torch.jit.script(module()).save(HERE / "script.pth")
    np.savez_compressed(HERE / "tensors.npz", **arrays(state))
    np.savez_compressed(HERE / "module.npz", **arrays(checkpoint()["state_dict"]))

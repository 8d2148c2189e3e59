"""The ways to run a PyTorch network fast, by name: `eager` or `compile[-MODE]`, and a layout.

A name is joined by "+": `eager+channels_last`, `compile+contiguous`,
`compile-reduce-overhead+channels_last`, `compile-freezing+channels_last`.
"""

import torch

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
MODES = ("eager", "compile", "compile-reduce-overhead", "compile-max-autotune", "compile-freezing")


def names(device: str, task: str, ndim: int = 4) -> list[str]:
    """Those worth a try; audio, of three axes, have one layout.

    On a GPU the tensor cores want channels_last, and the modes save launches and tune kernels; on a
    CPU only inference has one more, which packs the weights once (`freezing`).
    """
    if device == "cuda" and ndim == 4:
        found = [f"{mode}+channels_last" for mode in MODES[:4]]
        return [*found, "compile+contiguous"]
    if device == "cuda":
        return [f"{mode}+contiguous" for mode in MODES[:4]]
    modes = ["eager", "compile"] + ["compile-freezing"] * (task == "infer")
    layouts = ("channels_last", "contiguous") if ndim == 4 else ("contiguous",)
    return [f"{mode}+{layout}" for mode in modes for layout in layouts]


def parse(name: str) -> tuple[str, torch.memory_format]:
    """The mode and the layout of a name.

    Raises:
      ValueError: it has none.
    """
    mode, _, layout = name.partition("+")
    if mode not in MODES or layout not in LAYOUTS:
        raise ValueError(f"no variant {name!r}; join one of {MODES} and one of {(*LAYOUTS,)} by +")
    return mode, LAYOUTS[layout]


def compiled(function, mode: str):
    """A module or a function, compiled as a mode says."""
    if mode == "eager":
        return function
    if mode == "compile-freezing":
        return torch.compile(function, options={"freezing": True})
    mode = mode.removeprefix("compile").removeprefix("-") or "default"
    return torch.compile(function, mode=mode)

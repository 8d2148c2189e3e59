"""What one certificate compares; read by PyTorch's process and by ours, so it imports neither."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Case:
    """One configuration of a model and of its original.

    Attributes:
      model: the registered name.
      options: overrides, ours; `original` of the family's module translates them.
      shape: (N, H, W, C) of the input, small, with odd sides; (B, T, C) of recordings.
      level: what the model is given, in signal units, or None.
      groups: path of a submodule of ours, joined by "/", to the name of the original's module
        whose output it must equal too.
      scales: regular expressions for keys to factors on their seeded weights, with which a deep sum
        of residuals stays at order 1; in a larger one the last of them would not count.
      weights: a published file, of the real data's folder `weights`, in place of seeded weights.
      slow: full-size ones.
    """

    model: str
    shape: tuple[int, ...]
    options: Mapping = dataclasses.field(default_factory=dict)
    level: float | None = None
    groups: Mapping[str, str] = dataclasses.field(default_factory=dict)
    scales: Mapping[str, float] = dataclasses.field(default_factory=dict)
    weights: str | None = None
    slow: bool = False

"""Training: a pure step, run over all devices by a loop that survives being killed.

`fit` trains on arrays, and `zoo.train.loop.train` what a config describes. `zoo.train.step` is the
step alone, for loops of one's own.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.train.fit_arrays import Fit, fit

__all__ = ["Fit", "fit"]


def __getattr__(name: str) -> Any:
    """Imports `fit` at its first use, so that the step alone needs no package that reads files."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from zoo.train import fit_arrays  # noqa: PLC0415

    return getattr(fit_arrays, name)

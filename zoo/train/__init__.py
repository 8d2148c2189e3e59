"""Training: a pure step, run over all devices by a loop that survives being killed.

`fit` trains on arrays, and `zoo.train.loop.train` what a config describes. The step, and `fit`
without a workdir, need neither ml_collections nor orbax.
"""

from zoo.train.fit_arrays import Fit, fit

__all__ = ["Fit", "fit"]

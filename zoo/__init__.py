"""A JAX functional model zoo for denoising.

`zoo.noise` holds noise as pure functions, `zoo.models` the denoisers as Flax Linen modules,
`zoo.losses` and `zoo.metrics` what measures them, `zoo.estimate` how noisy a picture is,
`zoo.weights` the way to files and back and those that come with the package, `zoo.denoise` and
`zoo.audio` the models at work, `zoo.interop` the way to and from other frameworks, `zoo.data`
pictures and batches, `zoo.train` the training step and loop, `zoo.evaluate` the scores.
"""

from zoo import estimate, interop, losses, metrics, models, noise, weights
from zoo.errors import ZooError
from zoo.inference.pictures import denoise
from zoo.models import create_model, list_models
from zoo.weights import list_weights, load

__version__ = "0.1.0"
__all__ = [
    "ZooError",
    "create_model",
    "denoise",
    "estimate",
    "interop",
    "list_models",
    "list_weights",
    "load",
    "losses",
    "metrics",
    "models",
    "noise",
    "weights",
]

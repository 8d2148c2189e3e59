"""Denoising of images and audio in JAX: models, noise, training and evaluation.

`zoo.denoise` and `zoo.denoise_file` denoise images and audio, `zoo.AudioStream` denoises live
audio, and `zoo.adapt` adapts a denoiser to the noise of an image. These build on:

* `zoo.resolve`: loads a model by name or path;
* `zoo.weights`: reads and writes weight files;
* `zoo.models`: denoisers as Flax Linen modules;
* `zoo.noise`, `zoo.losses`, `zoo.metrics`: pure functions;
* `zoo.selfsupervised`: learning from noisy images alone;
* `zoo.estimate`: estimation of noise levels;
* `zoo.stabilize`: variance-stabilizing transformations;
* `zoo.data`: data sources and batches;
* `zoo.train`: training step and loop;
* `zoo.evaluate`: evaluation;
* `zoo.interop`: exchange with other frameworks;
* `zoo.science`: arrays larger than one machine.
"""

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo import (
        data,
        estimate,
        evaluate,
        inference,
        interop,
        losses,
        metrics,
        models,
        noise,
        resolve,
        science,
        selfsupervised,
        stabilize,
        train,
        weights,
    )
    from zoo.errors import ZooError
    from zoo.inference import AudioStream, adapt, denoise, denoise_file
    from zoo.models import create_model, list_models
    from zoo.weights import list_weights, load

__version__ = "0.1.0"
__all__ = [
    "AudioStream",
    "ZooError",
    "adapt",
    "create_model",
    "data",
    "denoise",
    "denoise_file",
    "estimate",
    "evaluate",
    "inference",
    "interop",
    "list_models",
    "list_weights",
    "load",
    "losses",
    "metrics",
    "models",
    "noise",
    "resolve",
    "science",
    "selfsupervised",
    "stabilize",
    "train",
    "weights",
]

_DEFINED_IN = {
    "AudioStream": "zoo.inference",
    "ZooError": "zoo.errors",
    "adapt": "zoo.inference",
    "create_model": "zoo.models",
    "denoise": "zoo.inference",
    "denoise_file": "zoo.inference",
    "list_models": "zoo.models",
    "list_weights": "zoo.weights",
    "load": "zoo.weights",
}


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used (PEP 562), so that `import zoo` costs nothing."""
    if name in _DEFINED_IN:
        value = getattr(importlib.import_module(_DEFINED_IN[name]), name)
    elif not name.startswith("_") and importlib.util.find_spec(f"{__name__}.{name}"):
        value = importlib.import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

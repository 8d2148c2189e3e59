"""Learning from noisy images alone: pure functions that take the place of clean targets.

A target maker turns a noisy image into an input and a target; a risk estimates the error of a
model from the noisy image. Which one fits the noise, and what each costs in quality, stands in
`docs/noisy-images-only.md`; in a config it is `target.name`.
"""

from zoo.selfsupervised.blind_spots import noise2self, noise2void
from zoo.selfsupervised.methods import METHODS, Method, make_method
from zoo.selfsupervised.pairs_of_halves import diagonal_halves, noise2fast, noise2noise
from zoo.selfsupervised.patch2self import patch2self
from zoo.selfsupervised.recorruption import (
    recorrupted_gamma,
    recorrupted_gaussian,
    recorrupted_poisson,
)
from zoo.selfsupervised.risks import (
    neighbor2neighbor,
    poisson_gaussian_sure,
    poisson_sure,
    sure,
    unsure,
    zs_n2n,
)

__all__ = [
    "METHODS",
    "Method",
    "diagonal_halves",
    "make_method",
    "neighbor2neighbor",
    "noise2fast",
    "noise2noise",
    "noise2self",
    "noise2void",
    "patch2self",
    "poisson_gaussian_sure",
    "poisson_sure",
    "recorrupted_gamma",
    "recorrupted_gaussian",
    "recorrupted_poisson",
    "sure",
    "unsure",
    "zs_n2n",
]

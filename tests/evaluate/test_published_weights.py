"""Published weights reach published figures, to 0.02 dB, by the published protocol.

The figures are those of the same weights run by PyTorch; the tables of the papers differ from them
by 0.02 dB at most.
"""

import numpy as np
import pytest

from zoo.data import sources
from zoo.evaluate import score as scoring
from zoo.evaluate.contenders import contenders

FIGURES = [
    ("set12", "dncnn-gray=kair_dncnn_25.pth", {25: 30.43}),
    ("set12", "dncnn-gray=dncnn_sigma25.mat", {25: 30.43}),
    ("set12", "ffdnet-gray=ffdnet_gray.mat", {15: 32.74, 25: 30.42, 50: 27.30}),
    ("bsd68", "dncnn-gray=dncnn_sigma25.mat", {25: 29.23}),
    ("bsd68", "ffdnet-gray=ffdnet_gray.mat", {15: 31.64, 25: 29.19, 50: 26.29}),
]


def scored(zoo_data, data, model, sigmas, limit=None):
    """The cells of the model."""
    name, file = model.split("=")
    everything = {"path": str(zoo_data / data), "fractions": (0.0, 0.0, 1.0)}
    source = sources.load("folder", channels=1, **everything)["test"]
    found = scoring.score_models(
        contenders([f"{name}={zoo_data / 'weights' / file}"], [f"{sigma}" for sigma in sigmas]),
        {data: source},
        sigmas=tuple(sigmas),
        metrics=("psnr",),
        baselines=(),
        limit=limit,
    )
    return [cell for cell in found.cells if cell.method == name]


@pytest.mark.slow
@pytest.mark.parametrize(("data", "model", "figures"), FIGURES)
def test_published_weights_score_as_published(zoo_data, data, model, figures):
    found = scored(zoo_data, data, model, figures)
    assert [cell.level for cell in found] == [f"{sigma}" for sigma in figures]
    np.testing.assert_allclose(
        [cell.means["psnr"] for cell in found], list(figures.values()), rtol=0, atol=0.02
    )
    # The printed difference is that from the papers' own tables.
    assert all(abs(cell.difference) < 0.03 for cell in found)


def test_the_first_pictures_score_as_by_numpy(zoo_data):
    """Whole sets take minutes. The figure is that of the same kernels, convolved by NumPy."""
    (cell,) = scored(zoo_data, "set12", "ffdnet-gray=ffdnet_gray.mat", [25], limit=3)
    assert cell.level == "25"
    np.testing.assert_allclose(cell.means["psnr"], 31.341, rtol=0, atol=0.02)

"""Published weights reach published figures, to 0.02 dB, by the published protocol.

The figures are those of the same weights run by PyTorch; the tables of the papers differ from them
by 0.02 dB at most.
"""

import numpy as np
import pytest

from zoo.data import sources
from zoo.evaluate import Level, NumpyGaussian, evaluate
from zoo.evaluate.contenders import contenders
from zoo.evaluate.protocol import PUBLISHED
from zoo.evaluate.published_figures import published

FIGURES = [
    ("set12", "dncnn-gray=kair_dncnn_25.pth", {25: 30.43}),
    ("set12", "dncnn-gray=dncnn_sigma25.mat", {25: 30.43}),
    ("set12", "ffdnet-gray=ffdnet_gray.mat", {15: 32.74, 25: 30.42, 50: 27.30}),
    ("bsd68", "dncnn-gray=dncnn_sigma25.mat", {25: 29.23}),
    ("bsd68", "ffdnet-gray=ffdnet_gray.mat", {15: 31.64, 25: 29.19, 50: 26.29}),
]


def scored(zoo_data, outdir, data, model, sigmas, limit=None):
    """The mean PSNR and the published one at each level."""
    name, file = model.split("=")
    everything = {"path": str(zoo_data / data), "fractions": (0.0, 0.0, 1.0)}
    source = sources.load("folder", channels=1, **everything)["test"]
    levels = {Level(float(sigma), "1/255", "sigma"): NumpyGaussian(sigma / 255) for sigma in sigmas}
    (one,) = contenders(
        [f"{name}={zoo_data / 'weights' / file}"], [level.label for level in levels]
    )
    result = evaluate(
        lambda level: {name: one.load(level.label)},
        source,
        levels=levels,
        outdir=outdir,
        protocol=PUBLISHED,
        metrics=("psnr",),
        baselines=(),
        sheets=None,
        denoised=False,
        limit=limit,
    )
    names = source.names[: result.count]
    return [
        (means[name]["psnr"], published(data, names, 1, level, PUBLISHED, name).get("psnr"))
        for level, means in result.by_level.items()
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("data", "model", "figures"), FIGURES)
def test_published_weights_score_as_published(zoo_data, tmp_path, data, model, figures):
    found = scored(zoo_data, tmp_path, data, model, figures)
    means = [mean for mean, _ in found]
    np.testing.assert_allclose(means, list(figures.values()), rtol=0, atol=0.02)
    # The printed difference is that from the papers' own tables.
    assert all(abs(mean - known) < 0.03 for mean, known in found)


def test_the_first_images_score_as_by_numpy(zoo_data, tmp_path):
    """Whole sets take minutes. The figure is that of the same kernels, convolved by NumPy."""
    ((mean, known),) = scored(
        zoo_data, tmp_path, "set12", "ffdnet-gray=ffdnet_gray.mat", [25], limit=3
    )
    assert known is None
    np.testing.assert_allclose(mean, 31.341, rtol=0, atol=0.02)

"""Published weights reach published figures, to 0.02 dB, by the published protocol.

The figures of whole sets are those of the same weights run by PyTorch; the tables of the papers
differ from them by 0.02 dB at most.
"""

import dataclasses

import numpy as np
import pytest

from zoo.data import image_files, sources
from zoo.evaluate import Level, NumpyGaussian, evaluate
from zoo.evaluate.contenders import contenders
from zoo.evaluate.protocol import PUBLISHED
from zoo.evaluate.published_figures import published
from zoo.interop.weight_readers import read_state

FIGURES = [
    ("set12", "dncnn-gray=kair_dncnn_25.pth", {25: 30.43}),
    ("set12", "dncnn-gray=dncnn_sigma25.mat", {25: 30.43}),
    ("set12", "ffdnet-gray=ffdnet_gray.mat", {15: 32.74, 25: 30.42, 50: 27.30}),
    ("bsd68", "dncnn-gray=dncnn_sigma25.mat", {25: 29.23}),
    ("bsd68", "ffdnet-gray=ffdnet_gray.mat", {15: 31.64, 25: 29.19, 50: 26.29}),
]


def scored(zoo_data, outdir, data, model, sigmas, limit=None, **protocol):
    """(mean PSNR, the published one) at each level, and the PSNRs of the images."""
    protocol = dataclasses.replace(PUBLISHED, **protocol)
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
        protocol=protocol,
        metrics=("psnr",),
        baselines=(),
        sheets=None,
        denoised=False,
        limit=limit,
    )
    names = source.names[: result.count]
    means = [
        (means[name]["psnr"], published(data, names, 1, level, protocol, name).get("psnr"))
        for level, means in result.by_level.items()
    ]
    return means, [score.figures["psnr"] for score in result.scores if score.method == name]


def network(state, x, sigma):
    """DnCNN or FFDNet by matrix products; (H, W) in and out."""
    kernels = [state[name] for name in sorted(state, key=place) if name.endswith("weight")]
    biases = [state[name] for name in sorted(state, key=place) if name.endswith("bias")]
    y = x[None]
    if is_ffdnet := kernels[0].shape[1] == 5:
        y = np.pad(x, [(0, side % 2) for side in x.shape], mode="edge")
        y = np.stack([y[a::2, b::2] for a in range(2) for b in range(2)])
        y = np.concatenate([y, np.full_like(y[:1], sigma)])
    for i, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
        h, w = y.shape[1:]
        padded = np.pad(y, ((0, 0), (1, 1), (1, 1)))
        y = sum(
            kernel[:, :, a, b] @ padded[:, a : a + h, b : b + w].reshape(len(y), -1)
            for a in range(3)
            for b in range(3)
        )
        y = (y + bias[:, None]).reshape(-1, h, w)
        if i < len(kernels) - 1:
            y = np.maximum(y, 0)
    if not is_ffdnet:
        return x - y[0]
    found = np.empty((2 * y.shape[1], 2 * y.shape[2]), y.dtype)
    for i, phase in enumerate(y):
        found[i // 2 :: 2, i % 2 :: 2] = phase
    return found[: x.shape[0], : x.shape[1]]


def place(name):
    """Of a layer in its chain, as in `model.4.weight`."""
    return int(name.split(".")[1])


def psnr_by_numpy(zoo_data, data, model, sigma, count):
    """That of the first images of a set, with no function of the zoo but those that read files."""
    state = read_state(zoo_data / "weights" / model.split("=")[1])
    for path in sorted((zoo_data / data).iterdir())[:count]:
        clean = image_files.read(path)[..., 0].astype(np.float32)
        noise = np.random.RandomState(0).normal(0, sigma / 255, clean.shape)
        noisy = (clean / 255 + noise).astype(np.float32)
        found = network(state, noisy, np.float32(sigma / 255))
        found = np.round(np.clip(found.astype(np.float64), 0, 1) * 255)
        yield 10 * np.log10(255**2 / np.mean((found - clean) ** 2))


# The first file of DnCNN holds the tensors of the second. Images of BSD68 have odd sides.
@pytest.mark.slow
@pytest.mark.parametrize(("data", "model", "figures"), FIGURES[1:])
def test_the_first_images_score_as_by_numpy(zoo_data, tmp_path, data, model, figures):
    sigma, count = max(figures), 1 if "dncnn" in model else 2
    changes = {"noise": "numpy", "shapes": "exact"}
    _, found = scored(zoo_data, tmp_path, data, model, [sigma], count, **changes)
    expected = list(psnr_by_numpy(zoo_data, data, model, sigma, count))
    assert len(found) == count
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.002)


@pytest.mark.release
@pytest.mark.parametrize(("data", "model", "figures"), FIGURES)
def test_whole_sets_score_as_published(zoo_data, tmp_path, data, model, figures):
    found, _ = scored(zoo_data, tmp_path, data, model, figures)
    means = [mean for mean, _ in found]
    np.testing.assert_allclose(means, list(figures.values()), rtol=0, atol=0.02)
    # The printed difference is that from the papers' own tables.
    assert all(abs(mean - known) < 0.03 for mean, known in found)


def test_an_image_scores_as_by_numpy(zoo_data, tmp_path):
    model = "ffdnet-gray=ffdnet_gray.mat"
    _, found = scored(zoo_data, tmp_path, "set12", model, [25], limit=1, noise="numpy")
    np.testing.assert_allclose(found, [30.048], rtol=0, atol=0.002)

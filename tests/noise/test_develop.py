"""The stages of a camera against scipy, scikit-image, color-demosaicing and closed forms."""

import inspect
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from scipy import ndimage
from skimage import color

from zoo import noise
from zoo.data import image_files
from zoo.errors import ZooError
from zoo.noise import develop
from zoo.noise.photographs import KINDS

RNG = np.random.default_rng(0)
IMAGE = RNG.random((2, 12, 14, 3), np.float32)
BINOMIAL = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256
# Made by color-demosaicing 0.2.6 from RGGB; what it does at the border is its own.
DEMOSAICKED = np.load(Path(__file__).with_name("demosaicked.npz"))

photograph = jax.jit(noise.photograph)
# Compiled whole: stage by stage the small programs of each operation take longer to compile.
stages = SimpleNamespace(
    **{f.__name__: jax.jit(f) for f in vars(develop).values() if inspect.isfunction(f)}
)


def filtered(x, kernel):
    return np.stack([ndimage.correlate(plane, kernel) for plane in x.astype(np.float64)])


def test_srgb_is_that_of_scikit_image():
    xyz = color.rgb2xyz(IMAGE[0].astype(np.float64))
    linear = np.asarray(stages.srgb_to_linear(IMAGE[0]), np.float64)
    np.testing.assert_allclose(linear @ color.colorconv.xyz_from_rgb.T, xyz, atol=1e-5)
    x = np.linspace(-0.5, 1.5, 101, dtype=np.float32)
    np.testing.assert_allclose(stages.linear_to_srgb(stages.srgb_to_linear(x)), x, atol=1e-5)


def test_tone_is_undone():
    x = np.linspace(0, 1, 101, dtype=np.float32)
    np.testing.assert_allclose(stages.tone(x), 3 * x**2 - 2 * x**3, atol=1e-6)
    np.testing.assert_allclose(stages.untone(stages.tone(x)), x, atol=5e-4)
    assert np.isfinite(jax.vmap(jax.grad(stages.untone))(x)).all()


def test_color_matrices_keep_white_and_are_inverse():
    there, back = stages.color_matrices(RNG.random((5, develop.CAMERAS), np.float32))
    np.testing.assert_allclose(there.sum(-1), 1, atol=1e-5)
    np.testing.assert_allclose(there @ back, np.broadcast_to(np.eye(3), (5, 3, 3)), atol=1e-4)
    one = stages.color_matrices(np.float32([1, 0, 0, 0]))[0]
    np.testing.assert_allclose(
        stages.mix_channels(IMAGE, one), IMAGE @ np.asarray(one).T, atol=1e-5
    )


def test_gains_are_taken_back_but_for_highlights():
    gains = np.float32([2, 1, 1.7])
    dark = 0.5 * IMAGE
    np.testing.assert_allclose(
        stages.unbalance(dark, gains.reshape(1, 1, 1, 3)), dark / gains, rtol=1e-5
    )
    white = stages.unbalance(np.ones((1, 1, 1, 3), np.float32), gains.reshape(1, 1, 1, 3))
    np.testing.assert_allclose(white, 1, atol=1e-6)


def test_mosaic_keeps_one_color_of_each_pixel():
    raw = stages.mosaic(IMAGE)
    for i, j, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        np.testing.assert_array_equal(raw[:, i::2, j::2], IMAGE[:, i::2, j::2, channel])


@pytest.mark.parametrize(("name", "gradient"), [("malvar", 1.0), ("bilinear", 0.0)])
def test_demosaic_is_that_of_color_demosaicing(name, gradient):
    raw = DEMOSAICKED["raw"].astype(np.float32)
    found = np.asarray(stages.demosaic(raw, gradient))
    expected = DEMOSAICKED[name]
    np.testing.assert_allclose(found[2:-2, 2:-2], expected[2:-2, 2:-2], atol=1e-6)
    # A constant stays one, up to the border; each pixel keeps the color it has.
    np.testing.assert_allclose(stages.demosaic(np.full((7, 6), 0.3, np.float32)), 0.3, atol=1e-6)
    np.testing.assert_array_equal(stages.mosaic(found), raw)


def along_edges(raw):
    """Hamilton's and Adams's interpolation, pixel by pixel, without the border."""
    height, width = raw.shape
    green = raw.copy()
    for i in range(2, height - 2):
        for j in range(2 + i % 2, width - 2, 2):
            c, found = raw[i, j], []
            for di, dj in ((0, 1), (1, 0)):
                near = raw[i - di, j - dj], raw[i + di, j + dj]
                curve = 2 * c - raw[i - 2 * di, j - 2 * dj] - raw[i + 2 * di, j + 2 * dj]
                found.append((abs(near[0] - near[1]) + abs(curve), sum(near) / 2 + curve / 4))
            green[i, j] = min(found)[1]
    image = np.stack([green] * 3, -1)
    for channel, (row, column) in ((0, (0, 0)), (2, (1, 1))):
        own = np.zeros_like(raw)
        own[row::2, column::2] = 1
        weights = np.float64([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 4
        image[..., channel] += ndimage.correlate((raw - green) * own, weights)
    return image


def test_demosaic_along_edges_is_that_of_a_loop_over_pixels():
    raw = DEMOSAICKED["raw"].astype(np.float32)
    found = np.asarray(stages.demosaic_along_edges(raw))
    expected = along_edges(raw.astype(np.float64))
    np.testing.assert_allclose(found[4:-4, 4:-4], expected[4:-4, 4:-4], atol=1e-5)
    np.testing.assert_allclose(stages.mosaic(found), raw, atol=1e-6)
    # A vertical edge stays as sharp in green as it is.
    edge = np.where(np.arange(12) < 6, 0.2, 0.8).astype(np.float32)
    gray = np.broadcast_to(edge, (8, 12))
    np.testing.assert_allclose(stages.demosaic_along_edges(gray)[..., 1], gray, atol=1e-6)


def test_filters_are_scipys():
    blurred = filtered(IMAGE, BINOMIAL[..., None])
    np.testing.assert_allclose(
        stages.sharpen(IMAGE, 0.7), IMAGE + 0.7 * (IMAGE - blurred), atol=1e-5
    )
    luma = np.asarray(stages.luma(IMAGE))
    smoothed = stages.smooth(IMAGE, 1.0, (0.0, 0.0, 0.0))
    np.testing.assert_allclose(
        stages.luma(smoothed)[..., 0], stages.luma(blurred)[..., 0], atol=1e-5
    )
    np.testing.assert_allclose(smoothed - stages.luma(smoothed), IMAGE - luma, atol=1e-5)
    weights, color = (0.9, 0.6, 0.3), IMAGE - luma
    for step, weight in zip((1, 2, 4), weights, strict=True):
        dilated = np.zeros((4 * step + 1, 4 * step + 1))
        dilated[::step, ::step] = BINOMIAL
        color = color + weight * (filtered(color, dilated[..., None]) - color)
    np.testing.assert_allclose(stages.smooth(IMAGE, 0.0, weights), luma + color, atol=1e-5)


def test_enlarge_interpolates_about_the_middle():
    factors = np.float32([1.0, 1.6])
    found = stages.enlarge(IMAGE, factors)
    np.testing.assert_allclose(found[0], IMAGE[0], atol=1e-6)
    rows, columns = (m + (np.arange(n) - m) / 1.6 for n, m in ((12, 5.5), (14, 6.5)))
    for channel in range(3):
        expected = ndimage.map_coordinates(
            IMAGE[1, ..., channel].astype(np.float64),
            np.meshgrid(rows, columns, indexing="ij"),
            order=1,
        )
        np.testing.assert_allclose(found[1, ..., channel], expected, atol=1e-5)


def test_photographs_are_gray_or_color():
    """Traced only: the whole op takes long to compile."""

    def shape_of(channels):
        x = jax.ShapeDtypeStruct((2, 9, 8, channels), np.float32)
        found = jax.eval_shape(lambda x: noise.photograph(jax.random.key(0), x, strength=1.0), x)
        return found.shape

    assert (shape_of(1), shape_of(3)) == ((2, 9, 8, 1), (2, 9, 8, 3))
    with pytest.raises(ZooError, match=r"photograph: x of shape .* 1 or 3 channels"):
        shape_of(2)


@pytest.mark.matrix
def test_a_photograph_is_one_of_its_kinds():
    # JPEG leaves this gray alone.
    x = np.full((400, 16, 16, 3), 128 / 255, np.float32)
    y = np.asarray(photograph(jax.random.key(0), x, strength=1.0))
    clean = np.mean((y == x).all((1, 2, 3)))
    expected = KINDS["none"] + KINDS["jpeg"]
    error = np.sqrt(expected * (1 - expected) / 400)
    # Some noise is less than rounding takes away.
    assert expected - 5 * error < clean < expected + 0.05 + 5 * error
    np.testing.assert_allclose(255 * y, np.round(255 * y), atol=1e-3)
    none = photograph(jax.random.key(0), x, strength=0.0)
    np.testing.assert_array_equal(none, x)
    gray = photograph(jax.random.key(0), x[..., :1], strength=1.0)
    assert gray.shape == (400, 16, 16, 1)


def neighbors(d):
    """Correlations of neighboring greens, of neighboring chroma, and of red with green."""
    d = d - d.mean((0, 1))
    color = d[..., 0] - np.asarray(stages.luma(d.astype(np.float32)))[..., 0]
    pairs = ((d[:, 1:, 1], d[:, :-1, 1]), (color[:, 1:], color[:, :-1]), (d[..., 0], d[..., 1]))
    return [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairs]


@pytest.mark.matrix
def test_noise_covers_that_of_real_cameras(zoo_data):
    """PolyU's median correlations lie within the middle two thirds of the simulated ones."""
    real = []
    for path in sorted((zoo_data / "polyu").glob("*_real.JPG"))[::4]:
        pair = [
            image_files.read(p) / 255
            for p in (path, path.with_name(path.name.replace("_real", "_mean")))
        ]
        real.append(neighbors((pair[0] - pair[1])[100:356, 100:356]))
    clean = [image_files.read(p) for p in sorted((zoo_data / "photos" / "val").iterdir())]
    x = np.stack([c[:128, :128] / np.float32(255) for c in clean if c.shape[-1] == 3][:24])
    simulated = []
    for seed in range(8):
        d = np.asarray(photograph(jax.random.key(seed), x, strength=2.0)) - x
        simulated += [neighbors(one) for one in d if 255 * one.std() > 2]
    low, high = np.percentile(simulated, [17, 83], axis=0)
    middle = np.median(real, axis=0)
    assert (low < middle).all(), (low, middle)
    assert (middle < high).all(), (middle, high)

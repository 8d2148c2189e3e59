"""Quantization by hand; JPEG against Pillow, which is libjpeg-turbo."""

import functools
import io

import jax
import numpy as np
import pytest
from PIL import Image
from skimage import data

from zoo.errors import ZooError
from zoo.noise import jpeg, quantize

# What remains are coefficients that fall on the other side of a rounding, since libjpeg computes
# in integers: 45 to 79 dB were measured.
AGREEMENT_DB = 45.0
# And they must agree far better than either does with the original.
MARGIN_DB = 6.0


def psnr(a, b):
    return 10 * np.log10(255**2 / np.mean(np.square(a.astype(np.float64) - b)))


def pillow(image, quality, subsampling):
    """The image through Pillow's encoder and decoder, uint8 to uint8."""
    file = io.BytesIO()
    options = {} if image.ndim == 2 else {"subsampling": {"4:4:4": 0, "4:2:0": 2}[subsampling]}
    Image.fromarray(image).save(file, "JPEG", quality=quality, **options)
    return np.asarray(Image.open(file))


@functools.cache
def compiled(subsampling):
    return jax.jit(functools.partial(jpeg, None, subsampling=subsampling, clip=(0, 1)))


def ours(images, quality, subsampling="4:2:0"):
    x = images.astype(np.float32) / 255
    restored = compiled(subsampling)(x, quality=np.asarray(quality, np.float32))
    return np.round(np.asarray(restored) * 255).astype(np.uint8)


@pytest.mark.parametrize("subsampling", ["4:2:0", "4:4:4"])
def test_jpeg_agrees_with_pillow(subsampling):
    # Sides that fill neither blocks nor pairs, and a quality an example.
    image = data.astronaut()[60:157, 180:271]
    qualities = [10, 30, 50, 75, 90, 95]
    restored = ours(np.stack([image] * len(qualities)), qualities, subsampling)
    for quality, result in zip(qualities, restored, strict=True):
        reference = pillow(image, quality, subsampling)
        agreement = psnr(result, reference)
        assert agreement > max(AGREEMENT_DB, psnr(image, reference) + MARGIN_DB)


def test_gray_jpeg_agrees_with_pillow():
    image = data.camera()[100:171, 200:257]
    qualities = [5, 30, 75, 95]
    restored = ours(np.stack([image] * len(qualities))[..., None], qualities)
    for quality, result in zip(qualities, restored, strict=True):
        reference = pillow(image, quality, None)
        agreement = psnr(result[..., 0], reference)
        assert agreement > max(AGREEMENT_DB, psnr(image, reference) + MARGIN_DB)


@pytest.mark.parametrize("size", [(1, 1), (7, 17), (16, 8)])
def test_jpeg_of_small_and_flat_images(size):
    flat = np.broadcast_to(np.asarray([200, 100, 50], np.uint8), (*size, 3))
    for quality in (50, 100):
        error = ours(flat, quality).astype(int) - pillow(flat, quality, "4:2:0")
        assert np.abs(error).max() <= 1


def test_jpeg_does_not_clip_unless_asked():
    bright = np.full((8, 8, 1), 1.5, np.float32)
    np.testing.assert_allclose(jpeg(None, bright, quality=100), 1.5, atol=1 / 255)
    np.testing.assert_array_equal(jpeg(None, bright, quality=100, clip=(0, 1)), 1)


def test_jpeg_errors():
    with pytest.raises(ZooError, match="must have 1 or 3 channels"):
        jpeg(None, np.zeros((8, 8, 4), np.float32), quality=50)
    with pytest.raises(ZooError, match="subsampling must be"):
        jpeg(None, np.zeros((8, 8, 3), np.float32), quality=50, subsampling="4:2:2")
    with pytest.raises(ZooError, match="quality must be a whole number from 1 to 100, got 0"):
        jpeg(None, np.zeros((8, 8, 3), np.float32), quality=0)


@pytest.mark.parametrize("bits", [1, 3, 8, 16])
def test_quantize(bits):
    x = np.linspace(-0.2, 1.2, 999, dtype=np.float32)
    rounded = np.asarray(quantize(None, x, bits=bits), np.float64)
    steps = rounded * (2**bits - 1)
    # A sixteen-bit step is 128 times the spacing of float32 below 1.
    np.testing.assert_allclose(steps, np.round(steps), atol=0.02)
    assert np.abs(rounded - x).max() <= 0.5 / (2**bits - 1) + 1e-7
    saturated = np.asarray(quantize(None, x, bits=bits, clip=(0, 1)))
    assert (saturated.min(), saturated.max()) == (0, 1)
    if bits < 8:
        assert np.unique(saturated).size == 2**bits

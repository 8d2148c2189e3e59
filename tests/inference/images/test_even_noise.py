"""Noise made even before a model: what the model sees, and that the signal comes back."""

import numpy as np
import pytest
import small

from zoo.errors import ZooError
from zoo.inference import ImageDenoiser, denoise
from zoo.inference.even_noise import fit, parse
from zoo.inference.value_scale import find
from zoo.stabilize import PoissonGaussian, Rician

RNG = np.random.default_rng


def disks(white):
    """A gray disk on black, of 128x128 pixels."""
    rows, columns = np.mgrid[:128, :128] - 64
    return white * (0.1 + 0.9 * (rows**2 + columns**2 < 1600))


def photons(gain=3.0, offset=0.0, white=300.0):
    light = disks(white)
    return (gain * RNG(0).poisson(light / gain) + offset).astype(np.float32)


def magnitudes(sigma=20.0, white=300.0):
    parts = sigma * RNG(0).standard_normal((2, 128, 128))
    return np.hypot(disks(white) + parts[0], parts[1]).astype(np.float32)


@pytest.mark.parametrize(
    ("image", "kind", "noise"),
    [
        (photons(), "poisson", PoissonGaussian(3.0)),
        (photons(offset=200.0), "poisson", PoissonGaussian(3.0, 0.0, 200.0)),
        (magnitudes(), "rician", Rician(20.0)),
    ],
)
def test_the_level_is_that_of_the_noise_made_even(image, kind, noise):
    found = fit(image[..., None], kind, None)
    assert found == pytest.approx(noise, rel=0.1, abs=3)
    scale = find([image[..., None]], stabilize=noise)[image.dtype]
    seen = scale.enter(image)
    for region in np.s_[:20, :20], np.s_[56:72, 56:72]:
        assert seen[region].std() == pytest.approx(scale.level, rel=0.12)
    # A model that takes the level is given it.
    reported = ImageDenoiser(small.Half(1, takes_level=True))(image, None, None, scale)
    assert reported.level == pytest.approx(scale.level)


def test_the_signal_comes_back_without_the_bias_of_magnitudes():
    parts = 20 * RNG(0).standard_normal((2, 128, 128))
    for signal in (0, 30, 200):
        x = np.hypot(signal + parts[0], parts[1])
        scale = find([x[..., None]], stabilize=Rician(20.0))[x.dtype]
        even = np.full((1, 1), scale.enter(x).mean())
        assert scale.leave(even, x.dtype).item() == pytest.approx(signal, abs=2.5)
    assert x.mean() > 200.9


def test_figures_that_are_given_are_taken():
    # Of so small an image nothing could be estimated.
    x = photons()[60:70, 60:72]
    model = small.Half(1, takes_level=True)
    found = denoise(x, model, stabilize=PoissonGaussian(3.0, 1.0))
    assert np.isfinite(found).all()
    with pytest.raises(ZooError, match="10x12 pixels is too small to estimate its noise from"):
        denoise(x, model, stabilize="poisson")


def test_noise_that_an_image_cannot_have_is_refused():
    x = photons()
    for given, reported in (
        (True, "stabilize=True is none of poisson, rician, none and no"),
        ("rice", "unknown noise to stabilize 'rice'; did you mean 'rician'?"),
        (PoissonGaussian(0.0), "gain=0.0 of the noise to stabilize is not a number above 0"),
        (Rician(np.nan), "sigma=nan of the noise to stabilize is not a number above 0"),
        (PoissonGaussian(1.0, "3x"), "read='3x' of the noise"),
    ):
        with pytest.raises(ZooError) as caught:
            denoise(x, small.Half(1), stabilize=given)
        assert str(caught.value).startswith(reported)
    with pytest.raises(ZooError, match="Rician noise is of magnitudes, and the image has values"):
        denoise(x - 100, small.Half(1), stabilize="rician")
    with pytest.raises(ZooError, match="all of the range 0 to 10 lies below"):
        denoise(x, small.Half(1), range=(0, 10), stabilize=PoissonGaussian(1.0, 0.0, 100.0))
    with pytest.raises(ZooError, match="unknown noise to stabilize 'none:3'"):
        parse("none:3")
    with pytest.raises(ZooError, match="lie below; give another offset"):
        denoise(x, small.Half(1), stabilize=PoissonGaussian(1.0, 0.0, 1e5))


def test_even_noise_is_left_to_the_usual_way():
    x = (128 + RNG(0).normal(0, 10, (128, 128))).astype(np.float32)
    model = small.Half(1, takes_level=True)
    np.testing.assert_array_equal(denoise(x, model, stabilize="poisson"), denoise(x, model))
    np.testing.assert_array_equal(denoise(x, model, stabilize="none"), denoise(x, model))

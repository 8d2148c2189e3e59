"""Complex arithmetic by pairs of real numbers, against NumPy and JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from zoo import ZooError
from zoo.interop.export.real_numbers import without_complex


def spectra(x, gains):
    """Most of what the models do with spectra, and a loop."""
    x = jnp.fft.rfft(x * np.hanning(16).astype(np.float32)[None])
    y = x * lax.complex(gains, 2 * gains) / (1 + jnp.abs(x)).astype(x.dtype)
    y = jnp.concatenate([y[:, :4], jnp.conj(y[:, 4:])], axis=1) - 0.5j * x
    y = y / (y + (2 + 1j))
    y = jnp.where(y.real[:, :, None] > 0, jnp.stack([y, -y], axis=-1), 0).sum(-1)
    z, halves = lax.scan(lambda z, row: (z + row, row / 2), jnp.zeros(9, y.dtype), y)
    return jnp.fft.irfft(jnp.pad(z[None, :-1], ((0, 0), (0, 1)))), jnp.imag(halves), y.real


@pytest.mark.matrix
@pytest.mark.filterwarnings("ignore:.*complex.*")
def test_it_is_the_same_function_without_complex_numbers():
    rng = np.random.default_rng(0)
    given = [rng.standard_normal(shape).astype(np.float32) for shape in ((3, 16), (3, 9))]
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        function = without_complex(spectra, given)
        assert "complex" not in str(jax.make_jaxpr(function)(*given))
        expected = spectra(*given)
    for got, wanted in zip(function(*given), expected, strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-5)


@pytest.mark.parametrize("size", [8, 9])
def test_transforms_are_those_of_numpy(size):
    x = np.random.default_rng(0).standard_normal((2, size)).astype(np.float32)

    def parts(x):
        spectrum = jnp.fft.rfft(x)
        return spectrum.real, spectrum.imag, jnp.fft.irfft(spectrum, size)

    real, imag, back = without_complex(parts, [x])(x)
    np.testing.assert_allclose(real + 1j * imag, np.fft.rfft(x), atol=1e-5)
    np.testing.assert_allclose(back, x, atol=1e-5)


def test_an_unknown_operation_is_named():
    x = np.ones((2, 4), np.float32)
    function = without_complex(lambda x: jnp.exp(lax.complex(x, x)).real, [x])
    with pytest.raises(ZooError, match="the operation exp of complex numbers is not converted"):
        function(x)

"""Deblurring with a denoiser as the prior: half-quadratic splitting.

    python examples/plug_and_play.py [WEIGHTS]

A photo is blurred by a shaking hand. Two steps take turns: one, exact in the Fourier domain, pulls
towards what the camera saw; the other, a denoiser given ever smaller levels, towards what images
look like (Zhang et al., "Plug-and-Play Image Restoration with Deep Denoiser Prior", 2021). It never
saw a blurred image in its training. WEIGHTS are those of a gray denoiser that takes a level,
`unet-gray` by default; it takes seconds.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
from skimage.data import camera

import zoo

SIGMA = 2.55 / 255  # of the camera's noise
STEPS = 8
WEIGHT = 0.23  # of the prior, as the paper has it

try:
    model, variables = zoo.load(sys.argv[1] if len(sys.argv) > 1 else "unet-gray")
except zoo.ZooError as error:
    sys.exit(f"error: {error}")

clean = jnp.asarray(camera()[60:252, 130:322] / np.float32(255))
kernel = np.zeros(clean.shape, np.float32)
kernel[np.arange(9), np.arange(9) // 2] = 1 / 9  # a slanting line
blur = jnp.fft.rfft2(np.roll(kernel, (-4, -2), (0, 1)))
shake = jnp.fft.irfft2(jnp.fft.rfft2(clean) * blur, clean.shape)
blurred = zoo.noise.gaussian(jax.random.key(0), shake, sigma=SIGMA)


def data_step(prior, penalty):
    """The image nearest to the blurred one and, by the penalty, to the prior's."""
    seen = jnp.conj(blur) * jnp.fft.rfft2(blurred)
    spectrum = (seen + penalty * jnp.fft.rfft2(prior)) / (jnp.abs(blur) ** 2 + penalty)
    return jnp.fft.irfft2(spectrum, prior.shape)


def step(estimate, level):
    estimate = data_step(estimate, WEIGHT * (SIGMA / level) ** 2)
    return model.apply(variables, estimate[None, ..., None], level)[0, ..., 0], None


@jax.jit
def restore(blurred):
    levels = jnp.geomspace(49 / 255, SIGMA, STEPS)
    return jax.lax.scan(step, blurred, levels)[0]


restored = restore(blurred)
found = {}
for name, image in (("blurred", blurred), ("restored", restored)):
    found[name] = zoo.metrics.psnr(image[..., None], clean[..., None], data_range=1.0)
    print(f"{name}: {found[name]:.2f} dB")
assert found["restored"] > found["blurred"]

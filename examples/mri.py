"""A noise op in a training loop of your own: magnetic resonance magnitudes and Rician noise.

    python examples/mri.py

A tiny U-Net learns, on pieces of the Shepp-Logan phantom, to undo the noise that the magnitude of
a complex image has (Gudbjartsson and Patz, 1995). It needs jax, flax, optax, the phantom from
scikit-image and half a minute.
"""

from functools import partial

import jax
import jax.numpy as jnp
import optax
from skimage.data import shepp_logan_phantom

from zoo import metrics, noise
from zoo.models import create_model

SIGMA = 0.1

phantom = jnp.asarray(shepp_logan_phantom(), jnp.float32)[..., None]
train, test = phantom[:, :208], phantom[:, 208:]  # the left half, and the right
model = create_model("unet-tiny", channels=1)
optimizer = optax.adam(3e-3)


def crop(key, size=48):
    y, x = jax.random.randint(key, (2,), 0, jnp.array([train.shape[0], train.shape[1]]) - size)
    return jax.lax.dynamic_slice(train, (y, x, 0), (size, size, 1))


@partial(jax.jit, donate_argnums=(0, 1))
def step(variables, opt_state, key):
    key_crop, key_noise = jax.random.split(key)
    clean = jax.vmap(crop)(jax.random.split(key_crop, 16))
    noisy = noise.rician(key_noise, clean, sigma=SIGMA)

    def loss(variables):
        return jnp.mean(metrics.mse(model.apply(variables, noisy), clean))

    updates, opt_state = optimizer.update(jax.grad(loss)(variables), opt_state)
    return optax.apply_updates(variables, updates), opt_state


key = jax.random.key(0)
variables = model.init(key, train[None])
opt_state = optimizer.init(variables)
for n in range(300):
    variables, opt_state = step(variables, opt_state, jax.random.fold_in(key, n))

noisy = noise.rician(jax.random.key(1), test, sigma=SIGMA)
denoised = model.apply(variables, noisy[None])[0]
for name, image in (("noisy", noisy), ("denoised", denoised)):
    print(f"{name}: {metrics.psnr(image, test, data_range=1.0):.2f} dB")

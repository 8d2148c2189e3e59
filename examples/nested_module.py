"""A denoiser within modules of your own, of Flax Linen and of NNX.

    python examples/nested_module.py

A module denoises noisy patterns and then says which of four they are; denoiser and classifier are
trained as one. The denoiser starts from weights of its own: here, to need no file, random ones,
else those of `zoo.load`. It needs jax, flax, optax and seconds.
"""

from functools import partial

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import nnx

import zoo

SIGMA = 0.6
SIDE = 16


class Reader(nn.Module):
    """Denoises, then classifies: (N, H, W, 1) to (N, 4)."""

    denoiser: nn.Module

    @nn.compact
    def __call__(self, x, level):  # noqa: D102
        y = nn.relu(nn.Conv(8, (3, 3))(self.denoiser(x, level)))
        return nn.Dense(4)(jnp.square(y).mean((1, 2)))


class NNXReader(nnx.Module):
    """The same denoiser in a module of NNX, which classifies in another way."""

    def __init__(self, denoiser, rngs):
        self.denoiser = denoiser
        self.last = nnx.Linear(SIDE**2, 4, rngs=rngs)

    def __call__(self, x, level):  # noqa: D102
        return self.last(self.denoiser(x, level).reshape(len(x), -1))


def patterns(key, number):
    """Stripes across, along and either way aslant, under noise; and which they are."""
    key_kind, key_phase, key_noise = jax.random.split(key, 3)
    kind = jax.random.randint(key_kind, (number,), 0, 4)
    steps = jnp.array([[0, 1], [1, 0], [0.7, 0.7], [0.7, -0.7]])[kind]
    at = jnp.stack(jnp.meshgrid(jnp.arange(SIDE), jnp.arange(SIDE), indexing="ij"), -1)
    phase = jax.random.uniform(key_phase, (number, 1, 1), maxval=6.3)
    x = 0.5 + 0.5 * jnp.sin(1.5 * jnp.einsum("hwa,na->nhw", at.astype(jnp.float32), steps) + phase)
    return zoo.noise.gaussian(key_noise, x[..., None], sigma=SIGMA), kind


def loss(logits, kind):
    return optax.softmax_cross_entropy_with_integer_labels(logits, kind).mean()


# (model, variables) as zoo.load gives them.
denoiser = zoo.create_model("ffdnet-gray", depth=4, width=16)
loaded = zoo.models.init_variables(denoiser, jax.random.key(0), (1, SIDE, SIDE, 1))

# Linen: the denoiser is a field, and its parameters lie under the field's name.
reader = Reader(denoiser)
variables = zoo.models.init_variables(reader, jax.random.key(1), (1, SIDE, SIDE, 1))
# A copy, since training gives its buffers away.
variables["params"]["denoiser"] = jax.tree.map(jnp.copy, loaded["params"])
optimizer = optax.adam(1e-2)
opt_state = optimizer.init(variables)


@partial(jax.jit, donate_argnums=(0, 1))
def step(variables, opt_state, key):
    x, kind = patterns(key, 32)
    slope = jax.grad(lambda v: loss(reader.apply(v, x, SIGMA), kind))(variables)
    updates, opt_state = optimizer.update(slope, opt_state)
    return optax.apply_updates(variables, updates), opt_state


for n in range(150):
    variables, opt_state = step(variables, opt_state, jax.random.fold_in(jax.random.key(2), n))
x, kind = patterns(jax.random.key(3), 256)
read = jax.jit(reader.apply)
right = (read(variables, x, SIGMA).argmax(-1) == kind).mean()
print(f"Linen: {100 * right:.0f} % right")
assert right > 0.8

# vmap: each image with a level of its own, as if it came alone.
levels = jnp.linspace(0.1, SIGMA, len(x))
alone = jax.vmap(lambda x, level: read(variables, x[None], level)[0])(x, levels)
assert jnp.allclose(alone, read(variables, x, levels), atol=1e-4)

# NNX: a bridge holds the same parameters as nnx.Param.
mine = NNXReader(zoo.interop.nnx.to_nnx(denoiser, loaded), nnx.Rngs(0))
theirs = nnx.jit(lambda module, x: module.denoiser(x, SIGMA))(mine, x)
assert jnp.allclose(theirs, jax.jit(denoiser.apply)(loaded, x, SIGMA), atol=1e-5)
tuner = nnx.Optimizer(mine, optax.adam(1e-2), wrt=nnx.Param)


@nnx.jit
def nnx_step(module, tuner, x, kind):
    value, slope = nnx.value_and_grad(lambda module: loss(module(x, SIGMA), kind))(module)
    tuner.update(module, slope)
    return value


losses = [nnx_step(mine, tuner, x, kind) for _ in range(20)]
print(f"NNX: loss {losses[0]:.2f}, {losses[-1]:.2f} after {len(losses)} steps")
assert losses[-1] < losses[0]

"""What to compute on."""

import jax

from zoo.errors import ZooError

DEVICES = ("cpu", "gpu", "tpu")


def use(name: str | None) -> None:
    """Has JAX compute on a kind of device; call it before anything is computed.

    Args:
      name: one of `DEVICES`; None leaves it to JAX.

    Raises:
      ZooError: there is none, or JAX computes on another already.
    """
    if name is None:
        return
    if name == "cpu":
        # Before JAX looks for others, whose memory it would take.
        jax.config.update("jax_platforms", "cpu")
    try:
        found = jax.devices(name)
    except RuntimeError:
        found = []
    if not found or jax.default_backend() != name:
        here = jax.default_backend()
        raise ZooError(f"JAX finds no {name} here, but {here}; leave out --device, or install it")

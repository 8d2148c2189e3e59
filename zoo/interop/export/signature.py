"""What an exported program takes: which sizes are free, and what the network itself needs."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
from flax import linen as nn

from zoo.errors import ZooError
from zoo.models import ModelSpec, spec_of


@dataclasses.dataclass(frozen=True)
class Signature:
    """The inputs of a program.

    Attributes:
      facts: the record of the model.
      size: the only (H, W), or (T,) for recordings; None where H and W are free.
      multiple: what the network takes H and W in multiples of; the program pads to it.
      mode: how: `"edge"`, `"reflect"` or `"constant"`.
      streams: whether it is one step of a stream, with a state, instead of the whole.
    """

    facts: ModelSpec
    size: tuple[int, ...] | None
    multiple: int = 1
    mode: str = "edge"
    streams: bool = False

    @property
    def shape(self) -> tuple[str | int, ...]:
        """Of the signal, what is free by name: `("b", "h", "w", 3)`."""
        return ("b", *(self.size or ("h", "w")), self.facts.channels)

    @property
    def free(self) -> bool:
        """Whether height and width are."""
        return self.size is None

    @property
    def inputs(self) -> list[dict[str, Any]]:
        """Names and shapes, as an artefact's record tells them; float32 all."""
        signal = {"name": "x", "shape": list(self.shape), "dtype": "float32"}
        signal["range"] = list(self.facts.range)
        level = {"name": "level", "shape": ["b"], "dtype": "float32", "unit": "of the signal"}
        return [signal, level] if self.facts.takes_level else [signal]

    def example_sizes(self) -> list[tuple[int, ...]]:
        """Sizes to try a program at: the only one, or two, of which one wants padding."""
        if self.size:
            return [self.size]
        whole = max(16, 2 * self.multiple)
        return [(whole + 3, whole + 5), (whole, 2 * whole)]


def sign(model: nn.Module, size: tuple[int, ...] | None = None, name: str = "") -> Signature:
    """The signature of a model's program.

    Args:
      model: the module.
      size: the only (H, W), or samples (T,), it shall take. Without it pictures may have any, and
        a model that streams is exported as its step of one hop.
      name: what to call it; that of its class by default.

    Raises:
      ZooError: the size is not one of this model's, or a recording's model needs one.
    """
    facts = spec_of(model, name)
    axes = 2 if facts.modality == "image" else 1
    if size is not None and (len(size) != axes or min(size) < 1):
        wanted = "HxW, such as 256x256" if axes == 2 else "one number of samples, such as 32000"
        raise ZooError(f"size {'x'.join(map(str, size))} does not fit {facts.name}; give {wanted}")
    if facts.size:
        if size not in (None, facts.size):
            only = "x".join(map(str, facts.size))
            raise ZooError(f"{facts.name} takes pictures of {only} only; leave out the size")
        return Signature(facts, facts.size)
    if facts.modality == "audio":
        if size is None and not facts.hop:
            raise ZooError(
                f"{facts.name} takes whole recordings; give their length in samples as the size"
            )
        return Signature(facts, size or (facts.hop,), streams=size is None)
    # With a free size the padding has to be known to divide, and only then to be made, which the
    # models, made for sizes that are known, do in one; so the program makes it before them.
    return Signature(facts, size, math.lcm(facts.stride, facts.multiple), facts.margin)


def arguments(signature: Signature, constraints: Sequence[str] = ()) -> list[jax.ShapeDtypeStruct]:
    """The inputs for a tracer, with symbols where the signature has names.

    Args:
      signature: of the program.
      constraints: on the symbols, as `jax.export.symbolic_shape` takes them.
    """
    names = [name for name in signature.shape if isinstance(name, str)]
    symbols = jax.export.symbolic_shape(", ".join(names), constraints=constraints)
    named = dict(zip(names, symbols, strict=True))
    return [
        jax.ShapeDtypeStruct([named.get(n, n) for n in one["shape"]], jnp.float32)
        for one in signature.inputs
    ]


def examples(signature: Signature, size: tuple[int, ...], batch: int = 2) -> list[jax.Array]:
    """Inputs at random, one array for each of `Signature.inputs`.

    Args:
      signature: of the program.
      size: one of `Signature.example_sizes()`.
      batch: b.
    """
    low, high = signature.facts.range
    shape = (batch, *size, signature.facts.channels)
    found = [jax.random.uniform(jax.random.key(0), shape, jnp.float32, low, high)]
    if signature.facts.takes_level:
        found.append(jnp.linspace(0.05, 0.2, batch, dtype=jnp.float32))
    return found


def about(signature: Signature, record: Mapping[str, Any] | None, **more: Any) -> dict[str, Any]:
    """The record of an artefact, JSON-like.

    Args:
      signature: of its program.
      record: of its weights, as `zoo.weights.read_record` gives it; None where there are none.
      **more: what else to tell.
    """
    told = {
        "kind": "step" if signature.streams else "whole",
        "inputs": signature.inputs,
        "model": dataclasses.asdict(signature.facts),
        "weights": dict(record) if record else None,
        **more,
    }
    return json.loads(json.dumps(told))

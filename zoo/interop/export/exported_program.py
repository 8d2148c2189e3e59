"""Programs to export: their inputs, the model as a function of arrays, and a check against it."""

import dataclasses
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from zoo import files
from zoo.errors import ZooError
from zoo.models import ModelSpec, disable_winograd, spec_of


@dataclasses.dataclass(frozen=True)
class Signature:
    """The inputs of a program.

    Attributes:
      spec: of the model.
      size: the only (H, W), or (T,) for audio; None where H and W are free.
      multiple: what the network takes H and W in multiples of; the program pads to it.
      mode: of the padding: `"edge"`, `"reflect"` or `"constant"`.
      streams: whether it is one step of a stream, with a state, instead of the whole.
      batch: how many it takes at a time; None where that is free.
    """

    spec: ModelSpec
    size: tuple[int, ...] | None
    multiple: int = 1
    mode: str = "edge"
    streams: bool = False
    batch: int | None = None

    @property
    def shape(self) -> tuple[str | int, ...]:
        """Of the signal, what is free by name: `("b", "h", "w", 3)`."""
        return (self.batch or "b", *(self.size or ("h", "w")), self.spec.inputs)

    @property
    def free(self) -> bool:
        """Whether height and width are."""
        return self.size is None

    @property
    def inputs(self) -> list[dict[str, Any]]:
        """Names and shapes, as the metadata states them; all are float32."""
        signal = {"name": "x", "shape": list(self.shape), "dtype": "float32"}
        signal["range"] = list(self.spec.range)
        level = {
            "name": "level",
            "shape": [self.shape[0]],
            "dtype": "float32",
            "unit": "of the signal",
        }
        return [signal, level] if self.spec.takes_level else [signal]

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
      size: the only (H, W), or samples (T,), it shall take. Without it images may have any, and
        a model that streams is exported as its step of one hop.
      name: what to call it; that of its class by default.

    Raises:
      ZooError: the size is not one of this model's, or an audio model needs one.
    """
    spec = spec_of(model, name)
    axes = 2 if spec.modality == "image" else 1
    if size is not None and (len(size) != axes or min(size) < 1):
        wanted = "HxW, such as 256x256" if axes == 2 else "one number of samples, such as 32000"
        raise ZooError(f"size {'x'.join(map(str, size))} does not fit {spec.name}; give {wanted}")
    if spec.size:
        if size not in (None, spec.size):
            only = "x".join(map(str, spec.size))
            raise ZooError(f"{spec.name} takes images of {only} only; leave out the size")
        return Signature(spec, spec.size)
    if spec.modality == "audio":
        if size is None and not spec.hop:
            raise ZooError(
                f"{spec.name} takes whole signals; give their length in samples as the size"
            )
        return Signature(spec, size or (spec.hop,), streams=size is None)
    # The models pad for sizes that are known. With a free size the program pads before them, so
    # that the padded size is known to divide.
    return Signature(spec, size, math.lcm(spec.stride, spec.multiple), spec.margin)


def arguments(signature: Signature, constraints: Sequence[str] = ()) -> list[jax.ShapeDtypeStruct]:
    """The inputs for a tracer, with symbols where the signature has names.

    Args:
      signature: of the program.
      constraints: on the symbols, as `jax.export.symbolic_shape` takes them.
    """
    names = [name for name in signature.shape if isinstance(name, str)]
    symbols = ()
    if names:
        symbols = jax.export.symbolic_shape(", ".join(names), constraints=constraints)
    named = dict(zip(names, symbols, strict=True))
    return [
        jax.ShapeDtypeStruct([named.get(n, n) for n in one["shape"]], jnp.float32)
        for one in signature.inputs
    ]


def metadata(signature: Signature, record: Mapping[str, Any] | None, **more: Any) -> dict[str, Any]:
    """The metadata of an exported program, JSON-like.

    Args:
      signature: of its program.
      record: of its weights, as `zoo.weights.read_record` gives it; None where there are none.
      **more: further entries.
    """
    described = {
        "kind": "step" if signature.streams else "whole",
        "inputs": signature.inputs,
        "model": dataclasses.asdict(signature.spec),
        "weights": dict(record) if record else None,
        **more,
    }
    return json.loads(json.dumps(described))


def whole(model: nn.Module, variables: Mapping, signature: Signature) -> Callable[..., jax.Array]:
    """The function `(x)` or `(x, level)` to the clean estimate.

    Args:
      model: the module.
      variables: what `apply` needs.
      signature: of the function.
    """

    def apply(x: jax.Array, *level: jax.Array) -> jax.Array:
        return model.apply(variables, x, *level)

    if signature.spec.modality == "audio":
        # One signal at a time, for these models count the signals of a batch.
        return jax.vmap(lambda x: apply(x[None])[0])
    if signature.size or signature.multiple == 1:
        return apply

    def padded(x: jax.Array, *level: jax.Array) -> jax.Array:
        h, w = x.shape[1:3]
        y = pad(pad(x, 1, signature), 2, signature)
        return apply(y, *level)[:, :h, :w]

    return padded


def step(
    model: nn.Module, variables: Mapping
) -> tuple[Callable[[jax.Array], list[jax.Array]], Callable[..., list[jax.Array]]]:
    """The functions of a stream, whose state is a list of arrays.

    Args:
      model: a module that streams.
      variables: what `apply` needs.

    Returns:
      `start(x) -> state`, from any chunk (b, hop, 1), for its b; and
      `step(x, *state) -> [y, *state]`.
    """
    structure = jax.tree.structure(jax.eval_shape(lambda: model.init_state(1, 1)))

    def start(x: jax.Array) -> list[jax.Array]:
        # The state does not depend on the chunk, but needs its batch size.
        return jax.vmap(lambda _: jax.tree.leaves(model.init_state(1, 1)))(x)

    def advance(x: jax.Array, *state: jax.Array) -> list[jax.Array]:
        def one(x, *leaves):
            state, y = model.step(variables, jax.tree.unflatten(structure, leaves), x[None])
            return [y[0], *jax.tree.leaves(state)]

        return jax.vmap(one)(x, *state)

    return start, advance


def pad(x: jax.Array, axis: int, signature: Signature) -> jax.Array:
    """As `zoo.models.layers.pad_to_multiple`, along one axis and for a size that is not known.

    Args:
      x: (N, H, W, C).
      axis: 1 or 2.
      signature: whose multiple and mode.
    """
    have, multiple = x.shape[axis], signature.multiple
    want = (have + multiple - 1) // multiple * multiple
    if signature.mode == "constant":
        pads = [(0, 0)] * x.ndim
        pads[axis] = (0, want - have)
        return jnp.pad(x, pads)
    at, last = jnp.arange(want, dtype=jnp.int32), jnp.asarray(have - 1, jnp.int32)
    if signature.mode == "reflect":
        # There and back again, as often as a small image needs it.
        at = at % jnp.maximum(2 * last, 1)
        at = jnp.minimum(at, 2 * last - at)
    return jnp.take(x, jnp.minimum(at, last), axis=axis, mode="clip")


def compare(
    call: Callable, model: nn.Module, variables: Mapping, signature: Signature, tolerance: float
) -> dict:
    """Compares an exported program with its model on random inputs of each example size.

    Args:
      call: the exported program: the inputs to `y`; of a stream, x and the state to `[y, *state]`.
      model: the module.
      variables: what `apply` needs.
      signature: of the program.
      tolerance: the largest difference allowed, over the largest value.

    Returns:
      What was tried and found, JSON-like.

    Raises:
      ZooError: they differ by more, or the model's own output is not finite.
    """
    sizes, worst = signature.example_sizes(), 0.0
    for size in sizes:
        shape = (signature.batch or 2, *size, signature.spec.inputs)
        given = [jax.random.uniform(jax.random.key(0), shape, jnp.float32, *signature.spec.range)]
        if signature.spec.takes_level:
            given.append(jnp.float32([0.05, 0.2])[: len(given[0])])
        # The model's tests compare Winograd's sums with the plain ones.
        with disable_winograd():
            pairs = _pairs_of_steps if signature.streams else _pairs_of_outputs
            for pair in pairs(call, model, variables, given):
                found, expected = map(np.asarray, pair)
                if not np.isfinite(expected).all():
                    raise ZooError(
                        f"the output of {signature.spec.name} is not finite; its variables are "
                        "damaged or diverged in training"
                    )
                apart = np.abs(found - expected).max() / max(1.0, np.abs(expected).max())
                worst = float(np.fmax(worst, apart) if np.isfinite(apart) else np.inf)
    if worst > tolerance:
        raise ZooError(
            f"the exported program differs from {signature.spec.name} by {worst:.1g}, more than "
            f"{tolerance:g}; nothing is written, take another format or version of its converter"
        )
    return {"sizes": [list(size) for size in sizes], "largest_difference": worst}


def _pairs_of_outputs(call, model, variables, given) -> Iterator[tuple]:
    # A function of its own: jit would keep this form of `model.apply` for all later callers.
    whole = jax.jit(lambda *given: model.apply(variables, *given))
    yield call(*given), whole(*given)


def _pairs_of_steps(call, model, variables, given) -> Iterator[tuple]:
    """A few steps of a stream, each state carried to the next."""
    start, _ = step(model, variables)
    (x,), theirs = given, jax.jit(lambda *given: model.step(variables, *given))
    ours, state = list(start(x)), model.init_state(len(x))
    for i in range(3):
        chunk = np.roll(np.asarray(x), 7 * i, axis=1)
        found, *ours = call(chunk, *ours)
        state, expected = theirs(state, chunk)
        yield found, expected


def check_place(path: str | os.PathLike, overwrite: bool) -> Path:
    """The path, if a file can be written there; asked before the work is done.

    Args:
      path: the file.
      overwrite: whether it may be there already.

    Raises:
      ZooError: it is there, is a folder, or its folder is missing or read-only.
    """
    path = files.free(path, overwrite)
    if not path.parent.is_dir():
        raise ZooError(f"there is no folder {path.parent}; make it, or check the path")
    if not os.access(path.parent, os.W_OK):
        raise ZooError(f"cannot write in {path.parent}; name a file elsewhere")
    return path

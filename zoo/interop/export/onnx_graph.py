"""Programs as ONNX, by the converter jax2onnx, for any ONNX runtime."""

import dataclasses
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from zoo import files
from zoo.errors import ZooError, first_line
from zoo.interop.export.exported_program import (
    Signature,
    arguments,
    check_place,
    compare,
    metadata,
    sign,
    step,
    whole,
)
from zoo.interop.export.real_numbers import without_complex
from zoo.models import disable_winograd

if TYPE_CHECKING:
    from onnx import ModelProto

_TOLERANCE = 1e-4
_MISSING = (
    "ONNX needs the converter jax2onnx, which wants an older orbax-checkpoint than training does; "
    "make an environment of its own, and there, in the folder of the zoo, pip install . and after "
    "it pip install jax2onnx 'jax<0.12', the newest jax that it converts"
)


def to_onnx(
    path: str | os.PathLike,
    model: nn.Module,
    variables: Mapping,
    *,
    name: str = "",
    record: Mapping[str, Any] | None = None,
    size: tuple[int, ...] | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Writes a model as an ONNX graph, float32, its inputs called `x` and, of images, `level`.

    A model that streams gives its step of one hop, of one channel: `x` (1, hop, 1) and the state,
    `state0`, `state1` and so on, to `y` (1, hop, 1), which lags by the model's latency, and the
    next state, `next0`, `next1` and so on. The state begins as zeros; the record has its shapes.

    Args:
      path: the file; its folder exists.
      model: the module.
      variables: what `apply` needs, such as `zoo.load` gives.
      name: what to call the model; that of its class by default.
      record: of the weights; it goes into the metadata of the graph, under `zoo`.
      size: the only (H, W), or samples (T,), it shall take; for models whose sizes cannot be free.
      overwrite: whether it may replace a file.

    Returns:
      The record in the metadata.

    Raises:
      ZooError: the converter is missing or cannot convert the model, the file cannot be written, or
        in onnxruntime the graph differs from the model by more than 1e-4.
    """
    if find_spec("jax2onnx") is None:
        raise ZooError(_MISSING)
    path = check_place(path, overwrite)
    signature = sign(model, size, name)
    state = []
    if signature.streams:
        signature = dataclasses.replace(signature, batch=1)
        graph, state = _convert_step(model, variables, signature)
    elif signature.spec.modality == "audio":
        raise ZooError(
            f"{signature.spec.name} does not stream, and jax2onnx converts no models of whole "
            "signals; take the format stablehlo"
        )
    else:
        graph = _convert(model, variables, signature)
    run = _session(graph, signature)
    record = metadata(
        signature,
        record,
        format="onnx",
        state=state,
        opset=graph.opset_import[0].version,
        jax=jax.__version__,
        checked=compare(run, model, variables, signature, _TOLERANCE),
    )
    entry = graph.metadata_props.add()
    entry.key, entry.value = "zoo", json.dumps(record, sort_keys=True)
    files.write(path, graph.SerializeToString(), durable=True, overwrite=overwrite)
    return record


def _convert(model: nn.Module, variables: Mapping, signature: Signature):
    """The graph, an `onnx.ModelProto`."""
    (x, *level), multiple = arguments(signature), signature.multiple
    if signature.free and multiple > 1:
        # The converter knows symbols that are a whole axis only, and no padding to a multiple.
        b, h, w, c = x.shape
        x = jax.ShapeDtypeStruct((b, h, multiple, w, multiple, c), x.dtype)

        def function(x, *level):
            return model.apply(variables, x.reshape(b, h * multiple, w * multiple, c), *level)
    else:
        function = whole(model, variables, signature)
    inputs = [one["name"] for one in signature.inputs]
    graph = _converted(function, [x, *level], signature, inputs, ["y"])
    if signature.free and multiple > 1:
        _add_padding(graph, multiple, signature.mode)
    return graph


def _convert_step(model: nn.Module, variables: Mapping, signature: Signature):
    """The graph of one hop of a stream, and what the record says of its state."""
    start, advance = step(model, variables)
    (x,) = arguments(signature)
    given = [x, *jax.eval_shape(start, x)]
    if any(np.any(one) for one in start(jnp.zeros(x.shape))):
        raise ZooError(
            f"the state of {signature.spec.name} does not begin as zeros, as that of an ONNX graph "
            "here must; take the format stablehlo"
        )
    with disable_winograd():
        function = without_complex(advance, given)
    places = range(len(given) - 1)
    names = [[f"{word}{i}" for i in places] for word in ("state", "next")]
    graph = _converted(function, given, signature, ["x", *names[0]], ["y", *names[1]])
    shapes = [list(one.shape) for one in given[1:]]
    keys = ("name", "next", "shape")
    return graph, [dict(zip(keys, one, strict=True)) for one in zip(*names, shapes, strict=True)]


def _converted(
    function: Callable,
    given: Sequence[jax.ShapeDtypeStruct],
    signature: Signature,
    inputs: Sequence[str],
    outputs: Sequence[str],
):
    """The graph of a function with named inputs and outputs."""
    import jax2onnx  # noqa: PLC0415

    names = {"input_names": [*inputs], "output_names": [*outputs]}
    try:
        with disable_winograd(), _quietly():
            return jax2onnx.to_onnx(function, [*given], model_name=signature.spec.family, **names)
    except ZooError:
        raise
    except Exception as error:
        # Whatever it stumbles over, a user can only go another way.
        way = "take the format stablehlo"
        if signature.free:
            way = f"give the size it shall take, or {way}"
        raise ZooError(
            f"jax2onnx cannot convert {signature.spec.name} ({first_line(error)}); {way}"
        ) from error


@contextmanager
def _quietly() -> Iterator[None]:
    """Within it the converter does not warn of shapes that it could not infer."""
    logger = logging.getLogger("onnx_ir")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _session(graph, signature: Signature):
    """The graph in onnxruntime, as a function of arrays."""
    import onnxruntime  # noqa: PLC0415, it comes with the converter

    try:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # or it warns of what the converter leaves unused
        session = onnxruntime.InferenceSession(
            graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        why = str(error).strip().partition("\n")[0]
        raise ZooError(
            f"onnxruntime does not take the graph of {signature.spec.name} ({why}); "
            "take the format stablehlo"
        ) from error
    names = [one.name for one in session.get_inputs()]

    def run(*given):
        found = session.run(None, dict(zip(names, map(np.asarray, given), strict=True)))
        return found if signature.streams else found[0]

    return run


def _add_padding(model: "ModelProto", multiple: int, mode: str) -> None:
    """Pads before a graph and crops after it, in place.

    Args:
      model: takes `x` as (b, h, multiple, w, multiple, c), and gives `y` as (b, h multiple,
        w multiple, c); afterwards both are (b, h, w, c).
      multiple: side of a block in pixels.
      mode: what lies beyond the image: `"edge"`; `"constant"`; or `"reflect"`, which ONNX does
        where H and W are larger than what is added.
    """
    from onnx import TensorProto, helper  # noqa: PLC0415, only this format needs it

    graph, front = model.graph, []
    channels = graph.input[0].type.tensor_type.shape.dim[-1].dim_value

    def put(name: str, *values: int) -> str:
        tensor = helper.make_tensor(f"pad_{name}", TensorProto.INT64, [len(values)], values)
        graph.initializer.append(tensor)
        return tensor.name

    def do(kind: str, *inputs: str, **attributes) -> str:
        name = f"pad_{kind.lower()}{len(front)}"
        front.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    none, axes = put("none", 0, 0), put("axes", 1, 2)
    side, zero, first, second = put("side", multiple), put("zero", 0), put("h", 1), put("w", 2)
    size = do("Gather", do("Shape", "x"), axes)
    missing = do("Mod", do("Sub", side, do("Mod", size, side)), side)
    padded = do("Pad", "x", do("Concat", none, missing, axis=0), "", axes, mode=mode)
    blocks = do("Div", do("Shape", padded), side)
    high, wide = do("Gather", blocks, first), do("Gather", blocks, second)
    shape = do("Concat", zero, high, side, wide, side, put("c", channels), axis=0)
    front.append(helper.make_node("Reshape", [padded, shape], ["pad_blocks"], name="pad_blocks"))

    for node in graph.node:
        _rename(node.input, "x", "pad_blocks")
        _rename(node.output, "y", "pad_whole")
        _rename(node.input, "y", "pad_whole")
    cut = helper.make_node("Slice", ["pad_whole", none, size, axes], ["y"], name="pad_cut")
    nodes = [*front, *graph.node, cut]
    del graph.node[:]
    graph.node.extend(nodes)
    for place, name in ((graph.input, "x"), (graph.output, "y")):
        many = place[0].type.tensor_type.shape.dim[-1].dim_value
        signal = helper.make_tensor_value_info(name, TensorProto.FLOAT, ["b", "h", "w", many])
        place[0].CopyFrom(signal)
    # What the converter noted of the shapes holds for the blocks' symbols, which mean others now.
    del graph.value_info[:]


def _rename(names, old: str, new: str) -> None:
    for i, name in enumerate(names):
        if name == old:
            names[i] = new

"""Programs as ONNX, by the converter jax2onnx, for any ONNX runtime."""

import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import jax
import numpy as np
from flax import linen as nn

from zoo import files
from zoo.errors import ZooError
from zoo.interop.export import program
from zoo.interop.export.check import compare
from zoo.interop.export.place import check_place
from zoo.interop.export.signature import Signature, about, arguments, sign
from zoo.models import disable_winograd

_TOLERANCE = 1e-4
_MISSING = (
    "ONNX needs the converter jax2onnx, which wants an older orbax-checkpoint than training does; "
    "make an environment of its own, and there, in the folder of the zoo, pip install . and after "
    "it pip install jax2onnx"
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
    """Writes a model of pictures as an ONNX graph, float32, its inputs called `x` and `level`.

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
    if signature.facts.modality == "audio":
        raise ZooError(
            f"{signature.facts.name} denoises recordings, whose models jax2onnx does not convert; "
            "take the format stablehlo"
        )
    graph = _convert(model, variables, signature)
    run = _session(graph, signature)
    record = about(
        signature,
        record,
        format="onnx",
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
    import jax2onnx  # noqa: PLC0415, only this format needs it

    from zoo.interop.export import padding  # noqa: PLC0415, it imports onnx

    (x, *level), multiple = arguments(signature), signature.multiple
    if signature.free and multiple > 1:
        # The converter knows symbols that are a whole axis only, and no padding to a multiple.
        b, h, w, c = x.shape
        x = jax.ShapeDtypeStruct((b, h, multiple, w, multiple, c), x.dtype)

        def function(x, *level):
            return model.apply(variables, x.reshape(b, h * multiple, w * multiple, c), *level)
    else:
        function = program.whole(model, variables, signature)
    try:
        with disable_winograd(), _quietly():
            graph = jax2onnx.to_onnx(
                function,
                [x, *level],
                model_name=signature.facts.family,
                input_names=[one["name"] for one in signature.inputs],
                output_names=["y"],
            )
    except Exception as error:
        # Whatever it stumbles over, a user can only go another way.
        why = str(error).strip().partition("\n")[0] or type(error).__name__
        way = "take the format stablehlo"
        if signature.free:
            way = f"give the size it shall take, or {way}"
        raise ZooError(f"jax2onnx cannot convert {signature.facts.name} ({why}); {way}") from error
    if signature.free and multiple > 1:
        padding.add(graph, multiple, signature.mode)
    return graph


@contextmanager
def _quietly() -> Iterator[None]:
    """Within it the converter says nothing of shapes it could not note, which is no loss."""
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
        session = onnxruntime.InferenceSession(
            graph.SerializeToString(), providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        why = str(error).strip().partition("\n")[0]
        raise ZooError(
            f"onnxruntime does not take the graph of {signature.facts.name} ({why}); "
            "take the format stablehlo"
        ) from error
    names = [one.name for one in session.get_inputs()]

    def run(*given):
        return session.run(None, dict(zip(names, map(np.asarray, given), strict=True)))[0]

    return run

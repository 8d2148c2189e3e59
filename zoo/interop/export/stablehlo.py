"""Programs as StableHLO, by `jax.export`, for one file that needs jax alone."""

import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import jax.export
from flax import linen as nn

from zoo import files
from zoo.errors import ZooError
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
from zoo.models import disable_winograd

PLATFORMS = ("cpu", "cuda", "tpu")
"""The devices a program runs on, by default."""

_TOLERANCE = 1e-5
# A fixed date, so that the same model gives the same file.
_DATE = (1980, 1, 1, 0, 0, 0)


def to_stablehlo(
    path: str | os.PathLike,
    model: nn.Module,
    variables: Mapping,
    *,
    name: str = "",
    record: Mapping[str, Any] | None = None,
    size: tuple[int, ...] | None = None,
    platforms: Sequence[str] = PLATFORMS,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Writes a model as a program for `jax.export`.

    The file is a zip of `record.json`, the program, and `reload.py`, which runs it:

        sys.path.insert(0, path)
        import reload
        y = reload.load(path)(x, level)

    Batch, height and width are free: each new size is compiled when it comes. A model that streams
    gives its step of one hop, any number of streams at a time. The convolutions are XLA's own, on
    every device alike; on a CPU this zoo's are faster. jax reads such files for six months after
    the version that wrote them, at least.

    Args:
      path: the file; its folder exists.
      model: the module.
      variables: what `apply` needs, such as `zoo.load` gives.
      name: what to call the model; that of its class by default.
      record: of the weights, to go with them; see `zoo.weights.read_record`.
      size: the only (H, W), or samples (T,), it shall take; for models whose sizes cannot be free.
      platforms: devices it shall run on.
      overwrite: whether it may replace a file.

    Returns:
      What `record.json` holds.

    Raises:
      ZooError: the file cannot be written, flatbuffers is missing, the model's sizes cannot be
        free, or the program was found to differ from the model by more than 1e-5.
    """
    if find_spec("flatbuffers") is None:
        raise ZooError("StableHLO needs flatbuffers; pip install 'denoising-zoo[export]'")
    path = check_place(path, overwrite)
    signature = sign(model, size, name)
    given = arguments(signature, _size_constraints(signature))
    programs = {}
    with disable_winograd(), _without_locations():
        if signature.streams:
            start, function = step(model, variables)
            programs["start"] = _export(start, signature, given, platforms)
            given += jax.eval_shape(start, *given)
        else:
            function = whole(model, variables, signature)
        programs["program"] = _export(function, signature, given, platforms)
    packed = {name: bytes(one.serialize()) for name, one in programs.items()}
    call = jax.jit(jax.export.deserialize(bytearray(packed["program"])).call)
    record = metadata(
        signature,
        record,
        format="stablehlo",
        platforms=list(platforms),
        jax=jax.__version__,
        calling_convention=programs["program"].calling_convention_version,
        checked=compare(call, model, variables, signature, _TOLERANCE),
    )
    files.write(path, _zipped(record, packed), durable=True, overwrite=overwrite)
    return record


@contextmanager
def _without_locations() -> Iterator[None]:
    """Within it programs do not record the lines and files of the source they come from."""
    name = "jax_traceback_in_locations_limit"
    limit = getattr(jax.config, name)
    jax.config.update(name, 0)
    try:
        yield
    finally:
        jax.config.update(name, limit)


def _size_constraints(signature: Signature) -> list[str]:
    """Constraints that the tracer needs: padding never makes an image smaller."""
    k = signature.multiple
    if not signature.free or k == 1:
        return []
    return [f"{k}*floordiv({side} + {k - 1}, {k}) >= {side}" for side in ("h", "w")]


def _export(
    function: Callable,
    signature: Signature,
    given: Sequence[jax.ShapeDtypeStruct],
    platforms: Sequence[str],
) -> jax.export.Exported:
    try:
        return jax.export.export(jax.jit(function), platforms=platforms)(*given)
    except TypeError as error:
        if not signature.free:
            raise
        raise ZooError(
            f"{signature.spec.name} cannot leave height and width free; give the size to take"
        ) from error


def _zipped(record: Mapping[str, Any], programs: Mapping[str, bytes]) -> bytes:
    """The archive, from which Python imports `reload` as it lies."""
    text = json.dumps(record, indent=2, sort_keys=True).encode()
    reload = Path(__file__).with_name("reload.py").read_bytes()
    parts = {f"{name}.jax": data for name, data in programs.items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in {"record.json": text, "reload.py": reload, **parts}.items():
            archive.writestr(zipfile.ZipInfo(name, _DATE), data)
    return buffer.getvalue()

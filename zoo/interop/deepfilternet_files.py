"""DeepFilterNet3's published weights: three ONNX graphs that lie side by side.

Most tensors of the graphs have no names; the order of the layers identifies them. The names
here are the modules' of the original, with ours behind them; see
`zoo.models.DeepFilterNet3.torch_layout`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zoo import files
from zoo.errors import ZooError

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto

HEAD = b"\x12\x07pytorch"
"""What the files have near their beginning: the program that wrote them."""

# Each of some 3 MB.
_MOST_BYTES = 2**25
# Of each graph the layers with weights.
_LAYERS = {
    "enc": "erb_conv0 erb_conv1.depthwise erb_conv1 erb_conv2.depthwise erb_conv2 "
    "erb_conv3.depthwise erb_conv3 df_conv0.depthwise df_conv0 df_conv1.depthwise df_conv1 "
    "df_fc_emb emb_gru.in emb_gru.gru0 emb_gru.out lsnr",
    "erb_dec": "emb_gru.in emb_gru.gru0 emb_gru.gru1 emb_gru.out conv3p convt3.depthwise convt3 "
    "conv2p convt2.depthwise convt2 conv1p convt1.depthwise convt1 conv0p conv0_out",
    "df_dec": "df_gru.in df_gru.gru0 df_gru.gru1 df_skip df_convp.depthwise df_convp alpha df_out",
}
_KINDS = frozenset({"Conv", "ConvTranspose", "Einsum", "GRU", "MatMul"})

State = dict[str, np.ndarray]


def read(path: Path) -> State:
    """Reads the graph at a path and the two beside it.

    Args:
      path: `enc.onnx`, `erb_dec.onnx` or `df_dec.onnx`, or such a name behind a prefix that the
        three share.

    Raises:
      ZooError: as `read_state`, without the path.
    """
    import onnx  # noqa: PLC0415, only such files need it

    # The longest first, for the other two end in "dec" alike.
    own = next((part for part in _LAYERS if path.stem.endswith(part)), None)
    if own is None:
        raise ZooError("is not called enc.onnx, erb_dec.onnx or df_dec.onnx; name it as published")
    state = {}
    for part, layers in _LAYERS.items():
        file = path.with_name(path.stem.removesuffix(own) + part + path.suffix)
        if not file.is_file():
            raise ZooError(f"is one of three files, and {file.name} is not beside it; put it there")
        graph = onnx.load_model_from_string(files.read(file, limit=_MOST_BYTES)).graph
        nodes = [node for node in graph.node if node.op_type in _KINDS]
        names = layers.split()
        kinds = [".gru" in name for name in names]
        if [node.op_type == "GRU" for node in nodes] != kinds:
            raise ZooError(f"is not of DeepFilterNet3: {file.name} has other layers; take its own")
        constants = _constants(graph)
        for name, node in zip(names, nodes, strict=True):
            state |= {f"{part}.{name}{key}": value for key, value in _tensors(node, constants)}
    return state


def _constants(graph: "GraphProto") -> State:
    """The graph's arrays by the names that its nodes know them by."""
    from onnx import numpy_helper  # noqa: PLC0415

    found = [(one.name, one) for one in graph.initializer]
    for node in graph.node:
        if node.op_type == "Constant":
            found += [(node.output[0], one.t) for one in node.attribute if one.name == "value"]
    return {name: numpy_helper.to_array(value) for name, value in found}


def _tensors(node: "NodeProto", constants: State) -> Iterator[tuple[str, np.ndarray]]:
    """What a layer has of weights, as PyTorch stores them."""
    arrays = [constants[name] for name in node.input if name in constants]
    if node.op_type != "GRU":
        yield from zip((".weight", ".bias"), arrays, strict=False)
        return
    # Of one direction; the gates are z, r, n and PyTorch's r, z, n.
    for name, array in zip(("input", "hidden"), arrays, strict=False):
        yield f".{name}_weight", _reordered(array[0])
    for name, array in zip(("input", "hidden"), np.split(arrays[2][0], 2), strict=True):
        yield f".{name}_bias", _reordered(array)


def _reordered(array: np.ndarray) -> np.ndarray:
    z, r, n = np.split(array, 3)
    return np.concatenate([r, z, n])

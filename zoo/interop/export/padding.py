"""Pictures of any size for an ONNX graph that takes whole blocks of pixels."""

import onnx
from onnx import TensorProto, helper


def add(model: onnx.ModelProto, multiple: int, mode: str) -> None:
    """Pads before a graph and cuts behind it, in place.

    Args:
      model: takes `x` as (b, h, multiple, w, multiple, c), and gives `y` as (b, h multiple,
        w multiple, c); afterwards both are (b, h, w, c).
      multiple: side of a block in pixels.
      mode: what lies beyond the picture: `"edge"`; `"constant"`; or `"reflect"`, which ONNX does
        where H and W are larger than what is added.
    """
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
        signal = helper.make_tensor_value_info(name, TensorProto.FLOAT, ["b", "h", "w", channels])
        place[0].CopyFrom(signal)
    # What the converter noted of the shapes holds for the blocks' symbols, which mean others now.
    del graph.value_info[:]


def _rename(names, old: str, new: str) -> None:
    for i, name in enumerate(names):
        if name == old:
            names[i] = new

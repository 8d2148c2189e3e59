"""Denoisers to take away: programs that run without this zoo.

`to_stablehlo` writes what needs jax alone, `to_onnx` what any ONNX runtime runs. Either file holds
the weights, a record of them and of the program's inputs, and was run against the model first.
"""

from zoo.interop.export.onnx_graph import to_onnx
from zoo.interop.export.stablehlo import to_stablehlo

__all__ = ["to_onnx", "to_stablehlo"]

"""Griffe extension of the site: noise ops with the signature and docstring that `op` gives them.

Griffe reads the sources, where an op lacks what its decorator adds, such as `clip`.
"""

import importlib
import inspect

import griffe


class NoiseOps(griffe.Extension):
    """Replaces the parameters and the docstring of functions that are decorated by `op`."""

    def on_function(self, *, func: griffe.Function, **_):
        decorators = {str(d.value).partition("(")[0] for d in func.decorators}
        if not decorators & {"op", "audio_op"}:
            return
        op = getattr(importlib.import_module(func.module.path), func.name)
        if func.docstring:
            func.docstring.value = inspect.getdoc(op)
        func.parameters.add(
            griffe.Parameter("clip", kind=griffe.ParameterKind.keyword_only, default="None")
        )

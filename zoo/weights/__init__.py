"""Weight files: safetensors with a record of where they come from, and the way back to a model.

Some come with the package, by name: `list_weights` lists them, `load` takes a name or a path.
"""

from zoo.weights.weight_files import (
    find,
    is_free,
    is_published,
    list_weights,
    load,
    read_model,
    read_record,
    read_variables,
    save,
    trained_level,
    trained_range,
)

__all__ = [
    "find",
    "is_free",
    "is_published",
    "list_weights",
    "load",
    "read_model",
    "read_record",
    "read_variables",
    "save",
    "trained_level",
    "trained_range",
]

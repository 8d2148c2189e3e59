"""Weight files: safetensors with a record of where they come from, and the way back to a model.

Some come with the package, by name: `list_weights` lists them, `load` takes a name or a path.
"""

from zoo.weights.files import is_published, load, read_model, read_record, save, trained_level
from zoo.weights.names import find, list_weights

__all__ = [
    "find",
    "is_published",
    "list_weights",
    "load",
    "read_model",
    "read_record",
    "save",
    "trained_level",
]

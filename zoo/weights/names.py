"""The weights that come with the package, by name."""

import os
from pathlib import Path

from zoo import files
from zoo.errors import ZooError, unknown
from zoo.models import list_models

SHIPPED = Path(__file__).parent / "shipped"
"""The folder of their files, each called by its name."""


def list_weights() -> list[str]:
    """The names that `load` takes beside paths, sorted."""
    return sorted(path.stem for path in SHIPPED.glob("*.safetensors"))


def find(name: str | os.PathLike) -> Path:
    """The file of some weights.

    Args:
      name: one of `list_weights()`, or a path: what has a folder or a suffix, or exists.

    Raises:
      ZooError: no such weights.
    """
    if not isinstance(name, str | os.PathLike):
        raise ZooError(f"weights are a name of zoo.list_weights() or a path, not {name!r:.100}")
    name = os.fsdecode(name)
    if name in list_weights():
        return SHIPPED / f"{name}.safetensors"
    if Path(name).suffix or os.path.dirname(name) or os.path.exists(name):
        return files.expanded(name)
    if name in list_models():
        raise ZooError(
            f"no weights of {name} come with the zoo, which has {', '.join(list_weights())}; "
            "train some, or load those of its authors by zoo.interop.torch.load_torch"
        )
    raise unknown("weights", name, list_weights())

"""Plug-ins: models, noise ops, losses and data sources that other code registers.

A plug-in is a module that uses `zoo.models.registry.register`, or the decorators
`zoo.noise.op_contract.op`, `zoo.losses.loss_registry.loss` or `zoo.data.sources.register`. Three
ways bring it into every command:

* a package names it in the entry point group `denoising_zoo.plugins`:
  `[project.entry-points."denoising_zoo.plugins"]`, `anything = "my_package.my_module"`;
* the environment variable `ZOO_PLUGINS` lists modules or `.py` files, separated as `PATH` is;
* a config file that is trained is one itself.

The registries call `load` at their first lookup of a name they do not have and when they are
listed, so that `import zoo` imports no plug-in. Plug-ins are code: install and name only those you
trust. Weight files never load one.
"""

import importlib
import importlib.metadata
import importlib.util
import os
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

from zoo.errors import ZooError, first_line

GROUP = "denoising_zoo.plugins"
VARIABLE = "ZOO_PLUGINS"
# Of the modules made of files, so that `random.py` does not replace Python's.
_PREFIX = "zoo_plugin_"

_loaded = False


def load() -> None:
    """Imports all plug-ins, at the first call.

    A broken one of an installed package is reported by a warning and left out.

    Raises:
      ZooError: a module or file in `ZOO_PLUGINS` cannot be imported.
    """
    global _loaded  # noqa: PLW0603 - once a process
    if _loaded:
        return
    # First, because plug-ins may look names up themselves.
    _loaded = True
    for point in importlib.metadata.entry_points(group=GROUP):
        try:
            point.load()
        except Exception as error:  # whatever foreign code raises
            warnings.warn(
                f"plug-in {point.value} cannot be loaded: {first_line(error)}", stacklevel=2
            )
    for name in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        try:
            load_file(Path(name)) if name.endswith(".py") else importlib.import_module(name)
        except Exception as error:
            _loaded = False
            raise ZooError(f"{VARIABLE}: {name} cannot be loaded: {first_line(error)}") from None


def load_file(path: Path) -> ModuleType:
    """Executes a Python file as a module of its own.

    Raises:
      Exception: what the file raises.
    """
    name = f"{_PREFIX}{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and type hints look their module up there.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def replaces(new: Any, old: Any) -> bool:
    """Whether one definition is a newer version of another, as of a notebook's cell run again."""
    return (
        new is not old
        and not new.__module__.startswith("zoo.")
        and (new.__module__, new.__qualname__) == (old.__module__, old.__qualname__)
    )


def origin(definition: Any) -> str | None:
    """The package or file that a registered function or class comes from; None for `zoo` itself."""
    module = definition.__module__
    if module == "zoo" or module.startswith("zoo."):
        return None
    if module.startswith(_PREFIX):
        return f"{module.removeprefix(_PREFIX)}.py"
    package = module.partition(".")[0]
    return importlib.metadata.packages_distributions().get(package, [package])[0]


def remedy(name: str) -> str:
    """How to make the plug-in of that `origin` available."""
    if name == "__main__":
        return "run the code that registers it first"
    if name.endswith(".py"):
        return f"set {VARIABLE} to the path of {name}"
    return f"install the package {name}"

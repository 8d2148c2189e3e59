"""The other side: its Python, and the way its network runs fastest."""

import importlib.util
import sys

from worker import Worker

from zoo.errors import ZooError


def torch_python(asked: str | None) -> str:
    """The Python of the other side.

    Raises:
      ZooError: none is named and this one has no torch.
    """
    if asked is None and importlib.util.find_spec("torch") is None:
        raise ZooError("this Python has no torch; name one that has by --torch-python=PYTHON")
    return asked or sys.executable


def fastest(worker: Worker, asked: str | None, steps: int, **work) -> tuple[str, dict[str, float]]:
    """The variant that runs fastest over there and the seconds a step took each, all tried in turn.

    Raises:
      ZooError: none runs.
    """
    known = worker.ask(do="variants", task=work["task"], shape=work["shape"])["names"]
    names = [asked] if asked else known
    found, failed = {}, ""
    for name in names:
        made = worker.ask(do="make", variant=name, **work)
        if "error" in made:
            failed = f"{name} fails: {made['error']}"
            print(f"  PyTorch's {failed}", file=sys.stderr)
            continue
        found[name] = worker.ask(do="time", variant=name, steps=max(steps, 3))["seconds"]
        print(f"  PyTorch's {name}: {1e3 * found[name]:.1f} ms, ready in {made['seconds']:.0f} s")
    if not found:
        raise ZooError(f"no variant of PyTorch's runs, {failed}; choose one by --torch-variant")
    best = min(found, key=found.get)
    worker.ask(do="keep", variant=best)
    return best, found

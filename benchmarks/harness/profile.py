"""Traces that TensorBoard, XProf or Perfetto opens."""

from collections.abc import Callable
from pathlib import Path

import jax

from zoo import files
from zoo.errors import ZooError


def trace(run: Callable[[], object], folder: Path, steps: int = 3) -> Path:
    """Records a few runs of something that has been compiled.

    Args:
      run: does one step and returns when its results are there.
      folder: TensorBoard's log folder; made where missing.
      steps: how many runs.

    Returns:
      The new `.xplane.pb`; beside it lies a `.trace.json.gz` for https://ui.perfetto.dev.

    Raises:
      ZooError: the folder cannot be made, or the profiler wrote nothing.
    """
    files.make_folder(folder)
    before = set(folder.rglob("*.xplane.pb"))
    with jax.profiler.trace(folder):
        for number in range(steps):
            with jax.profiler.StepTraceAnnotation("step", step_num=number):
                run()
    new = sorted(set(folder.rglob("*.xplane.pb")) - before)
    if not new:
        raise ZooError(f"the profiler wrote no trace to {folder}; check the path")
    return new[-1]

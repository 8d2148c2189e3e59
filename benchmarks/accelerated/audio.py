"""The real-time factors of the audio denoisers."""

from collections.abc import Callable
from functools import partial

import realtime
from harness.timing import measure as timed

from accelerated.speak import Speaker, compiled, main
from zoo import models


def measure(spec: dict, speaker: Speaker) -> None:
    """A row for each model and way to run it.

    Args:
      spec: `models`, None for those that stream; `audio_s`: the duration; `block`: seconds to
        measure each for.
      speaker: receives the results.
    """
    known = [name for name in models.list_models() if models.model_spec(name).modality == "audio"]
    names = spec["models"] or [name for name in known if models.model_spec(name).hop]
    cells = {f"{name} {task}": (name, task) for name in names for task in realtime.TASKS}
    speaker.plan(cells)
    ready = {name: realtime.prepare(name) for name in names}
    tasks: dict[str, Callable] = {}
    for cell, (name, task) in cells.items():
        tasks[cell] = partial(realtime.TASKS[task], ready[name], recording(ready[name], spec))
    for cell, run in compiled(tasks, speaker):
        name, task = cells[cell]
        try:
            times = timed(run.call, spec["block"])
            speaker.row(cell, realtime.row(ready[name], task, run, times))
        except Exception as error:
            speaker.left(cell, error)


def recording(model: realtime.Ready, spec: dict):
    """Whole hops of a voice in noise."""
    x = realtime.recording(spec["audio_s"], model.record.sample_rate)
    return x[:, : x.shape[1] // model.record.hop * model.record.hop]


if __name__ == "__main__":
    main(measure)

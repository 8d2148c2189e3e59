"""Every noise op beside the memory's speed."""

from functools import partial

import noise
from harness import machine

from accelerated.speak import Speaker, compiled, main
from zoo.noise import registry


def measure(spec: dict, speaker: Speaker) -> None:
    """A row for each op.

    Args:
      spec: `image` and `audio`, each with the `size`, the `batch` and the `ops` (None for all);
        `block`: seconds to measure each for.
      speaker: receives the results.
    """
    kinds = {name: spec[name] for name in noise.KINDS}
    cells = {
        f"{modality} {op}": (modality, op, found["size"], found["batch"])
        for modality, found in kinds.items()
        for op in found["ops"] or sorted(registry(modality))
    }
    speaker.plan(cells)
    bandwidth = machine.bandwidth()
    tasks = {cell: partial(noise.prepared, *found) for cell, found in cells.items()}
    for cell, step in compiled(tasks, speaker):
        modality, op, size, batch = cells[cell]
        try:
            row = noise.row(modality, op, size, batch, spec["block"], bandwidth, step=step)
        except Exception as error:
            speaker.left(cell, error)
            continue
        same = {"modality": modality, "bandwidth_gigabytes_per_s": bandwidth / 1e9}
        speaker.row(cell, {**row, **same})


if __name__ == "__main__":
    main(measure)

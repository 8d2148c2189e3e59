"""What surrounds the training step: data, logging, checkpointing, noise.

    python benchmarks/loop.py                            # all three parts, of configs/unet.py
    python benchmarks/loop.py --part=memory --turns=9
    python benchmarks/loop.py --part=prepare --noise=gaussian,poisson
    python benchmarks/loop.py --config=configs/audio_stream.py --model=stream-t

The parts:

    memory   the real loop of zoo.train.loop with its data on the device, against its bare step:
             the same compiled step on one batch, synchronised once at the end
    stream   the same with data decoded on the fly, and the input pipeline alone
    prepare  crop, augmentation and noise alone, as a share of the whole step

Turns are taken: so many steps of the loop, as many bare ones, and again. A checkpoint is saved
every turn, its seconds taken out of the turn and shared among the steps that the config has between
two. Where steps are quick, take more of them to a turn (`--steps`). Validation is left out.
`share` is bare over whole: 1 would be a loop that costs nothing.
"""

import contextlib
import importlib
import io
import itertools
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import jax
import numpy as np
from harness import flags, machine, results
from harness.batch import must_fit
from harness.examples import SIZES
from harness.timing import measure
from harness.work import Training
from noise import second, usual

from zoo import models, runtime
from zoo.data.augment import make_augment
from zoo.errors import ZooError, unknown
from zoo.modality import get
from zoo.noise import registry, sampler

ROOT = Path(__file__).parents[1]
NEEDS = {
    "memory": ("zoo.train.loop",),
    "stream": ("zoo.train.loop", "grain"),
    "prepare": (),
}
"""The parts, and what else they import."""
NOISE = {"image": "gaussian", "audio": "add_at_snr"}
"""What prepare draws by default."""


class EnoughError(Exception):
    """Leaves the loop once all turns are taken."""


class Turns:
    """Times the loop from one checkpoint to the next, and at each as many bare steps.

    Before it saves the loop waits for the device: all steps before are done.

    Args:
      steps: between two checkpoints.
      count: of turns.
      settle: whether the loop goes on for as many steps after the bare ones before it is timed: a
        stream that has rested meanwhile is ahead of itself.

    Attributes:
      whole: seconds of the loop, one a turn, without saving.
      bare: seconds of the bare steps, one a turn.
      save: seconds of single checkpoints.
    """

    def __init__(self, steps: int, count: int, *, settle: bool):
        self._steps, self._count, self._settle = steps, count, settle
        self._run: Callable[[], None] | None = None
        self._began: float | None = None
        self.whole: list[float] = []
        self.bare: list[float] = []
        self.save: list[float] = []

    def watching(self, make: Callable) -> Callable:
        """The loop's `make_runner`, whose runner leaves a copy of its work here."""

        def make_watched(*arguments):
            runner = make(*arguments)
            run, state, last = runner.run, None, ()

            def bare():
                nonlocal state
                start = time.perf_counter()
                for _ in range(self._steps):
                    state, metrics = run(state, *last)
                jax.block_until_ready((state, metrics))
                self.bare.append(time.perf_counter() - start)

            def remember(placed, *batch_and_key):
                nonlocal state, last
                if state is None:
                    # A copy, for the step consumes its state.
                    state = runner.place(runner.fetch(placed))
                last = batch_and_key
                return run(placed, *batch_and_key)

            self._run = bare
            return runner._replace(run=remember)

        return make_watched

    def saving(self, save: Callable) -> Callable:
        """`Checkpoints.save`, which ends a turn of the loop and begins one of bare steps."""

        def turn(*arguments):
            now = time.perf_counter()
            timed = self._began is not None
            if timed:
                self.whole.append(now - self._began)
            save(*arguments)
            self.save.append(time.perf_counter() - now)
            if timed:
                self._run()
                if len(self.whole) == self._count:
                    raise EnoughError
            self._began = None if timed and self._settle else time.perf_counter()

        return turn


def config_of(arguments, *, stream: bool):
    """The config the flags name, with a checkpoint every turn, and its own steps between two."""
    from zoo.train.config import load_config  # noqa: PLC0415 - see NEEDS

    config = load_config(arguments.config, arguments.override)
    every = config.checkpoint.every
    config.data.stream = stream
    config.checkpoint.every = arguments.steps
    config.validation.every = 10**9
    config.train.steps = arguments.steps * (2 * arguments.turns + 2)
    return config, every


def loop(arguments, *, stream: bool) -> list[dict]:
    """Rows of the real loop against its bare step, one a turn."""
    from zoo.train import checkpoint, experiment  # noqa: PLC0415 - see NEEDS
    from zoo.train import loop as loops  # noqa: PLC0415

    config, every = config_of(arguments, stream=stream)
    examples = get(models.model_spec(config.model.name).modality).plural
    input_s = input_pipeline(experiment, config, arguments.seconds)
    turns = Turns(arguments.steps, arguments.turns, settle=stream)
    patch = mock.patch.object
    with (
        tempfile.TemporaryDirectory() as workdir,
        patch(loops, "make_runner", turns.watching(loops.make_runner)),
        patch(checkpoint.Checkpoints, "save", turns.saving(checkpoint.Checkpoints.save)),
        contextlib.redirect_stderr(io.StringIO()),
        contextlib.suppress(EnoughError),
    ):
        loops.train(config, Path(workdir) / "run")
    save_s = float(np.median(turns.save))
    batch = config.train.batch_size
    rows = []
    for turn, (bare, whole) in enumerate(zip(turns.bare, turns.whole, strict=True), 1):
        bare_s = bare / arguments.steps
        whole_s = whole / arguments.steps + save_s / every
        row = {
            "part": "stream" if stream else "memory",
            "turn": turn,
            "batch": batch,
            "bare_ms": 1e3 * bare_s,
            "whole_ms": 1e3 * whole_s,
            "share": bare_s / whole_s,
            "save_ms": 1e3 * save_s,
            "steps_a_save": every,
            "input_ms": 1e3 * input_s,
            f"input_{examples}_per_s": batch / input_s,
            "bare_and_input_over_whole": (bare_s + input_s) / whole_s,
        }
        rows.append(row)
    return rows


def input_pipeline(experiment, config, seconds: float) -> float:
    """Seconds a batch of the input pipeline alone, on a machine with nothing else to do."""
    from zoo.train import feed as feeds  # noqa: PLC0415

    feed = feeds.make_feed(experiment.build(config))
    batches = feed.batches.starting_at(0)
    # What is read ahead while nobody waits must not count.
    for _ in itertools.islice(batches, 16):
        pass
    start, count = time.perf_counter(), 0
    while count < 16 or time.perf_counter() - start < seconds:
        next(batches)
        count += 1
    return (time.perf_counter() - start) / count


def prepare(arguments, name: str) -> list[dict]:
    """Rows of crop, augmentation and noise alone against the whole step, one a turn."""
    record = models.model_spec(arguments.model)
    options = dict(usual(registry(record.modality)[name]))
    level = options.pop(next(iter(options)))
    images = record.modality == "image"
    training = Training(
        models.create_model(arguments.model),
        record,
        batch=arguments.batch,
        size=arguments.size,
        augment=make_augment(flip=True, quarter_turn=True) if images else None,
        sampler=sampler(registry(record.modality)[name], level, **options),
    )
    works = training.preparation(), training.step()
    share = arguments.seconds / 2 / arguments.turns
    rows = []
    for turn in range(1, arguments.turns + 1):
        alone, whole = (measure(work, share, least=3).median for work in works)
        row = {
            "part": "prepare",
            "noise": name,
            "turn": turn,
            "batch": arguments.batch,
            "prepare_ms": 1e3 * alone,
            "step_ms": 1e3 * whole,
            "share_of_step": alone / whole,
        }
        rows.append(row)
    return rows


def with_median(rows: list[dict]) -> list[dict]:
    """The rows, then the medians of what differs from turn to turn."""
    last = {
        name: float(np.median([row[name] for row in rows])) if isinstance(value, float) else value
        for name, value in rows[0].items()
    }
    return [*rows, {**last, "turn": "median"}]


def groups(arguments, part: str) -> Iterator[list[dict]]:
    """The rows of a part: one group, or one for each noise.

    Raises:
      ZooError: a mistake in the config, or the batch does not fit into memory.
    """
    if part == "prepare":
        for name in arguments.noise:
            label = f"{arguments.model} with {name}, a batch of {arguments.batch},"
            with must_fit(label, "make --batch or --size smaller"):
                yield prepare(arguments, name)
        return
    with must_fit(f"{part}, a run of {arguments.config},", "try --override=train.batch_size=1"):
        yield loop(arguments, stream=part == "stream")


def installed(part: str) -> bool:
    """Whether all is there that a part needs; says what is not."""
    for name in NEEDS[part]:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            remedy = f"it needs {error.name}; pip install {error.name}"
            print(f"{part} left out: {remedy}", file=sys.stderr)
            return False
    return True


def label(arguments, parts: list[str]) -> str:
    """A name for the file that other flags do not share."""
    unit = "px" if models.model_spec(arguments.model).modality == "image" else "samples"
    own = [arguments.model, *arguments.noise, f"{arguments.size}{unit}", f"batch{arguments.batch}"]
    asked = own if "prepare" in parts else []
    stem = Path(arguments.config).stem
    return "-".join(["loop", stem, *dict.fromkeys(parts), *asked, *arguments.override])


def main() -> None:
    """Measures the parts, prints a table of each and writes the rows."""
    parser = flags.Parser(__doc__)
    add = parser.add_argument
    add(
        "--part",
        action=flags.Several,
        default=list(NEEDS),
        help="memory, stream, prepare; may be repeated or separated by commas; all by default",
    )
    add("--turns", type=flags.count, default=7, help="of each part (default 7)")
    add("--steps", type=flags.count, default=100, help="of a turn (default 100)")
    add("--config", default=str(ROOT / "configs" / "unet.py"), help="of memory and stream")
    add(
        "--override",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a key of that config, such as train.batch_size=16; may be repeated",
    )
    add("--model", default="unet-small", help="of prepare (default unet-small)")
    add(
        "--noise",
        action=flags.Several,
        help="of prepare; may be repeated (default gaussian, of audio add_at_snr)",
    )
    add(
        "--size",
        type=flags.count,
        help=f"of prepare: side of a crop (default {SIZES['image']}), samples of audio "
        f"(default {SIZES['audio']})",
    )
    add("--batch", type=flags.count, default=8, help="of prepare (default 8)")
    results.add_arguments(parser)
    arguments = parser.parse_args()
    for part in arguments.part:
        if part not in NEEDS:
            raise unknown("part", part, NEEDS)
    modality = models.model_spec(arguments.model).modality
    arguments.noise = arguments.noise or [NOISE[modality]]
    arguments.size = arguments.size or SIZES[modality]
    for name in arguments.noise:
        op = registry(modality).get(name)
        if op is None:
            raise unknown("noise", name, registry(modality))
        if "noisy" in second(op, None):
            raise ZooError(f"noise {name!r} needs a whole batch; a step's is drawn for each one")
    runtime.cache_programs()
    logging.getLogger("imagecodecs").setLevel(logging.ERROR)  # it dislikes a profile in a PNG
    parts = [part for part in arguments.part if installed(part)]
    if not parts:
        return
    load = machine.warn_if_busy()
    with results.Kept(label(arguments, parts), arguments.out, machine.context(), ()) as kept:
        for part in parts:
            found = []
            try:
                for group in groups(arguments, part):
                    found += [{**row, "load": load} for row in with_median(group)]
            finally:
                if found:
                    print(results.table(found), end="\n\n", flush=True)
                    kept.add(*found)


if __name__ == "__main__":
    sys.exit(flags.guard(main))

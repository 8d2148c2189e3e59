"""Trains for some minutes, and leaves files that another machine can go on from.

    python tools/train_for.py configs/unet_bsd500.py:FOLDER --pack=bsd500.zip   # at home
    python tools/train_for.py bsd500.zip --minutes=8 --out=first                # where the GPU is
    python tools/train_for.py bsd500.zip --minutes=8 --resume=first --out=second

The first writes the config and its images into one file of at most 55 MiB; where all do not fit,
windows of all images. A config of embedded data needs no pack and is trained by its own name. The
second trains until its time is nearly over, compiling and saving included; the third goes on from
what the second left, on any machine, in the same or another folder.

DIR then holds `weights.safetensors`, the average of the parameters that scored best on the
validation images (the latest where none were scored), the state to go on from, and
`progress.json`: at most 8 files, each below 16 MiB. SIGTERM and Ctrl-C save too. A call that cannot
stop in time, for it still compiles, ends all the same, with what was saved a minute before; one of
less than a minute may have saved nothing by then, and says so. A learning rate that falls with the
steps wants an end: `--finish` makes the config's steps those that this call has time for, at the
speed of the one before.
"""

import argparse
import contextlib
import hashlib
import importlib.util
import json
import logging
import math
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

BEGUN = time.monotonic()
ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import carry
import jax
import numpy as np
import packing
from flax import traverse_util
from ml_collections import ConfigDict

from zoo import files, models, runtime, weights
from zoo.data import sources
from zoo.errors import ZooError
from zoo.train import experiment as experiments
from zoo.train.checkpoint import Checkpoints
from zoo.train.config import default_config, load_config, override, to_plain
from zoo.train.distributed import Interrupted
from zoo.train.loop import train
from zoo.train.run_weights import Best, make_record
from zoo.train.step import State
from zoo.train.workdir import WEIGHTS

MIB = 2**20
MOST_PACKED = 55 * MIB
# Seconds between two times that a checkpoint is put where it would survive.
_PUBLISH_EVERY = 60.0
# Packages that are imported only where all time has been spent.
_LATE = ("matplotlib", "safetensors")


def main() -> int:
    """Packs or trains; the exit code."""
    arguments = parse()
    logging.getLogger("absl").setLevel(logging.ERROR)
    logging.getLogger("imagecodecs").setLevel(logging.ERROR)
    try:
        if arguments.pack:
            write_pack(arguments)
            return 0
        return Run(arguments).go()
    except ZooError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("config", help="a file of configs/, FILE:FOLDER, or a pack")
    add("--pack", type=Path, metavar="FILE", help="write a pack instead of training")
    add("--minutes", type=float, default=8.0, help="that the call may take (default 8)")
    add("--out", type=Path, help="the folder for what is left")
    add("--resume", type=Path, metavar="DIR", help="what an earlier call left; --out by default")
    add("--finish", action="store_true", help="end the run, and its schedule, with this call")
    add("--any-size", action="store_true", help="however large the files become")
    add(
        "--override", action="append", default=[], metavar="KEY=VALUE",
        help="a key of the config, such as train.batch_size=16; may be repeated",
    )  # fmt: skip
    arguments = parser.parse_args()
    if not arguments.pack and arguments.out is None:
        parser.error("--out is missing; name the folder for what is left")
    if not 0 < arguments.minutes < math.inf:
        parser.error(f"--minutes={arguments.minutes} is no time; give more than 0")
    return arguments


def write_pack(arguments: argparse.Namespace) -> None:
    """Packs a config and its images, and says what went in."""
    config = load_config(arguments.config, arguments.override)
    found = packing.pack(config, experiments.build(config).sources, arguments.pack, MOST_PACKED)
    counts = ", ".join(f"{count} {split}" for split, count in found.counts.items())
    share = "" if found.share == 1 else f", windows of {100 * found.share:.0f} % of each"
    print(f"{arguments.pack}: {counts} images{share}, {found.size / MIB:.1f} MiB")


class Run:
    """A call: from the files of before to those of now.

    Args:
      arguments: the flags.
    """

    def __init__(self, arguments: argparse.Namespace):
        self.arguments = arguments
        self.seconds = 60 * arguments.minutes
        self.out = arguments.out
        self._asked: int | None = None

    @property
    def left(self) -> float:
        """Seconds until the call has to have ended."""
        return self.seconds - (time.monotonic() - BEGUN)

    @property
    def for_steps(self) -> float:
        """The same without what a checkpoint, the weights and the files take behind the steps."""
        return self.left - min(45.0, max(6.0, 0.2 * self.seconds))

    def go(self) -> int:
        """Trains; the exit code, 0 where the time was used up."""
        files.make_folder(self.out)
        folder = Path(tempfile.mkdtemp(prefix="train-for-"))
        handlers = {s: signal.signal(s, self._stop_early) for s in (signal.SIGTERM, signal.SIGINT)}
        handlers[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._time_is_up)
        # Neither a compilation nor a step can be interrupted.
        last = threading.Timer(self.left, self._overrun, (folder,))
        last.daemon = True
        last.start()
        try:
            return self._go(folder)
        except Interrupted as stop:
            print(stop, file=sys.stderr)
            return stop.exit_code
        finally:
            last.cancel()
            signal.setitimer(signal.ITIMER_REAL, 0)
            for signum, handler in handlers.items():
                signal.signal(signum, handler)
            shutil.rmtree(folder, ignore_errors=True)

    def _go(self, folder: Path) -> int:
        for name in _LATE:
            if importlib.util.find_spec(name) is None:
                raise ZooError(f"{name} is missing and the end needs it; pip install {name}")
        workdir = folder / "run"
        config, home, digest = self._config(folder)
        earlier = self._earlier(workdir, config, digest)
        if self.arguments.finish:
            config.train.steps = self._last_step(earlier)
        first = earlier["step"] if earlier else 0
        like = self._check_size(config)
        progress = {"data": digest, "calls": earlier["calls"] if earlier else []}

        if self.for_steps <= 0:
            raise ZooError(
                f"--minutes={self.arguments.minutes} is over before the first step; give more"
            )
        signal.setitimer(signal.ITIMER_REAL, self.for_steps)
        stopper = threading.Event()
        publisher = threading.Thread(
            target=self._publish_now_and_then, args=(workdir, progress, stopper), daemon=True
        )
        publisher.start()
        code, begun = 0, time.monotonic()
        try:
            train(config, workdir, command=" ".join(["python", *sys.argv]))
        except Interrupted as stop:
            code = 0 if self._asked == signal.SIGALRM else stop.exit_code
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            stopper.set()
            publisher.join()
        step = carry.saved_step(workdir)
        if step is None:
            raise ZooError("the time was over before the first step was saved; give more --minutes")
        call = {
            "device": jax.devices()[0].device_kind,
            "first_step": first,
            "last_step": step,
            # Compiling included, so that it is no promise too high.
            "seconds": round(time.monotonic() - begun, 1),
        }
        progress["calls"] = [*progress["calls"], call]
        progress["steps"] = config.train.steps
        # Twice, for a second signal may end what stands between.
        carry.publish(workdir, self.out, progress)
        self._write_weights(config, home, workdir, like, progress)
        carry.publish(workdir, self.out, progress)
        print(
            f"steps {first} to {step} in {call['seconds']:.0f} s; "
            f"{self.out} holds the weights and what to go on from"
        )
        return code

    def _config(self, folder: Path) -> tuple[ConfigDict, dict, str]:
        """The config to train, what it is at home, and what tells its data from others."""
        name = self.arguments.config
        if not name.lower().endswith(".zip"):
            config = load_config(name, self.arguments.override)
            return config, to_plain(config), config.data.name
        path = Path(name)
        plain = packing.unpack(path, folder / "data")
        config = default_config()
        with config.unlocked():
            config.update(ConfigDict(plain))
        override(config, self.arguments.override)
        home = to_plain(config)
        if config.data.name not in packing.EMBEDDED:
            sources.KINDS[packing.KIND] = packing.splits
            # Resized and cut before they were packed, or as they were.
            with config.unlocked():
                config.data.options = ConfigDict()
            config.data.name, config.data.path = packing.KIND, str(folder / "data")
            config.data.size, config.data.tile = (), ()
        return config, home, hashlib.sha256(path.read_bytes()).hexdigest()

    def _earlier(self, workdir: Path, config: ConfigDict, digest: str) -> dict | None:
        """Lays down what an earlier call left; its progress."""
        where = self.arguments.resume or self.out
        found = carry.read_progress(where)
        if found is None:
            if self.arguments.resume:
                raise ZooError(f"{where} holds no {carry.PROGRESS}; name what a call has left")
            return None
        if found["data"] != digest:
            raise ZooError(f"{where} was trained on other data; bring the pack of then")
        carry.unbundle(carry.join(where, found["state"], found["sha256"]), workdir)
        # The same images lie elsewhere on every machine.
        path = workdir / "config.json"
        settings = json.loads(path.read_text())
        settings["data"]["path"] = config.data.path
        path.write_text(json.dumps(settings))
        return found

    def _last_step(self, earlier: dict | None) -> int:
        """How far this call comes at the speed of the one before.

        Raises:
          ZooError: there was none.
        """
        call = earlier["calls"][-1] if earlier and earlier["calls"] else None
        if call is None or call["last_step"] <= call["first_step"]:
            raise ZooError("--finish needs the speed of an earlier call; train without it first")
        speed = (call["last_step"] - call["first_step"]) / call["seconds"]
        return earlier["step"] + max(int(0.85 * speed * self.for_steps), 1)

    def _check_size(self, config: ConfigDict) -> tuple[State, Best]:
        """Refuses what could not be carried home; what a checkpoint holds, but for the values."""
        experiment = experiments.build(config)
        contract = models.model_spec(config.model.name, **experiment.model_options)
        shapes = models.variable_shapes(experiment.model, contract)
        variables = traverse_util.unflatten_dict(shapes, sep="/")
        optimizer, _ = experiments.make_optimizer(config, 1)
        params = variables.pop("params")
        moments = jax.eval_shape(optimizer.init, params)
        # Filled, not compiled: the end must be quick.
        blank = partial(jax.tree.map, lambda x: np.zeros(x.shape, x.dtype))
        state = State(
            step=np.zeros((), np.int32),
            params=blank(params),
            model_state=blank(variables),
            opt_state=blank(moments),
            ema=blank(params),
        )
        best = Best(state.variables, np.zeros((), np.float32), state.step)
        if not self.arguments.any_size:
            sizes = [sum(x.nbytes for x in jax.tree.leaves(tree)) for tree in (best, (state, best))]
            carry.check(*sizes, files_besides=1)
        return state, best

    def _write_weights(
        self,
        config: ConfigDict,
        home: dict,
        workdir: Path,
        like: tuple[State, Best],
        progress: dict,
    ) -> None:
        """Writes the best average of the latest checkpoint, with the config as it is at home."""
        experiment = experiments.build(config)
        checkpoints = Checkpoints(workdir / "checkpoints", keep=config.checkpoint.keep)
        state, best = checkpoints.restore(like)
        if not best.scored:
            best = Best(state.variables, np.array(np.nan, np.float32), state.step)
        record = make_record(
            experiment.config,
            data={split: len(source) for split, source in experiment.sources.items()},
            step=int(best.step),
            score=float(best.score),
            seconds=round(sum(call["seconds"] for call in progress["calls"])),
            command=" ".join(["python", *sys.argv]),
        )
        record["config"] = home
        path = workdir / WEIGHTS
        weights.save(path, best.variables, record)
        progress["weights"] = carry.cut(WEIGHTS, path.read_bytes(), self.out)
        # Last, for the time may be over in between.
        for old in self.out.glob(f"{WEIGHTS}*"):
            if old.name not in progress["weights"]:
                old.unlink()

    def _publish_now_and_then(
        self, workdir: Path, progress: dict, stopper: threading.Event
    ) -> None:
        """Puts checkpoints where they survive even a call that is killed."""
        done = None
        while not stopper.wait(_PUBLISH_EVERY):
            step = carry.saved_step(workdir)
            if step is not None and step != done:
                # The loop may drop it meanwhile; the next one comes.
                with contextlib.suppress(OSError):
                    carry.publish(workdir, self.out, progress)
                    done = step

    def _time_is_up(self, signum: int, _) -> None:
        """Asks the loop to save and stop, as a SIGTERM from elsewhere does."""
        listener = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
        if getattr(listener, "signum", None) is not None:
            # It stops already, and being asked twice means at once.
            return
        self._asked = signum
        os.kill(os.getpid(), signal.SIGTERM)

    def _overrun(self, folder: Path) -> None:
        """Ends the call where it was to have ended; what has been published stays."""
        advice = "; give more --minutes"
        with contextlib.suppress(ZooError):
            if found := carry.read_progress(self.out):
                advice = f"; {self.out} holds what was saved by step {found['step']}"
        print(f"error: the time is over{advice}", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(3)

    def _stop_early(self, signum: int, _) -> None:
        """Before the loop listens there is nothing to save."""
        raise Interrupted(signum, 0)


if __name__ == "__main__":
    runtime.cache_programs()
    runtime.keep_memory()
    sys.exit(main())

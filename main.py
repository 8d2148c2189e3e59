"""Trains and evaluates what a config describes.

python main.py --config=configs/unet.py
python main.py --config=configs/unet.py --config.noise.level=50 --workdir=runs/unet50
python main.py --config=configs/unet.py --mode=eval
python main.py --config=configs/unet.py --resume-with=optimizer.learning_rate=1e-4
python main.py --config=configs/unet.py --coordinator=10.0.0.1:1234 --processes=2 --process=0
"""

import signal
import sys

from zoo import compilation
from zoo.errors import ZooError

# XLA would end the process at a flag that it does not know, with pages.
try:
    compilation.check_flags()
except ZooError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)

# The imports below take seconds, in which Ctrl-C should just end it; training listens for itself.
signal.signal(signal.SIGINT, signal.SIG_DFL)

import itertools
import re
import shlex
import traceback
from operator import attrgetter
from pathlib import Path

from absl import app, flags, logging
from ml_collections import config_flags

from zoo import files, memory
from zoo.errors import ZooError, in_words, line
from zoo.models import create_model, list_models
from zoo.train import distributed
from zoo.train.config import check_keys
from zoo.train.interrupt import Interrupted
from zoo.train.loop import train
from zoo.train.scoring import evaluate_run

# What --flagfile=FILE names, in its place: the flag of the config looks into sys.argv by itself.
# What is wrong with it is told where all mistakes are.
_UNREADABLE = ""
try:
    sys.argv[1:] = flags.FLAGS.read_flags_from_files(sys.argv[1:], force_gnu=False)
except (flags.Error, OSError, ValueError) as error:
    _UNREADABLE = str(error).splitlines()[0]
    sys.argv[1:] = []

_CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "The experiment, a file of configs/; FILE:FOLDER trains it on the data in a folder.",
    lock_config=False,
    accept_new_attributes=True,  # `zoo.train` refuses them, and names the nearest
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Where the run lives; runs/<config> by default.")
_MODE = flags.DEFINE_enum("mode", "train", ["train", "eval"], "train ends with eval.")
_RESUME_WITH = flags.DEFINE_multi_string(
    "resume-with",
    [],
    "KEY=VALUE of the config, changed in a run that goes on, which remembers it; may be repeated.",
)
_COORDINATOR = flags.DEFINE_string("coordinator", None, "HOST:PORT of process 0, one run on many.")
_PROCESSES = flags.DEFINE_integer("processes", None, "How many processes the run has, one a host.")
_PROCESS = flags.DEFINE_integer("process", None, "Which of them this one is, from 0.")
_DISTRIBUTED = flags.DEFINE_bool(
    "distributed", False, "Find these three from Slurm, Open MPI, Kubernetes or a TPU slice."
)
_MOST_BYTES = 2**20  # of a config file
_NO_CONFIG = "no config; try --config=configs/unet.py"
# Keys of several values, of which one may be written bare.
_LISTS = ("eval.levels", "eval.baselines")


def main(_) -> None:
    """Runs the mode that was asked for."""
    logging.set_verbosity(logging.ERROR)  # orbax and jax talk at length
    config = _CONFIG.value
    if config is None:
        raise ZooError(_NO_CONFIG)
    compilation.enable()
    memory.keep()
    processes = (_COORDINATOR.value, _PROCESSES.value, _PROCESS.value)
    if _DISTRIBUTED.value or processes != (None, None, None):
        distributed.join(*processes)
    workdir = Path(_WORKDIR.value or _default_workdir())
    experiment = config
    if _MODE.value == "train":
        command = shlex.join(["python", *sys.argv])
        experiment = train(config, workdir, command=command, resume_with=_RESUME_WITH.value)
    elif _RESUME_WITH.value:
        raise ZooError("--resume-with is for --mode=train; leave it out")
    if distributed.is_first():
        result = evaluate_run(experiment, workdir)
        print(result.table())
        print(f"\nweights, tables and pictures are in {workdir}")
    distributed.finish()


def _read_flags(argv: list[str]) -> list[str]:
    """Parses the command line, for absl and ml_collections tell mistakes in pages."""
    file = _config_file(argv)
    overrides = [m[1] for arg in argv if (m := re.match(r"--?(?:no)?config\.([^=]+)", arg))]
    if overrides and not file:
        raise ZooError(_NO_CONFIG)
    if file is not None:
        if not Path(file).is_file():
            raise ZooError(f"there is no config file {file!r}; try --config=configs/unet.py")
        files.regular(file, limit=_MOST_BYTES)
    check_keys(overrides)
    try:
        rest = flags.FLAGS(argv)
        if file:
            _CONFIG.value.to_dict()  # it keeps its errors until somebody looks
            _check_overrides(argv, overrides)
    except ZooError:
        raise
    # SystemExit and the like too; Ctrl-C ends the process before.
    except BaseException as error:
        # Whatever a config file may raise; absl hands some of it on as text.
        text = "".join(traceback.format_exception(error))
        lines = re.findall(f'File "{re.escape(str(file))}", line ([0-9]+)', text)
        if lines:
            told = text.strip().splitlines()[-1][:300]
            raise ZooError(f"{file}, line {lines[-1]}: {told}") from None
        if not isinstance(error, Exception):  # of --help
            raise
        if isinstance(error, flags.Error) and "get_config()" not in str(error):
            raise ZooError(str(error)) from None
        defined = _line_of_get_config(file)
        told = str(error).strip().split("\n")[-1].strip()[:100] or type(error).__name__
        where = f"{file}, line {defined}," if defined else str(file)
        raise ZooError(f"{where} must define get_config() and return a config: {told}") from None
    if len(rest) > 1:
        raise ZooError(f"unexpected argument {rest[1]!r}; flags are written --name=value")
    return rest


def _check_overrides(argv: list[str], keys: list[str]) -> None:
    """Refuses a key that another one leaves without effect; tells how a bare value is taken."""
    steps = _CONFIG.value.train.steps
    if "train.epochs" in keys and "train.steps" not in keys and steps:
        raise ZooError(
            f"train.epochs does nothing where train.steps is {steps}, as in this config; add "
            "--config.train.steps=0"
        )
    # The rate of a config is that of its own model.
    if "model.name" in keys and "optimizer.learning_rate" not in keys:
        name = _CONFIG.value.model.name
        if name in list_models() and hasattr(create_model(name), "learning_rate"):
            _CONFIG.value.optimizer.learning_rate = None
    for key, value in re.findall(r"^--?config\.([^=]+)=(.*)$", "\n".join(argv), re.MULTILINE):
        if key in _LISTS and not value.strip().startswith(("(", "[")):
            taken = attrgetter(key)(_CONFIG.value)
            print(f"{key}={value} is taken as {tuple(taken)!r}", file=sys.stderr)


def _line_of_get_config(file: str | None) -> int | None:
    """Where a config file defines what is called."""
    text = Path(file).read_bytes() if file else b""
    found = re.search(rb"^def get_config\b", text, re.MULTILINE)
    return found and text[: found.start()].count(b"\n") + 1


def _config_file(argv: list[str]) -> str | None:
    """The file of `--config=FILE:STRING` or `--config FILE`."""
    for arg, following in itertools.pairwise([*argv, ""]):
        match = re.fullmatch(r"--?config(?:=(.*))?", arg)
        if match:
            return (following if match[1] is None else match[1]).partition(":")[0]
    return None


def _default_workdir() -> Path:
    file, _, data = config_flags.get_config_filename(flags.FLAGS["config"]).partition(":")
    return Path("runs") / "-".join([Path(file).stem, *([Path(data).name] if data else [])])


def run() -> None:
    """`main`, with the user's mistakes told in one line."""
    try:
        if _UNREADABLE:
            raise ZooError(f"--flagfile cannot be read: {_UNREADABLE}")
        app.run(main, flags_parser=_read_flags)
    except Interrupted as stop:
        distributed.leave(stop.exit_code, str(stop), together=True)
    except ZooError as error:
        distributed.leave(2, f"error: {line(str(error))}", together=True)
    except (Exception, KeyboardInterrupt) as error:
        told = None if distributed.means_lost(error) else in_words(error)
        if told is not None:
            distributed.leave(2, f"error: {line(told)}", together=True)
        distributed.fail(error)
        raise


if __name__ == "__main__":
    run()

"""`zoo train`: train and evaluate a denoiser as a config describes."""

import argparse
import difflib
import re
import shlex
import sys
from collections.abc import Sequence
from logging import getLogger
from pathlib import Path

from zoo import files
from zoo.errors import ZooError

_DESCRIPTION = """Train a denoiser as a config describes, then score it on its test set. CONFIG is
the name of a config that comes with the package, such as unet, or a Python file with get_config();
CONFIG:DATA passes DATA, such as a folder, to get_config. The workdir then holds
weights.safetensors, metrics, curves and scores. The same command resumes an interrupted run."""

_EXAMPLES = """examples:
  zoo train unet                                       on the photos of scikit-image
  zoo train unet:photos/ --noise.level=50 --workdir=runs/unet50
  zoo train my_config.py --model.options.depth=8
  zoo train unet --mode=eval                           score the weights of the workdir again
  zoo train unet --resume-with=optimizer.learning_rate=1e-4
  zoo train unet --coordinator=10.0.0.1:1234 --processes=2 --process=0

Any other --KEY=VALUE sets a key of the config (zoo.train.config.default_config lists all keys).
Numbers, tuples and dictionaries are Python literals. --config=CONFIG and --config.KEY=VALUE mean
the same.
"""

_NO_CONFIG = "no config; try --config=configs/unet.py, or zoo train unet"
# With whether they take a value.
_OPTIONS = {
    **dict.fromkeys(("config", "workdir", "mode", "resume-with", "flagfile"), True),
    **dict.fromkeys(("coordinator", "processes", "process"), True),
    **dict.fromkeys(("distributed", "help"), False),
}
_FLAG = re.compile(r"--?(no(?=config\.))?(?:config\.)?([^=]+)(?:=(.*))?", re.DOTALL)


def normalized(argv: Sequence[str]) -> list[str]:
    """Arguments in which each `--KEY=VALUE` of the config is `--set KEY=VALUE`, for argparse.

    Files named by `--flagfile` are read in their place.

    Raises:
      ZooError: such a file cannot be read, or a flag is neither an option nor a key.
    """
    found, rest = [], list(argv)
    while rest:
        argument = rest.pop(0)
        match = _FLAG.fullmatch(argument)
        if match is None or argument in ("-h", "--help"):
            found.append(argument)
            continue
        no, key, value = match.groups()
        takes_value = _OPTIONS.get(key, True)
        if value is None and takes_value and rest and not rest[0].startswith("--"):
            value = rest.pop(0)
        if key == "flagfile":
            rest = _flags_in(value or "") + rest
        elif key in _OPTIONS:
            found.append(f"--{key}" if value is None else f"--{key}={value}")
        else:
            _check_flag(key)
            # A key that is True or False needs no value.
            value = ("False" if no else "True") if value is None else value
            found += ["--set", f"{key}={value}"]
    return found


def _flags_in(file: str) -> list[str]:
    try:
        lines = [line.strip() for line in files.read(file).decode().splitlines()]
    except (OSError, UnicodeError, ZooError) as error:
        raise ZooError(f"--flagfile cannot be read: {error}") from None
    return [line for line in lines if line and not line.startswith("#")]


def _check_flag(key: str) -> None:
    """Refuses a misspelled option of the command, which would pass for a key of the config."""
    from zoo.train.config import check_keys  # noqa: PLC0415 - see `run`

    try:
        check_keys([key])
    except ZooError:
        near = difflib.get_close_matches(key, _OPTIONS, n=1, cutoff=0.75)
        if near:
            raise ZooError(f"unknown flag --{key}; did you mean --{near[0]}?") from None
        raise


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the command takes to its parser."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    add = parser.add_argument
    add("spec", nargs="*", metavar="CONFIG", help="name or file of a config, or CONFIG:DATA")
    add("--config", help=argparse.SUPPRESS)
    add("--workdir", type=Path, help="folder of the run (runs/NAME)")
    add("--mode", default="train", help="train, which ends with an evaluation, or eval (train)")
    add(
        "--resume-with",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a key of a run on resuming it, which is recorded; may be repeated",
    )
    add("--flagfile", metavar="FILE", help="a file of further arguments, one per line")
    add("--coordinator", metavar="HOST:PORT", help="address of process 0, with several processes")
    add("--processes", type=int, metavar="N", help="number of processes")
    add("--process", type=int, metavar="N", help="number of this process, from 0")
    add(
        "--distributed",
        action="store_true",
        help="take these three values from Slurm, Open MPI, Kubernetes or a TPU slice",
    )
    add("--set", action="append", default=[], help=argparse.SUPPRESS)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Trains and evaluates; a run of several processes ends here after an error."""
    from zoo.train import distributed  # noqa: PLC0415 - `--help` need not wait for jax

    try:
        _run(arguments)
    except distributed.Interrupted as stop:
        distributed.fail(stop)
        print(stop, file=sys.stderr)
        sys.exit(stop.exit_code)
    except (Exception, KeyboardInterrupt) as error:
        distributed.fail(error)
        raise


def _run(arguments: argparse.Namespace) -> None:
    # Both are of the extra "train", which is to be named before any work.
    import orbax.checkpoint  # noqa: F401, PLC0415
    from absl import logging  # noqa: PLC0415

    from zoo import runtime  # noqa: PLC0415
    from zoo.train import distributed  # noqa: PLC0415
    from zoo.train.config import load_config  # noqa: PLC0415
    from zoo.train.loop import train  # noqa: PLC0415
    from zoo.train.scoring import evaluate_run  # noqa: PLC0415

    given = [*([arguments.config] if arguments.config else []), *arguments.spec]
    if not given:
        raise ZooError(_NO_CONFIG)
    if len(given) > 1:
        raise ZooError(f"unexpected argument {given[1]!r}; flags are written --KEY=VALUE")
    (spec,) = given
    if arguments.mode not in ("train", "eval"):
        raise ZooError(f"--mode={arguments.mode}; make it train or eval")
    logging.set_verbosity(logging.ERROR)  # orbax and jax log at length
    for library in ("imagecodecs", "tifffile"):  # oddities of files, which those would print
        getLogger(library).setLevel("ERROR")
    config = load_config(spec, arguments.set)
    runtime.cache_programs()
    runtime.keep_memory()
    processes = (arguments.coordinator, arguments.processes, arguments.process)
    if arguments.distributed or processes != (None, None, None):
        distributed.join(*processes)
    workdir = arguments.workdir or _default_workdir(spec)
    experiment = config
    if arguments.mode == "train":
        program = Path(sys.argv[0]).name
        command = ["python"] if program.endswith(".py") else []
        command = shlex.join([*command, program, *sys.argv[1:]])
        experiment = train(config, workdir, command=command, resume_with=arguments.resume_with)
    elif arguments.resume_with:
        raise ZooError("--resume-with is for --mode=train; leave it out")
    if distributed.is_first():
        result = evaluate_run(experiment, workdir)
        if result is None:
            print("no clean images to score with; see what the weights do to the noisy ones:")
            print(f"zoo denoise FOLDER -o clean/ --weights {workdir / 'weights.safetensors'}")
        else:
            print(result.table())
            print(f"\nweights, tables and images are in {workdir}")
    distributed.finish()


def _default_workdir(spec: str) -> Path:
    name, _, data = spec.partition(":")
    return Path("runs") / "-".join([Path(name).stem, *([Path(data).name] if data else [])])

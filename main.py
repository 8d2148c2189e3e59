"""Trains and evaluates what a config describes.

python main.py --config=configs/unet.py
python main.py --config=configs/unet.py --config.noise.level=50 --workdir=runs/unet50
python main.py --config=configs/unet.py --mode=eval
"""

import re
import sys
import traceback
from pathlib import Path

from absl import app, flags, logging
from ml_collections import config_flags

from zoo.errors import ZooError
from zoo.train.config import check_keys
from zoo.train.interrupt import Interrupted
from zoo.train.loop import train
from zoo.train.scoring import evaluate_run

_CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "The experiment, a file of configs/; FILE:FOLDER trains it on the data in a folder.",
    lock_config=False,
    accept_new_attributes=True,  # `zoo.train` refuses them, and names the nearest
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Where the run lives; runs/<config> by default.")
_MODE = flags.DEFINE_enum("mode", "train", ["train", "eval"], "train ends with eval.")


def main(argv: list[str]) -> None:
    """Runs the mode that was asked for."""
    logging.set_verbosity(logging.ERROR)  # orbax and jax talk at length
    config = _CONFIG.value
    workdir = Path(_WORKDIR.value or _default_workdir())
    if _MODE.value == "train":
        train(config, workdir)
    result = evaluate_run(config, workdir)
    print(result.table())
    print(f"\nweights, tables and pictures are in {workdir}")


def _read_flags(argv: list[str]) -> list[str]:
    """Parses the command line, for absl and ml_collections talk of mistakes in pages."""
    files = [match[1] for arg in argv if (match := re.fullmatch(r"--?config=([^:]*).*", arg))]
    if not files:
        raise ZooError("no config; try --config=configs/unet.py")
    for file in files:
        if not Path(file).is_file():
            raise ZooError(f"there is no config file {file!r}; try --config=configs/unet.py")
    matches = (re.match(r"--?(?:no)?config\.([^=]+)", arg) for arg in argv)
    check_keys(match[1] for match in matches if match)
    try:
        rest = flags.FLAGS(argv)
        _CONFIG.value.to_dict()  # it keeps its errors until somebody looks
    except flags.Error as error:
        raise ZooError(str(error).strip().splitlines()[-1]) from None
    except ZooError:
        raise
    except Exception as error:
        raise ZooError(_in_config(error, files)) from None
    if len(rest) > 1:
        raise ZooError(f"unexpected argument {rest[1]!r}; flags are written --name=value")
    return rest


def _in_config(error: Exception, files: list[str]) -> str:
    """Tells in one line what is wrong in a config file, and where."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}: {error.msg}; mend it"
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename in files
    ]
    where = f"{files[-1]}, line {lines[-1]}" if lines else files[-1]
    return f"{where}: {type(error).__name__}: {' '.join(str(error).split())}; mend it"


def _default_workdir() -> Path:
    file, _, data = config_flags.get_config_filename(flags.FLAGS["config"]).partition(":")
    return Path("runs") / "-".join([Path(file).stem, *([Path(data).name] if data else [])])


def run() -> None:
    """`main`, with the user's mistakes told in one line."""
    try:
        app.run(main, flags_parser=_read_flags)
    except Interrupted as stop:
        print(stop, file=sys.stderr)
        sys.exit(stop.exit_code)
    except ZooError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    run()

"""Trains and evaluates what a config describes.

python main.py --config=configs/unet.py
python main.py --config=configs/unet.py --config.noise.level=50 --workdir=runs/unet50
python main.py --config=configs/unet.py --mode=eval
"""

import sys
from pathlib import Path

from absl import app, flags, logging
from ml_collections import config_flags

from zoo.errors import ZooError
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
    if len(argv) > 1:
        raise ZooError(f"unexpected argument {argv[1]!r}; flags are written --name=value")
    if _CONFIG.value is None:
        raise ZooError("no config; try --config=configs/unet.py")
    config = _CONFIG.value
    workdir = Path(_WORKDIR.value or _default_workdir())
    if _MODE.value == "train":
        train(config, workdir)
    result = evaluate_run(config, workdir)
    print(result.table())
    print(f"\nweights, tables and pictures are in {workdir}")


def _default_workdir() -> Path:
    file, _, data = config_flags.get_config_filename(flags.FLAGS["config"]).partition(":")
    return Path("runs") / "-".join([Path(file).stem, *([Path(data).name] if data else [])])


def run() -> None:
    """`main`, with the user's mistakes told in one line."""
    try:
        app.run(main)
    except Interrupted as stop:
        print(stop, file=sys.stderr)
        sys.exit(stop.exit_code)
    except ZooError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    run()

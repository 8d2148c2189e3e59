"""Puts the weights of a run into the package, with their metadata.

    python tools/ship.py runs/unet_color unet-color --summary "photographs, sigma up to 55" \\
        --data "BSDS500 train and test, 400 photographs" \\
        --terms "research use; cite Arbelaez et al. 2011" --license "research use only" \\
        --command "python main.py --config=configs/unet_color.py:DATA" \\
        --place "$HOME/data=DATA" --scores scores/scores.json

The validation of the run is scored twice, with the weights as they are and in half precision, which
is kept where it loses less than 0.01 dB. Afterwards run `python tools/cards.py` and
`python tests/weights/embedded.py`, and read what they change.
"""

import argparse
import json
import sys
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).parents[1]))

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from zoo import weights
from zoo.errors import ZooError
from zoo.train import experiment as experiments
from zoo.train.config import default_config
from zoo.train.scoring import Validation
from zoo.weights.weight_files import SHIPPED

# Of one file.
MOST_PARAMETERS = 4_000_000
MOST_BYTES = 8_000_000
# What half precision may cost, dB.
MOST_LOST = 0.01


def main() -> None:
    arguments = parse()
    try:
        print(ship(arguments))
    except ZooError as error:
        sys.exit(f"error: {error}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="the workdir")
    parser.add_argument("name", help="what `zoo.load` will call them")
    for option, text in (
        ("summary", "what they are for, in a few words"),
        ("data", "what they were trained on"),
        ("terms", "under which terms those data come"),
        ("license", "of the weights"),
        ("command", "that made them"),
    ):
        parser.add_argument(f"--{option}", required=True, help=text)
    parser.add_argument(
        "--place",
        action="append",
        default=[],
        metavar="PATH=WORD",
        help="what to write into the record instead of a path of this machine",
    )
    parser.add_argument("--scores", type=Path, nargs="*", default=[], help="of `zoo score`")
    parser.add_argument(
        "--seconds", type=float, help="of the training, if the run did not record it"
    )
    return parser.parse_args()


def ship(arguments: argparse.Namespace) -> str:
    """Writes the file; returns a line about it."""
    path = arguments.run / "weights.safetensors"
    record = weights.read_record(path)
    model, variables = weights.load(path)
    lost = loss_of_half(record, model, variables)
    half = lost < MOST_LOST
    stored = halved(variables) if half else variables
    count = sum(x.size for x in jax.tree.leaves(variables["params"]))
    size = sum(x.nbytes for x in jax.tree.leaves(stored))
    if count > MOST_PARAMETERS or size > MOST_BYTES:
        raise ZooError(
            f"{arguments.name} has {count:,} parameters in {size:,} bytes, more than a package "
            f"should carry ({MOST_PARAMETERS:,}, {MOST_BYTES:,}); host it elsewhere"
        )
    record = replaced(record, [place.partition("=")[::2] for place in arguments.place])
    record |= {
        "name": arguments.name,
        "summary": arguments.summary,
        "trained_on": arguments.data,
        "terms": arguments.terms,
        "license": arguments.license,
        "command": arguments.command,
        "parameters": count,
        "stored": "float16" if half else "float32",
        "half_precision_costs_db": round(lost, 4),
    }
    if arguments.seconds:
        record["seconds"] = round(arguments.seconds)
    for scores in arguments.scores:
        record["scores"].setdefault("benchmark", {}).update(benchmark(scores, arguments.name))
    SHIPPED.mkdir(exist_ok=True)
    target = SHIPPED / f"{arguments.name}.safetensors"
    weights.save(target, stored, record)
    size = target.stat().st_size
    return (
        f"{target.name}: {count:,} parameters, {size:,} bytes, {record['stored']} ({lost:.4f} dB)"
    )


def loss_of_half(record: dict, model, variables: dict) -> float:
    """What half precision costs in the run's own validation, in dB."""
    config = default_config()
    with config.unlocked():
        config.update(ConfigDict(record["config"]))
    validation = Validation(experiments.build(config))
    # What `load` gives back: stored in half precision, computed in single.
    coarse = jax.tree.map(lambda x, y: x.astype(y.dtype), halved(variables), variables)
    whole, half = (SimpleNamespace(variables=values) for values in (variables, coarse))
    return validation.score(whole) - validation.score(half)


def halved(variables: dict) -> dict:
    """The variables in half precision."""
    return jax.tree.map(
        lambda x: x.astype(jnp.float16) if jnp.issubdtype(x.dtype, jnp.floating) else x, variables
    )


def benchmark(path: Path, name: str) -> dict:
    """What `zoo score` found of these weights and of others on the same pixels, set by set.

    Args:
      path: its `scores.json`.
      name: what it called these weights; they become "model".

    Raises:
      ZooError: the weights are not among what was scored.
    """
    found = json.loads(path.read_text())
    sets: dict = {}
    for cell in found["scores"]:
        method = "model" if cell["method"] == name else cell["method"]
        metrics = {key: cell[key] for key in ("psnr", "ssim") if key in cell}
        sets.setdefault(cell["data"], {}).setdefault(cell["level"], {})[method] = metrics
    for data, levels in sets.items():
        if not all("model" in methods for methods in levels.values()):
            raise ZooError(f"{path} has no {name} on {data}; score {name}=FILE")
    return sets


def replaced(tree, places: list[tuple[str, str]]):
    """The tree with every path of this machine called by its word."""
    if isinstance(tree, dict):
        return {key: replaced(value, places) for key, value in tree.items()}
    if isinstance(tree, list):
        return [replaced(value, places) for value in tree]
    if isinstance(tree, str):
        for path, word in places:
            tree = tree.replace(path, word)
    return tree


if __name__ == "__main__":
    main()

"""How long `main.py` takes from its start to the end of the first training step.

    python benchmarks/startup.py                          # of configs/unet.py, 5 pairs
    python benchmarks/startup.py --config=configs/conv_autoencoder.py --pairs=7

Fresh processes in turn, A B A B: first one with an empty compilation cache (cold), then one with
the cache that the first has left (warm). Every pair begins with an empty cache; one start before
them all is not counted, so that the files are in memory. The parts of a start:

    imports  Python and everything main.py imports
    data     the pictures read
    compile  XLA at work, or its programs read from the cache
    step     the first training step itself, with its tracing
    build    all the rest: flags, config, model, state, checkpoints

The rows go to `benchmarks/results/`. What main.py needs, this needs.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from harness import flags, machine, results
from processes import ask, ask_machine

ROOT = Path(__file__).parents[1]
PARTS = ("total_s", "imports_s", "data_s", "build_s", "compile_s", "step_s")


def start(arguments, cache: str) -> dict[str, float]:
    """Starts main.py once, with a folder for its cache; the seconds by part."""
    outside = ("JAX_COMPILATION_CACHE_DIR", "JAX_ENABLE_COMPILATION_CACHE")
    environment = {key: value for key, value in os.environ.items() if key not in outside}
    with tempfile.TemporaryDirectory() as workdir:
        command = [
            str(ROOT / "benchmarks" / "starting.py"),
            repr(time.time()),
            str(ROOT / "main.py"),
            f"--config={arguments.config}",
            f"--workdir={workdir}/run",
            *(f"--config.{override}" for override in arguments.override),
        ]
        return ask(command, {**environment, "XDG_CACHE_HOME": cache}, cwd=ROOT)


def measure(arguments) -> list[dict]:
    """A row for each start, cold and warm in turn."""
    rows = []
    with tempfile.TemporaryDirectory() as cache:
        start(arguments, cache)
    for pair in range(1, arguments.pairs + 1):
        with tempfile.TemporaryDirectory() as cache:
            cold, warm = start(arguments, cache), start(arguments, cache)
        for kind, parts in (("cold", cold), ("warm", warm)):
            seconds = {name: parts[name] for name in PARTS}
            ratio = parts["total_s"] / cold["total_s"]
            rows.append({"pair": pair, "cache": kind, **seconds, "warm_over_cold": ratio})
            print(f"pair {pair}, {kind}: {parts['total_s']:.2f} s", file=sys.stderr, flush=True)
    return rows


def medians(rows: list[dict]) -> list[dict]:
    """The medians over the pairs, one row for cold and one for warm; the ratio's is of pairs."""
    found = []
    for kind in ("cold", "warm"):
        mine = [row for row in rows if row["cache"] == kind]
        names = (*PARTS, "warm_over_cold")
        middle = {name: float(np.median([row[name] for row in mine])) for name in names}
        found.append({"pair": "median", "cache": kind, **middle})
    return found


def main() -> None:
    """Measures, prints the medians and writes all rows."""
    parser = flags.Parser(__doc__)
    add = parser.add_argument
    add("--config", default="configs/unet.py", help="of main.py (default configs/unet.py)")
    add(
        "--override",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a key of the config, such as model.name=unet-tiny; may be repeated",
    )
    add("--pairs", type=flags.count, default=5, help="of starts, cold and warm (default 5)")
    add(
        "--out",
        type=Path,
        default=ROOT / "benchmarks" / "results",
        help="folder of the csv and json (default benchmarks/results)",
    )
    arguments = parser.parse_args()
    _, _, load = ask_machine()
    rows = measure(arguments)
    rows += medians(rows)
    what = Path(arguments.config.partition(":")[0]).stem
    rows = [{"config": what, **row, "load": load} for row in rows]
    print(results.table(rows))
    name = "-".join(["startup", what, *arguments.override])
    print(f"written to {results.write(name, rows, arguments.out, machine.context())}")


if __name__ == "__main__":
    sys.exit(flags.guard(main))

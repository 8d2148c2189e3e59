"""How long `main.py` takes from its start to the end of the first training step.

    python benchmarks/startup.py                          # of configs/unet.py, 5 pairs
    python benchmarks/startup.py --config=configs/conv_autoencoder.py --pairs=7
    python benchmarks/startup.py --images=40              # a folder of images of 40 sizes
    python benchmarks/startup.py --photo=12 --pairs=3     # `zoo denoise` of 12 megapixels

Fresh processes in turn, A B A B: first one with an empty compilation cache (cold), then one with
the cache that the first has left (warm). Every pair begins with an empty cache; one start before
them all is not counted, so that the files are in memory. The parts of a start:

    imports  Python and everything main.py imports
    data     the images read
    compile  XLA at work, or its programs read from the cache
    step     the first training step itself, with its tracing
    build    all the rest: flags, config, model, state, checkpoints

With `--images=N` it is instead how long N images take to denoise: of N sizes, as in a folder of
mixed images, and of one size with as many pixels in all; by a new process (cold, each program
compiled) and once more by the same (warm). The level of the noise is given, not estimated.

With `--photo=N` it is how long `zoo denoise photo.jpg` takes for N megapixels, with no other option
and with `--dtype bfloat16`: wall and processor seconds of processes from start to end, each with an
empty cache (cold) and once more (warm).

The rows go to `benchmarks/results/`. What main.py needs, this needs.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from harness import flags, machine, results
from PIL import Image
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


def with_medians(rows: list[dict]) -> list[dict]:
    """The rows, and their medians over the pairs, cold and warm; the ratio's is of pairs."""
    found = list(rows)
    for kind in ("cold", "warm"):
        mine = [row for row in rows if row["cache"] == kind]
        names = (*PARTS, "warm_over_cold")
        middle = {name: float(np.median([row[name] for row in mine])) for name in names}
        found.append({"pair": "median", "cache": kind, **middle})
    return found


_FOLDER = """
import json, sys, time
import numpy as np
from zoo.inference import ImageDenoiser
model, *sizes = json.loads(sys.argv[1])
denoise, rng = ImageDenoiser(model), np.random.default_rng(0)
images = [rng.integers(0, 256, size, np.uint8) for size in sizes]
found = {}
for cache in ("cold", "warm"):
    begun = time.perf_counter()
    for image in images:
        denoise(image, level=0.1)
    found[cache] = time.perf_counter() - begun
print(json.dumps(found))
"""


def folder(arguments) -> list[dict]:
    """A row for images of many sizes and one for images of one size, cold and warm each."""
    rng, rows = np.random.default_rng(0), []
    least, most = arguments.sides
    many = rng.integers(least, most, (arguments.images, 2), endpoint=True).tolist()
    pixels = sum(height * width for height, width in many)
    side = round((pixels / len(many)) ** 0.5)
    environment = {**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "false"}
    for kind, sizes in (("mixed", many), ("equal", [[side, side]] * len(many))):
        seconds = ask(["-c", _FOLDER, json.dumps([arguments.model, *sizes])], environment)
        megapixels = sum(height * width for height, width in sizes) / 1e6
        for cache, spent in seconds.items():
            rows.append({
                "model": arguments.model, "images": len(sizes),
                "sizes": len({tuple(size) for size in sizes}), "kind": kind, "cache": cache,
                "megapixels": megapixels, "seconds": spent,
                "megapixels_per_s": megapixels / spent,
            })  # fmt: skip
    return rows


def photo(arguments) -> list[dict]:
    """A row for each process of `zoo denoise`, and the medians."""
    height = round((arguments.photo * 1e6 * 3 / 4) ** 0.5)
    size = (height, round(arguments.photo * 1e6 / height))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        blocks = np.random.default_rng(1).uniform(30, 220, (75, 100, 3))
        side = max(-(-length // count) for length, count in zip(size, blocks.shape, strict=False))
        image = np.kron(blocks, np.ones((side, side, 1)))[: size[0], : size[1]]
        noise = np.random.default_rng(0).normal(0, 10, image.shape)
        noisy = np.clip(image + noise, 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(Path(folder, "photo.jpg"), quality=95)
        for pair in range(1, arguments.pairs + 1):
            for dtype in ("float32", "bfloat16"):
                with tempfile.TemporaryDirectory() as cache:
                    for kind in ("cold", "warm"):
                        wall, cpu = _denoise(Path(folder), cache, dtype)
                        rows.append({
                            "pair": pair, "dtype": dtype, "cache": kind, "megapixels":
                            noisy.shape[0] * noisy.shape[1] / 1e6, "seconds": wall, "cpu_s": cpu,
                        })  # fmt: skip
                        print(f"{dtype}, {kind}: {wall:.1f} s", file=sys.stderr, flush=True)
    for dtype in ("float32", "bfloat16"):
        for kind in ("cold", "warm"):
            mine = [row for row in rows if (row["dtype"], row["cache"]) == (dtype, kind)]
            middle = {k: float(np.median([row[k] for row in mine])) for k in ("seconds", "cpu_s")}
            rows.append({**mine[0], "pair": "median", **middle})
    return rows


def _denoise(folder: Path, cache: str, dtype: str) -> tuple[float, float]:
    command = ["-m", "zoo.cli", "denoise", "photo.jpg", "-o", "clean.jpg", "--overwrite"]
    command += [] if dtype == "float32" else ["--dtype", dtype]
    environment = {**os.environ, "XDG_CACHE_HOME": cache, "PYTHONPATH": str(ROOT)}
    before, begun = os.times(), time.perf_counter()
    subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, check=True, capture_output=True
    )
    wall, after = time.perf_counter() - begun, os.times()
    cpu = after.children_user + after.children_system
    return wall, cpu - before.children_user - before.children_system


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
    add("--images", type=flags.count, help="to denoise instead of starting main.py")
    add("--photo", type=flags.count, metavar="MEGAPIXELS", help="to run `zoo denoise` on")
    add("--model", default="unet-gray", help="of --images, which are gray (default unet-gray)")
    add(
        "--sides", type=flags.count, nargs=2, default=(200, 800), metavar=("LEAST", "MOST"),
        help="of --images, in pixels (default 200 800)",
    )  # fmt: skip
    add(
        "--out",
        type=Path,
        default=ROOT / "benchmarks" / "results",
        help="folder of the csv and json (default benchmarks/results)",
    )
    arguments = parser.parse_args()
    _, _, load = ask_machine()
    if arguments.photo:
        rows, name = photo(arguments), f"photo-{arguments.photo}mp"
    elif arguments.images:
        rows = folder(arguments)
        name = f"images-{arguments.model}-{arguments.images}sizes"
    else:
        what = Path(arguments.config.partition(":")[0]).stem
        rows = [{"config": what, **row} for row in with_medians(measure(arguments))]
        name = "-".join(["startup", what, *arguments.override])
    rows = [{**row, "load": load} for row in rows]
    print(results.table(rows))
    print(f"written to {results.write(name, rows, arguments.out, machine.context())}")


if __name__ == "__main__":
    sys.exit(flags.guard(main))

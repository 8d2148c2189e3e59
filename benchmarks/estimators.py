"""How well the noise level estimators of the zoo do on a folder of images.

    python benchmarks/estimators.py --data FOLDER

For each level and estimator: the mean error, the mean absolute error and the largest one, in 1/255.
Where the noise depends on the signal, the error of an image is that of the standard deviation,
averaged over signals from 0.05 to 0.95 (first over signals, then over images); the mean errors of
`a` and `b` stand beside it. The noise is not clipped and keyed by image. The rows go to
`benchmarks/results/`.
"""

import argparse
import csv
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from zoo import estimate, noise
from zoo.data import pixels, sources
from zoo.errors import ZooError

COLUMNS = (
    "noise", "estimator", "images", "std_255", "bias_255", "mae_255", "worst_255",
    "bias_a", "bias_b", "ms",
)  # fmt: skip
SIGMAS = (0, 2, 5, 10, 15, 25, 50, 75)
PAIRS = ((0.002, 0.0001), (0.01, 0.0004), (0.02, 0.0), (0.05, 0.002))
SIGNALS = np.linspace(0.05, 0.95, 19)
SIGMA_ESTIMATORS = ("estimate_sigma", "estimate_sigma_smooth")


def std(a, b):
    """The noise's standard deviation in 1/255 at each of SIGNALS."""
    return 255 * np.sqrt(np.float64(a) * SIGNALS + np.float64(b))


def row(name, estimator, true, found, seconds):
    """One row of COLUMNS from the pairs (a, b) found, one an image."""
    errors = np.array([std(a, b) - std(*true) for a, b in found])
    absolute = np.abs(errors).mean(axis=1)
    a, b = np.mean(found, axis=0) - true
    return {
        "noise": name,
        "estimator": estimator,
        "images": len(found),
        "std_255": f"{std(*true).mean():.2f}",
        "bias_255": f"{errors.mean():+.2f}",
        "mae_255": f"{absolute.mean():.2f}",
        "worst_255": f"{absolute.max():.2f}",
        "bias_a": f"{a:+.5f}",
        "bias_b": f"{b:+.6f}",
        "ms": f"{1e3 * np.median(seconds):.0f}",
    }


def measure(images, corrupt, run):
    """What `run` finds in each noisy image, and the seconds each took, compiled."""
    found, seconds, seen = [], [], set()
    for number, image in enumerate(images):
        noisy = corrupt(jax.random.fold_in(jax.random.key(0), number), image)
        if noisy.shape not in seen:
            seen.add(noisy.shape)
            jax.block_until_ready(run(noisy))
        start = time.perf_counter()
        a, b = jax.block_until_ready(run(noisy))
        seconds.append(time.perf_counter() - start)
        found.append((float(a), float(b)))
    return found, seconds


def as_pair(function):
    """An estimator of sigma as one of `a` and `b`."""
    return jax.jit(lambda x: (jnp.zeros(()), jnp.square(function(x))))


def rows(images):
    """Every measurement in turn."""
    runs = {name: as_pair(getattr(estimate, name)) for name in SIGMA_ESTIMATORS}
    runs["estimate_poisson_gaussian"] = jax.jit(estimate.estimate_poisson_gaussian)
    for sigma in SIGMAS:

        def white(key, x, sigma=sigma):
            return noise.gaussian(key, x, sigma=sigma / 255)

        for name, run in runs.items():
            found, seconds = measure(images, white, run)
            yield row(
                f"gaussian sigma={sigma}/255", name, (0.0, (sigma / 255) ** 2), found, seconds
            )
    for a, b in PAIRS:

        def sensor(key, x, a=a, b=b):
            return noise.poisson_gaussian(key, x, a=a, b=b)

        name = "estimate_poisson_gaussian"
        found, seconds = measure(images, sensor, runs[name])
        yield row(f"poisson_gaussian a={a:g} b={b:g}", name, (a, b), found, seconds)


def main():
    """Measures on the folder, prints a table and writes the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="a folder of clean images")
    parser.add_argument("--channels", type=int, choices=(1, 3), default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    written = []
    try:
        splits = sources.load(
            "folder", channels=arguments.channels, path=str(arguments.data), fractions=(0, 0, 1)
        )
        source = splits["test"]
        ordered = sorted(range(len(source)), key=source.names.__getitem__)
        images = [jnp.asarray(pixels.to_float(source[i].target)) for i in ordered]
        print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS))
        for one in rows(images):
            written.append(one)
            print("| " + " | ".join(str(one[c]) for c in COLUMNS) + " |", flush=True)
    except ZooError as error:
        parser.error(str(error))
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / f"estimators_{arguments.data.resolve().name}.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(written)
    print(f"written to {path}")


if __name__ == "__main__":
    main()

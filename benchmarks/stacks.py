"""What neighboring planes of a stack are worth: the same network on one, three and five of them.

    python benchmarks/stacks.py [--data DATA]

A volume of soft balls in 32 planes of 128x128, by a formula, with Gaussian noise, and 16 frames of
one of its planes. `unet-tiny` learns from a clean volume of other balls; from the noisy volume alone
by Noise2Void; and from the noisy frames alone, each of which has the next one as its target. PSNR of
all planes, beside that of `unet-gray`, which is given sigma, and of non-local means with the best
strength by the clean planes.

With DATA, two volumes of a still head as well (`science/example4d.nii.gz` of nibabel), for which no
clean one is known: the network learns from frame pairs of the lower planes, and all methods are
judged on the upper ones. There the mean squared difference from the other volume, less the variance
of the noise, is the squared error; by how many dB it is below the noise is the gain. The rows go to
`benchmarks/results/`.
"""

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import zoo
from zoo.data import sources
from zoo.errors import ZooError
from zoo.evaluate.baselines import nlm

COLUMNS = ("stack", "figure", "method", "planes", "dB")
DEPTH, SIDE, BALLS, FRAMES = 32, 128, 150, 16
SIGMA = 50
# Planes of each volume of the head, those of the first part of which are learned from.
HEAD, LOWER = 24, 16

Row = tuple[str, str, str, int, float]


def balls(seed: int) -> np.ndarray:
    """A volume (D, H, W, 1) in [0, 1]: balls of radius 3 to 12 with edges two voxels wide."""
    rng = np.random.default_rng(seed)
    places = np.indices((DEPTH, SIDE, SIDE), np.float32)
    found = np.full(places.shape[1:], 0.1, np.float32)
    for _ in range(BALLS):
        center = rng.uniform(-4, np.array([DEPTH, SIDE, SIDE]) + 4)
        radius, height = rng.uniform(3, 12), rng.uniform(0.1, 0.5)
        distance = np.sqrt(np.square(places - center[:, None, None, None]).sum(0))
        found += height / (1 + np.exp(2 * (distance - radius)))
    return (found / found.max())[..., None].astype(np.float32)


def noisy_of(clean: np.ndarray) -> np.ndarray:
    """With Gaussian noise."""
    noise = np.random.default_rng(0).standard_normal(clean.shape, np.float32)
    return clean + np.float32(SIGMA / 255) * noise


def psnr(found: np.ndarray, clean: np.ndarray) -> float:
    """In dB, of all planes together."""
    return float(-10 * np.log10(np.square(found - clean).mean()))


def trained(images: Any, planes: int, steps: int, **options: Any) -> zoo.inference.ImageDenoiser:
    """A `unet-tiny` that has learned from a stack, and the range of values that it sees."""
    model = zoo.create_model("unet-tiny", channels=1, planes=planes)
    options |= {"steps": steps, "learning_rate": 4e-3, "progress": False}
    fitted = zoo.train.fit(model, images, **options)

    def denoise(x: np.ndarray) -> np.ndarray:
        limits = fitted.ranges.get(x.dtype.name, (0, 1))
        settings = {"variables": fitted.variables, "range": limits}
        if planes > 1:
            return zoo.denoise(x, model, **settings)
        return np.stack([zoo.denoise(plane, model, **settings) for plane in x])

    return denoise


def of_balls(steps: int) -> Iterator[Row]:
    """The volume and the frames."""
    clean = balls(1)
    noisy = noisy_of(clean)
    pairs = list(zip(noisy, clean, strict=True))
    gray = zoo.inference.ImageDenoiser("unet-gray")
    patches = np.stack([nlm(x, SIGMA / 255, y) for x, y in pairs])
    for name, found in (
        ("noisy", noisy),
        ("non-local means", patches),
        ("unet-gray", np.stack([gray(x, SIGMA / 255).image for x in noisy])),
    ):
        yield "balls", "PSNR", name, 1, psnr(found, clean)
    for planes in (1, 3, 5):
        denoise = trained(balls(2), planes, steps, noise="gaussian", level=SIGMA)
        yield "balls", "PSNR", "clean targets", planes, psnr(denoise(noisy), clean)
    for planes in (1, 3, 5):
        denoise = trained(noisy, planes, steps, target="noise2void")
        yield "balls", "PSNR", "noise2void", planes, psnr(denoise(noisy), clean)
    still = np.repeat(clean[DEPTH // 2 :][:1], FRAMES, axis=0)
    frames = noisy_of(still)
    for planes in (1, 3, 5):
        denoise = trained(frames, planes, steps, target="noise2noise")
        yield "frames", "PSNR", "noise2noise", planes, psnr(denoise(frames), still)


def of_head(folder: Path, steps: int) -> Iterator[Row]:
    """The two volumes."""
    path = str(folder / "science/example4d.nii.gz")
    source = sources.load("folder", path=path, channels=1, fractions=(1, 0, 0), any_range=True)
    source = source["train"]
    learned = [n for n in range(len(source)) if n % HEAD < LOWER]
    lower = zoo.data.sources.Source(source.listing.subset(learned), 1, any_range=True)
    volumes = np.stack([one.target for one in source]).reshape(2, HEAD, *source[0].target.shape)
    judged = volumes[:, LOWER:].astype(np.float64)
    noise = np.square(judged[0] - judged[1]).mean() / 2

    def gain(found: np.ndarray) -> float:
        error = np.square(found[:, LOWER:] - judged[::-1]).mean() - noise
        return float(10 * np.log10(noise / error)) if error > 0 else np.inf

    gray = zoo.inference.ImageDenoiser("unet-gray")
    seen = volumes.astype(np.float32) / np.float32(volumes.max())
    sigma = float(np.sqrt(noise) / volumes.max())
    patches = [
        [nlm(x, sigma, y) for x, y in zip(seen[n], seen[1 - n], strict=True)] for n in (0, 1)
    ]
    for name, found in (
        ("noisy", volumes),
        ("non-local means", np.asarray(patches) * volumes.max()),
        ("unet-gray", [np.stack([gray(x).image for x in one]) for one in volumes]),
    ):
        yield "head", "gain", name, 1, gain(np.asarray(found, np.float64))
    for target, planes in (("noise2void", 1), ("noise2noise", 1), ("noise2noise", 3)):
        denoise = trained(lower, planes, steps, target=target)
        found = np.stack([denoise(one) for one in volumes])
        yield "head", "gain", target, planes, gain(found.astype(np.float64))


def main() -> None:
    """Measures, prints a table and writes the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="the folder with science/")
    parser.add_argument("--steps", type=int, default=600, help="of each training")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    written = []
    try:
        print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS))
        parts = [of_head(arguments.data, arguments.steps)] if arguments.data else []
        for part in (*parts, of_balls(arguments.steps)):
            for *facts, figure in part:
                written.append([*facts, f"{figure:.2f}"])
                print("| " + " | ".join(map(str, written[-1])) + " |", flush=True)
    except ZooError as error:
        parser.error(str(error))
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "stacks.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *written])
    print(f"written to {path}")


if __name__ == "__main__":
    main()

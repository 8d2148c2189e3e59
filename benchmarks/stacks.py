"""What neighboring planes of a stack are worth: a network on one, three and five of them, and one
whose convolutions are three-dimensional.

    python benchmarks/stacks.py --data DATA

A volume of soft balls in 32 planes of 128x128, by a formula, with Gaussian noise, and 16 frames of
one of its planes. Each network learns from a clean volume of other balls; from the noisy volume
alone by Noise2Void; and from the noisy frames alone, each of which has the next one as its target.
PSNR of all planes and the multiply-accumulates of a pixel, beside `unet-gray`, which is given
sigma, non-local means with the best strength by the clean planes, and of the volume BM4D with the
true sigma, if its package is installed (`pip install bm4d`, for non-commercial use only).

With DATA, 8 frames of a micrograph as well (`microscopy/confocal/clean/fish.tif`), with the noise
of photons and noise that is correlated along rows. The network learns from them alone; `unet-gray`
estimates what it has to know, and non-local means again have the best strength. The rows go to
`benchmarks/results/`.
"""

import argparse
import csv
import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from harness.macs import macs_of

import zoo
from zoo.data import image_files
from zoo.errors import ZooError
from zoo.evaluate.baselines import nlm

COLUMNS = ("stack", "method", "network", "planes", "macs", "psnr")
NETWORKS = (("unet-tiny", 1), ("unet-tiny", 3), ("unet-tiny", 5), ("unet3d-tiny", 5))
DEPTH, SIDE, BALLS, FRAMES = 32, 128, 150, 16
SIGMA = 50
# Of the micrograph: the sides of the part, the frames, photons at white, and the sigma of the noise
# along rows as a share of white.
PART, SHOTS, PHOTONS, ROWS = 256, 8, 30, 0.08

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


def trained(
    images: np.ndarray, network: str, planes: int, steps: int, **options: Any
) -> Callable[[np.ndarray], np.ndarray]:
    """A function that denoises a stack by a network that has learned from one."""
    model = zoo.create_model(network, channels=1, planes=planes)
    options |= {"steps": steps, "learning_rate": 4e-3, "progress": False}
    fitted = zoo.train.fit(model, images, **options)

    def denoise(x: np.ndarray) -> np.ndarray:
        limits = fitted.ranges.get(x.dtype.name, (0, 1))
        settings = {"variables": fitted.variables, "range": limits}
        if planes > 1:
            return zoo.denoise(x, model, **settings)
        return np.stack([zoo.denoise(plane, model, **settings) for plane in x])

    return denoise


def classical(
    noisy: np.ndarray, clean: np.ndarray, sigma: float, *, known: bool = True
) -> dict[str, np.ndarray]:
    """What methods make of each plane that learn from none of them."""
    gray = zoo.inference.ImageDenoiser("unet-gray")
    level = sigma if known else None
    return {
        "noisy": noisy,
        "non-local means": np.stack([nlm(x, sigma, y) for x, y in zip(noisy, clean, strict=True)]),
        "unet-gray": np.stack([gray(x, level).image for x in noisy]),
    }


def bm4d(noisy: np.ndarray) -> np.ndarray:
    """The volume by BM4D of Maggioni et al., "Nonlocal Transform-Domain Filter for Volumetric Data
    Denoising and Reconstruction" (2013), as its authors' package has it."""
    import bm4d as package  # noqa: PLC0415 - users install it

    return package.bm4d(noisy[..., 0], SIGMA / 255)[..., None].astype(np.float32)


def macs(network: str, planes: int) -> int | None:
    """Multiply-accumulates per pixel; None of what is no network."""
    if not network:
        return None
    model = zoo.create_model(network, channels=1, planes=planes)
    return macs_of(model, (SIDE, SIDE, planes)) // SIDE**2


def of_balls(steps: int) -> Iterator[Row]:
    """The volume and the frames."""
    clean = balls(1)
    noisy = noisy_of(clean)
    for name, found in classical(noisy, clean, SIGMA / 255).items():
        yield "balls", name, "", 1, psnr(found, clean)
    if importlib.util.find_spec("bm4d"):
        yield "balls", "bm4d", "", DEPTH, psnr(bm4d(noisy), clean)
    else:
        print("bm4d is left out; to have it: pip install bm4d", file=sys.stderr)
    for network in NETWORKS:
        denoise = trained(balls(2), *network, steps, noise="gaussian", level=SIGMA)
        yield "balls", "clean targets", *network, psnr(denoise(noisy), clean)
    for network in NETWORKS:
        denoise = trained(noisy, *network, steps, target="noise2void")
        yield "balls", "noise2void", *network, psnr(denoise(noisy), clean)
    still = np.repeat(clean[DEPTH // 2 :][:1], FRAMES, axis=0)
    frames = noisy_of(still)
    for name, found in classical(frames, still, SIGMA / 255).items():
        yield "frames", name, "", 1, psnr(found, still)
    for network in NETWORKS:
        denoise = trained(frames, *network, steps, target="noise2noise")
        yield "frames", "noise2noise", *network, psnr(denoise(frames), still)


def of_micrograph(folder: Path, steps: int) -> Iterator[Row]:
    """The frames of the micrograph."""
    light = image_files.read(folder / "microscopy/confocal/clean/fish.tif")[:PART, :PART] / 255
    still = np.repeat(light[None].astype(np.float32), SHOTS, axis=0)
    rng = np.random.default_rng(0)
    lines = rng.standard_normal(still.shape)
    lines = ROWS * (lines + np.roll(lines, 1, axis=2)) / np.sqrt(2)
    frames = (rng.poisson(PHOTONS * still) / PHOTONS + lines).astype(np.float32)
    sigma = float((frames - still).std())
    stabilized = np.stack([zoo.denoise(x, "unet-gray", stabilize="poisson") for x in frames])
    methods = classical(frames, still, sigma, known=False)
    for name, found in (methods | {"unet-gray, --stabilize poisson": stabilized}).items():
        yield "micrograph", name, "", 1, psnr(found, still)
    for target, planes in (("noise2void", 1), ("noise2noise", 1), ("noise2noise", 3)):
        denoise = trained(frames, "unet-tiny", planes, steps, target=target)
        yield "micrograph", target, "unet-tiny", planes, psnr(denoise(frames), still)


def main() -> None:
    """Measures, prints a table and writes the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="the folder with microscopy/")
    parser.add_argument("--steps", type=int, default=600, help="of each training")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    written = []
    try:
        print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS))
        parts = [of_micrograph(arguments.data, arguments.steps)] if arguments.data else []
        for part in (*parts, of_balls(arguments.steps)):
            for *facts, network, planes, figure in part:
                row = [*facts, network, planes, macs(network, planes) or "", f"{figure:.2f}"]
                written.append(row)
                print("| " + " | ".join(map(str, row)) + " |", flush=True)
    except ZooError as error:
        parser.error(str(error))
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "stacks.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *written])
    print(f"written to {path}")


if __name__ == "__main__":
    main()

"""How well noise that depends on the signal is removed: of photons, and of magnitudes.

    python benchmarks/uneven_noise.py --data DATA

Images with a clean one: the confocal ones of `DATA/microscopy/confocal/{noisy,clean}`, a photograph
of few to many photons, and a phantom of the head with Rician noise, both of scikit-image. For each
and each way of denoising: PSNR and SSIM, and how far the means of regions of one value are off, the
worst one, in percent of white. The Gaussian filter and non-local means have the best strength by
the clean image, which no user has. The rows go to `benchmarks/results/`.
"""

import argparse
import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from skimage import data, transform

import zoo
from zoo.data import image_files
from zoo.errors import ZooError
from zoo.evaluate.baselines import nlm
from zoo.metrics import psnr, ssim

COLUMNS = ("image", "noise", "method", "psnr", "ssim", "bias")
PHOTONS = (2, 10, 50, 400)
SIGMAS = (5, 15, 30)
WHITE = 1000.0
FILTERS = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
# Pixels of a region, but for those next to others.
REGION, EDGE = 150, 3


class Case(NamedTuple):
    """An image with its clean one, and the kind of its noise."""

    name: str
    noise: str
    noisy: np.ndarray
    clean: np.ndarray
    white: float


def cases(folder: Path) -> Iterator[Case]:
    """Every image in turn."""
    for path in sorted((folder / "microscopy/confocal/noisy").glob("*.tif")):
        clean = image_files.read(path.parents[1] / "clean" / path.name)
        yield Case(path.stem, "poisson", image_files.read(path)[..., 0], clean[..., 0], 255.0)
    rng = np.random.default_rng(0)
    light = data.camera()[:256, :256] / 255
    for count in PHOTONS:
        # As floats, for the mean of few photons is no whole number.
        counts = rng.poisson(count * light).astype(np.float32)
        yield Case(f"camera, {count} photons at white", "poisson", counts, count * light, count)
    head = np.sqrt(transform.resize(data.shepp_logan_phantom(), (256, 256), order=0)) * WHITE
    for sigma in SIGMAS:
        parts = sigma / 100 * WHITE * rng.standard_normal((2, *head.shape))
        noisy = np.hypot(head + parts[0], parts[1]).astype(np.float32)
        yield Case(f"phantom, sigma {sigma} %", "rician", noisy, head, WHITE)


def methods(case: Case) -> dict[str, Callable[[], np.ndarray]]:
    """Ways to denoise an image, by name."""
    noisy = case.noisy.astype(np.float32)
    sigma = float((noisy - case.clean).std())

    def smoothed() -> np.ndarray:
        every = [ndimage.gaussian_filter(noisy, size) for size in FILTERS]
        return min(every, key=lambda x: np.square(x - case.clean).mean())

    def patches() -> np.ndarray:
        seen = (noisy / case.white)[..., None]
        clean = (case.clean / case.white).astype(np.float32)[..., None]
        return nlm(seen, sigma / case.white, clean)[..., 0] * case.white

    return {
        "noisy": lambda: case.noisy,
        "Gaussian filter": smoothed,
        "non-local means": patches,
        "sigma estimated": lambda: zoo.denoise(case.noisy),
        "--adapt": lambda: zoo.adapt(case.noisy)(case.noisy),
        "--stabilize": lambda: zoo.denoise(case.noisy, stabilize=case.noise),
    }


def bias(found: np.ndarray, clean: np.ndarray, white: float) -> float:
    """By how much the mean of a region of one value is off at most, in percent of white."""
    worst = 0.0
    for value in np.unique(clean):
        region = ndimage.binary_erosion(clean == value, iterations=EDGE)
        if region.sum() >= REGION:
            worst = max(worst, abs(float(found[region].mean()) - value))
    return 100 * worst / white


def rows(folder: Path) -> Iterator[dict[str, str]]:
    """Every measurement in turn."""
    for case in cases(folder):
        clean = np.asarray(case.clean, np.float32)[..., None]
        for name, method in methods(case).items():
            found = np.asarray(method(), np.float32)[..., None]
            regions = case.noise == "rician"
            yield {
                "image": case.name,
                "noise": case.noise,
                "method": name,
                "psnr": f"{float(psnr(found, clean, data_range=case.white)):.2f}",
                "ssim": f"{float(ssim(found, clean, data_range=case.white)):.3f}",
                "bias": f"{bias(found[..., 0], case.clean, case.white):.2f}" if regions else "",
            }


def main() -> None:
    """Measures, prints a table and writes the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder with microscopy/")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    written = []
    try:
        print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS))
        for one in rows(arguments.data):
            written.append(one)
            print("| " + " | ".join(one[c] for c in COLUMNS) + " |", flush=True)
    except ZooError as error:
        parser.error(str(error))
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "uneven_noise.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(written)
    print(f"written to {path}")


if __name__ == "__main__":
    main()

"""How well a series of diffusion MRI is denoised by Patch2Self, on a phantom.

    python benchmarks/diffusion.py

A ball of two tissues whose fibers turn, in 32 volumes of 48x48x12 voxels, 3 of them without
diffusion weighting and 29 with b = 1000 s/mm^2 along random directions, with Rician noise. For each
way of denoising the PSNR of all volumes against the signal, and against the mean of the magnitudes,
which is what remains where noise is taken away but not its bias. The rows go to
`benchmarks/results/`.
"""

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import ndimage, special

import zoo
from zoo.selfsupervised import patch2self

COLUMNS = ("sigma", "method", "psnr", "psnr_of_mean")
SHAPE, VOLUMES, WITHOUT = (48, 48, 12), 32, 3
WHITE = 1000.0
SIGMAS = (2, 4, 8)
FILTERS = (0.4, 0.5, 0.6, 0.75, 1.0, 1.5)


def phantom(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The signal (X, Y, Z, V) and its b-values."""
    places = np.indices(SHAPE) / np.array(SHAPE)[:, None, None, None] - 0.5
    tissue = 0.4 + 0.4 * (np.sin(9 * places[0]) * np.cos(7 * places[1]) > 0)
    tissue = (tissue + 0.2 * np.sin(5 * places[2])) * (np.square(places).sum(0) < 0.42**2)
    fibers = np.stack([np.cos(6 * places[0]), np.sin(6 * places[1]), np.ones(SHAPE)], -1)
    fibers /= np.linalg.norm(fibers, axis=-1, keepdims=True)
    directions = rng.standard_normal((VOLUMES, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    bvals = np.where(np.arange(VOLUMES) < WITHOUT, 0.0, 1000.0)
    spread = 0.3 + 1.4 * np.square(fibers @ directions.T)
    return WHITE * tissue[..., None] * np.exp(-bvals / 1000 * spread), bvals


def mean_of_magnitudes(signal: np.ndarray) -> np.ndarray:
    """Of Rician noise of sigma 1: sqrt(pi / 2) times a Laguerre function of degree 1/2."""
    x = np.square(signal) / 4
    return np.sqrt(np.pi / 2) * ((1 + 2 * x) * special.i0e(x) + 2 * x * special.i1e(x))


def psnr(found: np.ndarray, clean: np.ndarray) -> float:
    """In dB, of all volumes together."""
    return float(10 * np.log10(WHITE**2 / np.square(found - clean).mean()))


def rows() -> Iterator[dict[str, str]]:
    """Every measurement in turn."""
    rng = np.random.default_rng(0)
    signal, bvals = phantom(rng)
    for percent in SIGMAS:
        sigma = percent / 100 * WHITE
        parts = sigma * rng.standard_normal((2, *signal.shape))
        noisy = np.hypot(signal + parts[0], parts[1]).astype(np.float32)
        mean = mean_of_magnitudes(signal / sigma) * sigma
        filters = [ndimage.gaussian_filter(noisy, (size,) * 3 + (0,)) for size in FILTERS]
        model = zoo.inference.ImageDenoiser("unet-gray")
        planes = np.moveaxis(noisy, (2, 3), (0, 1)).reshape(-1, *SHAPE[:2])
        scale = model.find_scales([plane[..., None] for plane in planes], stabilize="rician")
        clean = [model(plane, None, None, scale[plane.dtype]).image for plane in planes]
        clean = np.moveaxis(np.reshape(clean, (*signal.shape[2:], *SHAPE[:2])), (0, 1), (2, 3))
        for name, found in (
            ("noisy", noisy),
            ("Gaussian filter", min(filters, key=lambda x: np.square(x - signal).mean())),
            ("--stabilize rician, plane by plane", clean),
            ("--method patch2self", np.asarray(patch2self(noisy))),
            ("--method patch2self --bvals", np.asarray(patch2self(noisy, bvals))),
        ):
            yield {
                "sigma": f"{percent} %",
                "method": name,
                "psnr": f"{psnr(found, signal):.2f}",
                "psnr_of_mean": f"{psnr(found, mean):.2f}",
            }


def main() -> None:
    """Measures, prints a table and writes the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    written = []
    print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS))
    for one in rows():
        written.append(one)
        print("| " + " | ".join(one[c] for c in COLUMNS) + " |", flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "diffusion.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(written)
    print(f"written to {path}")


if __name__ == "__main__":
    main()

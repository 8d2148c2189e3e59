"""What neighboring planes of a stack are worth: the same network on one, three and five of them.

    python benchmarks/stacks.py [--data DATA]

A volume of soft balls in 32 planes of 128x128, by a formula, with Gaussian noise, and a series of 16
frames of one of its planes. `unet-tiny` learns with a clean volume, of other balls; from the noisy
volume alone by Noise2Void; and from the noisy frames alone, of which the next one is the target. Its
PSNR on all planes is beside that of `unet-gray`, which is given sigma, and of non-local means with
the best strength by the clean plane. With DATA, two real frames of `microscopy/frames` as well, for
which no clean one is known: a network learns from pairs of their left parts, and every method is
judged on the right parts by the mean squared difference from the other frame, less that of the best.
The rows go to `benchmarks/results/`.
"""

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import zoo
from zoo.data import image_files
from zoo.evaluate.baselines import nlm

COLUMNS = ("stack", "sigma", "method", "planes", "psnr", "excess")
DEPTH, SIDE, BALLS, FRAMES = 32, 128, 150, 16
SIGMAS = (25, 50)
STEPS = 1500
# Rows and columns by which the second frame of `microscopy/frames` shows the scene farther on, and
# the column that parts what is learned from and what is judged.
SHIFT, CUT, GAP = (-7, 10), 400, 32


def balls(seed: int) -> np.ndarray:
    """A volume (D, H, W, 1) in [0, 1]: balls of radius 3 to 12 with edges that are two voxels wide."""
    rng = np.random.default_rng(seed)
    places = np.indices((DEPTH, SIDE, SIDE), np.float32)
    found = np.full(places.shape[1:], 0.1, np.float32)
    for _ in range(BALLS):
        center = rng.uniform(-4, np.array([DEPTH, SIDE, SIDE]) + 4)
        radius, height = rng.uniform(3, 12), rng.uniform(0.1, 0.5)
        distance = np.sqrt(np.square(places - center[:, None, None, None]).sum(0))
        found += height / (1 + np.exp(2 * (distance - radius)))
    return np.clip(found / found.max(), 0, 1)[..., None].astype(np.float32)


def noisy_of(clean: np.ndarray, sigma: float, seed: int = 0) -> np.ndarray:
    """With Gaussian noise of sigma, in 1/255."""
    rng = np.random.default_rng(seed)
    return clean + np.float32(sigma / 255) * rng.standard_normal(clean.shape, np.float32)


def psnr(found: np.ndarray, clean: np.ndarray) -> float:
    """In dB, of all planes together."""
    return float(-10 * np.log10(np.square(found - clean).mean()))


def trained(images: np.ndarray, planes: int, steps: int, **options: Any) -> Any:
    """A function that denoises a stack by a `unet-tiny` that has learned from one."""
    model = zoo.create_model("unet-tiny", channels=1, planes=planes)
    fitted = zoo.train.fit(model, images, steps=steps, progress=False, **options)
    limits = next(iter(fitted.ranges.values()), (0, 1))

    def denoise(x: np.ndarray) -> np.ndarray:
        settings = {"variables": fitted.variables, "range": limits}
        if planes > 1:
            return zoo.denoise(x, model, **settings)
        return np.stack([zoo.denoise(plane, model, **settings) for plane in x])

    return denoise


def classical(noisy: np.ndarray, clean: np.ndarray, sigma: float) -> dict[str, np.ndarray]:
    """The methods that learn from no stack, of every plane by itself."""
    gray = zoo.inference.ImageDenoiser("unet-gray")
    pairs = list(zip(noisy, clean, strict=True))
    return {
        "noisy": noisy,
        "non-local means": np.stack([nlm(x, sigma / 255, y) for x, y in pairs]),
        "unet-gray": np.stack([gray(x, sigma / 255).image for x, _ in pairs]),
    }


def of_phantom(sigma: int, steps: int) -> Iterator[tuple[str, str, int, float]]:
    """Stack, method, planes and PSNR."""
    clean = balls(1)
    noisy = noisy_of(clean, sigma)
    for name, found in classical(noisy, clean, sigma).items():
        yield "volume", name, 1, psnr(found, clean)
    for planes in (1, 3, 5):
        denoise = trained(balls(2), planes, steps, noise="gaussian", level=sigma)
        yield "volume", "clean targets", planes, psnr(denoise(noisy), clean)
    for planes in (1, 3):
        denoise = trained(noisy, planes, steps, target="noise2void")
        yield "volume", "noise2void", planes, psnr(denoise(noisy), clean)
    still = np.repeat(clean[DEPTH // 2 :][:1], FRAMES, axis=0)
    frames = noisy_of(still, sigma)
    for planes in (1, 3, 5):
        denoise = trained(frames, planes, steps, target="noise2noise")
        yield "frames", "noise2noise", planes, psnr(denoise(frames), still)


def of_frames(folder: Path, steps: int) -> Iterator[tuple[str, float]]:
    """Method, and its mean squared difference from the other frame, in 1/255 squared."""
    first, second = (
        image_files.read(folder / "microscopy/frames" / name).astype(np.float32) / 255
        for name in ("A_0_0.tif", "A_1_0.tif")
    )
    down, right = SHIFT
    pair = np.stack([first[: down or None, right:], second[-down:, : -right or None]])
    if down > 0:
        pair = np.stack([first[down:, right:], second[:-down, : -right or None]])
    left, judged = pair[:, :, : CUT - GAP], pair[:, :, CUT:]
    gray = zoo.inference.ImageDenoiser("unet-gray")
    learned = trained(left, 1, steps, target="noise2noise")
    for name, found in {
        "noisy": judged,
        "unet-gray, sigma estimated": np.stack([gray(x).image for x in judged]),
        "non-local means": np.stack([nlm(x, None, y) for x, y in zip(judged, judged[::-1])]),
        "noise2noise": learned(judged),
    }.items():
        yield name, float(np.square(255 * (found - judged[::-1])).mean())

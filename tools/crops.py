"""Draws the figures of the documentation in `docs/images`: the same crops for every model.

    python tools/crops.py --front                    # front.jpg, of the README
    python tools/crops.py                            # gaussian.webp and camera.webp
    python tools/crops.py --digits DATA/mnist        # digits.webp
    python tools/crops.py --noisy DATA/noisy-photos  # noisy-photos.webp

The photographs come with scikit-image and were in no training. Their noise is Gaussian, of sigma
25/255, or the simulated noise of a phone camera at night, each with one seed. Digits are the first
of the test set, each with the noise that its model was trained for. Noisy photos have no clean
version: the models that take no level denoise them, and non-local means.
"""

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import jax
import numpy as np
from PIL import Image, ImageDraw, ImageFont

import zoo
from zoo.data import image_files
from zoo.data.sources import load
from zoo.evaluate.galleries import Panel, Row, gallery
from zoo.weights import read_model, read_record

OUT = ROOT / "docs" / "images"
PHOTOS = {
    "astronaut": np.s_[10:298, 150:438],
    "chelsea": np.s_[8:296, 60:348],
    "coffee": np.s_[60:348, 180:468],
}
SIGMA = 25 / 255
FRONT_SIGMA = 40 / 255
CAMERA = {"shot": 0.008, "read": 0.0004, "clip": (0, 1)}
COUNT = 3
DETAIL = 288
# The site shows a gallery of six columns at less than half of its size.
ENLARGE = 2.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--front", action="store_true", help="only the README's image")
    parser.add_argument("--digits", metavar="FOLDER", help="of the MNIST files")
    parser.add_argument("--noisy", metavar="FOLDER", help="of color photos without clean ones")
    arguments = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    names = [name for name in zoo.list_weights() if contract(name).modality == "image"]
    photos = [name for name in names if read_record(name)["config"]["data"]["name"] != "idx"]
    if arguments.front:
        draw_front()
    elif arguments.digits:
        draw_digits([name for name in names if name not in photos], arguments.digits)
    elif arguments.noisy:
        blind = [name for name in photos if not contract(name).takes_level]
        draw_noisy([name for name in blind if contract(name).channels == 3], arguments.noisy)
    else:
        draw_photos(photos)


def write(name: str, rows: list[Row], title: str) -> None:
    """Writes a gallery as WebP, which takes a tenth of the bytes of PNG."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gallery.png"
        gallery(path, rows, title=title, comparable=False, enlarge=ENLARGE)
        Image.open(path).convert("RGB").save(OUT / name, quality=90, method=6)


def contract(name: str):
    """What weights take, without loading them."""
    return read_model(name)[1]


def draw_front() -> None:
    """One photo, noisy on the left and denoised on the right, with the PSNR of both."""
    from skimage import data  # noqa: PLC0415

    clean = np.float32(data.chelsea()[:, 20:420] / 255)
    rng = np.random.default_rng(0)
    noisy = np.float32(clean + rng.normal(0, FRONT_SIGMA, clean.shape))
    denoised = zoo.denoise(noisy, "unet-color", FRONT_SIGMA)
    shown = [np.uint8(np.clip(x, 0, 1) * 255 + 0.5) for x in (noisy, denoised)]
    high, wide, _ = clean.shape
    canvas = Image.new("RGB", (2 * wide + 12, high + 40), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(25)
    for n, (label, x, pixels) in enumerate(
        zip(("noisy", "denoised"), (noisy, denoised), shown, strict=True)
    ):
        left = n * (wide + 12)
        canvas.paste(Image.fromarray(pixels), (left, 0))
        decibel = float(zoo.metrics.psnr(np.clip(x, 0, 1), clean, data_range=1.0))
        draw.text(
            (left + 4, high + 8), f"{label}: {decibel:.1f} dB PSNR", fill="#333333", font=font
        )
    canvas.save(OUT / "front.jpg", quality=88, optimize=True)


def draw_photos(names: list[str]) -> None:
    from skimage import data  # noqa: PLC0415

    # Trained on pairs of a camera, not on a noise op.
    real = [name for name in names if not read_record(name)["noise"]["name"]]
    blind = [name for name in names if not contract(name).takes_level]
    gaussian, camera = [], []
    for photo, crop in PHOTOS.items():
        clean = np.float32(getattr(data, photo)()[crop] / 255)
        rng = np.random.default_rng(0)
        noisy = np.float32(clean + rng.normal(0, SIGMA, clean.shape))
        panels = {"clean": Panel(clean), "noisy": panel(noisy, clean)}
        for name in [name for name in names if name not in real]:
            gray = contract(name).channels == 1
            seen, wanted = (to_gray(x) if gray else x for x in (noisy, clean))
            level = SIGMA if contract(name).takes_level else None
            panels[name] = panel(zoo.denoise(seen, name, level), wanted)
        gaussian.append(Row(photo, panels))
        noisy = np.asarray(zoo.noise.camera(jax.random.key(0), clean, **CAMERA))
        panels = {"clean": Panel(clean), "noisy": panel(noisy, clean)}
        panels |= {name: panel(zoo.denoise(noisy, name), clean) for name in blind}
        camera.append(Row(photo, panels))
    write("gaussian.webp", gaussian, "Gaussian noise of sigma 25/255")
    write("camera.webp", camera, "Simulated noise of a phone camera at night")


def to_gray(x: np.ndarray) -> np.ndarray:
    """By the weights of ITU-R BT.601."""
    return np.float32(x @ np.float32([0.299, 0.587, 0.114]))[..., None]


def draw_digits(names: list[str], folder: str) -> None:
    digits = load("idx", path=folder, channels=1)["test"]
    names = sorted(names, key=lambda name: read_record(name)["noise"]["level"])
    rows = []
    for n in range(COUNT):
        clean = np.float32(digits[n].target / 255)
        panels = {"clean": Panel(clean)}
        for name in names:
            factor = read_record(name)["noise"]["level"]
            noise = np.random.default_rng(n).normal(0, factor, clean.shape)
            noisy = np.clip(np.float32(clean + noise), 0, 1)
            panels.setdefault(f"noisy, {factor}", panel(noisy, clean))
            panels[name] = panel(zoo.denoise(noisy, name), clean)
        rows.append(Row(f"digit {n}", panels))
    write("digits.webp", rows, "Digits of the MNIST test set at three noise factors")


def draw_noisy(names: list[str], folder: str) -> None:
    from skimage.restoration import denoise_nl_means, estimate_sigma  # noqa: PLC0415

    rows = []
    for path in sorted(Path(folder).iterdir()):
        x = np.float32(image_files.read(path) / 255)
        if x.shape[-1] != 3:
            continue
        # Its middle, after the whole has been denoised.
        top, left = (max(side - DETAIL, 0) // 2 for side in x.shape[:2])
        crop = np.s_[top : top + DETAIL, left : left + DETAIL]
        sigma = estimate_sigma(x, channel_axis=-1, average_sigmas=True)
        smooth = denoise_nl_means(
            x, 5, 6, 0.8 * sigma, sigma=sigma, fast_mode=True, channel_axis=-1
        )
        found = {"non-local means": smooth} | {name: zoo.denoise(x, name) for name in names}
        panels = {"noisy": x} | found
        rows.append(Row(path.stem, {k: Panel(np.clip(v[crop], 0, 1)) for k, v in panels.items()}))
    write("noisy-photos.webp", rows, "Noisy photos without clean references")


def panel(x: np.ndarray, clean: np.ndarray) -> Panel:
    shown = np.clip(x, 0, 1)
    psnr = float(zoo.metrics.psnr(shown, clean, data_range=1.0))
    return Panel(shown, (f"{psnr:.2f} dB",), psnr)


if __name__ == "__main__":
    main()

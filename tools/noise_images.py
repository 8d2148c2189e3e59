"""Draws an image of every noise op, and writes the tables of `docs/noise.md`.

python tools/noise_images.py            # draws all and writes the tables
python tools/noise_images.py --check    # fails where the page lacks an op or has another text

Images are a crop of scikit-image's coffee, audio the log spectrogram of a synthetic voice, 16 kHz.
Each op runs at the stronger of the two levels in its `examples`.
"""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import jax
import numpy as np
from matplotlib import colormaps
from PIL import Image
from scipy import signal

import zoo
from zoo.data import synthetic

PAGE = ROOT / "docs" / "noise.md"
FOLDER = ROOT / "docs" / "images" / "noise"
BEGIN, END = "<!-- noise of {} -->\n", "<!-- end of noise of {} -->\n"
RATE, SECONDS = 16_000, 2
DEPTH = 70  # dB below the loudest point that a spectrogram shows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only compare the tables")
    check = parser.parse_args().check
    text = found = PAGE.read_text()
    for modality, ops in {"images": zoo.noise.OPS, "audio": zoo.noise.audio.OPS}.items():
        begin, end = BEGIN.format(modality), END.format(modality)
        before, _, rest = text.partition(begin)
        text = before + begin + table(modality, ops) + end + rest.partition(end)[2]
    drawn = {path.stem for path in FOLDER.glob("*.webp")}
    missing = {stem(m, name) for m, name in everything()} - drawn
    if check and (text != found or missing):
        sys.exit(f"error: docs/noise.md is out of date ({sorted(missing)}); run this tool")
    if not check:
        FOLDER.mkdir(parents=True, exist_ok=True)
        draw_images()
        draw_audio()
        PAGE.write_text(text)


def everything() -> list[tuple[str, str]]:
    images = [("images", name) for name in ("clean", *zoo.noise.OPS)]
    return images + [("audio", name) for name in ("clean", *zoo.noise.audio.OPS)]


def stem(modality: str, name: str) -> str:
    return f"{modality}-{name}"


def table(modality: str, ops: dict) -> str:
    of = "coffee" if modality == "images" else "a voice"
    clean = f"| | ![{of}](images/noise/{stem(modality, 'clean')}.webp) | the clean signal |"
    rows = ["| op | image | what it does |", "| --- | --- | --- |", clean]
    for name, op in ops.items():
        level = next(iter(op.levels))
        image = f"![{name}](images/noise/{stem(modality, name)}.webp)"
        summary = op.__doc__.splitlines()[0]
        rows.append(f"| `{name}` | {image}<br>`{level}={op.examples[level][1]:g}` | {summary} |")
    return "\n".join(rows) + "\n"


def noisy(op, clean: np.ndarray, **options) -> np.ndarray:
    level = next(iter(op.levels))
    given = op.examples | {level: op.examples[level][1]} | options
    return np.asarray(op(jax.random.key(0), clean, **given))


def draw_images() -> None:
    from skimage import data  # noqa: PLC0415

    clean = np.float32(data.coffee()[110:254, 250:442] / 255)
    save("images", "clean", clean)
    for name, op in zoo.noise.OPS.items():
        save("images", name, noisy(op, clean))


def draw_audio() -> None:
    length = RATE * SECONDS
    clean = synthetic.clean(0, 0, sample_rate=RATE, length=length)
    mixed = synthetic.ambience(0, 2, sample_rate=RATE, length=length)
    needed = {"add_at_snr": {"noise": mixed}, "remix": {"noisy": clean + mixed}}
    save("audio", "clean", spectrogram(clean))
    for name, op in zoo.noise.audio.OPS.items():
        save("audio", name, spectrogram(noisy(op, clean, **needed.get(name, {}))))


def spectrogram(x: np.ndarray) -> np.ndarray:
    """(T, 1) to (H, W, 3): 0 to 8 kHz upwards, time to the right."""
    _, _, power = signal.spectrogram(x[:, 0], RATE, nperseg=512, noverlap=512 - RATE // 96)
    decibel = 10 * np.log10(power[1:257] + 1e-12)
    shown = np.clip((decibel - decibel.max()) / DEPTH + 1, 0, 1)
    shown = shown[::-1].reshape(128, 2, -1).mean(1)
    return colormaps["magma"](shown)[..., :3]


def save(modality: str, name: str, x: np.ndarray) -> None:
    pixels = np.uint8(np.clip(x, 0, 1) * 255 + 0.5)
    Image.fromarray(pixels).save(FOLDER / f"{stem(modality, name)}.webp", quality=80, method=6)


if __name__ == "__main__":
    main()

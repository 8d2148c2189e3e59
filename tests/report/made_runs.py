"""Workdirs as a training leaves them, made in no time."""

import csv
import json
import wave

import numpy as np
from PIL import Image

from zoo import weights

HOSTILE = """<script>alert(1)</script>"'&<img src=x onerror=alert(2)>"""

IMAGES = {
    "15": {
        "model": {"psnr": 33.412, "ssim": 0.91234, "mse": 0.000456, "mae": 0.0151},
        "nlm": {"psnr": 31.002, "ssim": 0.92345, "mse": 0.000793, "mae": 0.0201},
        "noisy": {"psnr": 24.613, "ssim": 0.55555, "mse": 0.003457, "mae": 0.0467},
    },
    "50": {
        "model": {"psnr": 27.876, "ssim": 0.78901, "mse": 0.001631, "mae": 0.0299},
        "nlm": {"psnr": 25.126, "ssim": 0.67012, "mse": 0.003072, "mae": 0.0402},
        "noisy": {"psnr": 14.152, "ssim": None, "mse": 0.038441, "mae": 0.1562},
    },
}
SOUND = {
    "-5": {
        "model": {"si_sdr": -1.234, "si_sdr_gain": 5.432, "pesq": 1.234},
        "noisy": {"si_sdr": -6.666, "si_sdr_gain": 0.0, "pesq": 1.111},
    },
    "10": {
        "model": {"si_sdr": 14.321, "si_sdr_gain": 5.001, "pesq": 2.345},
        "noisy": {"si_sdr": 9.32, "si_sdr_gain": 0.0, "pesq": 1.678},
    },
}


def begun(folder, *, metric="psnr", steps=6, name="a run"):
    """A run at work: its config and what it logged."""
    folder.mkdir(parents=True)
    noise = {"name": "gaussian", "level": [0, 55], "unit": "1/255", "options": {}}
    config = {
        "name": name,
        "model": {"name": "unet-tiny", "options": {}},
        "data": {"name": "photos", "crop": [64, 64]},
        "noise": noise,
        "train": {"steps": 10, "batch_size": 4, "ema_decay": 0.999},
        "optimizer": {"name": "adam", "schedule": "cosine", "learning_rate": 0.002},
        "loss": {"l1": 0.5, HOSTILE: 0.5},
        "seed": 0,
    }
    (folder / "config.json").write_text(json.dumps(config))
    rows = [
        {"step": n, "loss": 1 / n, metric: 20.0 + n, "grad_norm": 2.0**-n, "learning_rate": 0.1}
        for n in range(1, steps + 1)
    ]
    rows[-1][f"validation_{metric}"] = 27.5
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def _record(folder, modality, by_level):
    record = {
        "model": "unet-tiny",
        "options": {"channels": 3},
        "contract": {"modality": modality, "takes_level": False, "size": None},
        "data": {"train": 11, "validation": 1, "test": 2},
        "commit": "0123456789ab",
        "step": 6,
        "seconds": 3725,
        "device": "a device",
        "versions": {"jax": "9.8.7"},
        "command": f"python main.py --config=configs/unet.py --workdir='{HOSTILE}'",
    }
    variables = {"params": {"a": np.zeros((3, 5), np.float32), "b": np.zeros(4, np.float32)}}
    variables["batch_stats"] = {"mean": np.zeros(100, np.float32)}
    weights.save(folder / "weights.safetensors", variables, record)
    out = folder / "eval"
    out.mkdir()
    methods = by_level[next(iter(by_level))]
    summary = {
        method: {metric: _mean([by_level[level][method][metric] for level in by_level])
                 for metric in methods[method]}
        for method in methods
    }  # fmt: skip
    kind = "pictures" if modality == "image" else "recordings"
    protocol = {"seed": 0, "noise": HOSTILE, "levels": list(by_level), kind: 2, "limit": None}
    for name, value in (("summary", summary), ("by_level", by_level), ("protocol", protocol)):
        (out / f"{name}.json").write_text(json.dumps(value))
    return summary


def _manifest(folder, unit, name, by_level, files):
    levels = [{"label": one, "value": float(one), "unit": unit, "name": name} for one in by_level]
    keys = ("file", "kind", "level", "example", "method")
    files = [dict(zip(keys, file, strict=True)) for file in files]
    manifest = {"levels": levels, "files": files}
    (folder / "eval" / "manifest.json").write_text(json.dumps(manifest))


def _mean(values):
    return None if None in values else sum(values) / len(values)


def _singles(path, kind, by_level, names):
    metrics = list(next(iter(next(iter(by_level.values())).values())))
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("level", kind, "method", *metrics))
        for level, methods in by_level.items():
            for at, name in enumerate(names):
                for method, row in methods.items():
                    figures = ["nan" if v is None else v + at for v in row.values()]
                    writer.writerow((level, name, method, *figures))


def of_images(folder, **options):
    """A finished run of images, with two sheets."""
    begun(folder, **options)
    _record(folder, "image", IMAGES)
    _singles(folder / "eval" / "per_image.csv", "picture", IMAGES, ("cat", HOSTILE))
    rng = np.random.default_rng(0)
    for level in IMAGES:
        pixels = rng.integers(0, 256, (60, 90, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"gallery_{level}.png")
    files = [(f"../gallery_{level}.png", "gallery", level, None, None) for level in IMAGES]
    _manifest(folder, "1/255", "sigma", IMAGES, files)
    return folder


def of_sound(folder, *, seconds=0.1):
    """A finished run of recordings, with sheets and wavs."""
    begun(folder, metric="si_sdr")
    _record(folder, "audio", SOUND)
    out = folder / "eval"
    names = ("talk", "song.flac")
    _singles(out / "per_recording.csv", "recording", SOUND, names)
    rng, files = np.random.default_rng(0), []
    for level in SOUND:
        for kind in ("spectrograms", "waveforms"):
            Image.fromarray(np.full((40, 1300, 3), 200, np.uint8)).save(out / f"{kind}_{level}.png")
            files.append((f"{kind}_{level}.png", kind, level, None, None))
        (out / "listen" / level).mkdir(parents=True)
        for name in names:
            for method in ("clean", "noisy", "model"):
                place = f"listen/{level}/{name.partition('.')[0]}_{method}.wav"
                files.append((place, "listen", level, name, method))
                with wave.open(str(out / place), "wb") as file:
                    file.setparams((1, 2, 16000, 0, "NONE", ""))
                    samples = rng.integers(-3000, 3000, int(16000 * seconds), np.int16)
                    file.writeframes(samples.tobytes())
    _manifest(folder, "dB", "SNR", SOUND, files)
    return folder

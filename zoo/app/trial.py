"""Noise added to a clean file and taken out again, with what the metrics say of it."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from zoo import metrics, noise
from zoo.app import limits, pictures
from zoo.app.models import Models
from zoo.data import audio_files, audio_writing, file_kinds, pcm, pixels
from zoo.data.image_files import read_pages
from zoo.errors import ZooError
from zoo.inference import denoise_audio_file


class Noise(NamedTuple):
    """A kind of noise to choose.

    Attributes:
      op: its name in the zoo.
      told: what its level is.
      low: the least level.
      high: the most.
      usual: what is taken unless told.
      step: of the slider.
      unit: what a level is divided by.
    """

    op: str
    told: str
    low: float
    high: float
    usual: float
    step: float
    unit: float = 1


NOISES = {
    "image": {
        "Gaussian": Noise("gaussian", "Standard deviation, of 255", 1, 75, 25, 1, 255),
        "Poisson (few photons)": Noise("poisson", "Photons at white", 2, 200, 30, 1),
        "Speckle": Noise("speckle", "Standard deviation, of the signal", 0.02, 0.5, 0.2, 0.01),
        "Salt and pepper": Noise("salt_and_pepper", "Share of the pixels", 0.01, 0.3, 0.05, 0.01),
        "Stripes": Noise("stripes", "Standard deviation, of 255", 1, 50, 15, 1, 255),
        "JPEG": Noise("jpeg", "Quality", 5, 95, 20, 1),
    },
    "audio": {
        "White": Noise("white", "Signal to noise, dB", -5, 30, 5, 1),
        "Pink": Noise("pink", "Signal to noise, dB", -5, 30, 5, 1),
        "Brown": Noise("brown", "Signal to noise, dB", -5, 30, 5, 1),
        "Hum": Noise("hum", "Signal to noise, dB", -5, 30, 5, 1),
        "Clicks": Noise("clicks", "Clicks a second", 1, 50, 10, 1),
    },
}
"""What can be chosen, by modality and label."""


class Outcome(NamedTuple):
    """What came of a trial.

    Attributes:
      modality: `"image"` or `"audio"`.
      clean: what to show or hear of the clean file: a view or a file.
      noisy: the same with noise.
      denoised: the same without it again.
      facts: name and value of what there is to say.
      scores: a heading, and then a row for the noisy and the denoised one.
    """

    modality: str
    clean: pictures.Views | Path
    noisy: pictures.Views | Path
    denoised: pictures.Views | Path
    facts: tuple[tuple[str, str], ...]
    scores: tuple[tuple[str, ...], ...]


def modality(path: Path) -> str:
    """What a file is, by its name: `"image"` or `"audio"`.

    Raises:
      ZooError: neither.
    """
    suffix = path.suffix.lower()
    if suffix in file_kinds.IMAGE_SUFFIXES:
        return "image"
    if suffix in file_kinds.AUDIO_SUFFIXES:
        return "audio"
    raise ZooError(
        f"{path.name} is neither a picture nor a recording; drop a png, jpeg, tiff, webp, bmp, "
        "wav, flac, ogg or mp3 file"
    )


def run(
    path: Path,
    room: Path,
    models: Models,
    tell: Callable[[int, int], None],
    *,
    kind: str,
    level: float,
    model: str,
    strength: float,
    seed: int = 0,
) -> Outcome:
    """Adds noise to a clean file and takes it out again.

    Args:
      path: the file.
      room: a folder for what is shown or heard.
      models: what can be chosen.
      tell: called with what is done and all of it.
      kind: one of the labels of `NOISES`.
      level: of the noise, as its slider has it.
      model: a label of `models`.
      strength: how much of the model's change is made, 0 to 1.
      seed: another seed, other noise.

    Raises:
      ZooError: the file, the noise or the model cannot be used.
    """
    form = modality(path)
    if kind not in NOISES[form]:
        raise ZooError(f"{kind} is no noise for this file; choose from {', '.join(NOISES[form])}")
    make = _picture if form == "image" else _recording
    added = NOISES[form][kind]
    level = limits.number(level, added.low, added.high, "the level of the noise")
    key = jax.random.key(seed)
    return make(path, room, models, tell, key, added, level / added.unit, model, strength)


def _picture(path, room, models, tell, key, added, level, model, strength) -> Outcome:
    start = time.perf_counter()
    limits.check_trial(path, "image")
    picture = next(iter(read_pages(path))).image
    clean = pixels.to_float(pixels.without_alpha(picture))
    noisy = np.asarray(noise.OPS[added.op](key, clean, **_level(noise.OPS, added, level)))
    label, denoiser = pictures.denoiser(models, model, clean.shape[-1], strength)
    # No sensor gives less than black or more than white.
    noisy = np.clip(noisy, 0, 1)
    done = denoiser(noisy, None, tell)
    denoised = np.clip(done.image, 0, 1)
    facts = [("Model", label)]
    if done.level is not None:
        facts.append(("Noise, estimated", f"{255 * done.level:.1f} / 255"))
    rows = [
        (name, f"{_psnr(clean, x):.2f} dB", f"{_ssim(clean, x):.4f}")
        for name, x in (("Noisy", noisy), ("Denoised", denoised))
    ]
    facts.append(("Took", f"{time.perf_counter() - start:.1f} s"))
    views = [
        pictures.view(x, room, name)
        for name, x in (("clean", clean), ("noisy", noisy), ("denoised", denoised))
    ]
    return Outcome("image", *views, tuple(facts), (("", "PSNR", "SSIM"), *rows))


def _recording(path, room, models, tell, key, added, level, model, strength) -> Outcome:
    start = time.perf_counter()
    limits.check_trial(path, "audio")
    facts = audio_files.info(path)
    clean = pcm.to_float(audio_files.read(path))
    options = _level(noise.audio.OPS, added, level) | {"sample_rate": facts.sample_rate}
    noisy = np.asarray(noise.audio.OPS[added.op](key, clean, **options))
    # One scale for all, so that each is as loud as it is, and none is clipped.
    scale = np.float32(min(0.9 / max(float(np.abs(x).max()) for x in (clean, noisy)), 1))
    places = [room / f"{name}.wav" for name in ("clean", "noisy", "denoised")]
    for place, x in zip(places, (clean, noisy), strict=False):
        audio_writing.write(place, x * scale, facts.sample_rate)
    choice = models.choose(model, "audio")
    denoise_audio_file(*places[1:], models.ready(choice), strength=strength, progress=tell)
    clean, noisy, denoised = (pcm.to_float(audio_files.read(place)) for place in places)
    rows = [
        (name, f"{float(np.mean(metrics.si_sdr(x, clean))):.2f} dB")
        for name, x in (("Noisy", noisy), ("Denoised", denoised))
    ]
    said = (("Model", choice.label), ("Took", f"{time.perf_counter() - start:.1f} s"))
    return Outcome("audio", *places, said, (("", "SI-SDR"), *rows))


def _level(ops: noise.op_contract.Registry, added: Noise, level: float) -> dict[str, float]:
    """The op's own level, by its name."""
    name = next(iter(ops[added.op].levels))
    return {name: int(level) if ops[added.op].levels[name].whole else float(level)}


def _psnr(clean: np.ndarray, x: np.ndarray) -> float:
    return float(metrics.psnr(x, clean, data_range=1.0))


def _ssim(clean: np.ndarray, x: np.ndarray) -> float:
    return float(metrics.ssim(x, clean, data_range=1.0))

"""What every shipped weight scores on data that come with the packages, as embedded.json keeps it.

New weights, or a change that is meant to move them, need

    python tests/weights/embedded.py

and an eye on the diff of embedded.json before it is committed. The noise is NumPy's and the measure
the mean squared error written out, so that only the weights and their model can move a score.
"""

import json
import sys
from pathlib import Path

import jax
import numpy as np

PATH = Path(__file__).with_name("embedded.json")
PHOTOS = ("astronaut", "chelsea", "coffee")
# Of the Gaussian noise, for weights that were made for a range of it, and for those made for what
# real cameras leave.
SIGMA, REAL_SIGMA = 25 / 255, 5 / 255
SNR = 5.0


def score(name):
    """Mean PSNR of three photographs, or SI-SDR of three voices, in dB."""
    import zoo

    model, variables = zoo.load(name)
    facts, record = zoo.models.spec_of(model), zoo.weights.read_record(name)
    apply = jax.jit(model.apply)
    rng = np.random.default_rng(0)
    if facts.modality == "audio":
        found = [si_sdr(apply, variables, voice(i, facts.sample_rate), rng) for i in range(3)]
    else:
        sigma = level(record)
        found = [psnr(apply, variables, x, sigma, record, rng) for x in images(facts)]
    return round(float(np.mean(found)), 3)


def level(record):
    """The noise of an image's model, in signal units: what it was made for, or `SIGMA`."""
    reported = record["noise"]["level"]
    if not record["noise"]["name"]:
        return REAL_SIGMA
    # Of other noise the level is not a sigma.
    if record["noise"]["name"] != "gaussian" or not isinstance(reported, int | float):
        return SIGMA
    return reported / 255 if record["noise"]["unit"] == "1/255" else reported


def images(facts):
    """Crops (1, H, W, C) of photographs, all of them as far as a model of one size sees."""
    from skimage import color, data

    height, width = facts.size or (192, 160)
    for name in PHOTOS:
        x = getattr(data, name)()[40 : 40 + height, 150 : 150 + width]
        x = x if facts.channels == 3 else color.rgb2gray(x)[..., None]
        x = x / 255 if x.dtype == np.uint8 else x
        yield x[None].astype(np.float32)


def psnr(apply, variables, clean, sigma, record, rng):
    noisy = (clean + rng.normal(0, sigma, clean.shape)).astype(np.float32)
    if clip := record["noise"]["options"].get("clip"):
        noisy = np.clip(noisy, *clip)
    denoised = np.clip(apply(variables, noisy, np.float32([sigma])), 0, 1)
    return -10 * np.log10(np.mean((denoised - clean) ** 2))


def voice(index, rate):
    from zoo.data import synthetic

    return synthetic.clean(0, index, sample_rate=rate, length=2 * rate).reshape(-1)


def si_sdr(apply, variables, clean, rng):
    clean = clean.astype(np.float32) / (32768 if clean.dtype == np.int16 else 1)
    noise = rng.normal(size=clean.shape)
    noise *= np.sqrt(np.mean(clean**2) / np.mean(noise**2)) * 10 ** (-SNR / 20)
    noisy = (clean + noise).astype(np.float32)
    heard = np.asarray(apply(variables, noisy[None, :, None]))[0, :, 0].astype(np.float64)
    target = clean * (heard @ clean) / (clean @ clean)
    return 10 * np.log10(np.sum(target**2) / np.sum((heard - target) ** 2))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from zoo import list_weights

    PATH.write_text(json.dumps({name: score(name) for name in list_weights()}, indent=2) + "\n")

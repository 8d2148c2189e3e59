"""What speech codecs do to a recording, by their own libraries, on the host."""

import io

import jax
import jax.numpy as jnp
import numpy as np

from zoo.data import pcm
from zoo.errors import ZooError, unknown
from zoo.noise.audio.law import op
from zoo.noise.contract import FRACTION

# For libsndfile: the container, the coding, and the rates in Hz.
_CODECS = {
    "gsm": ("WAV", "GSM610", (8000,)),
    "opus": ("OGG", "OPUS", (8000, 12000, 16000, 24000, 48000)),
    "mp3": (
        "MP3",
        "MPEG_LAYER_III",
        (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
    ),
}
# What libsndfile calls the compression, 0 to 1, of the lowest bit rates that are in use: of Opus
# 11 to 56 kb/s, of mp3 at 16 kHz 8 to 38.
_COMPRESSION = (0.8, 0.98)


@op(axes="TC", amount=FRACTION)
def codec(key, x, *, amount, names=("gsm", "opus", "mp3"), sample_rate=16000):
    """Codes recordings at a low bit rate and decodes them, as telephones and messengers do.

    Each example takes part with probability `amount`, and goes through a codec and a bit rate drawn
    at random; the others stay. The codec adds its error, which ends where its band does: of GSM at
    4 kHz, and above the signal stays, so that `low_pass` may take it from signal and target alike.

    The libraries run on the host, so an accelerator waits for them: 10 to 40 ms for each second
    that is coded. The gradient is that of the identity.

    Args:
      key: random key.
      x: recordings `(..., T, C)`; each channel is coded by itself and saturates at full scale.
      amount: level; the probability that an example is coded, from 0 to 1.
      names: the codecs to draw from, of `"gsm"` (06.10), `"opus"` and `"mp3"`.
      sample_rate: of `x` in Hz, a whole number.
      clip: `(low, high)` to clip the result to, or None.

    Returns:
      The signal, shape and dtype of `x`, not delayed.

    Raises:
      ZooError: there is no such codec, or the sample rate is none.
    """
    for name in names:
        if name not in _CODECS:
            raise unknown("codec", name, _CODECS)
    if not names or sample_rate < 1 or sample_rate != int(sample_rate):
        raise ZooError(
            f"codec: names and a whole sample_rate are needed, got {names!r} and {sample_rate!r}"
        )
    lead = x.shape[:-2]
    key_part, key_name, key_rate = jax.random.split(key, 3)
    part = jax.random.uniform(key_part, lead) < jnp.broadcast_to(amount, (*lead, 1, 1))[..., 0, 0]
    which = jnp.where(part, jax.random.randint(key_name, lead, 0, len(names)), -1)
    low, high = _COMPRESSION
    level = jax.random.uniform(key_rate, lead, minval=low, maxval=high)

    def on_host(x, which, level):
        x, which, level = (np.asarray(one) for one in (x, which, level))
        y = np.array(x, np.float32)
        for place in np.ndindex(which.shape):
            if which[place] >= 0:
                name = names[int(which[place])]
                y[place] = _through(x[place], name, float(level[place]), int(sample_rate))
        return y

    shape = jax.ShapeDtypeStruct(x.shape, jnp.float32)
    still = jax.lax.stop_gradient(x)
    coded = jax.pure_callback(on_host, shape, still, which, level, vmap_method="broadcast_all")
    return x + (coded - still)


def _through(x: np.ndarray, name: str, level: float, sample_rate: int) -> np.ndarray:
    """A recording (T, C) coded and decoded."""
    import soundfile  # noqa: PLC0415 - only codecs need it

    form, subtype, rates = _CODECS[name]
    # The lowest of its rates that holds the band, else its highest.
    rate = next((one for one in rates if one >= sample_rate), rates[-1])
    seen = pcm.resample(x, sample_rate, rate)
    further = {} if name == "gsm" else {"compression_level": level}
    heard = []
    for channel in np.clip(seen, -1, 1).T:
        file = io.BytesIO()
        with soundfile.SoundFile(file, "w", rate, 1, subtype, format=form, **further) as out:
            out.write(channel)
        file.seek(0)
        with soundfile.SoundFile(file) as coded:
            heard.append(coded.read(coded.frames, dtype="float32")[: len(seen)])
    y = np.stack([np.pad(one, (0, len(seen) - len(one))) for one in heard], axis=-1)
    error = pcm.resample(y - seen, rate, sample_rate)[: len(x)]
    return x + pcm.lengthen(error, len(x))

"""Audio files of any length, denoised in flat memory."""

import os
from collections.abc import Callable, Mapping
from typing import NamedTuple

from flax import linen as nn

from zoo import files
from zoo.data import recordings
from zoo.inference.ready import ready
from zoo.inference.recordings.arrays import BLOCK
from zoo.inference.recordings.pipe import pipe

# Values, over all channels, of a block: of many channels or a high rate it is shorter than 10 s.
_MOST_VALUES = 2**21


class Report(NamedTuple):
    """What was written.

    Attributes:
      frames: samples of each channel.
      channels: how many.
      sample_rate: Hz.
      clipped: values, over all channels, beyond what the file's integers hold, and so clipped; of
        float files and of lossy ones none is.
    """

    frames: int
    channels: int
    sample_rate: int
    clipped: int


def denoise_file(
    src: str | os.PathLike,
    dst: str | os.PathLike,
    model: str | os.PathLike | nn.Module,
    variables: Mapping | None = None,
    *,
    strength: float = 1.0,
    progress: Callable[[int, int], None] | None = None,
    overwrite: bool = False,
) -> Report:
    """Denoises a wav, flac, ogg or mp3 file of any length, in flat memory.

    Channels (each by itself), sample rate, length and the places of the samples are kept, so are
    container and coding (16, 24 and 32 bits, float) where `dst` ends like `src`; another ending
    chooses another container. Tags are not kept, and ogg and mp3 files get their encoder's usual
    bit rate. Samples go through float32: 32-bit integers keep 24 bits.

    At another rate than the model's (16 kHz) the model hears the recording resampled, and only
    what it changes is resampled back. What lies above its band, such as cymbals and the air of a
    voice, is kept, with the gain that the model gives from moment to moment at the top of its
    band (5.2 to 7.2 kHz): hiss goes where the model takes hiss, and music stays where it leaves
    music. For music, a `strength` below 1 leaves more.

    Models that stream carry their state through the file, as one recording. The others
    (spectral-gate, wave-unet) take 16 s at a time, cross-faded over 1 s.

    Args:
      src: the file to read.
      dst: the file to write. It appears at the end, whole, or not at all; its folder exists.
      model: the name of weights that come with the zoo, a weight file's path, a registered
        model, or a module.
      variables: those of a registered model or a module; None with weights or if it has none.
      strength: how much of the model's change is made, 0 (none) to 1 (all): x + strength (y - x).
      progress: is called with the samples read so far and all there are, after each block of
        some 10 s.
      overwrite: whether a file that stands at `dst`, which may be `src`, is replaced.

    Returns:
      What was written, and how many values were clipped.

    Raises:
      ZooError: `src` is missing, damaged, truncated or no audio; `dst` exists, ends in no
        container's name or cannot be written; the model is unknown or none of recordings, its
        variables do not fit, or `strength` is out of range. Nothing is left behind then.
    """
    facts = recordings.info(src)
    files.free(dst, overwrite)
    module, variables = ready(model, variables, modality="audio")
    settings = {"channels": facts.channels, "sample_rate": facts.sample_rate}
    through = pipe(module, variables, **settings, strength=strength)
    size = min(BLOCK * facts.sample_rate, _MOST_VALUES // facts.channels)
    read = written = clipped = 0
    with recordings.writing(dst, **settings, like=facts, overwrite=overwrite) as put:
        for x in recordings.blocks(src, size):
            y = through.feed(x)
            clipped += put(y) if len(y) else 0
            read, written = read + len(x), written + len(y)
            if progress is not None:
                progress(read, facts.frames)
        y = through.finish()
        clipped += put(y) if len(y) else 0
    return Report(written + len(y), facts.channels, facts.sample_rate, clipped)

"""A spectral gate that goes by a stretch of the signal that holds nothing but noise."""

from collections.abc import Callable

import numpy as np

from zoo.errors import ZooError
from zoo.models import SpectralGate
from zoo.resolve import Resolved, resolve

# A quarter of the width by which the usual gate is smoothed over frequency, which takes a good part
# of a steady tone.
_SMOOTH_HZ = 15.0

Stretch = tuple[float, float]
"""Beginning and end in seconds."""


def gate(
    model: Resolved | None,
    stretch: Stretch,
    read: Callable[[int, int], np.ndarray],
    *,
    frames: int,
    sample_rate: int,
) -> Resolved:
    """The spectral gate with the noise of a stretch, at the rate of the signal.

    At another rate it would leave what lies above its band to the gain at its edge, and hiss is
    there above all.

    Args:
      model: a spectral gate; None, and its name, take the usual one, smoothed over few bins.
      stretch: where there is only noise: before the first word, between two pieces of music.
      read: gives samples (n, C) of the signal: the first, and how many.
      frames: samples of each channel of the signal.
      sample_rate: of the audio, Hz.

    Raises:
      ZooError: the model is another; or the stretch is reversed, too short, silent, or not all in
        the signal.
    """
    model = model or resolve("spectral-gate")
    if not isinstance(model.module, SpectralGate):
        raise ZooError(
            f"a noise profile is for model='spectral-gate', and {model.label} takes none; leave "
            "out one of them"
        )
    try:
        start, end = map(float, stretch)
    except (TypeError, ValueError):
        start = end = np.nan
    seconds = frames / sample_rate
    named = f"the noise profile from {start:g} to {end:g} s"
    if not 0 <= start < end:
        raise ZooError(f"{named} ends before it begins; give its start and its end in seconds")
    if end > seconds:
        raise ZooError(
            f"{named} is not all in the audio, which has {seconds:.2f} s; name a stretch in it"
        )
    options = {"smooth_hz": _SMOOTH_HZ} if model.module == SpectralGate() else {}
    module = model.module.clone(sample_rate=sample_rate, **options)
    first = round(start * sample_rate)
    variables = module.profile(read(first, round(end * sample_rate) - first))
    return model._replace(module=module, variables=variables)

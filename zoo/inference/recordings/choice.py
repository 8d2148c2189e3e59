"""Which model a recording goes through unless it is told."""

import functools
import os
from collections.abc import Mapping
from typing import NamedTuple

from flax import linen as nn

from zoo import weights
from zoo.data import audio_files
from zoo.inference.ready import ready
from zoo.inference.recordings.listen import band_edge
from zoo.models import create_model

# In the order of preference, of those that come with the zoo.
_PREFERRED = ("stream-b", "stream-t")
_BLOCK = 2**19


class Choice(NamedTuple):
    """A model made ready.

    Attributes:
      label: its name.
      model: the module.
      variables: its own.
      reason: why it is not the usual one, in words; empty where it is.
    """

    label: str
    model: nn.Module
    variables: Mapping
    reason: str = ""


def choose(path: str | os.PathLike) -> Choice:
    """The best model for a recording; all of it is read.

    Networks that were trained on full-band speech alone take the consonants of telephone speech for
    noise. It gets a gentle Wiener filter, which leaves STOI no lower than it was.

    Raises:
      ZooError: the file cannot be read.
    """
    label, model, variables, any_band = _usual()
    if any_band:
        return Choice(label, model, variables)
    facts = audio_files.info(path)
    size = max(_BLOCK // facts.channels, facts.sample_rate)
    edge = band_edge(audio_files.blocks(path, size), facts.sample_rate)
    if edge is None:
        return Choice(label, model, variables)
    reason = (
        f"a gentle wiener filter, for its sound ends at {edge / 1000:.2g} kHz, where {label} takes "
        "consonants for noise"
    )
    return Choice("wiener", create_model("wiener", attenuation=6.0, smoothing=0.9), {}, reason)


@functools.cache
def _usual() -> tuple[str, nn.Module, Mapping, bool]:
    """The usual model, and whether it was trained on recordings of any band."""
    shipped = weights.list_weights()
    label = next((name for name in _PREFERRED if name in shipped), "")
    if not label:
        return "wiener", *ready("wiener", modality="audio"), True
    trained = weights.read_record(label).get("noise") or {}
    return label, *ready(label, modality="audio"), bool(trained.get("line"))

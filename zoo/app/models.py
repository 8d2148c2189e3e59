"""The models that the page offers, and which of them it takes unless told."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from zoo import weights
from zoo.errors import ZooError
from zoo.modality import get
from zoo.models import ModelSpec, model_spec
from zoo.resolve import Resolved, build, resolve

AUTO = "Choose for me"
"""What stands for no choice."""

# Models of recordings that need no weights, and those that are taken first.
_WITHOUT_WEIGHTS = ("wiener", "spectral-gate")
_FIRST = {"image": ("unet-color", "unet-gray"), "audio": ("stream-b", "stream-t")}


class Choice(NamedTuple):
    """A model to choose.

    Attributes:
      label: what it is called on the page.
      source: a name or the path of a weight file.
      facts: what it takes and gives.
    """

    label: str
    source: str
    facts: ModelSpec


class Models:
    """The weights that come with the zoo, and those the user brought, which go first.

    Args:
      files: weight files of this zoo.

    Raises:
      ZooError: one of them is missing or no weight file.
    """

    def __init__(self, files: Sequence[str | os.PathLike] = ()):
        brought = [_from_weights(_label(path, files), os.path.abspath(path)) for path in files]
        shipped = [_from_weights(name, name) for name in weights.list_weights()]
        plain = [Choice(name, name, model_spec(name)) for name in _WITHOUT_WEIGHTS]
        order = [name for names in _FIRST.values() for name in names]
        shipped.sort(key=lambda one: order.index(one.label) if one.label in order else len(order))
        every = [*brought, *shipped, *plain]
        # Those of one size only are of digits and the like, not of what people bring.
        self._choices = {one.label: one for one in reversed(every) if not one.facts.size}
        self._order = [one.label for one in every if one.label in self._choices]
        self._ready: dict[str, Resolved] = {}

    def labels(self, modality: str) -> list[str]:
        """What can be chosen for pictures (`"image"`) or recordings (`"audio"`)."""
        every = [self._choices[label] for label in dict.fromkeys(self._order)]
        return [one.label for one in every if one.facts.modality == modality]

    def takes_level(self, label: str) -> bool:
        """Whether a model is told how noisy a picture is."""
        if label == AUTO:
            return any(self._choices[one].facts.takes_level for one in self.labels("image"))
        return label in self._choices and self._choices[label].facts.takes_level

    def choose(self, label: str, modality: str, channels: int | None = None) -> Choice:
        """The model that was chosen, or the one that fits.

        Args:
          label: one of `labels`, or `AUTO`.
          modality: of the signal.
          channels: of a picture, beside alpha.

        Raises:
          ZooError: there is none.
        """
        if label != AUTO:
            if label not in self.labels(modality):
                raise ZooError(
                    f"there is no model {label!r} for {get(modality).plural}; choose again"
                )
            return self._choices[label]
        every = [self._choices[one] for one in self.labels(modality)]
        if not every:
            raise ZooError(
                f"there are no weights for {get(modality).plural} here; start with "
                "zoo app --weights FILE"
            )
        fitting = [one for one in every if channels is None or one.facts.channels == channels]
        # A grey model takes each channel by itself, a colour one a grey picture three times.
        return (fitting or every)[0]

    def ready(self, choice: Choice) -> Resolved:
        """The model, loaded once.

        Raises:
          ZooError: the weights are damaged or gone.
        """
        if choice.label not in self._ready:
            self._ready[choice.label] = resolve(choice.source, modality=choice.facts.modality)
        return self._ready[choice.label]


def _from_weights(label: str, source: str) -> Choice:
    return Choice(label, source, build(source)[1])


def _label(path: str | os.PathLike, files: Sequence[str | os.PathLike]) -> str:
    """The file's name, with its folder's where two are called alike."""
    path = Path(path)
    alike = [other for other in files if Path(other).stem == path.stem]
    return path.stem if len(alike) == 1 else f"{path.absolute().parent.name}/{path.stem}"

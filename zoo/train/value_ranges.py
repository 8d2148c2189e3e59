"""What brings the values of noisy images to those that a model sees, kept for all that follows.

Images that learn without clean ones have any values: 12 bits in 16, counts of photons, floats below
zero. They are brought to [0, 1] as `zoo.denoise` brings them, by one range for all images of a
dtype. The range is kept with the run and with its weights, since noise of another scale would be
other noise.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from zoo.data import pixels
from zoo.data.batches import stack
from zoo.data.sources import Example, Source
from zoo.errors import ZooError
from zoo.inference import image_canvas, value_scale
from zoo.selfsupervised import Method

# Of a stream so many images are looked at, evenly over all.
_LOOKED_AT = 64


@dataclasses.dataclass(frozen=True)
class Ranges:
    """The values that a model sees as 0 and as 1, by the dtype of the images.

    Attributes:
      by_dtype: low and high by the name of a dtype, as `zoo.weights.trained_range` reads them.
    """

    by_dtype: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, images: Iterable[np.ndarray]) -> "Ranges":
        """Those of images (H, W, C), any integers or float32."""
        scales = value_scale.find(images)
        return cls({dtype.name: (scale.low, scale.high) for dtype, scale in scales.items()})

    @property
    def plain(self) -> bool:
        """Whether all are of 8 or 16 bits and fill them, so that they need no change."""
        return all(
            np.dtype(name).kind == "u" and scale.plain(np.dtype(name))
            for name, scale in self._scales.items()
        )

    @property
    def _scales(self) -> dict[str, value_scale.Scale]:
        return {
            name: value_scale.scale_of_range(limits, np.dtype(name))
            for name, limits in self.by_dtype.items()
        }

    def enter(self, image: np.ndarray) -> np.ndarray:
        """What a model sees of an image, float32; the image itself where all are plain."""
        if self.plain and image.dtype.name in self.by_dtype:
            return image
        # A dtype that only the validation has is as `zoo.denoise` would have it.
        scale = self._scales.get(image.dtype.name) or value_scale.find([image])[image.dtype]
        return pixels.to_float(image) if scale.plain(image.dtype) else scale.enter(image)

    def seen_by(self, method: Method, level: float) -> tuple[Method, float]:
        """A method and a noise level in what the model sees.

        Args:
          method: its option `gain`, where it has one, is of white as the level is.
          level: a sigma as a share of white, see `value_scale.Scale`; photons at white; or looks.

        Raises:
          ZooError: there is no such one level, or the method counts from a black that is not 0.
        """
        scales = self._scales
        gain = method.options.get("gain")
        counts = method.level in ("peak", "looks") or gain
        for name, scale in scales.items():
            if counts and scale.low:
                raise ZooError(
                    f"target {method.name!r} is of values from 0 on, and those of these images "
                    f"({name}) are seen from {scale.low:g} on; take their offset away, or choose a "
                    "target that needs no level, such as noise2void"
                )
        factors = {scale.seen for scale in scales.values()}
        if len(factors) > 1 and (level or gain):
            raise ZooError(
                f"target.level cannot be that of images of several depths ({', '.join(scales)}) "
                "that leave different parts of their ranges empty; train on one of them"
            )
        factor = factors.pop() if len(factors) == 1 else 1.0
        if gain:
            method = method.with_options({"gain": gain * factor})
        if method.level == "peak":
            return method, level / factor
        return method, level if method.level == "looks" else level * factor

    def lines(self, level: float, *, learned: bool) -> list[str]:
        """What a run says of them: nothing where images fill their type.

        Args:
          level: `target.level`, where it is given, else 0.
          learned: whether a level is found on the way.
        """
        said = []
        for name, scale in self._scales.items():
            if not scale.plain(np.dtype(name)):
                line = f"values of {name} from {scale.low:g} to {scale.high:g} are seen as 0 to 1"
                line += f"; target.level is of {scale.white:g}" if level else ""
                line += f"; the sigma found is of {scale.high - scale.low:g}" if learned else ""
                said.append(line)
        return said


def complete(example: Example) -> tuple[np.ndarray, bool]:
    """An example stacked, with the nearest values in the place of those that are not finite.

    Returns:
      (H, W, K), and whether there were such.
    """
    image = stack(example)
    filled = image_canvas.filled(image)
    return filled, filled is not image


class SeenImages(Sequence):
    """A source of noisy images as a model sees them, for a stream of crops.

    Args:
      source: the images.
      ranges: those of an earlier call; None finds them from images spread evenly over the source.
    """

    def __init__(self, source: Source, ranges: Ranges | None = None):
        self._source = source
        if ranges is None:
            step = -(-len(source) // _LOOKED_AT)
            ranges = Ranges.of(complete(source[i])[0] for i in range(0, len(source), step))
        self.ranges = ranges

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Example:
        example = self._source[index]
        return Example(example.name, self.ranges.enter(complete(example)[0]), None)

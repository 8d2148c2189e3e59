"""A picture file denoised, and what to show of it."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zoo.app import limits
from zoo.app.models import Models
from zoo.data import file_kinds, pixels
from zoo.data.image_files import read_pages
from zoo.inference import Denoised, ImageDenoiser, denoise_image_file, image_canvas, value_scale
from zoo.inference.value_scale import Scale

# Pixels: the longer side of what is shown of a whole picture, and the part of a larger one that is
# shown as it is; as wide as its place on a wide page, so that no browser makes it smaller.
_SIDE = 1400
_DETAIL = (414, 620)
# Pixels up to which a view is written without loss.
_LOSSLESS = 2**19
# Pixels converted at a time.
_BAND = 2**22


class Views(NamedTuple):
    """Files a browser can show.

    Attributes:
      whole: the picture, smaller if it is large.
      detail: its middle, pixel by pixel; None where `whole` is not smaller.
    """

    whole: Path
    detail: Path | None


class Look(NamedTuple):
    """A picture file at first sight.

    Attributes:
      views: what to show of its first page.
      told: size, channels and depth, in words.
    """

    views: Views
    told: str


class Outcome(NamedTuple):
    """A denoised file.

    Attributes:
      path: the file.
      before: what to show of the first page.
      after: the same, denoised.
      facts: name and value of what there is to say.
      notes: short sentences on what was lost.
    """

    path: Path
    before: Views
    after: Views
    facts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def look(path: Path, room: Path) -> Look:
    """Reads a picture file.

    Args:
      path: the file.
      room: a folder for what is shown.

    Raises:
      ZooError: it is damaged, no picture or too large.
    """
    limits.check(path)
    pages = read_pages(path)
    picture = next(iter(pages)).image
    return Look(view(picture, room, "before", _scale(picture)), describe(picture, len(pages)))


def describe(picture: np.ndarray, pages: int = 1) -> str:
    """Size, channels and depth, in words."""
    height, width, channels = picture.shape
    kind = "grey" if channels <= 2 else "colour"
    alpha = " with alpha" if channels in (2, 4) else ""
    more = f", {pages} pages" if pages > 1 else ""
    return f"{width} x {height}, {kind}{alpha}, {pixels.depth(picture.dtype)}{more}"


def denoise(
    path: Path,
    room: Path,
    models: Models,
    tell: Callable[[int, int], None],
    *,
    model: str,
    level: float | None,
    strength: float,
) -> Outcome:
    """Denoises a picture file, all else in it kept.

    Args:
      path: the file.
      room: a folder for the result and what is shown.
      models: what can be chosen.
      tell: called with the tiles done and all of them.
      model: one of their labels.
      level: standard deviation of the noise in 1/255, above 0; None estimates it.
      strength: how much of the model's change is made, 0 to 1.

    Raises:
      ZooError: the file or the model cannot be used.
    """
    start = time.perf_counter()
    watched = _Watched(models, model, strength)
    suffix = path.suffix if path.suffix.lower() in file_kinds.IMAGE_FORMATS else ".png"
    target = room / f"{path.stem}.denoised{suffix}"
    sigma = None if level is None else level / 255
    report = denoise_image_file(path, target, watched, level=sigma, progress=tell)
    facts = [("Model", watched.label)]
    if report.level is not None:
        facts.append(
            ("Noise, estimated" if level is None else "Noise", f"{report.level:.1f} / 255")
        )
    height, width = report.size
    facts.append(("Size", f"{width} x {height}"))
    facts.append(("Took", f"{time.perf_counter() - start:.1f} s"))
    before, after = watched.first
    if not report.scale.usual:
        facts.append(("Range", f"{report.scale.low:.6g} to {report.scale.high:.6g}"))
    views = (
        view(before, room, "before", report.scale),
        view(after, room, "after", report.scale),
    )
    return Outcome(target, *views, tuple(facts), (*report.lost, *report.notes))


def view(picture: np.ndarray, room: Path, name: str, scale: Scale | None = None) -> Views:
    """Writes what is shown of a picture (H, W, C), without its alpha, as a model sees it."""
    picture = pixels.without_alpha(picture)
    if scale and picture.dtype != np.uint8 and not scale.plain(picture.dtype):
        picture = _seen(picture, scale)
    whole = _show(picture, room / name)
    if max(picture.shape[:2]) <= _SIDE:
        return Views(whole, None)
    crop = tuple(
        slice((size - min(size, most)) // 2, (size + min(size, most)) // 2)
        for size, most in zip(picture.shape[:2], _DETAIL, strict=True)
    )
    return Views(whole, _show(picture[crop], room / f"{name}-detail"))


def _scale(picture: np.ndarray) -> Scale:
    picture = image_canvas.colors(picture)
    return value_scale.find([picture])[picture.dtype]


def _seen(picture: np.ndarray, scale: Scale) -> np.ndarray:
    """What a model sees, in bands; black for what is not finite."""
    out = np.empty(picture.shape, np.float32)
    rows = max(_BAND // picture[0].size, 1)
    for top in range(0, len(picture), rows):
        out[top : top + rows] = np.nan_to_num(scale.enter(picture[top : top + rows]), posinf=1)
    return out


def denoiser(
    models: Models, label: str, channels: int, strength: float
) -> tuple[str, ImageDenoiser]:
    """The denoiser for pictures of some channels, and its model's label."""
    choice = models.choose(label, "image", channels)
    return choice.label, ImageDenoiser(models.ready(choice), strength=strength)


class _Watched:
    """A denoiser that keeps the first page it sees, before and after.

    The one it works by is found when the first page tells how many channels there are.
    """

    def __init__(self, models: Models, label: str, strength: float):
        self._models, self._choice, self._strength = models, label, strength
        self.label = ""
        self.first: tuple[np.ndarray, np.ndarray] | None = None

    def __call__(
        self, image: np.ndarray, level: float | None, progress: Callable, scale: Scale
    ) -> Denoised:
        """Denoises a page; see `ImageDenoiser`."""
        channels = pixels.without_alpha(image).shape[-1]
        label, one = denoiser(self._models, self._choice, channels, self._strength)
        done = one(image, level, progress, scale)
        if self.first is None:
            self.label, self.first = label, (image, done.image)
        return done


def _show(picture: np.ndarray, place: Path) -> Path:
    from PIL import Image  # noqa: PLC0415, only pictures need it

    shown = Image.fromarray(_to_uint8(picture))
    if max(shown.size) > _SIDE:
        times = _SIDE / max(shown.size)
        size = [max(round(length * times), 1) for length in shown.size]
        shown = shown.resize(size, Image.Resampling.BOX, reducing_gap=2)
    if shown.width * shown.height <= _LOSSLESS:
        place = place.with_suffix(".png")
        shown.save(place, compress_level=1)
    else:
        place = place.with_suffix(".jpg")
        shown.save(place, quality=95, subsampling=0)
    return place


def _to_uint8(picture: np.ndarray) -> np.ndarray:
    """(H, W) or (H, W, 3), converted in bands: the way there is wider than both its ends."""
    if picture.shape[-1] == 1:
        picture = picture[..., 0]
    out = np.empty(picture.shape, np.uint8)
    rows = max(_BAND // picture.shape[1], 1)
    for top in range(0, len(picture), rows):
        out[top : top + rows] = pixels.to_uint8(picture[top : top + rows])
    return out

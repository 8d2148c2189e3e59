"""The tab for images: a file denoised, with views of it before and after."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from zoo.app import appearance, limits, parts
from zoo.app.choices import Models
from zoo.app.parts import Outcome, Parts
from zoo.data import file_kinds, pixels
from zoo.data.image_files import read_pages
from zoo.inference import ImageDenoiser, denoise_image_file, image_canvas, value_scale
from zoo.inference.value_scale import Scale

# Pixels: the longer side of the view of a whole image, and height and width of the detail of a
# larger one; as wide as its place on a wide page, so that no browser shrinks it.
_SIDE = 1400
_DETAIL = (414, 620)
# Pixels up to which a view is written without loss.
_LOSSLESS = 2**19

_TAB = "image"
_BLANK = '<div class="zoo-blank">Drop an image, or take a sample.</div>'
_WHOLE_LABEL, _DETAIL_LABEL = "Whole image", "Middle, pixel by pixel"


class Views(NamedTuple):
    """Files that a browser can show.

    Attributes:
      whole: the image, reduced if it is large.
      detail: its middle, pixel by pixel; None where `whole` is not reduced.
    """

    whole: Path
    detail: Path | None


def look(path: Path, room: Path) -> tuple[Views, str]:
    """Views of the first page of an image file, and a description.

    Args:
      path: the file.
      room: a folder for the views.

    Raises:
      ZooError: it is damaged, not an image or too large.
    """
    limits.check_image(path)
    pages = read_pages(path)
    image = next(iter(pages)).image
    colors = image_canvas.colors(image)
    scale = value_scale.find([colors])[colors.dtype]
    return view(image, room, "before", scale), describe(image, len(pages))


def describe(image: np.ndarray, pages: int = 1) -> str:
    """Size, channels and depth, in words."""
    height, width, channels = image.shape
    kind = "gray" if channels <= 2 else "color"
    alpha = " with alpha" if channels in (2, 4) else ""
    more = f", {pages} pages" if pages > 1 else ""
    return f"{width} x {height}, {kind}{alpha}, {pixels.depth(image.dtype)}{more}"


def denoise(
    path: Path,
    room: Path,
    models: Models,
    progress: Callable[[int, int], None],
    *,
    model: str,
    level: float | None,
    strength: float,
) -> Outcome:
    """Denoises an image file; all else in it is kept.

    Args:
      path: the file.
      room: a folder for the result and the views.
      models: models to choose from.
      progress: called with the number of finished tiles and of all.
      model: one of their labels.
      level: standard deviation of the noise in 1/255, above 0; None estimates it.
      strength: share of the model's change that is made, 0 to 1.

    Raises:
      ZooError: the file or the model cannot be used.
    """
    before = first_page(path)
    given = level is not None
    label, denoiser = make_denoiser(models, model, before, strength, given=given)
    same = path.suffix.lower() in file_kinds.IMAGE_FORMATS
    suffix = path.suffix if same else file_kinds.output_suffix(path)
    target = room / f"{path.stem}.denoised{suffix}"
    sigma = None if level is None else level / 255
    report = denoise_image_file(path, target, denoiser, level=sigma, progress=progress)
    facts = [("Model", label)]
    if report.level is not None:
        name = "Noise, estimated" if level is None else "Noise"
        facts.append((name, f"{report.level:.1f} / 255"))
    height, width = report.size
    facts.append(("Size", f"{width} x {height}"))
    if not report.scale.usual:
        facts.append(("Range", f"{report.scale.low:.6g} to {report.scale.high:.6g}"))
    images = {"before": before, "after": first_page(target)}
    views = {name: view(image, room, name, report.scale) for name, image in images.items()}
    return Outcome(views, facts, (*report.lost, *report.notes), target)


def first_page(path: Path) -> np.ndarray:
    """The first image of a file, (H, W, C)."""
    return next(iter(read_pages(path))).image


def make_denoiser(
    models: Models, label: str, image: np.ndarray, strength: float, *, given: bool = False
) -> tuple[str, ImageDenoiser]:
    """The label of the chosen model, and a denoiser for images like one (H, W, C).

    `given` says whether the level of their noise is.
    """
    channels = pixels.without_alpha(image).shape[-1]
    choice = models.choose(label, "image", channels, given=given)
    return choice.label, ImageDenoiser(models.load(choice), strength=strength)


def view(image: np.ndarray, room: Path, name: str, scale: Scale | None = None) -> Views:
    """Writes views of an image (H, W, C), without alpha, in the range that a model sees."""
    image = pixels.without_alpha(image)
    if scale and image.dtype != np.uint8 and not scale.plain(image.dtype):
        image = pixels.in_bands(image, np.float32, lambda band: _seen(band, scale))
    whole = _write(image, room / name)
    if max(image.shape[:2]) <= _SIDE:
        return Views(whole, None)
    crop = tuple(
        slice((size - min(size, most)) // 2, (size + min(size, most)) // 2)
        for size, most in zip(image.shape[:2], _DETAIL, strict=True)
    )
    return Views(whole, _write(image[crop], room / f"{name}-detail"))


def pair(before: Views, after: Views, *, detail: bool = False) -> tuple[str, str]:
    """The two files of a comparison."""
    if detail and before.detail and after.detail:
        return str(before.detail), str(after.detail)
    return str(before.whole), str(after.whole)


def build(page: Parts) -> None:
    """Lays out the tab and connects its controls."""
    import gradio as gr  # noqa: PLC0415, an extra

    models = page.models
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=280):
            file = parts.drop_zone("Image", sorted(file_kinds.PLAIN_SUFFIXES))
            gallery = parts.thumbnails(page.samples.noisy_images)
            model = parts.model_list(models.labels("image"))
            takes = models.takes_level(model.value)
            estimate = gr.Checkbox(True, label="Estimate the noise", visible=takes)
            level = gr.Slider(
                1, 100, value=25, step=1, label="Noise, of 255", visible=False, buttons=[]
            )
            strength = parts.strength_slider()
            go = parts.go_buttons()
        with gr.Column(scale=3, min_width=280):
            seen = gr.HTML(_BLANK)
            slider = parts.comparison(_TAB)
            part = gr.Radio(
                [_WHOLE_LABEL, _DETAIL_LABEL], value=_WHOLE_LABEL, show_label=False, visible=False
            )
            facts = gr.HTML("")

    def show_level(label: str, estimated: bool) -> dict:
        takes = models.takes_level(label)
        return {
            estimate: gr.update(visible=takes),
            level: gr.update(visible=takes and not estimated),
        }

    def see(place: Path, room: Path) -> dict:
        views, text = look(place, room)
        return blank() | {seen: gr.update(value=appearance.image(views.whole, text), visible=True)}

    def blank() -> dict:
        return {
            seen: gr.update(value=_BLANK, visible=True),
            slider: gr.update(value=None, visible=False),
            part: gr.update(visible=False, value=_WHOLE_LABEL),
            facts: "",
        }

    def work(source, room, progress, label, estimated, level, strength) -> Outcome:
        given = not estimated and models.takes_level(label)
        return denoise(
            source,
            room,
            models,
            progress,
            model=label,
            level=limits.number(level, 1, 100, "the noise") if given else None,
            strength=parts.share(strength),
        )

    def show(found: Outcome) -> dict:
        before, after = found.shown.values()
        line = appearance.say("Left of the line: before. Right of it: after.")
        return {
            seen: gr.update(visible=False),
            slider: gr.update(value=pair(before, after), visible=True),
            part: gr.update(visible=before.detail is not None, value=_WHOLE_LABEL),
            facts: appearance.below(line, found.summary),
        }

    def turn(which: str, request: gr.Request):
        found = page.store.visit(request.session_hash).results.get(_TAB)
        if found is None:
            return gr.skip()
        return pair(*found.shown.values(), detail=which == _DETAIL_LABEL)

    outputs = [seen, slider, part, facts]
    samples = parts.wire_files(page, _TAB, file, go.line, outputs, see, blank)
    samples(gallery.select, page.samples.noisy_images)
    for control in (model, estimate):
        control.change(show_level, [model, estimate], [estimate, level], **parts.QUIET)
    part.input(turn, part, slider, **parts.QUIET)
    parts.wire_go(page, _TAB, go, [model, estimate, level, strength], outputs, work, show)


def _seen(band: np.ndarray, scale: Scale) -> np.ndarray:
    """What a model sees; black where values are not finite."""
    return np.nan_to_num(scale.enter(band), posinf=1)


def _write(image: np.ndarray, place: Path) -> Path:
    if image.shape[-1] == 1:
        image = image[..., 0]
    shown = Image.fromarray(pixels.to_uint8(image))
    if max(shown.size) > _SIDE:
        size = [max(round(length * _SIDE / max(shown.size)), 1) for length in shown.size]
        shown = shown.resize(size, Image.Resampling.BOX, reducing_gap=2)
    if shown.width * shown.height <= _LOSSLESS:
        place = place.with_suffix(".png")
        shown.save(place, compress_level=1)
    else:
        place = place.with_suffix(".jpg")
        shown.save(place, quality=95, subsampling=0)
    return place

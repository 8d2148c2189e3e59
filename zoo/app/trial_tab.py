"""The tab for tests: noise added to a clean file and removed again, with scores."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from zoo import metrics, noise
from zoo.app import appearance, audio_tab, image_tab, limits, parts
from zoo.app.choices import AUTO, Models
from zoo.app.parts import Outcome, Parts
from zoo.data import audio_files, audio_writing, file_kinds, pcm, pixels
from zoo.errors import ZooError
from zoo.inference import denoise_audio_file

_TAB = "trial"
_BLANK = (
    '<div class="zoo-blank">Drop a clean image or audio file, or take a sample: noise is added to '
    "it and removed again, and scores show how close the result is.</div>"
)
_NOISY, _CLEAN = "Noisy and denoised", "Clean and denoised"


class Noise(NamedTuple):
    """A kind of noise to choose.

    Attributes:
      op: its name in `zoo.noise`.
      label: of its level.
      low: the least level.
      high: the greatest level.
      usual: the level at first.
      step: of the slider.
      unit: the divisor that makes the op's level of it.
    """

    op: str
    label: str
    low: float
    high: float
    usual: float
    step: float
    unit: float = 1

    @property
    def slider(self) -> dict:
        """Options of the slider of its level."""
        return {
            "minimum": self.low,
            "maximum": self.high,
            "value": self.usual,
            "step": self.step,
            "label": self.label,
        }


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
"""Modality -> label -> noise."""


def modality(path: Path) -> str:
    """The modality of a file by its suffix: `"image"` or `"audio"`.

    Raises:
      ZooError: neither.
    """
    kind = file_kinds.kind_of_suffix(path)
    if kind not in NOISES:
        raise ZooError(
            f"{path.name} is neither an image nor audio; drop a png, jpeg, tiff, webp, bmp, "
            "wav, flac, ogg or mp3 file"
        )
    return kind


def run(
    path: Path,
    room: Path,
    models: Models,
    progress: Callable[[int, int], None],
    *,
    kind: str,
    level: float,
    model: str,
    strength: float,
    seed: int = 0,
) -> Outcome:
    """Adds noise to a clean file and removes it again.

    Args:
      path: the file.
      room: a folder for views or audio files.
      models: models to choose from.
      progress: called with the finished part and the whole.
      kind: one of the labels of `NOISES`.
      level: of the noise, as on its slider.
      model: a label of `models`.
      strength: share of the model's change that is made, 0 to 1.
      seed: of the noise.

    Raises:
      ZooError: the file, the noise or the model cannot be used.
    """
    form = modality(path)
    if kind not in NOISES[form]:
        raise ZooError(f"{kind} noise is not for this file; choose from {', '.join(NOISES[form])}")
    limits.check_trial(path, form)
    added = NOISES[form][kind]
    level = limits.number(level, added.low, added.high, "the level of the noise") / added.unit
    op = (noise if form == "image" else noise.audio).OPS[added.op]
    name, parameter = next(iter(op.levels.items()))
    options = {name: int(level) if parameter.whole else float(level)}

    def corrupt(x: np.ndarray, **more) -> np.ndarray:
        return np.asarray(op(jax.random.key(seed), x, **options, **more))

    make = _image if form == "image" else _recording
    return make(path, room, models, progress, corrupt, model, strength)


def build(page: Parts) -> None:
    """Lays out the tab and connects its controls."""
    import gradio as gr  # noqa: PLC0415, an extra

    models = page.models
    every = NOISES["image"] | NOISES["audio"]
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=280):
            suffixes = sorted({*file_kinds.PLAIN_SUFFIXES, *file_kinds.AUDIO_SUFFIXES})
            file = parts.drop_zone("Clean image or audio file", suffixes)
            gallery = parts.thumbnails(page.samples.clean_images)
            buttons = parts.sample_buttons(page.samples.clean_recordings)
            kind = gr.Dropdown([*NOISES["image"]], label="Noise", filterable=False)
            level = gr.Slider(**next(iter(every.values())).slider, buttons=[])
            model = parts.model_list(models.labels("image"))
            strength = parts.strength_slider()
            go = parts.go_buttons("Add noise and denoise")
        with gr.Column(scale=3, min_width=280):
            seen = gr.HTML(_BLANK)
            slider = parts.comparison(_TAB)
            which = gr.Radio([_NOISY, _CLEAN], value=_NOISY, show_label=False, visible=False)
            scores = gr.HTML("")
            facts = gr.HTML("")

    def see(place: Path, room: Path) -> dict:
        form = modality(place)
        limits.check_trial(place, form)
        if form == "image":
            views, text = image_tab.look(place, room)
            shown = appearance.image(views.whole, text)
        else:
            text = appearance.say(audio_tab.describe(place))
            shown = appearance.players([("Clean", place)]) + text
        names = [*NOISES[form]]
        return blank() | {
            seen: gr.update(value=shown, visible=True),
            kind: gr.update(choices=names, value=names[0]),
            level: gr.update(**every[names[0]].slider),
            model: gr.update(choices=[AUTO, *models.labels(form)], value=AUTO),
        }

    def blank() -> dict:
        return {
            seen: gr.update(value=_BLANK, visible=True),
            slider: gr.update(value=None, visible=False),
            which: gr.update(visible=False, value=_NOISY),
            scores: "",
            facts: "",
        }

    def work(source, room, progress, label, level, model, strength) -> Outcome:
        options = {"kind": label, "level": level, "model": model}
        return run(source, room, models, progress, **options, strength=parts.share(strength))

    def show(found: Outcome) -> dict:
        changes = {scores: appearance.table(found.scores), facts: found.summary}
        _, noisy, denoised = found.shown.values()
        if isinstance(noisy, Path):
            return changes | {seen: gr.update(value=found.players, visible=True)}
        return changes | {
            seen: gr.update(visible=False),
            slider: gr.update(value=image_tab.pair(noisy, denoised), visible=True),
            which: gr.update(visible=True, value=_NOISY),
        }

    def turn(side: str, request: gr.Request):
        found = page.store.visit(request.session_hash).results.get(_TAB)
        clean, noisy, denoised = found.shown.values() if found else (None, None, None)
        if clean is None or isinstance(clean, Path):
            return gr.skip()
        return image_tab.pair(noisy if side == _NOISY else clean, denoised)

    outputs = [seen, slider, which, scores, facts]
    changed = [*outputs, kind, level, model]
    samples = parts.wire_files(page, _TAB, file, go.line, changed, see, blank)
    samples(gallery.select, page.samples.clean_images)
    for button, path in buttons.items():
        samples(button.click, path)
    kind.input(lambda label: gr.update(**every[label].slider), kind, level, **parts.QUIET)
    which.input(turn, which, slider, **parts.QUIET)
    parts.wire_go(page, _TAB, go, [kind, level, model, strength], outputs, work, show)


def _image(path, room, models, progress, corrupt, model, strength) -> Outcome:
    image = image_tab.first_page(path)
    clean = pixels.to_float(pixels.without_alpha(image))
    # No sensor returns less than black or more than white.
    noisy = np.clip(corrupt(clean), 0, 1)
    label, denoiser = image_tab.make_denoiser(models, model, clean, strength)
    done = denoiser(noisy, None, progress)
    signals = {"clean": clean, "noisy": noisy, "denoised": np.clip(done.image, 0, 1)}
    facts = [("Model", label)]
    if done.level is not None:
        facts.append(("Noise, estimated", f"{255 * done.level:.1f} / 255"))
    scores = [("", "PSNR", "SSIM")]
    for name in ("noisy", "denoised"):
        psnr, ssim = (
            float(metric(signals[name], clean, data_range=1.0))
            for metric in (metrics.psnr, metrics.ssim)
        )
        scores.append((name.capitalize(), f"{psnr:.2f} dB", f"{ssim:.4f}"))
    views = {name: image_tab.view(x, room, name) for name, x in signals.items()}
    return Outcome(views, facts, scores=scores)


def _recording(path, room, models, progress, corrupt, model, strength) -> Outcome:
    rate = audio_files.info(path).sample_rate
    clean = pcm.to_float(audio_files.read(path))
    noisy = corrupt(clean, sample_rate=rate)
    # One gain for all keeps their loudness comparable, and none is clipped.
    gain = np.float32(0.9 / max(0.9, *(float(np.abs(x).max()) for x in (clean, noisy))))
    places = {name: room / f"{name}.wav" for name in ("clean", "noisy", "denoised")}
    audio_writing.write(places["clean"], clean * gain, rate)
    audio_writing.write(places["noisy"], noisy * gain, rate)
    choice = models.choose(model, "audio")
    files = (places["noisy"], places["denoised"])
    denoise_audio_file(*files, models.load(choice), strength=strength, progress=progress)
    clean, noisy, denoised = (pcm.to_float(audio_files.read(one)) for one in places.values())
    scores = [("", "SI-SDR")] + [
        (name, f"{float(np.mean(metrics.si_sdr(x, clean))):.2f} dB")
        for name, x in (("Noisy", noisy), ("Denoised", denoised))
    ]
    return Outcome(places, [("Model", choice.label)], scores=scores)

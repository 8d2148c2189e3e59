"""The tab on which noise is added to a clean file and taken out again."""

from typing import TYPE_CHECKING

from zoo.app import controls, limits, pictures, recordings, trial, views
from zoo.app.models import AUTO
from zoo.app.tab_picture import pair
from zoo.app.trial import NOISES, Outcome
from zoo.data.file_kinds import AUDIO_SUFFIXES as RECORDINGS
from zoo.data.file_kinds import IMAGE_SUFFIXES as PICTURES

if TYPE_CHECKING:
    from zoo.app.page import Parts

_TAB = "trial"
_BLANK = (
    '<div class="zoo-blank">Drop a clean picture or recording, or take a sample: noise is added to '
    "it and taken out again, and you see how close that comes.</div>"
)
_NOISY, _CLEAN = "Noisy and denoised", "Clean and denoised"


def build(parts: "Parts") -> None:
    """Lays it out and wires it."""
    import gradio as gr  # noqa: PLC0415, only the page needs it

    store, models = parts.store, parts.models
    first = next(iter(NOISES["image"].values()))
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=280):
            file = controls.drop("Clean picture or recording", sorted({*PICTURES, *RECORDINGS}))
            gallery = controls.gallery(parts.samples.clean_pictures)
            with gr.Row(equal_height=True):
                buttons = {
                    gr.Button(label, size="sm", min_width=80): path
                    for label, path in parts.samples.clean_recordings.items()
                }
            noise = gr.Dropdown([*NOISES["image"]], label="Noise", filterable=False)
            level = gr.Slider(**_range(first), buttons=[])
            model = controls.model(models.labels("image"))
            strength = controls.strength()
            go = controls.go("Add noise and denoise")
        with gr.Column(scale=3, min_width=280):
            seen = gr.HTML(_BLANK)
            slider = controls.slider(_TAB)
            which = gr.Radio([_NOISY, _CLEAN], value=_NOISY, show_label=False, visible=False)
            scores = gr.HTML("")
            facts = gr.HTML("")

    def see(place, room) -> dict:
        form = trial.modality(place)
        limits.check_trial(place, form)
        if form == "image":
            found = pictures.look(place, room)
            shown = views.picture(found.views.whole, found.told)
        else:
            shown = views.players([("Clean", place)]) + views.say(recordings.look(place))
        names = [*NOISES[form]]
        return blank() | {
            seen: gr.update(value=shown, visible=True),
            noise: gr.update(choices=names, value=names[0]),
            level: gr.update(**_range(NOISES[form][names[0]])),
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

    def change(label: str):
        every = NOISES["image"] | NOISES["audio"]
        return gr.update(**_range(every[label]))

    def work(source, room, tell, kind, level, label, strength) -> Outcome:
        return trial.run(
            source,
            room,
            models,
            tell,
            kind=kind,
            level=level,
            model=label,
            strength=limits.number(strength, 0, 100, "the strength") / 100,
        )

    def show(found: Outcome) -> dict:
        told = {scores: views.table(found.scores), facts: views.facts(found.facts)}
        if found.modality == "audio":
            every = [("Clean", found.clean), ("Noisy", found.noisy), ("Denoised", found.denoised)]
            return told | {seen: gr.update(value=views.players(every), visible=True)}
        return told | {
            seen: gr.update(visible=False),
            slider: gr.update(value=pair(found.noisy, found.denoised), visible=True),
            which: gr.update(visible=True, value=_NOISY),
        }

    def turn(which: str, request: gr.Request):
        found = store.visit(request.session_hash).results.get(_TAB)
        if found is None or found.modality != "image":
            return gr.skip()
        return pair(found.noisy if which == _NOISY else found.clean, found.denoised)

    shown = [seen, slider, which, scores, facts]
    samples = controls.wire_files(
        store, parts.looks, _TAB, file, go[-1], [*shown, noise, level, model], see, blank
    )
    samples(gallery.select, parts.samples.clean_pictures)
    for button, path in buttons.items():
        samples(button.click, path)
    noise.input(change, noise, level, **controls.QUIET)
    which.input(turn, which, slider, **controls.QUIET)
    inputs = [noise, level, model, strength]
    controls.wire_go(store, parts.jobs, _TAB, go, inputs, shown, work, show)


def _range(noise: trial.Noise) -> dict:
    """The slider of a noise's level."""
    return {
        "minimum": noise.low,
        "maximum": noise.high,
        "value": noise.usual,
        "step": noise.step,
        "label": noise.told,
    }

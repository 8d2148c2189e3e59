"""The tab for pictures."""

from typing import TYPE_CHECKING

from zoo.app import controls, limits, pictures, views
from zoo.app.pictures import Outcome, Views
from zoo.data.file_kinds import IMAGE_SUFFIXES as SUFFIXES

if TYPE_CHECKING:
    from zoo.app.page import Parts

_TAB = "picture"
_BLANK = '<div class="zoo-blank">Drop a picture, or take a sample.</div>'
_WHOLE, _DETAIL = "Whole picture", "Middle, pixel by pixel"


def build(parts: "Parts") -> None:
    """Lays it out and wires it."""
    import gradio as gr  # noqa: PLC0415, only the page needs it

    store, models = parts.store, parts.models
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=280):
            file = controls.drop("Picture", sorted(SUFFIXES))
            gallery = controls.gallery(parts.samples.noisy_pictures)
            model = controls.model(models.labels("image"))
            takes = models.takes_level(model.value)
            estimate = gr.Checkbox(True, label="Estimate the noise", visible=takes)
            level = gr.Slider(
                1, 100, value=25, step=1, label="Noise, of 255", visible=False, buttons=[]
            )
            strength = controls.strength()
            go = controls.go()
        with gr.Column(scale=3, min_width=280):
            seen = gr.HTML(_BLANK)
            slider = controls.slider(_TAB)
            part = gr.Radio([_WHOLE, _DETAIL], value=_WHOLE, show_label=False, visible=False)
            facts = gr.HTML("")

    def levels(label: str, estimated: bool) -> dict:
        takes = models.takes_level(label)
        return {
            estimate: gr.update(visible=takes),
            level: gr.update(visible=takes and not estimated),
        }

    def see(place, room) -> dict:
        found = pictures.look(place, room)
        shown = views.picture(found.views.whole, found.told)
        return blank() | {seen: gr.update(value=shown, visible=True)}

    def blank() -> dict:
        return {
            seen: gr.update(value=_BLANK, visible=True),
            slider: gr.update(value=None, visible=False),
            part: gr.update(visible=False, value=_WHOLE),
            facts: "",
        }

    def work(source, room, tell, label, estimated, level, strength) -> Outcome:
        told = not estimated and models.takes_level(label)
        return pictures.denoise(
            source,
            room,
            models,
            tell,
            model=label,
            level=limits.number(level, 1, 100, "the noise") if told else None,
            strength=limits.number(strength, 0, 100, "the strength") / 100,
        )

    def show(outcome: Outcome) -> dict:
        return {
            seen: gr.update(visible=False),
            slider: gr.update(value=pair(outcome.before, outcome.after), visible=True),
            part: gr.update(visible=outcome.before.detail is not None, value=_WHOLE),
            facts: views.below(
                views.say("Left of the line: before. Right of it: after."),
                views.facts(outcome.facts, outcome.notes),
                views.download(outcome.path),
            ),
        }

    def turn(which: str, request: gr.Request):
        outcome = store.visit(request.session_hash).results.get(_TAB)
        if outcome is None:
            return gr.skip()
        return pair(outcome.before, outcome.after, detail=which == _DETAIL)

    outputs = [seen, slider, part, facts]
    samples = controls.wire_files(store, parts.looks, _TAB, file, go[-1], outputs, see, blank)
    samples(gallery.select, parts.samples.noisy_pictures)
    for control in (model, estimate):
        control.change(levels, [model, estimate], [estimate, level], **controls.QUIET)
    part.input(turn, part, slider, **controls.QUIET)
    inputs = [model, estimate, level, strength]
    controls.wire_go(store, parts.jobs, _TAB, go, inputs, outputs, work, show)


def pair(before: Views, after: Views, *, detail: bool = False) -> tuple[str, str]:
    """The two files that a slider shows."""
    if detail and before.detail and after.detail:
        return str(before.detail), str(after.detail)
    return str(before.whole), str(after.whole)

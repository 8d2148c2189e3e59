"""The tab for recordings."""

from typing import TYPE_CHECKING

from zoo.app import controls, limits, recordings, views
from zoo.data.file_kinds import AUDIO_SUFFIXES as SUFFIXES

if TYPE_CHECKING:
    from zoo.app.page import Parts

_TAB = "recording"
_BLANK = '<div class="zoo-blank">Drop a recording, or take a sample.</div>'


def build(parts: "Parts") -> None:
    """Lays it out and wires it."""
    import gradio as gr  # noqa: PLC0415, only the page needs it

    store, models = parts.store, parts.models
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=280):
            file = controls.drop("Recording", sorted(SUFFIXES))
            with gr.Row(equal_height=True):
                buttons = {
                    gr.Button(label, size="sm", min_width=80): path
                    for label, path in parts.samples.noisy_recordings.items()
                }
            model = controls.model(models.labels("audio"))
            strength = controls.strength()
            go = controls.go()
        with gr.Column(scale=3, min_width=280):
            heard = gr.HTML(_BLANK)
            facts = gr.HTML("")

    def see(place, room) -> dict:
        told = recordings.look(place)
        return {heard: views.players([("Before", place)]) + views.say(told), facts: ""}

    def blank() -> dict:
        return {heard: _BLANK, facts: ""}

    def work(source, room, tell, label, strength) -> tuple:
        strength = limits.number(strength, 0, 100, "the strength") / 100
        return source, recordings.denoise(
            source, room, models, tell, model=label, strength=strength
        )

    def show(found: tuple) -> dict:
        source, outcome = found
        told = views.below(views.facts(outcome.facts, outcome.notes), views.download(outcome.path))
        return {heard: views.players([("Before", source), ("After", outcome.path)]), facts: told}

    outputs = [heard, facts]
    samples = controls.wire_files(store, parts.looks, _TAB, file, go[-1], outputs, see, blank)
    for button, path in buttons.items():
        samples(button.click, path)
    inputs = [model, strength]
    controls.wire_go(store, parts.jobs, _TAB, go, inputs, outputs, work, show)

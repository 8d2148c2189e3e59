"""The tab for audio files: a file denoised, with players before and after."""

from collections.abc import Callable
from pathlib import Path

from zoo import weights
from zoo.app import appearance, limits, parts
from zoo.app.choices import AUTO, Models
from zoo.app.parts import Outcome, Parts
from zoo.data import audio_files, file_kinds
from zoo.inference import denoise_audio_file

# Advice that notes give to programs, in terms of this page.
_ADVICE = {"take model='wiener'": "choose wiener", "limit=12": "a strength of 75 %"}
_SUBTYPES = {"PCM_16": "16 bits", "PCM_24": "24 bits", "PCM_32": "32 bits", "FLOAT": "floats"}

_TAB = "recording"
_BLANK = '<div class="zoo-blank">Drop an audio file, or take a sample.</div>'


def describe(path: Path) -> str:
    """Length, rate, channels and coding of an audio file, in words.

    Raises:
      ZooError: it is damaged, not an audio file, or too long.
    """
    limits.check_recording(path)
    facts = audio_files.info(path)
    channels = {1: "mono", 2: "stereo"}.get(facts.channels, f"{facts.channels} channels")
    coding = _SUBTYPES.get(facts.subtype)
    length = clock(facts.frames / facts.sample_rate)
    text = f"{length}, {facts.sample_rate / 1000:g} kHz, {channels}"
    return f"{text}, {coding}" if coding else text


def clock(seconds: float) -> str:
    """A time such as 1:02:03, or 7.4 s below ten seconds."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def denoise(
    path: Path,
    room: Path,
    models: Models,
    progress: Callable[[int, int], None],
    *,
    model: str,
    strength: float,
) -> Outcome:
    """Denoises an audio file; rate, channels, length and coding are kept.

    Args:
      path: the file.
      room: a folder for the result.
      models: models to choose from.
      progress: called with the number of finished samples and of all.
      model: one of their labels.
      strength: share of the model's change that is made, 0 to 1.

    Raises:
      ZooError: the file or the model cannot be used.
    """
    choice = models.choose(model, "audio")
    # The bandwidth of the file decides which of the shipped models is the best for it.
    by_file = model == AUTO and choice.source in weights.list_weights()
    resolved = None if by_file else models.load(choice)
    suffix = file_kinds.READ_ONLY_AUDIO.get(path.suffix.lower(), path.suffix)
    target = room / f"{path.stem}.denoised{suffix}"
    report = denoise_audio_file(path, target, resolved, strength=strength, progress=progress)
    label = report.model if by_file else choice.label
    facts = [("Model", label), ("Length", clock(report.frames / report.sample_rate))]
    notes = [f"{report.clipped} values were clipped"] if report.clipped else []
    notes += report.notes
    for advice, here in _ADVICE.items():
        notes = [note.replace(advice, here) for note in notes]
    return Outcome({"before": path, "after": target}, facts, notes, target)


def build(page: Parts) -> None:
    """Lays out the tab and connects its controls."""
    import gradio as gr  # noqa: PLC0415, an extra

    models = page.models
    with gr.Row(equal_height=False):
        with gr.Column(scale=2, min_width=280):
            file = parts.drop_zone("Audio file", sorted(file_kinds.AUDIO_SUFFIXES))
            buttons = parts.sample_buttons(page.samples.noisy_recordings)
            model = parts.model_list(models.labels("audio"))
            strength = parts.strength_slider("75 % takes 12 dB at most, 90 % takes 20")
            go = parts.go_buttons()
        with gr.Column(scale=3, min_width=280):
            players = gr.HTML(_BLANK)
            facts = gr.HTML("")

    def see(place: Path, room: Path) -> dict:
        text = appearance.say(describe(place))
        return {players: appearance.players([("Before", place)]) + text, facts: ""}

    def blank() -> dict:
        return {players: _BLANK, facts: ""}

    def work(source, room, progress, label, strength) -> Outcome:
        strength = parts.share(strength)
        return denoise(source, room, models, progress, model=label, strength=strength)

    def show(found: Outcome) -> dict:
        return {players: found.players, facts: found.summary}

    outputs = [players, facts]
    samples = parts.wire_files(page, _TAB, file, go.line, outputs, see, blank)
    for button, path in buttons.items():
        samples(button.click, path)
    parts.wire_go(page, _TAB, go, [model, strength], outputs, work, show)

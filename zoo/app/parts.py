"""Parts that the tabs share: queues and visitors, controls, and how controls start jobs."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from zoo.app import appearance, limits
from zoo.app.choices import AUTO, Models, Samples
from zoo.app.jobs import Job, Jobs, Stopped
from zoo.app.store import Store, Visit
from zoo.errors import ZooError

_PRIVATE = {"api_visibility": "private", "show_progress": "hidden"}
QUIET = {**_PRIVATE, "queue": False}
"""Options of events by which the page follows a control at once."""

# Seconds between two updates of a progress bar.
_BEAT = 0.25


class Parts(NamedTuple):
    """What the tabs work with.

    Attributes:
      store: visitors and their files.
      jobs: the queue of denoising jobs.
      looks: the queue of first looks at files, which do not wait for `jobs`.
      models: models to choose from.
      samples: files to try.
    """

    store: Store
    jobs: Jobs
    looks: Jobs
    models: Models
    samples: Samples


class Outcome(NamedTuple):
    """The result of a job.

    Attributes:
      shown: name -> views of an image or audio: before and after, or clean, noisy, denoised.
      facts: names and values to show.
      notes: short sentences on losses.
      path: the file to download, if there is one.
      scores: rows of a table, the heading first.
    """

    shown: dict[str, Any]
    facts: Sequence[tuple[str, str]]
    notes: Sequence[str] = ()
    path: Path | None = None
    scores: Sequence[Sequence[str]] = ()

    @property
    def players(self) -> str:
        """Audio players of what is shown."""
        return appearance.players([(name.capitalize(), at) for name, at in self.shown.items()])

    @property
    def summary(self) -> str:
        """The facts and notes, and below them the download."""
        link = appearance.download(self.path) if self.path else ""
        return appearance.below(appearance.facts(self.facts, self.notes), link)


class Go(NamedTuple):
    """The button that starts a job, the one that stops it, and the line below them."""

    start: Any
    stop: Any
    line: Any


def model_list(labels: Sequence[str]):
    """A list of models."""
    import gradio as gr  # noqa: PLC0415, an extra

    return gr.Dropdown([AUTO, *labels], value=AUTO, label="Model", filterable=False)


def strength_slider(remark: str | None = None):
    """A slider from none to all of the model's change."""
    import gradio as gr  # noqa: PLC0415

    return gr.Slider(0, 100, value=100, step=5, label="Strength, %", info=remark, buttons=[])


def share(percent: object) -> float:
    """The value of a strength slider, 0 to 1.

    Raises:
      ZooError: it is not a percentage.
    """
    return limits.number(percent, 0, 100, "the strength") / 100


def go_buttons(text: str = "Denoise") -> Go:
    """Buttons and line of a job."""
    import gradio as gr  # noqa: PLC0415

    start = gr.Button(text, variant="primary", size="lg")
    stop = gr.Button("Stop", variant="secondary", size="lg", visible=False)
    return Go(start, stop, gr.HTML(""))


def drop_zone(text: str, suffixes: Sequence[str]):
    """A place to drop a file."""
    import gradio as gr  # noqa: PLC0415

    return gr.File(label=text, file_types=[*suffixes], height=140)


def comparison(tab: str):
    """Two images, one over the other, with a movable line between them; hidden at first."""
    import gradio as gr  # noqa: PLC0415

    return gr.ImageSlider(
        visible=False,
        show_label=False,
        interactive=False,
        type="filepath",
        max_height=560,
        buttons=["fullscreen"],
        elem_id=f"zoo-{tab}-slider",
    )


def thumbnails(paths: Sequence[Path]):
    """Small images to choose from."""
    import gradio as gr  # noqa: PLC0415

    return gr.Gallery(
        [(str(path), None) for path in paths],
        columns=4,
        rows=1,
        height="auto",
        allow_preview=False,
        interactive=False,
        show_label=False,
        container=False,
        object_fit="cover",
        buttons=[],
        elem_classes="zoo-samples",
    )


def sample_buttons(samples: dict[str, Path]) -> dict[Any, Path]:
    """Small buttons in a row, one per sample."""
    import gradio as gr  # noqa: PLC0415

    with gr.Row(equal_height=True):
        return {gr.Button(label, size="sm", min_width=80): path for label, path in samples.items()}


def wire_go(
    parts: Parts,
    tab: str,
    go: Go,
    inputs: Sequence,
    outputs: Sequence,
    work: Callable[..., Outcome],
    show: Callable[[Outcome], dict],
) -> None:
    """Connects the buttons of a tab to its job.

    Args:
      parts: what the tabs share.
      tab: name of the tab.
      go: its buttons and line.
      inputs: components whose values `work` takes.
      outputs: components that `show` changes.
      work: called as `work(source, room, progress, *values)` from the queue, with the tab's file
        and a folder for the results.
      show: changes to the page, by component, for the result of `work`.
    """
    import gradio as gr  # noqa: PLC0415

    def run(visit: Visit, path: Path, progress, values: tuple) -> Any:
        start = time.perf_counter()
        with visit.room(tab) as room:
            outcome = work(path, room, progress, *values)
        took = f"{time.perf_counter() - start:.1f} s"
        return outcome._replace(facts=[*outcome.facts, ("Took", took)])

    async def begin(request: gr.Request, *values):
        idle = {go.start: gr.update(visible=True), go.stop: gr.update(visible=False)}
        try:
            visit = parts.store.visit(request.session_hash)
            path = visit.file(tab)
            visit.stop(tab)
            job = parts.jobs.submit(lambda progress: run(visit, path, progress, values))
            visit.jobs[tab] = job
        except ZooError as error:
            yield {go.line: appearance.say(str(error), "error")}
            return
        yield {go.start: gr.update(visible=False), go.stop: gr.update(visible=True)}
        async for bar in _watch(job):
            yield {go.line: bar}
        if job.error is not None:
            yield idle | {go.line: _explain(job.error, path)}
            return
        visit.results[tab] = job.result
        yield idle | {go.line: ""} | show(job.result)

    def end(request: gr.Request) -> str:
        parts.store.visit(request.session_hash).stop(tab)
        return appearance.say("Stopping.")

    go.start.click(begin, inputs, [*go, *outputs], concurrency_limit=None, **_PRIVATE)
    go.stop.click(end, None, go.line, **QUIET)


def wire_files(
    parts: Parts,
    tab: str,
    file,
    line,
    outputs: Sequence,
    see: Callable[[Path, Path], dict],
    blank: Callable[[], dict],
) -> Callable[..., None]:
    """Connects the drop zone of a tab to a first look at the file.

    Args:
      parts: what the tabs share.
      tab: name of the tab.
      file: the drop zone.
      line: a component for errors.
      outputs: components that `see` and `blank` change.
      see: called as `see(file, room)`, where `room` is a folder for views of the file; returns
        changes to the page, or raises `ZooError` for a bad file.
      blank: changes to the page for no file.

    Returns:
      A function `(listener, paths)` that connects samples: a gallery's `select` with a list of
      files, a button's `click` with one.
    """
    import gradio as gr  # noqa: PLC0415

    def look(visit: Visit, place: Path) -> dict:
        with visit.room(tab) as room:
            return see(place, room)

    async def take(
        name: str, session: str, taken: Callable[[Visit], Path]
    ) -> AsyncIterator[dict[Any, Any]]:
        # A large image takes seconds to decode.
        yield {line: appearance.moving(f"Reading {name}")}
        visit = place = None
        try:
            visit = parts.store.visit(session)
            place = taken(visit)
            job = visit.jobs[tab] = parts.looks.submit(lambda progress: look(visit, place))
            async for _ in _watch(job):
                pass
            if job.error is not None:
                raise job.error
            yield {line: "", **job.result}
        except Stopped:
            # Another file came, or the visitor left.
            return
        # Of any kind: the visitor must see a line.
        except Exception as error:
            if visit is not None:
                visit.drop(tab)
            # The line has the name; in the drop zone it would look as if it were accepted.
            yield blank() | {file: None, line: _explain(error, place)}

    async def dropped(upload: dict | None, request: gr.Request) -> AsyncIterator[dict]:
        if not upload:
            yield cleared(request)
            return
        path, session = upload["path"], request.session_hash
        async for change in take(Path(path).name, session, lambda visit: visit.take(tab, path)):
            yield change

    def cleared(request: gr.Request) -> dict:
        parts.store.visit(request.session_hash).drop(tab)
        return blank() | {line: ""}

    async def sampled(path: Path, request: gr.Request) -> AsyncIterator[dict]:
        yield {file: None}
        session = request.session_hash
        async for change in take(path.name, session, lambda visit: visit.try_sample(tab, path)):
            yield change

    everything = [file, line, *outputs]
    options = {"concurrency_limit": None, **_PRIVATE}
    # Unprocessed: Gradio itself would read the file, and leave an empty one behind each time.
    file.upload(dropped, file, everything, preprocess=False, **options)
    file.clear(cleared, None, everything, **options)

    def samples(listener: Callable, paths: Sequence[Path] | Path) -> None:
        async def one(request: gr.Request) -> AsyncIterator[dict]:
            async for change in sampled(paths, request):
                yield change

        async def some(event: gr.SelectData, request: gr.Request) -> AsyncIterator[dict]:
            async for change in sampled(paths[event.index % len(paths)], request):
                yield change

        listener(one if isinstance(paths, Path) else some, None, everything, **options)

    return samples


async def _watch(job: Job) -> AsyncIterator[str]:
    """The progress bar of a job until it is done; a caller that leaves early stops the job."""
    last = None
    try:
        while not job.done:
            bar = appearance.progress(job.share, job.before)
            if bar != last:
                yield bar
            last = bar
            await asyncio.sleep(_BEAT)
    finally:
        job.stop()


def _explain(error: BaseException, path: Path | None) -> str:
    kind = "soft" if isinstance(error, Stopped) else "error"
    return appearance.say(limits.explain(error, path), kind)

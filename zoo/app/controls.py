"""What the tabs have in common: controls, and how they are wired."""

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from zoo.app import limits, runs, views
from zoo.app.jobs import Jobs, Stopped
from zoo.app.models import AUTO
from zoo.app.store import Store, Visit

QUIET = {"queue": False, "api_visibility": "private", "show_progress": "hidden"}
"""How the page follows a control at once."""

_PRIVATE = {"api_visibility": "private", "show_progress": "hidden"}


def model(labels: Sequence[str]):
    """A list of models."""
    import gradio as gr  # noqa: PLC0415, only the page needs it

    return gr.Dropdown([AUTO, *labels], value=AUTO, label="Model", filterable=False)


def strength():
    """A slider from nothing to all of what the model does."""
    import gradio as gr  # noqa: PLC0415

    return gr.Slider(0, 100, value=100, step=5, label="Strength, %", buttons=[])


def go(text: str = "Denoise"):
    """The button that starts, the one that stops, and the line below them."""
    import gradio as gr  # noqa: PLC0415

    start = gr.Button(text, variant="primary", size="lg")
    stop = gr.Button("Stop", variant="secondary", size="lg", visible=False)
    return start, stop, gr.HTML("")


def drop(text: str, suffixes: Sequence[str]):
    """Where a file is dropped."""
    import gradio as gr  # noqa: PLC0415

    return gr.File(label=text, file_types=[*suffixes], height=140)


def slider(tab: str):
    """Two pictures one over the other, with a line to move; hidden at first."""
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


def gallery(paths: Sequence[Path]):
    """Small pictures to choose from."""
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


def wire_go(
    store: Store,
    jobs: Jobs,
    tab: str,
    parts: tuple,
    inputs: Sequence,
    outputs: Sequence,
    work: Callable[..., Any],
    show: Callable[[Any], dict],
) -> None:
    """Has the buttons of a tab start and stop its job; see `runs.starter`."""
    start, stop, line = parts
    begin = runs.starter(store, jobs, tab, parts, work, show)
    start.click(begin, inputs, [*parts, *outputs], concurrency_limit=None, **_PRIVATE)
    stop.click(runs.stopper(store, tab), None, line, queue=False, **_PRIVATE)


def wire_files(
    store: Store,
    looks: Jobs,
    tab: str,
    file,
    line,
    outputs: Sequence,
    see: Callable[[Path, Path], dict],
    blank: Callable[[], dict],
) -> Callable[..., None]:
    """Has a tab take files.

    Args:
      store: of the visitors.
      looks: the queue of those who wait for a first look at their file.
      tab: whose.
      file: where files are dropped.
      line: for what is wrong with one.
      outputs: the components that `see` and `blank` change.
      see: called as `see(file, room)` for a file that was taken, where `room` is a folder for what
        is shown of it: changes to the page; raises `ZooError` for a bad file.
      blank: changes to the page where there is none.

    Returns:
      A function `(listener, paths)` by which samples are taken: a gallery's of a list of files, a
      button's of one.
    """
    import gradio as gr  # noqa: PLC0415

    def look(visit: Visit, place: Path) -> dict:
        with visit.room(tab) as room:
            return see(place, room)

    async def take(
        name: str, session: str, taken: Callable[[Visit], Path]
    ) -> AsyncIterator[dict[Any, Any]]:
        # A large picture takes seconds to decode.
        yield {line: views.moving(f"Reading {name}")}
        visit = place = None
        try:
            visit = store.visit(session)
            place = taken(visit)
            job = visit.jobs[tab] = looks.submit(lambda tell: look(visit, place))
            async for _ in runs.watch(job):
                pass
            if job.error is not None:
                raise job.error
            yield {line: "", **job.result}
        except Stopped:
            # Another file came, or the visitor went on.
            return
        # Whatever it is, the visitor gets a line.
        except Exception as error:
            if visit is not None:
                visit.drop(tab)
            said = limits.told(error, place)
            # The name is in the line; in its place it would look as if it were taken.
            yield blank() | {file: None, line: views.say(said, limits.kind(error))}

    async def dropped(told: dict | None, request: gr.Request) -> AsyncIterator[dict]:
        if told:
            path = told["path"]
            steps = take(Path(path).name, request.session_hash, lambda visit: visit.take(tab, path))
            async for step in steps:
                yield step
        else:
            yield cleared(request)

    def cleared(request: gr.Request) -> dict:
        store.visit(request.session_hash).drop(tab)
        return blank() | {line: ""}

    def sampled(paths: Sequence[Path] | Path):
        async def try_sample(path: Path, session: str) -> AsyncIterator[dict]:
            yield {file: None}
            async for step in take(path.name, session, lambda visit: visit.try_sample(tab, path)):
                yield step

        if isinstance(paths, Path):

            async def one(request: gr.Request) -> AsyncIterator[dict]:
                async for step in try_sample(paths, request.session_hash):
                    yield step

            return one

        async def some(event: gr.SelectData, request: gr.Request) -> AsyncIterator[dict]:
            async for step in try_sample(paths[event.index % len(paths)], request.session_hash):
                yield step

        return some

    everything = [file, line, *outputs]
    options = {"concurrency_limit": None, **_PRIVATE}
    # As it comes: Gradio itself would look at the file, and leave an empty one behind each time.
    file.upload(dropped, file, everything, preprocess=False, **options)
    file.clear(cleared, None, everything, **options)

    def samples(listener: Callable, paths: Sequence[Path] | Path) -> None:
        listener(sampled(paths), None, everything, **options)

    return samples

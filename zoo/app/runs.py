"""A button that starts a job, one that stops it, and a line between them that tells how it goes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from zoo.app import limits, views
from zoo.app.jobs import Job, Jobs
from zoo.app.store import Store
from zoo.errors import ZooError

# Seconds between two looks at a job.
_BEAT = 0.25


async def watch(job: Job) -> AsyncIterator[str]:
    """What to say of a job until it is done; whoever stops listening stops it."""
    told = None
    try:
        while not job.done:
            now = views.progress(job.share, job.before)
            if now != told:
                yield now
            told = now
            await asyncio.sleep(_BEAT)
    finally:
        job.stop()


def starter(
    store: Store,
    jobs: Jobs,
    tab: str,
    parts: tuple,
    work: Callable[..., Any],
    show: Callable[[Any], dict],
) -> Callable:
    """What the button of a tab does: an asynchronous generator of changes to the page.

    Args:
      store: of the visitors.
      jobs: the queue.
      tab: whose button it is.
      parts: the button, the one that stops, and the line.
      work: called as `work(source, room, tell, *values)`, in its turn, with the tab's file and a
        folder for what comes of it.
      show: changes to the page, by component, once there is a result.
    """
    import gradio as gr  # noqa: PLC0415, only the page needs it

    start, stop, line = parts

    def go(visit, path, tell, values):
        with visit.room(tab) as room:
            return work(path, room, tell, *values)

    async def begin(request: gr.Request, *values):
        idle = {start: gr.update(visible=True), stop: gr.update(visible=False)}
        try:
            visit = store.visit(request.session_hash)
            path = visit.file(tab)
            visit.stop(tab)
            job = visit.jobs[tab] = jobs.submit(lambda tell: go(visit, path, tell, values))
        except ZooError as error:
            yield {line: views.say(str(error), "error")}
            return
        yield {start: gr.update(visible=False), stop: gr.update(visible=True)}
        async for now in watch(job):
            yield {line: now}
        if job.error is not None:
            said = limits.told(job.error, path)
            yield idle | {line: views.say(said, limits.kind(job.error))}
            return
        visit.results[tab] = job.result
        yield idle | {line: ""} | show(job.result)

    return begin


def stopper(store: Store, tab: str) -> Callable:
    """What the button does that stops."""
    import gradio as gr  # noqa: PLC0415, only the page needs it

    def end(request: gr.Request):
        store.visit(request.session_hash).stop(tab)
        return views.say("Stopping.")

    return end

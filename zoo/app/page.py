"""The page, put together."""

from typing import NamedTuple

from zoo.app import limits, tab_picture, tab_recording, tab_trial
from zoo.app.jobs import Jobs
from zoo.app.models import Models
from zoo.app.samples import Samples
from zoo.app.store import Store

_HEAD = """<div class="zoo-head"><h1>Denoising zoo</h1>
<p>Clean up pictures and recordings. All of it happens on the machine this page comes from.</p>
</div>"""


class Parts(NamedTuple):
    """What the tabs work with.

    Attributes:
      store: of the visitors.
      jobs: the queue.
      looks: another, of files to have a first look at, which does not wait for the first.
      models: what can be chosen.
      samples: what to try.
    """

    store: Store
    jobs: Jobs
    looks: Jobs
    models: Models
    samples: Samples


def build(parts: Parts):
    """The page as Gradio's `Blocks`."""
    import gradio as gr  # noqa: PLC0415, only the page needs it

    def leave(request: gr.Request) -> None:
        parts.store.leave(request.session_hash)

    with gr.Blocks(title="Denoising zoo", analytics_enabled=False) as blocks:
        gr.HTML(_HEAD)
        with gr.Tab("Picture"):
            tab_picture.build(parts)
        with gr.Tab("Recording"):
            tab_recording.build(parts)
        with gr.Tab("Test with noise"):
            tab_trial.build(parts)
        blocks.unload(leave)
    # The queues are ours, so that who waits can see them and leave them.
    return blocks.queue(default_concurrency_limit=None, max_size=limits.MOST_EVENTS, api_open=False)

"""The report: what a look takes and what it leaves."""

import json

import pytest

from zoo.train.modality import MODALITIES
from zoo.train.report import Unwritten, draw_curves


@pytest.mark.parametrize(
    ("pending", "leave", "taken"), [(5, 8, 0), (8, 8, 0), (9, 8, 1), (9, 0, 9)]
)
def test_a_look_leaves_the_latest_steps_to_the_next(pending, leave, taken):
    report, fetched = Unwritten(), []

    def fetch(metrics):
        fetched.append(metrics["step"])
        return {"loss": 1.0, "grad_norm": 1.0}

    for step in range(1, pending + 1):
        report.add(step, {"step": step})
    assert report.look(fetch, leave=leave) is None
    assert fetched == list(range(1, taken + 1))
    assert report.look(fetch) is None
    assert fetched == list(range(1, pending + 1))


@pytest.mark.parametrize("loss", [0.5, 0.0, -30.0])
def test_curves_of_any_loss_are_drawn(tmp_path, loss):
    """Those of decibels are below 0, where a logarithmic axis warns, and warnings are errors."""
    rows = [{"step": step, "loss": loss, "psnr": 20.0} for step in range(1, 4)]
    (tmp_path / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    draw_curves(tmp_path / "metrics.jsonl", tmp_path / "curves.png", MODALITIES["image"])
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")

"""The report: what a look takes and what it leaves."""

import pytest

from zoo.train.report import Unwritten


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

"""The metrics writer: what a look takes and what it leaves."""

import json
import struct
import threading
import time

import pytest
from tensorboardX.proto.event_pb2 import Event

from zoo.modality import IMAGE
from zoo.train import metrics_writer
from zoo.train.metrics_writer import Metrics, MetricsWriter, draw_curves


@pytest.mark.parametrize(
    ("pending", "leave", "taken"), [(5, 8, 0), (8, 8, 0), (9, 8, 1), (9, 0, 9)]
)
def test_a_look_leaves_the_latest_steps_to_the_next(pending, leave, taken):
    report, fetched = Metrics(), []

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
    draw_curves(tmp_path / "metrics.jsonl", tmp_path / "curves.png", IMAGE)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def undrawn(monkeypatch):
    monkeypatch.setattr(metrics_writer, "draw_curves", lambda *_: None)


def report(workdir, step=0):
    return MetricsWriter(workdir, step, lambda step: 0.1, IMAGE)


def log(report, steps):
    for step in steps:
        report.add(step, {"loss": 0.5, "psnr": 20.0, "grad_norm": 1.0})
        report.look(lambda metrics: metrics)
        report.write()


def events(workdir):
    """The events in the format of TensorFlow's records: length, checksum, data, checksum."""
    found = []
    for file in sorted((workdir / "events").iterdir()):
        data, at = file.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            found.append(Event.FromString(data[at + 12 : at + 12 + length]))
            at += 16 + length
    return found


@pytest.mark.usefixtures("undrawn")
def test_a_clock_set_back_stops_nothing(tmp_path, monkeypatch):
    ahead = [0.0]
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + ahead[0])

    def run():
        with report(tmp_path) as written:
            log(written, range(1, 5))
            ahead[0] = -30 * 86400.0
            log(written, range(5, 40))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    reported = [event for event in events(tmp_path) if event.HasField("summary")]
    assert [event.step for event in reported] == list(range(1, 40))
    tags = [value.tag for value in reported[-1].summary.value]
    assert tags == ["loss", "psnr", "grad_norm", "learning_rate", "seconds"]


@pytest.mark.parametrize(
    "damage",
    [
        b"\xff\xfe",
        b"[" * 100_000 + b"\n",
        b'{"step": 3}\n',
        b'{"step": "x", "loss": 1}\n',
        b"\0" * 9,
    ],
    ids=["not text", "deep", "half a row", "words", "zeros"],
)
@pytest.mark.usefixtures("undrawn")
def test_a_damaged_log_is_kept_aside_and_what_is_whole_goes_on(tmp_path, capsys, damage):
    rows = [{"step": step, "loss": 0.5, "psnr": 20.0} for step in range(1, 7)]
    lines = [json.dumps(row).encode() + b"\n" for row in rows]
    data = b"".join(lines[:2]) + damage + b"".join(lines[2:])
    (tmp_path / "metrics.jsonl").write_bytes(data)
    with report(tmp_path, step=5) as written:
        log(written, [6])
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    steps = [json.loads(line)["step"] for line in lines]
    assert steps == ([1, 2, 3, 4, 5, 6] if damage.endswith(b"\n") else [1, 2, 4, 5, 6])
    assert (tmp_path / "metrics.jsonl.damaged-5").read_bytes() == data
    assert "1 lines of" in capsys.readouterr().err


@pytest.mark.usefixtures("undrawn")
def test_a_half_written_last_line_is_no_damage(tmp_path, capsys):
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step": 1, "loss": 0.5, "psnr": 20.0}\n{"ste')
    with report(tmp_path, step=1) as written:
        log(written, [2])
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2
    assert "damaged" not in capsys.readouterr().err

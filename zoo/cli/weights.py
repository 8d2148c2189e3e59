"""`zoo weights`: describe weights, those that come with the zoo and those trained here."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo import weights
from zoo.cli import common
from zoo.errors import ZooError

# As a validation calls them in the record.
_VALIDATION = {"validation_psnr": "PSNR", "validation_si_sdr": "SI-SDR"}
_HIDDEN = ("mse", "mae")
_CARD = {
    "summary": "for",
    "parameters": "parameters",
    "stored": "stored as",
    "trained_on": "trained on",
    "terms": "terms of the data",
    "license": "licence",
    "command": "command",
}


_DESCRIPTION = """Describe weights: those that come with the zoo, or files. Of those that are
named also their cards and their scores on test images or recordings. With --from-run, first
write those of a run: the average that scored best in validation so far, or the newest one."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the command takes to its parser."""
    parser.description = _DESCRIPTION
    parser.add_argument(
        "files",
        nargs="*",
        metavar="NAME|FILE",
        help="weights; if none are named, those of the zoo and all files under runs/",
    )
    parser.add_argument(
        "--from-run",
        metavar="RUN",
        help="write the weights of the newest checkpoint of a run, stopped or at work; RUN is its "
        "folder, such as runs/unet",
    )
    parser.add_argument(
        *("-o", "--output"), metavar="FILE", help="for --from-run (RUN/weights.safetensors)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is there")
    parser.add_argument("--json", action="store_true", help="print the whole records")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Prints the tables, or the records."""
    if arguments.from_run:
        arguments.files = [*arguments.files, _from_run(arguments)]
    elif arguments.output or arguments.overwrite:
        raise ZooError("-o and --overwrite are for --from-run RUN; add it, or leave them out")
    trained = sorted(map(str, Path("runs").glob("*/weights.safetensors")))
    files = arguments.files or weights.list_weights() + trained
    records = {file: weights.read_record(file) for file in files}
    if arguments.json:
        print(json.dumps(records, indent=2))
        return
    rows = [("weights", "model", "noise", "step", "validation", "commit")]
    for file, record in records.items():
        rows.append(
            (
                file,
                record["model"],
                common.training_noise(record.get("noise") or {}) or "-",
                str(record.get("step", "-")),
                _validation(record.get("scores") or {}),
                record.get("commit") or "-",
            )
        )
    print(common.table(rows))
    for file, record in records.items() if arguments.files else ():
        if card := _card(record):
            print(f"\n{common.line(file)}\n{card}")
        for where, levels in _tested(record.get("scores") or {}):
            heading = f"{file} on {where}, in brackets the noisy input"
            print(f"\n{common.line(heading)}\n{_test(levels, record)}")


def _from_run(arguments: argparse.Namespace) -> str:
    """Writes the weights of a run's newest checkpoint; the file."""
    # Here, because the other uses need not wait for it.
    from zoo.train.run_weights import weights_of  # noqa: PLC0415

    file = Path(arguments.output or Path(arguments.from_run) / "weights.safetensors")
    if file.exists() and not arguments.overwrite:
        raise ZooError(f"{file} is there already; name another file by -o, or add --overwrite")
    return str(weights_of(arguments.from_run, file))


def _card(record: Mapping[str, Any]) -> str:
    """What the makers of shipped weights state, a line each."""
    rows = [(heading, str(record[key])) for key, heading in _CARD.items() if record.get(key)]
    if record.get("seconds"):
        minutes, device = record["seconds"] / 60, record.get("device") or "an unknown device"
        rows.append(("training", f"{minutes:.0f} minutes on {device}"))
    return common.table([(f"  {heading}", value) for heading, value in rows])


def _validation(scores: Mapping[str, Any]) -> str:
    found = [
        f"{scores[key]:.2f} dB {name}"
        for key, name in _VALIDATION.items()
        if scores.get(key) is not None
    ]
    return found[0] if found else "-"


def _tested(scores: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Scores by level of every set: the published protocol's where they are known, or the run's."""
    if scores.get("benchmark"):
        return list(scores["benchmark"].items())
    return [("its test set", scores["test"])] if scores.get("test") else []


def _test(by_level: Mapping[str, Mapping[str, Mapping[str, float | None]]], record: dict) -> str:
    """The model's means, a row for each level."""
    # Here, because the list of all weights shows no scores and need not wait for this.
    from zoo.evaluate import levels_of  # noqa: PLC0415
    from zoo.modality import AUDIO, IMAGE  # noqa: PLC0415

    found = next(iter(by_level.values())).get("model", ())
    known = [metric for one in (IMAGE, AUDIO) for metric in one.metrics.values()]
    # The gain is the difference of what a cell shows.
    shown = [m for m in known if m.name in found and m.name not in _HIDDEN and not m.gain_of]
    rows = [("level", *(metric.heading for metric in shown))]
    for level in levels_of(record):
        if level in by_level:
            cells = [_cell(by_level[level], metric.name, metric.digits) for metric in shown]
            rows.append((level, *cells))
    return common.table(rows)


def _cell(methods: Mapping[str, Mapping[str, float | None]], metric: str, digits: int) -> str:
    ours, noisy = (
        "-" if value is None else f"{value:.{digits}f}"
        for value in (methods.get(name, {}).get(metric) for name in ("model", "noisy"))
    )
    return f"{ours} ({noisy})"

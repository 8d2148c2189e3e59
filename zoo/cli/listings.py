"""`zoo models`, which lists or describes models, and `zoo weights`, the same of weights."""

import argparse
import json
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo import models, weights
from zoo.cli import common
from zoo.errors import ZooError
from zoo.models import ModelSpec

_MODELS = """List the models for images and those for audio, or describe some, with their number of
multiply-adds and the source of published weights. The latency is the largest lag of a streamed
output: the samples of one step, plus the look-ahead of the model."""

_WEIGHTS = """Describe weights that come with the package, or weight files. For weights given by
name, their cards and scores on test data are printed too. With --from-run, the weights of a run are
written first: the parameter average that scored best in validation so far, or the newest one."""

# What multiply-adds are counted for, and the headings of a table.
_KINDS = {
    "image": ("pixel", ("denoises", "channels", "size", "takes level", "locality")),
    "audio": ("second", ("denoises", "channels", "sample rate", "latency")),
}
# As a validation calls them in the record.
_VALIDATION = {"validation_psnr": "PSNR", "validation_si_sdr": "SI-SDR"}
_HIDDEN = ("mse", "mae")
_CARD = {
    "summary": "for",
    "parameters": "parameters",
    "stored": "stored as",
    "trained_on": "trained on",
    "terms": "terms of the data",
    "license": "license",
    "source": "source",
    "command": "command",
}


def add_models_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `zoo models` to its parser."""
    parser.description = _MODELS
    parser.add_argument("names", nargs="*", metavar="NAME", help="a model (all models)")
    parser.set_defaults(run=_list_models)


def add_weights_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `zoo weights` to its parser."""
    parser.description = _WEIGHTS
    parser.add_argument(
        "files",
        nargs="*",
        metavar="NAME|FILE",
        help="weights (those of the package, and all files under runs/)",
    )
    parser.add_argument(
        "--from-run",
        metavar="RUN",
        help="write the weights of the newest checkpoint of a run, which may still be in progress; "
        "RUN is its folder, such as runs/unet",
    )
    parser.add_argument(
        *("-o", "--output"), metavar="FILE", help="output of --from-run (RUN/weights.safetensors)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    parser.add_argument(
        "--free",
        action="store_true",
        help="leave out weights whose license restricts their use, or that state no license",
    )
    parser.add_argument("--json", action="store_true", help="print the complete metadata as JSON")
    parser.set_defaults(run=_list_weights)


def _list_models(arguments: argparse.Namespace) -> None:
    """Prints a table of image models and one of audio models; and the cards of those named."""
    found = [models.model_spec(name) for name in arguments.names or models.list_models()]
    tables = []
    for modality, (_, headings) in _KINDS.items():
        rows = [_model_row(spec) for spec in found if spec.modality == modality]
        if rows:
            tables.append(common.table([("model", "parameters", *headings), *rows]))
    if arguments.names:
        headings = ("model", "description", "multiply-adds", "published weights")
        cards = [_model_card(spec) for spec in {spec.name: spec for spec in found}.values()]
        tables.append(common.table([headings, *cards]))
    print("\n\n".join(tables))


def _model_row(spec: ModelSpec) -> tuple[str, ...]:
    start = (spec.name, f"{models.count_parameters(spec.name):,}")
    if spec.modality == "image":
        size = "x".join(map(str, spec.size)) if spec.size else "any"
        size += f", {spec.planes} planes" if spec.planes > 1 else ""
        level = "yes" if spec.takes_level else "no"
        return (*start, "images", str(spec.channels), size, level, spec.locality)
    latency = "whole file"
    if spec.hop:
        latency = f"{round(1000 * (spec.hop + spec.latency) / spec.sample_rate, 1):g} ms"
    return (*start, "audio", "any", f"{spec.sample_rate} Hz", latency)


def _model_card(spec: ModelSpec) -> tuple[str, ...]:
    card, (unit, _) = models.model_card(spec.name), _KINDS[spec.modality]
    macs = "unknown" if card.macs is None else f"{card.macs:,} a {unit}"
    source = f"github.com/{card.source} ({card.license})" if card.source else "none"
    return card.name, card.summary, macs, source


def _list_weights(arguments: argparse.Namespace) -> None:
    """Prints the tables, or the records."""
    if arguments.from_run:
        arguments.files = [*arguments.files, _from_run(arguments)]
    elif arguments.output or arguments.overwrite:
        raise ZooError("-o and --overwrite are for --from-run RUN; add it, or leave them out")
    trained = sorted(map(str, Path("runs").glob("*/weights.safetensors")))
    files = arguments.files or weights.list_weights() + trained
    records = {file: weights.read_record(file) for file in files}
    if arguments.free:
        records = {file: record for file, record in records.items() if weights.is_free(record)}
    if arguments.json:
        print(json.dumps(records, indent=2))
        return
    rows = [("weights", "model", "noise", "step", "validation", "commit", "license")]
    for file, record in records.items():
        rows.append(
            (
                file,
                record["model"],
                common.training_noise(record) or "-",
                str(record.get("step", "-")),
                _validation(record.get("scores") or {}),
                record.get("commit") or "-",
                record.get("license") or "-",
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
    table = common.table([(f"  {heading}", value) for heading, value in rows])
    if not record.get("notice"):
        return table
    notice = textwrap.indent("\n".join(map(textwrap.fill, str(record["notice"]).split("\n"))), "  ")
    return f"{table}\n\n{common.lines(notice)}"


def _validation(scores: Mapping[str, Any]) -> str:
    if scores.get("validation_loss") is not None:
        return f"loss {scores['validation_loss']:.3g}"
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
            rows.append((level, *(_cell(by_level[level], metric) for metric in shown)))
    return common.table(rows)


def _cell(methods: Mapping[str, Mapping[str, float | None]], metric: Any) -> str:
    found = (methods.get(name, {}).get(metric.name) for name in ("model", "noisy"))
    return "{} ({})".format(*map(metric.text, found))

"""Model, data, training and origin of a run, as names and values for the page."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from zoo.report import score_tables
from zoo.report.run_files import Run

Pairs = list[tuple[str, str]]
_MINUS = "\N{MINUS SIGN}"
_TIMES = " \N{MULTIPLICATION SIGN} "


def fixed(value: float | None, digits: int, *, sign: bool = False) -> str:
    """A number with a fixed count of digits after the point; a dash for None and NaN."""
    if value is None or math.isnan(value):
        return "\N{EN DASH}"
    if math.isinf(value):
        return "\N{INFINITY}" if value > 0 else f"{_MINUS}\N{INFINITY}"
    return f"{value:{'+' if sign else ''}.{digits}f}".replace("-", _MINUS)


def duration(seconds: float) -> str:
    """A time in its two largest units, such as 1 h 12 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def text(value: Any) -> str:
    """A value of a config or a protocol on one line; "" for None."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {text(one)}" for name, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(text, value))
    return "" if value is None else str(value)


def title(run: Run) -> str:
    """The run's name."""
    return str(run.config.get("name") or run.workdir.resolve().name)


def lead(run: Run) -> str:
    """One sentence: model, data and noise."""
    model = run.record.get("model") or run.section("model").get("name")
    return f"{model}, trained on {run.section('data').get('name')} with noise: {_noise(run)}."


def missing(run: Run) -> Iterator[tuple[str, str]]:
    """Parts that a finished run has and this one does not: (in short, in a sentence)."""
    if not run.steps:
        yield "", "No step is logged yet, so there are no curves."
    if not run.record:
        done = run.steps[-1]["step"] if run.steps else 0
        of = f" of {_steps(run):,}" if _steps(run) else ""
        yield (
            f"not finished: {done:,.0f}{of} steps, no weights yet",
            "There are no weights yet: model, device, commit and versions come with them.",
        )
    if (
        not run.summary
        and run.section("target").get("name")
        and not run.section("noise").get("name")
    ):
        yield "learned from noisy images alone", "No clean images were there to score with."
    elif not run.summary:
        yield (
            "not evaluated yet",
            "There are no test scores yet; the run's command with --mode=eval makes them.",
        )
    elif not run.manifest:
        yield (
            "no gallery",
            "The test was scored by an earlier version, whose images and audio are not "
            "listed; the run's command with --mode=eval writes them again.",
        )


def tiles(run: Run) -> Iterator[tuple[str, str, str]]:
    """The figures to see first: (name, figure, remark)."""
    metric = run.metric
    model, noisy = (run.summary.get(method, {}) for method in ("model", "noisy"))
    shown = score_tables.column(metric)
    name = shown.heading.partition(",")[0]
    if model.get(metric) is not None:
        gain = noisy.get(metric)
        if gain is not None:
            gain = f"{fixed(model[metric] - gain, 2, sign=True)} {shown.unit} over noisy"
        yield f"{name}, test mean", f"{fixed(model[metric], shown.digits)} {shown.unit}", gain or ""
    elif best := [row[key] for row in run.steps if (key := f"validation_{metric}") in row]:
        best = f"{fixed(max(best), shown.digits)} {shown.unit}"
        yield f"{name}, validation", best, "the best so far"
    second = "pesq" if run.is_audio else "ssim"
    if model.get(second) is not None:
        shown = score_tables.column(second)
        before = noisy.get(second)
        remark = "" if before is None else f"noisy {fixed(before, shown.digits)}"
        yield f"{shown.heading}, test mean", fixed(model[second], shown.digits), remark
    if run.parameters is not None:
        yield "Parameters", f"{run.parameters:,}", str(run.record.get("model", ""))
    seconds = _seconds(run)
    steps = f"{run.steps[-1]['step']:,.0f}" if run.steps else ""
    if seconds is not None:
        yield "Training", duration(seconds), f"{steps} steps" if steps else ""
    elif steps:
        yield "Training", steps, "steps"


def cards(run: Run) -> dict[str, Pairs]:
    """Heading -> names and values."""
    return {
        "Model": _known(_model(run)),
        "Data": _known(_data(run)),
        "Training": _known(_training(run)),
        "Origin": _known(_origin(run)),
    }


def flat_config(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted keys and values, as the command line takes them."""
    for key, value in config.items():
        if isinstance(value, dict) and value:
            yield from flat_config(value, f"{prefix}{key}.")
        else:
            yield prefix + key, json.dumps(value, ensure_ascii=False)


def _known(pairs: Iterable[tuple[str, str]]) -> Pairs:
    return [(name, value or "\N{EN DASH}") for name, value in pairs]


def _noise(run: Run) -> str:
    """Its name and level, as "gaussian, 0 to 55 of 255"."""
    noise = run.section("noise")
    level, unit = noise.get("level"), str(noise.get("unit", "1"))
    level = " to ".join(map(str, level)) if isinstance(level, list) else text(level)
    if noise.get("name") == "add_at_snr":
        unit = " dB SNR"
    else:
        unit = {"1": "", "1/255": " of 255"}.get(unit, f" ({unit})")
    return f"{noise.get('name')}, {level}{unit}".replace("-", _MINUS)


def _sides(sides: Any) -> str:
    return _TIMES.join(map(str, sides if isinstance(sides, list) else [sides]))


def _seconds(run: Run) -> float | None:
    seconds = run.record.get("seconds")
    if not isinstance(seconds, (int, float)):
        logged = (row["seconds"] for row in reversed(run.steps) if "seconds" in row)
        seconds = next(logged, None)
    return seconds


def _steps(run: Run) -> int:
    steps = run.section("train").get("steps")
    return steps if isinstance(steps, int) else 0


def _model(run: Run) -> Iterator[tuple[str, str]]:
    model, contract = run.section("model"), run.metadata("contract")
    yield "name", str(run.record.get("model") or model.get("name"))
    if run.parameters is not None:
        yield "parameters", f"{run.parameters:,}"
    yield "options", text(run.record.get("options") or model.get("options"))
    yield "computes in", text(model.get("dtype"))
    if contract:
        yield "noise level input", text(bool(contract.get("takes_level")))
    if contract and run.is_audio:
        rate, hop = contract.get("sample_rate"), contract.get("hop")
        yield "sample rate", f"{rate} Hz"
        lag = (hop or 0) + (contract.get("latency") or 0)
        yield "latency", f"{1000 * lag / rate:g} ms" if hop and rate else "whole file"
    elif contract:
        size = contract.get("size")
        yield f"{run.noun} size", _sides(size) if size else "any"


def _data(run: Run) -> Iterator[tuple[str, str]]:
    data, counts = run.section("data"), run.metadata("data")
    yield "name", text(data.get("name"))
    if data.get("path"):
        yield "folder", text(data["path"])
    for split in ("train", "validation", "test"):
        if split in counts:
            yield split, run.modality.count(counts[split])
    if data.get("crop"):
        yield "crops", f"{_sides(data['crop'])} {'samples' if run.is_audio else 'pixels'}"
    yield "noise", _noise(run)


def _training(run: Run) -> Iterator[tuple[str, str]]:
    train, optimizer = run.section("train"), run.section("optimizer")
    yield "steps", f"{_steps(run):,}" if _steps(run) else text(train.get("steps"))
    yield "batch", text(train.get("batch_size"))
    yield "loss", text(run.config.get("loss"))
    yield "optimizer", f"{optimizer.get('name')}, {optimizer.get('schedule')} schedule"
    yield "learning rate", text(optimizer.get("learning_rate"))
    yield "EMA decay", text(train.get("ema_decay"))
    if run.record.get("step") is not None:
        yield "weights of step", text(run.record["step"])
    yield "seed", text(run.config.get("seed"))


def _origin(run: Run) -> Iterator[tuple[str, str]]:
    seconds, unknown = _seconds(run), "not recorded"
    yield "device", text(run.record.get("device") or unknown)
    yield "time", unknown if seconds is None else f"{duration(seconds)} ({seconds:,.0f} s)"
    yield "commit", text(run.record.get("commit") or unknown)
    yield from ((name, text(version)) for name, version in run.metadata("versions").items())
    yield "workdir", str(run.workdir)

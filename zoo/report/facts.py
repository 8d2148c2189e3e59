"""What was trained, on what, by whom: the head of the page and its tables of facts."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from zoo.report import scores
from zoo.report.markup import Child, Markup, element
from zoo.report.numbers import duration, fixed
from zoo.report.run import Run

_NOT_TOLD = "not recorded"


def head(run: Run) -> Markup:
    """Title, state and the figures one looks for first."""
    return element(
        "header",
        element("p", "Denoising Zoo \N{MIDDLE DOT} report of a run", class_="kicker"),
        element("h1", title(run)),
        element("p", _lead(run), class_="lead"),
        element("p", _state(run)),
        element("dl", [_tile(*one) for one in _tiles(run)], class_="tiles"),
    )


def title(run: Run) -> str:
    """What to call the run."""
    return str(run.config.get("name") or run.workdir.resolve().name)


def facts(run: Run) -> Markup:
    """Everything about model, data, training and origin."""
    groups = [
        ("Model", _model(run)),
        ("Data", _data(run)),
        ("Training", _training(run)),
        ("Origin", _origin(run)),
    ]
    cards = [
        element("div", element("h3", name), element("dl", _pairs(found), class_="facts"))
        for name, found in groups
    ]
    return element(
        "section",
        element("h2", "The run"),
        element("div", cards, class_="cards"),
        _command(run),
        _config(run),
        id="run",
    )


def _lead(run: Run) -> str:
    model = run.record.get("model") or run.section("model").get("name")
    data = run.section("data").get("name")
    return f"{model}, trained on {data} with noise: {_noise(run)}."


def _noise(run: Run) -> str:
    """Its name and level, as "gaussian, 0 to 55 of 255"."""
    noise = run.section("noise")
    level, unit = noise.get("level"), str(noise.get("unit", "1"))
    told = " to ".join(map(str, level)) if isinstance(level, list) else _words(level)
    if noise.get("name") == "add_at_snr":
        unit = " dB SNR"
    else:
        unit = {"1": "", "1/255": " of 255"}.get(unit, f" ({unit})")
    return f"{noise.get('name')}, {told}{unit}".replace("-", "\N{MINUS SIGN}")


def _counted(count: Any, run: Run) -> str:
    kind = "recording" if run.sound else "picture"
    return f"{_words(count)} {kind}{'' if count == 1 else 's'}"


def _times(sides: Any) -> str:
    return " \N{MULTIPLICATION SIGN} ".join(map(str, sides if isinstance(sides, list) else [sides]))


def _state(run: Run) -> list[Markup]:
    """Chips that tell how far the run is."""
    done = run.steps[-1]["step"] if run.steps else 0
    total = _steps(run)
    of = f" of {total:,}" if total else ""
    missing = []
    if not run.record:
        missing.append(f"not finished: {done:,.0f}{of} steps, no weights yet")
    if not run.summary:
        missing.append("not evaluated yet")
    chips = [element("span", text, class_="chip open") for text in missing]
    return chips or [element("span", "finished and evaluated", class_="chip done")]


def _tiles(run: Run) -> Iterator[tuple[str, str, str]]:
    """(what, figure, remark)."""
    metric = scores.headline(run)
    ours, noisy = (run.summary.get(m, {}).get(metric) for m in ("model", "noisy"))
    name, digits, _ = scores.column(metric)
    name = name.partition(",")[0]
    if ours is not None:
        gain = None if noisy is None else f"{fixed(ours - noisy, 2, sign=True)} dB over noisy"
        yield f"{name}, test mean", f"{fixed(ours, digits)} dB", gain or ""
    else:
        best = [row[key] for row in run.steps if (key := f"validation_{metric}") in row]
        if best:
            yield f"{name}, validation", f"{fixed(max(best), digits)} dB", "the best so far"
    second = "pesq" if run.sound else "ssim"
    value = run.summary.get("model", {}).get(second)
    if value is not None:
        shown = scores.column(second)
        before = run.summary.get("noisy", {}).get(second)
        remark = "" if before is None else f"noisy {fixed(before, shown.digits)}"
        yield f"{shown.heading}, test mean", fixed(value, shown.digits), remark
    if run.parameters is not None:
        yield "Parameters", f"{run.parameters:,}", str(run.record.get("model", ""))
    seconds = _seconds(run)
    if seconds is not None:
        steps = f"{run.steps[-1]['step']:,.0f} steps" if run.steps else ""
        yield "Training", duration(seconds), steps
    elif run.steps:
        yield "Training", f"{run.steps[-1]['step']:,.0f}", "steps"


def _tile(what: str, figure: str, remark: str) -> Markup:
    return element(
        "div", element("dt", what), element("dd", figure, element("small", remark or None))
    )


def _seconds(run: Run) -> float | None:
    told = run.record.get("seconds")
    if not isinstance(told, (int, float)):
        told = next((row["seconds"] for row in reversed(run.steps) if "seconds" in row), None)
    return told


def _steps(run: Run) -> int:
    steps = run.section("train").get("steps")
    return steps if isinstance(steps, int) else 0


def _model(run: Run) -> Iterator[tuple[str, Child]]:
    model, contract = run.section("model"), run.told("contract")
    yield "name", str(run.record.get("model") or model.get("name"))
    if run.parameters is not None:
        yield "parameters", f"{run.parameters:,}"
    yield "options", _words(run.record.get("options") or model.get("options"))
    yield "computes in", _words(model.get("dtype"))
    if contract:
        yield "told the level", "yes" if contract.get("takes_level") else "no"
        if run.sound:
            rate, hop = contract.get("sample_rate"), contract.get("hop")
            yield "sample rate", f"{rate} Hz"
            lag = (hop or 0) + (contract.get("latency") or 0)
            yield "latency", f"{1000 * lag / rate:g} ms" if hop and rate else "whole file"
        else:
            size = contract.get("size")
            yield (
                "picture size",
                _times(size) if size else "any",
            )


def _data(run: Run) -> Iterator[tuple[str, Child]]:
    data = run.section("data")
    yield "name", _words(data.get("name"))
    if data.get("path"):
        yield "folder", _words(data["path"])
    counts = run.told("data")
    for split in ("train", "validation", "test"):
        if split in counts:
            yield split, _counted(counts[split], run)
    crop = data.get("crop")
    if crop:
        yield "crops", f"{_times(crop)} {'samples' if run.sound else 'pixels'}"
    yield "noise", _noise(run)


def _training(run: Run) -> Iterator[tuple[str, Child]]:
    train, optimizer = run.section("train"), run.section("optimizer")
    yield "steps", f"{_steps(run):,}" if _steps(run) else _words(train.get("steps"))
    yield "batch", _words(train.get("batch_size"))
    yield "loss", _words(run.config.get("loss"))
    yield "optimizer", f"{optimizer.get('name')}, {optimizer.get('schedule')} schedule"
    yield "learning rate", _words(optimizer.get("learning_rate"))
    yield "average", f"{train.get('ema_decay')} a step"
    if run.record.get("step") is not None:
        yield "weights of step", _words(run.record["step"])
    yield "seed", _words(run.config.get("seed"))


def _origin(run: Run) -> Iterator[tuple[str, Child]]:
    seconds = _seconds(run)
    yield "device", _words(run.record.get("device") or _NOT_TOLD)
    yield "time", _NOT_TOLD if seconds is None else f"{duration(seconds)} ({seconds:,.0f} s)"
    yield "commit", element("code", _words(run.record.get("commit") or _NOT_TOLD))
    for name, version in run.told("versions").items():
        yield name, _words(version)
    yield "workdir", element("code", str(run.workdir))


def _command(run: Run) -> Markup:
    command = run.record.get("command")
    if not command:
        text = "Not recorded; the config below is all that it said."
        return element("div", element("h3", "Command"), element("p", text, class_="note"))
    return element("div", element("h3", "Command"), element("pre", str(command)))


def _config(run: Run) -> Markup:
    rows = [
        (element("dt", key), element("dd", element("code", value)))
        for key, value in _flat(run.config)
    ]
    summary = element("summary", f"Config: {len(rows)} keys")
    return element("details", summary, element("dl", rows, class_="pairs config"), id="config")


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted keys and values, as the command line takes them."""
    for key, value in config.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, json.dumps(value, ensure_ascii=False)


def _pairs(found: Iterator[tuple[str, Child]]) -> list[Child]:
    return [
        (element("dt", name), element("dd", value if value else "\N{EN DASH}"))
        for name, value in found
    ]


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_words(one)}" for name, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(_words, value))
    return "" if value is None else str(value)

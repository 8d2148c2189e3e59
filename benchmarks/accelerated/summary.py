"""The page of a run, from its rows alone."""

from collections.abc import Iterable

from harness.results import table

from accelerated.kept import Kept

NETWORKS = (
    "model", "size", "batch", "ours ms", "PyTorch ms", "speed over PyTorch's", "MP/s",
    "PyTorch MP/s", "share of matmul peak", "program MB", "PyTorch MB", "compile s",
    "PyTorch compile s", "PyTorch's variant", "note",
)  # fmt: skip


def page(kept: Kept, budget: float, spent: float) -> str:
    """The whole page, Markdown."""
    of = {part: list(rows) for part, rows in _by(kept.rows, "part").items()}
    parts = [
        "# The zoo on this machine\n",
        _machine(of.get("machine", []), budget, spent),
        *_networks(of.get("networks", [])),
        _golden(of.get("golden", [])),
        _noise(of.get("noise", [])),
        _loop(of.get("loop", [])),
        _audio(of.get("audio", [])),
        _left(kept),
    ]
    return "\n".join(filter(None, parts))


def _machine(rows: list[dict], budget: float, spent: float) -> str:
    facts = {}
    for row in rows:
        facts |= {k: v for k, v in row.items() if k not in ("part", "cell", "at_s")}
        if "tflop_per_s" in row:
            facts[row["cell"]] = f"{row['tflop_per_s']:.3g} TFLOP/s, measured"
    for name in ("dtype", "tflop_per_s"):
        facts.pop(name, None)
    if "gigabytes_per_s" in facts:
        facts["bandwidth"] = f"{facts.pop('gigabytes_per_s'):.3g} GB/s, measured"
    lines = [f"- {name}: {value}" for name, value in facts.items() if value is not None]
    return "\n".join([*lines, f"- {spent:.0f} s of a budget of {budget:.0f} s\n"])


def _networks(rows: list[dict]) -> Iterable[str]:
    timed = [row for row in rows if "ours_ms" in row]
    cells = sorted(
        _by(timed, "wave", "task", "dtype").items(),
        key=lambda one: (one[0][0], one[0][1] != "train"),
    )
    for (_, task, dtype), found in cells:
        name = {"train": "Training step", "infer": "Inference"}[task]
        spelled = {"bf16": "bfloat16", "f32": "float32"}[dtype]
        yield f"## {name}, {spelled}\n\n{table([_network(row) for row in found], NETWORKS)}\n"
    checked = [row for row in rows if "difference" in row]
    if checked:
        worst = max(checked, key=lambda row: row["difference"])
        yield (
            f"On drawn weights both sides' outputs differ by at most {worst['difference']:.1e} of "
            f"what they change ({worst['cell']}; {len(checked)} networks checked).\n"
        )


def _network(row: dict) -> dict:
    def span(row):
        if row.get("speedup_median") is None:
            return None
        low, high = row["speedup_low"], row["speedup_high"]
        return f"{row['speedup_median']:.2f} ({low:.2f}, {high:.2f})"

    values = (
        row["model"], row["size"], row["batch"], row["ours_ms"], row.get("torch_ms"), span(row),
        row["megapixels_per_s"], row.get("torch_megapixels_per_s"), row["share_of_matmul_peak"],
        row["program_mb"], row.get("torch_peak_memory_mb"), row["compile_s"],
        row.get("torch_compile_s"), row.get("torch_variant"), row["note"],
    )  # fmt: skip
    return dict(zip(NETWORKS, values, strict=True))


def _golden(rows: list[dict]) -> str:
    if not rows:
        return ""
    lines = []
    for family, found in _by(rows, "family").items():
        line = {"family": family}
        for precision, own in _by(found, "precision").items():
            line["cases"] = max(len(own), line.get("cases", 0))
            line[f"{precision}, golden"] = max(row["difference"] for row in own)
            line[f"{precision}, CPU"] = max(row["difference_to_cpu"] for row in own)
            if precision == "float32":
                line["holds"] = "yes" if all(row["holds"] for row in own) else "no"
        lines.append(line)
    return (
        "## Golden outputs\n\nThe largest difference over the largest output, against the golden "
        "file of PyTorch's original and against this CPU. `float32` is without TF32 and holds to "
        "1e-4; `float32 default` rounds products as the device does by itself.\n\n"
        f"{table(lines)}\n"
    )


def _noise(rows: list[dict]) -> str:
    text = ""
    for modality, found in _by(rows, "modality").items():
        speed = "megapixels_per_s" if modality == "image" else "megasamples_per_s"
        columns = ["op", "level", "size", "batch", "ms", speed, "share_of_bandwidth"]
        text += f"## Noise, {modality}\n\n{table(found, columns)}\n\n"
    return text


def _loop(rows: list[dict]) -> str:
    if not rows:
        return ""
    columns = [
        "name", "turns", "bare_ms", "whole_ms", "share", "share_low", "share_high", "save_ms",
    ]  # fmt: skip
    return (
        "## The whole loop beside the bare step\n\n`share` is bare over whole: 1 would be a loop "
        f"that costs nothing.\n\n{table(rows, columns)}\n"
    )


def _audio(rows: list[dict]) -> str:
    if not rows:
        return ""
    columns = ["model", "task", "audio_s", "ms", "ms_p99", "factor", "factor_p99", "compile_s"]
    return (
        "## Audio, processing time over playing time\n\nHop by hop each call brings its result "
        f"back to the host.\n\n{table(rows, columns)}\n"
    )


def _left(kept: Kept) -> str:
    if not kept.left:
        return "## Left out\n\nNothing.\n"
    lines = ["## Left out\n"]
    for (part, why), found in _by_reason(kept.left).items():
        lines.append(f"- {part}: {', '.join(found)}: {why}")
    return "\n".join(lines) + "\n"


def _by_reason(left: dict[tuple[str, str], str]) -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    for (part, cell), why in left.items():
        found.setdefault((part, why), []).append(cell)
    return found


def _by(rows: Iterable[dict], *names: str) -> dict:
    """Rows by what they have in some columns, in the order in which that first occurs."""
    found: dict = {}
    for row in rows:
        values = tuple(row.get(name) for name in names)
        found.setdefault(values if len(names) > 1 else values[0], []).append(row)
    return found

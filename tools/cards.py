"""Writes the table and the cards of the weights in `docs/models.md`, from the weights' metadata.

python tools/cards.py            # writes them
python tools/cards.py --check    # fails where the page differs; CI runs this
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from zoo import weights
from zoo.evaluate import levels_of
from zoo.weights.weight_files import SHIPPED

PAGE = ROOT / "docs" / "models.md"
BEGIN, END = "<!-- weights -->\n", "<!-- end of weights -->\n"
# Of the sets of `zoo score`.
TITLES = {"set12": "Set12", "bsd68": "BSD68", "cbsd68": "CBSD68", "polyu": "PolyU"}
HEADINGS = ("name", "for", "parameters", "file", "scores", "license")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only compare")
    check = parser.parse_args().check
    before, rest = PAGE.read_text().split(BEGIN)
    found, after = rest.split(END)
    if found == (wanted := table() + "".join(map(card, ordered()))):
        return
    if check:
        sys.exit("error: docs/models.md differs from the metadata of the weights; run this tool")
    PAGE.write_text(before + BEGIN + wanted + END + after)


def ordered() -> list[str]:
    """Weights for photographs, for audio, and for digits."""

    def place(name: str) -> tuple[bool, bool, str]:
        data = weights.read_record(name).get("config", {}).get("data", {})
        return data.get("name") == "idx", weights.read_model(name)[1].modality == "audio", name

    return sorted(weights.list_weights(), key=place)


def table() -> str:
    rows = [HEADINGS, ("---",) * len(HEADINGS), *map(row, ordered())]
    return "".join(f"| {' | '.join(one)} |\n" for one in rows)


def row(name: str) -> tuple[str, ...]:
    record = weights.read_record(name)
    return (
        f"[`{name}`](#{name.replace('.', '')})",
        record["summary"],
        f"{record['parameters']:,}",
        size(name),
        scores_of(record),
        record["license"],
    )


def card(name: str) -> str:
    """The section of one weight file."""
    record = weights.read_record(name)
    # What the project trained names the commit, what others published its source.
    origin = record.get("source") or f"this project, commit `{record['commit']}`"
    entries = {
        "for": record["summary"],
        "model": f"`{record['model']}`, {record['parameters']:,} parameters",
        "file": f"{size(name)}, {record['stored']}",
        "trained on": record["trained_on"],
        "terms of the data": record["terms"],
        "license": record["license"],
        "origin": origin,
        "command": f"`{record['command']}`",
        "scores": scores_of(record),
    }
    lines = "".join(f"| {key} | {value} |\n" for key, value in entries.items())
    return f"\n### {name}\n\n| | |\n| --- | --- |\n{lines}"


def size(name: str) -> str:
    return f"{(SHIPPED / f'{name}.safetensors').stat().st_size / 1e6:.2f} MB"


def scores_of(record: dict) -> str:
    """The scores on benchmark sets, or on the test set of the run, and those of the input."""
    scores = record["scores"]
    sets = scores.get("benchmark") or {"own test set": scores["test"]}
    return "; ".join(
        f"{TITLES.get(name, name)}: {levels(found, levels_of(record))}"
        for name, found in sets.items()
    )


def levels(found: dict, known: Iterable[str]) -> str:
    metric = "si_sdr" if "si_sdr" in next(iter(found.values()))["model"] else "psnr"
    labels = [label for label in known if label in found]
    outputs, noisy = (
        " / ".join(f"{found[one][method][metric]:.2f}" for one in labels)
        for method in ("model", "noisy")
    )
    unit, what = ("dB SI-SDR", "an SNR of") if metric == "si_sdr" else ("dB", "sigma")
    at = f" at {what} {' / '.join(labels)}" if len(labels) > 1 else ""
    return f"**{outputs}** {unit} from {noisy}{at}"


if __name__ == "__main__":
    main()

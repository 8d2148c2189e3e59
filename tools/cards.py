"""Writes README's table of the weights that come with the package, from their records.

python tools/cards.py            # writes it
python tools/cards.py --check    # fails where README says something else; CI runs this
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

README = ROOT / "README.md"
BEGIN, END = "<!-- weights -->\n", "<!-- end of weights -->\n"
HEADINGS = ("name", "for", "parameters", "file", "trained on", "it reaches", "licence")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only compare")
    check = parser.parse_args().check
    before, rest = README.read_text().split(BEGIN)
    found, after = rest.split(END)
    if found == (wanted := table()):
        return
    if check:
        sys.exit("error: README's table of weights is not that of their records; run this tool")
    README.write_text(before + BEGIN + wanted + END + after)


def table() -> str:
    rows = [HEADINGS, ("---",) * len(HEADINGS), *map(card, weights.list_weights())]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def card(name: str) -> tuple[str, ...]:
    record = weights.read_record(name)
    size = (SHIPPED / f"{name}.safetensors").stat().st_size
    return (
        f"`{name}`",
        record["summary"],
        f"{record['parameters']:,}",
        f"{size / 1e6:.2f} MB",
        f"{record['trained_on']} ({record['terms']})",
        reached(record),
        record["license"],
    )


def reached(record: dict) -> str:
    """Its scores on the benchmark's sets, or on its own test set, and the noisy input's."""
    scores = record["scores"]
    sets = scores.get("benchmark") or {"test": scores["test"]}
    return "; ".join(f"{name}: {levels(found, levels_of(record))}" for name, found in sets.items())


def levels(found: dict, known: Iterable[str]) -> str:
    metric = "si_sdr" if "si_sdr" in next(iter(found.values()))["model"] else "psnr"
    ordered = [label for label in known if label in found]
    ours, noisy = (
        " / ".join(f"{found[one][method][metric]:.2f}" for one in ordered)
        for method in ("model", "noisy")
    )
    unit, what = ("dB SI-SDR", "an SNR of") if metric == "si_sdr" else ("dB", "sigma")
    at = f" at {what} {' / '.join(ordered)}" if len(ordered) > 1 else ""
    return f"**{ours}** {unit} from {noisy}{at}"


if __name__ == "__main__":
    main()

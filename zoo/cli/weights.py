"""`zoo weights`: tell what weight files hold."""

import argparse
import json
from pathlib import Path

from zoo import weights
from zoo.cli import text
from zoo.errors import ZooError


def add_to(commands) -> None:
    """Adds the command to argparse's sub-commands."""
    parser = commands.add_parser("weights", help="tell what weight files hold")
    parser.add_argument("files", nargs="*", metavar="FILE", help="files; all under runs/ if none")
    parser.add_argument("--json", action="store_true", help="print the whole records")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Prints the table, or the records."""
    files = arguments.files or sorted(map(str, Path("runs").glob("*/weights.safetensors")))
    if not files:
        raise ZooError("there is no weight file under runs/; train one, or name a file")
    records = {file: weights.read_record(file) for file in files}
    if arguments.json:
        print(json.dumps(records, indent=2))
        return
    rows = [("file", "model", "noise", "step", "validation PSNR", "commit")]
    for file, record in records.items():
        noise = record.get("noise", {})
        score = record.get("scores", {}).get("validation_psnr")
        rows.append(
            (
                file,
                record["model"],
                f"{noise.get('name')} {noise.get('level')} {noise.get('unit')}",
                str(record.get("step")),
                "-" if score is None else f"{score:.2f} dB",
                record.get("commit") or "-",
            )
        )
    print(text.table(rows))

"""Benchmarks import `harness`, as when they are run: with their folder first on the path."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

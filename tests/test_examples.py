"""The examples run as their first lines say."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import zoo

EXAMPLES = Path(__file__).parents[1] / "examples"
# What of its output tells how well it did: by how much the second figure beats the first.
GAINS = {"mri": ("noisy", "denoised", 3), "plug_and_play": ("blurred", "restored", 3)}


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_it_runs(path, tmp_path):
    if path.stem == "plug_and_play" and "unet-gray" not in zoo.list_weights():
        pytest.skip("unet-gray does not come with the zoo yet")
    done = subprocess.run(
        [sys.executable, "-W", "error", path],
        cwd=tmp_path,
        env={**os.environ, "XLA_FLAGS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if path.stem in GAINS:
        before, after, gain = GAINS[path.stem]
        found = dict(re.findall(r"(\w+): ([\d.]+) dB", done.stdout))
        assert float(found[after]) > float(found[before]) + gain
    assert not list(tmp_path.iterdir())


def test_weights_that_are_missing_are_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, EXAMPLES / "plug_and_play.py", "none.safetensors"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: there is no weight file none.safetensors")
    assert done.stderr.count("\n") == 1

"""The default job, shortened: it must already beat non-local means on photos it never saw."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_default_job_beats_non_local_means(tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    flags = [
        "--config=configs/unet.py",
        "--config.train.steps=1000",
        "--config.eval.baselines=('nlm',)",
        f"--workdir={tmp_path}",
    ]
    subprocess.run([sys.executable, "main.py", *flags], cwd=ROOT, env=environment, check=True)
    scores = json.loads((tmp_path / "eval" / "summary.json").read_text())
    assert scores["model"]["psnr"] > scores["nlm"]["psnr"] + 0.3
    assert scores["model"]["ssim"] > scores["nlm"]["ssim"]
    # What fast non-local means reaches on these three photos: the rival is not a weak one.
    assert scores["nlm"]["psnr"] == pytest.approx(30.01, abs=0.05)

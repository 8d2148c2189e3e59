"""The package as it is installed: built from the sources alone, and run away from them."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from user_process import user_environment

ROOT = Path(__file__).parents[1]
SMOKE = """
import sys
import jax
import numpy as np
import zoo
assert zoo.__file__.startswith(sys.argv[1]), zoo.__file__
clean = np.full((1, 24, 32, 1), 0.5, np.float32)
noisy = np.asarray(zoo.noise.gaussian(jax.random.key(0), clean, sigma=25 / 255))[0]
found = zoo.denoise(noisy, "unet-gray", level=25 / 255)
print(np.std(noisy - 0.5), np.std(found - 0.5))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """What a wheel unpacks to."""
    pytest.importorskip("pip")
    # Elsewhere, because setuptools puts into a wheel whatever an earlier build left behind.
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    shutil.copytree(ROOT / "zoo", source / "zoo", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "configs", source / "configs")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", built, source], check=True, capture_output=True)
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(built / "files")
    return built / "files"


def test_it_holds_every_file_of_the_package(installed):
    kept = {".typed", ".css", ".html", ".js", ".py", ".safetensors"}
    expected = {p.relative_to(ROOT) for p in (ROOT / "zoo").rglob("*") if p.suffix in kept}
    expected |= {"zoo" / p.relative_to(ROOT) for p in ROOT.glob("configs/*.py")}
    found = {p.relative_to(installed) for p in (installed / "zoo").rglob("*") if p.is_file()}
    assert found == expected


# `.ci/run` does as much with the wheel alone in an environment.
@pytest.mark.matrix
def test_it_adds_noise_and_denoises(installed, tmp_path, programs):
    command = [sys.executable, "-W", "error", "-c", SMOKE, installed]
    environment = user_environment(programs, PYTHONPATH=str(installed))
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    before, after = map(float, done.stdout.split())
    assert 0.08 < before < 0.12
    assert after < 0.25 * before

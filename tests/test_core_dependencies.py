"""What the package does with its core dependencies alone, and how it names the extra it lacks."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from user_process import user_environment

from zoo.errors import EXTRAS

ROOT = Path(__file__).parents[1]
# A process in which no optional package can be imported.
BLOCKED = f"""
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {sorted(EXTRAS)!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker())
"""
WORK = """
import numpy as np, soundfile
import zoo
from zoo import cli
from zoo.data import image_files
image = np.full((16, 24, 3), 100, np.uint8)
image_files.write("x.png", image)
soundfile.write("x.wav", np.zeros(4000), 16000)
assert zoo.denoise(image / np.float32(255), "unet-real").shape == image.shape
model = zoo.create_model("dncnn-color", depth=2, width=2)
variables, history = zoo.train.fit(model, [image], steps=1, batch_size=1, crop=8, progress=False)
assert history["step"] == [1]
record = {"model": "dncnn-color", "options": {"depth": 2, "width": 2}}
zoo.weights.save("w.safetensors", variables, record)
assert cli.main(["denoise", "x.png", "--weights", "w.safetensors"]) == 0
assert cli.main(["denoise", "x.wav"]) == 0
assert cli.main(["noise", "x.png", "--op", "gaussian", "--level", "25"]) == 0
assert cli.main(["info", "x.png", "x.wav"]) == 0
assert cli.main(["models", "unet-tiny"]) == 0
"""


def blocked(code, folder, programs=None):
    return subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", BLOCKED + code],
        cwd=folder,
        env=user_environment(programs, PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.matrix
def test_images_audio_and_training_need_only_the_core(tmp_path, programs):
    done = blocked(WORK, tmp_path, programs)
    assert done.returncode == 0, done.stderr


@pytest.mark.matrix
def test_a_command_that_lacks_a_package_names_its_extra(tmp_path):
    code = """
import numpy as np
from zoo import cli
from zoo.data import image_files
image_files.write("x.png", np.full((16, 24, 3), 100, np.uint8))
score = ["score", "unet-gray", "--data", ".", "--baselines", "nlm", "--sigma", "25"]
sys.exit(10 * cli.main(["train", "unet"]) + cli.main(score))
"""
    done = blocked(code, tmp_path)
    assert done.returncode == 22, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert re.fullmatch(r"error: this needs \w+; pip install 'denoising-zoo\[train\]'", lines[0])
    assert "pip install" in lines[1]
    assert "'denoising-zoo[science]'" in lines[1]


def test_each_optional_package_is_in_its_extra():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    imports = {"Pillow-heif": "pillow_heif", "PyWavelets": "pywt", "scikit-image": "skimage"}
    imports |= {"pillow-heif": "pillow_heif", "absl-py": "absl", "orbax-checkpoint": "orbax"}
    imports |= {"tensorflow-datasets": "tensorflow_datasets"}
    core = {re.match(r"[\w-]+", one)[0] for one in project["dependencies"]}
    for package, extra in EXTRAS.items():
        names = [re.match(r"[\w-]+", one)[0] for one in project["optional-dependencies"][extra]]
        assert package in [imports.get(name, name) for name in names], package
        assert package not in core

"""Plug-ins: what other code registers works in every command, and weights name what they need."""

import sys

import jax
import numpy as np
import pytest

import zoo
from zoo import cli, losses, noise, plugins, weights
from zoo.data import image_files, sources
from zoo.errors import ZooError
from zoo.losses import loss_registry
from zoo.models import create_model, init_variables, list_models, registry
from zoo.noise import op_contract

# Also a config, by which the `matrix` test trains.
PLUGIN = '''
import jax
import numpy as np
from flax import linen as nn
from zoo.data.sources import register as source
from zoo.data.sources.source import SPLITS, Listing
from zoo.losses.loss_registry import loss
from zoo.models.registry import register
from zoo.noise.op_contract import NOT_NEGATIVE, op
from zoo.train.config import default_config

class Mine(nn.Module):
    """One convolution."""
    channels: int = 3
    width: int = 3

    @nn.compact
    def __call__(self, x, level=None, *, train=False):
        return x + nn.Conv(self.channels, (self.width,) * 2, kernel_init=nn.initializers.zeros)(x)

register(Mine, "mine-3x3", "One convolution.", parameters=84)

@loss()
def cubic(prediction, target):
    return abs(prediction - target) ** 3

@op(examples={"amount": (0.1, 0.2)}, amount=NOT_NEGATIVE)
def darken(key, x, *, amount):
    return x - amount

@source("ramps")
def ramps(path, fractions, seed, *, size: int = 16):
    read = lambda n: (np.full((size, size, 3), 40 * n, np.uint8), None)
    return {split: Listing([f"{split}{n}" for n in (1, 2)], [1, 2], read) for split in SPLITS}

def get_config():
    config = default_config()
    config.model.name, config.data.name, config.loss = "mine-3x3", "ramps", "cubic"
    config.noise.name, config.noise.level, config.noise.unit = "darken", 0.1, "1"
    config.data.crop, config.train.steps, config.train.batch_size = (8, 8), 2, 2
    config.eval.baselines = ()
    return config
'''


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """The file of a plug-in that no process has loaded yet."""
    for module, names in (
        (registry, "_CARDS"),
        (loss_registry, "LOSSES"),
        (sources, "KINDS"),
        (losses, "LOSSES"),
    ):
        monkeypatch.setattr(module, names, dict(getattr(module, names)))
    monkeypatch.setattr(losses, "LOSSES", loss_registry.LOSSES)
    monkeypatch.setitem(op_contract.OPS, "darken", None)
    del op_contract.OPS["darken"]
    monkeypatch.setattr(plugins, "_loaded", False)
    monkeypatch.delenv(plugins.VARIABLE, raising=False)
    file = tmp_path / "mine.py"
    file.write_text(PLUGIN)
    yield file
    op_contract.OPS.pop("darken", None)
    sys.modules.pop("zoo_plugin_mine", None)


def forget(monkeypatch):
    """As in a new process."""
    registry._CARDS.pop("mine-3x3", None)
    monkeypatch.setattr(plugins, "_loaded", False)


def test_all_that_a_named_file_registers_is_there_at_its_first_use(plugin, monkeypatch):
    monkeypatch.setenv(plugins.VARIABLE, str(plugin))
    assert "mine-3x3" in list_models()
    assert create_model("mine-3x3", width=5).width == 5
    value = losses.make_loss("cubic")(
        np.ones((1, 2, 2, 1)), np.zeros((1, 2, 2, 1)), np.ones((1, 1, 1, 1))
    )
    assert value == 1
    x, _ = noise.make_sampler("darken", 0.25)(jax.random.key(0), np.ones((2, 2, 1)))
    assert np.all(x == 0.75)
    assert len(sources.load("ramps", channels=3)["train"]) == 2


def test_commands_know_them_and_weights_name_their_plugin(plugin, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv(plugins.VARIABLE, str(plugin))
    model = create_model("mine-3x3")
    variables = init_variables(model, jax.random.key(0), (1, 8, 8, 3))
    weights.save(tmp_path / "w.safetensors", variables, {"model": "mine-3x3", "options": {}})
    assert weights.read_record(tmp_path / "w.safetensors")["plugin"] == "mine.py"
    image = np.full((8, 8, 3), 100, np.uint8)
    image_files.write(tmp_path / "x.png", image)
    assert cli.main(["models", "mine-3x3"]) == 0
    assert "mine-3x3" in capsys.readouterr().out
    given = ["--op", "darken", "--level", "0.1", "--overwrite"]
    assert cli.main(["noise", str(tmp_path / "x.png"), *given]) == 0
    denoise = ["denoise", str(tmp_path / "x.png"), "--weights", str(tmp_path / "w.safetensors")]
    assert cli.main(denoise) == 0
    found = image_files.read(tmp_path / "x.denoised.png")
    np.testing.assert_array_equal(found, image)

    forget(monkeypatch)
    monkeypatch.delenv(plugins.VARIABLE)
    with pytest.raises(ZooError, match=r"set ZOO_PLUGINS to the path of mine\.py"):
        zoo.load(tmp_path / "w.safetensors")


def test_an_installed_package_is_found_by_its_entry_point(plugin, monkeypatch, tmp_path):
    (tmp_path / "lib" / "other-1.0.dist-info").mkdir(parents=True)
    plugin.rename(tmp_path / "lib" / "other_models.py")
    info = tmp_path / "lib" / "other-1.0.dist-info"
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (info / "RECORD").write_text("other_models.py,,\n")
    points = "[denoising_zoo.plugins]\nall = other_models\nbroken = other_models.none\n"
    (info / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(tmp_path / "lib")
    with pytest.warns(UserWarning, match=r"plug-in other_models\.none cannot be loaded"):
        assert "mine-3x3" in list_models()
    assert plugins.origin(type(create_model("mine-3x3"))) == "other"
    assert plugins.remedy("other") == "install the package other"
    sys.modules.pop("other_models")


@pytest.mark.parametrize("name", ["none.py", "no_such_module", "mine.py"])
def test_a_plugin_that_cannot_be_loaded(plugin, monkeypatch, tmp_path, name):
    plugin.write_text("1 / 0")
    monkeypatch.setenv(plugins.VARIABLE, str(tmp_path / name) if "." in name else name)
    with pytest.raises(ZooError, match=f"ZOO_PLUGINS: .*{name} cannot be loaded"):
        list_models()


def test_a_definition_replaces_its_older_self_only(plugin):
    first = plugins.load_file(plugin)
    second = plugins.load_file(plugin)
    assert first is not second
    assert type(create_model("mine-3x3")) is second.Mine
    with pytest.raises(ValueError, match="two models are registered as 'unet-tiny'"):
        registry.register(second.Mine, "unet-tiny", "")


@pytest.mark.matrix
def test_a_config_trains_what_it_registers(plugin, tmp_path, capsys):
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        assert cli.main(["train", str(plugin), f"--workdir={tmp_path / 'run'}"]) == 0
    assert "PSNR" in capsys.readouterr().out
    record = weights.read_record(tmp_path / "run" / "weights.safetensors")
    assert record["plugin"] == "mine.py"

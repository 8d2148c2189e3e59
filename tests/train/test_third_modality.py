"""A third kind of signal needs one instance and entries in registries, and no other code."""

import csv
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from zoo import modality, models, noise, report, weights
from zoo.data import sources
from zoo.data.sources.source import SPLITS, Listing
from zoo.evaluate import read_manifest
from zoo.modality import Modality
from zoo.models import registry as models_registry
from zoo.noise import op_contract
from zoo.train.config import default_config
from zoo.train.loop import train
from zoo.train.scoring import evaluate_run

SIDE = 6


class Smooth(nn.Module):
    """The smallest network for volumes: one convolution."""

    channels: int = 1
    dtype: jnp.dtype = jnp.float32

    modality = "volume"
    takes_level = False

    @nn.compact
    def __call__(self, x, level=None, *, train=False):
        return nn.Conv(self.channels, (3, 3, 3), dtype=self.dtype)(x)


def volumes(path, fractions, seed):
    """A data source: smooth volumes of random places and sizes."""
    del path, fractions, seed

    def read(number):
        rng = np.random.default_rng(number)
        shape = (SIDE + number % 2, SIDE + 1, SIDE + 2)
        axes = np.meshgrid(*(np.linspace(-1, 1, side) for side in shape), indexing="ij")
        distance = sum((axis - place) ** 2 for axis, place in zip(axes, rng.random(3), strict=True))
        return (255 * np.exp(-distance)).round().astype(np.uint8)[..., None], None

    counts = dict(zip(SPLITS, (6, 2, 3), strict=True))
    return {
        split: Listing(
            [f"{split}-{n}" for n in range(count)], range(count), read, modality="volume"
        )
        for split, count in counts.items()
    }


@pytest.fixture
def volume(monkeypatch):
    """All that has to be registered; forgotten after the test."""
    for module, name in (
        (modality, "_MODALITIES"),
        (models_registry, "_CARDS"),
        (op_contract, "_REGISTRIES"),
    ):
        monkeypatch.setattr(module, name, dict(getattr(module, name)))
    monkeypatch.setitem(sources.KINDS, "volumes", volumes)
    kind = modality.register(
        Modality(
            name="volume",
            noun="volume",
            plural="volumes",
            item="volume",
            axes="DHWC",
            range=(0.0, 1.0),
            dtypes=(np.dtype(np.uint8),),
            merit="accuracy",
            sides=("depth", "height", "width"),
            typical=(8, 8, 8),
        )
    )

    @kind.metric("accuracy, %", 1)
    def accuracy(output, target):
        near = jnp.abs(output - target) < 0.1
        return 100.0 * jnp.mean(near, axis=(-4, -3, -2, -1))

    @op_contract.op(modality=kind, sigma=op_contract.INTENSITY, examples={"sigma": (0.05, 0.2)})
    def speckles(key, x, *, sigma):
        """Gaussian noise that grows with the value."""
        return x + sigma * x * jax.random.normal(key, x.shape)

    models_registry.register(Smooth, "smooth-volume", "Smooths volumes.", 28)
    return kind


@pytest.mark.matrix
def test_a_run_trains_and_is_scored(volume, tmp_path):
    config = default_config()
    config.model.name = "smooth-volume"
    config.data.name, config.data.channels, config.data.crop = "volumes", 1, (4, 5, 6)
    config.data.augment.flip = config.data.augment.quarter_turn = False
    config.noise.name, config.noise.level, config.noise.unit = "speckles", 0.1, "1"
    config.loss = "l1"
    config.train.steps, config.train.batch_size = 3, 4
    config.eval.levels, config.eval.baselines = (0.05, 0.2), ()
    # Adam of optax relies on promotion.
    with jax.numpy_dtype_promotion("standard"):
        experiment = train(config, tmp_path)
    assert experiment.modality is volume
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert all(0 <= row["accuracy"] <= 100 for row in rows)
    assert np.isfinite(rows[-1]["validation_accuracy"])

    result = evaluate_run(experiment, tmp_path)
    assert [level.label for level in result.by_level] == ["0.05", "0.2"]
    assert "accuracy, %" in result.table()
    with (tmp_path / "eval" / "per_volume.csv").open() as file:
        found = {
            (r["level"], r["volume"], r["method"]): float(r["accuracy"])
            for r in csv.DictReader(file)
        }
    assert len(found) == 2 * 3 * 2
    # By hand: the noise of the second volume at the first level, and the share that is near.
    clean = np.float32(volumes("", (), 0)["test"].read(1)[0] / 255)
    sampler = noise.make_sampler("speckles", 0.05, modality="volume")
    noisy, _ = sampler(jax.random.fold_in(jax.random.key(0), 1), clean)
    expected = 100 * np.mean(np.abs(noisy - clean) < 0.1)
    assert found["0.05", "test-1", "noisy"] == pytest.approx(expected, abs=1e-3)
    files = [one["file"] for one in read_manifest(tmp_path / "eval")["files"]]
    assert {"denoised/0.05/test-0.npy", "denoised/0.2/test-2.npy"} < set(files)
    metadata = weights.read_record(tmp_path / "weights.safetensors")
    assert metadata["levels"]["0.2"]["value"] == 0.2
    assert metadata["contract"]["modality"] == "volume"
    page = report.write(tmp_path).path.read_text()
    for text in ("Every single volume: 6 rows", "3 volumes at 2 noise levels", "accuracy, %"):
        assert text in page
    assert f"{result.summary['model']['accuracy']:.1f} %" in page
    assert "<svg" in page.partition('id="training"')[0].partition('id="scores"')[2]
    model, variables = weights.load(tmp_path / "weights.safetensors")
    assert isinstance(model, Smooth)
    written = np.load(tmp_path / "eval" / "denoised" / "0.05" / "test-1.npy")
    np.testing.assert_allclose(model.apply(variables, noisy[None])[0], written, atol=1e-5)
    assert models.model_spec("smooth-volume").modality == "volume"

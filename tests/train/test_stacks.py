"""Models of several planes: blind spots, noise of each plane, training and use on stacks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tifffile
from variables import random_variables

import zoo
from zoo.cli import main
from zoo.data import windows
from zoo.data.batches import Batch
from zoo.errors import ZooError
from zoo.models import create_model
from zoo.noise import by_plane, choice, make_sampler, sequence
from zoo.selfsupervised import make_method
from zoo.train.config import load_config
from zoo.train.experiment import build
from zoo.train.fit_arrays import fit
from zoo.train.loop import train
from zoo.train.scoring import evaluate_run
from zoo.train.step import make_prepare


@pytest.fixture(autouse=True)
def _promotion():
    # Adam of optax relies on promotion.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def tiny(planes=3, **options):
    options = {"channels": 1, "widths": (4, 6)} | options
    return create_model("unet-tiny", planes=planes, **options)


@pytest.mark.parametrize("volumetric", [False, True])
def test_no_hidden_value_of_a_stack_reaches_its_own_prediction(volumetric):
    model, depth = tiny(5, volumetric=volumetric), 5
    variables = random_variables(model, np.zeros((1, 12, 12, 5), np.float32), np.float32([0.1]))
    prepare = make_prepare(
        size=(12, 12, 1),
        augment=lambda key, x: x,
        sampler=None,
        method=make_method("noise2void", {"spacing": 6}),
        planes=5,
    )
    stack = jax.random.uniform(jax.random.key(0), (depth, 12, 12))
    seen = jnp.asarray([windows.around(n, [(("", depth),)], 5, "") for n in range(depth)])

    # Beyond the ends neighbors stand in for others, and the center must not be one of them.
    def predicted(plane, number):
        crops = jnp.moveaxis(stack.at[number].set(plane)[seen[number]], 0, -1)[None]
        example = prepare(Batch(jnp.zeros(1, jnp.int32), crops=crops), jax.random.key(3))
        # The neighbors are seen as they are.
        beside = [example.input[..., i] - crops[..., i] for i in (0, 1, 3, 4)]
        found = model.apply(variables, example.input)[0, ..., 0]
        return found, (example.weight[0, ..., 0], jnp.stack(beside))

    jacobian = jax.jit(jax.jacfwd(predicted, has_aux=True))
    for number in (0, 1, 2):
        slope, (weight, changed) = jax.tree.map(np.asarray, jacobian(stack[number], number))
        assert not changed.any()
        hidden = np.argwhere(weight > 0)
        assert len(hidden) >= 2
        assert np.abs(slope).max() > 0
        for row, column in hidden:
            assert slope[row, column, row, column] == 0


@pytest.mark.parametrize("kind", ["gaussian", pytest.param("choice", marks=pytest.mark.matrix)])
def test_noise_of_planes_is_independent_and_of_one_level(kind):
    member = make_sampler("gaussian", (0.05, 0.5))
    if kind == "choice":
        member = choice(sequence(member), make_sampler("gaussian", 2.0))
    sampler = jax.jit(jax.vmap(by_plane(member, 2)))
    clean = jnp.zeros((32, 24, 24, 6))
    noisy, level = sampler(jax.random.split(jax.random.key(0), 32), clean)
    planes = np.asarray(noisy).reshape(32, 24 * 24, 3, 2)
    found = planes.std(axis=(1, 3))
    assert level.shape == (32,)
    np.testing.assert_allclose(found, np.repeat(level[:, None], 3, 1), rtol=0.15)
    assert np.std(level) > 0.05
    between = np.mean(planes[:, :, 0] * planes[:, :, 1], (1, 2)) / np.square(level)
    assert np.abs(between).max() < 4 / np.sqrt(24 * 24 * 2)


def test_what_has_no_planes_is_refused_in_one_line():
    stack = np.random.default_rng(0).random((4, 24, 24), np.float32)
    options = {"steps": 1, "batch_size": 2, "crop": 16, "progress": False}
    with pytest.raises(ZooError, match="halves of an image, which have no neighboring planes"):
        fit(tiny(), stack, target="neighbor2neighbor", **options)
    with pytest.raises(ZooError, match="the array is a stack of 2 planes, where 3 are needed"):
        fit(tiny(), stack[:2], target="noise2void", **options)
    with pytest.raises(ZooError, match="planes=4 is not an odd number"):
        tiny(4)
    with pytest.raises(ZooError, match="takes windows of 3 planes of 1 channels, got 1"):
        tiny().init(jax.random.key(0), jnp.zeros((1, 16, 16, 1)))


# A risk, and frames.
@pytest.mark.matrix
@pytest.mark.parametrize("target", ["sure", "noise2noise"])
def test_a_stack_alone_trains(target):
    stack = np.random.default_rng(0).normal(0.5, 0.1, (5, 24, 24)).astype(np.float32)
    level = 25 if target == "sure" else None
    options = {"steps": 3, "batch_size": 2, "crop": 16, "progress": False, "target": target}
    fitted = fit(tiny(), stack, level=level, **options)
    assert np.isfinite(fitted.history["loss"]).all()
    clean = zoo.denoise(stack, tiny(), variables=fitted.variables, range=fitted.ranges["float32"])
    assert clean.shape == stack.shape


@pytest.mark.matrix
def test_a_folder_of_clean_stacks_trains_is_scored_and_denoises(tmp_path, capsys):
    z, y, x = np.indices((6, 40, 40)) / 10
    clean = np.uint8(255 * (0.5 + 0.3 * np.sin(x + z / 5) * np.cos(y)))
    for number in range(3):
        tifffile.imwrite(tmp_path / f"{number}.tif", np.roll(clean, number, 0))
    config = load_config("unet")
    config.model.name, config.model.options.planes = "unet-tiny", 3
    config.data.name, config.data.path, config.data.channels = "folder", str(tmp_path), 1
    config.data.fractions, config.data.crop = (0.4, 0.3, 0.3), (24, 24)
    config.train.steps, config.train.batch_size = 2, 2
    config.validation.every, config.eval.baselines = 2, ()
    experiment = train(config, tmp_path / "run")
    result = evaluate_run(experiment, tmp_path / "run")
    noisy = next(iter(result.by_level.values()))["noisy"]
    # Of the center alone, and noise that is not clipped: 20 log10(255 / 25) dB.
    assert noisy["psnr"] == pytest.approx(20.17, abs=0.1)
    weights = tmp_path / "run" / "weights.safetensors"
    assert zoo.weights.read_record(weights)["contract"]["planes"] == 3
    main(
        [
            "denoise",
            str(tmp_path / "0.tif"),
            "-o",
            str(tmp_path / "o.tif"),
            "--weights",
            str(weights),
        ]
    )
    model, variables = zoo.weights.load(weights)
    page = tifffile.imread(tmp_path / "0.tif").astype(np.float32)[1:4] / 255
    wanted = model.apply(variables, np.moveaxis(page, 0, -1)[None])[0, ..., 0]
    found = tifffile.imread(tmp_path / "o.tif")[2]
    assert np.abs(found - np.clip(255 * np.asarray(wanted), 0, 255)).max() <= 0.51
    (tmp_path / "photos").mkdir()
    tifffile.imwrite(tmp_path / "photos" / "0.tif", clean[0])
    assert main(["score", str(weights), "--data", str(tmp_path / "photos")]) == 2
    assert "takes 3 planes of a stack, and photos has single images" in capsys.readouterr().err


def test_the_config_of_noisy_images_reads_stacks_of_any_range(tmp_path):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).random((6, 70, 70), np.float32))
    config = load_config(f"noise2void:{tmp_path}")
    config.model.options.planes = 3
    built = build(config)
    assert built.sources["train"][0].target.shape == (70, 70, 3)
    config.target.name = "noise2noise"
    built = build(config)
    example = built.sources["train"][0]
    assert (example.input.shape, example.target.shape) == ((70, 70, 3), (70, 70, 1))


@pytest.mark.slow
def test_neighboring_planes_make_a_network_better():
    def balls(seed):
        rng, places = np.random.default_rng(seed), np.indices((24, 64, 64), np.float32)
        light = np.full(places.shape[1:], 0.1, np.float32)
        for _ in range(60):
            center = rng.uniform(0, [24, 64, 64])[:, None, None, None]
            inside = np.sqrt(np.square(places - center).sum(0)) - rng.uniform(3, 10)
            light += rng.uniform(0.1, 0.5) / (1 + np.exp(2 * inside))
        return (light / light.max()).astype(np.float32)

    clean = balls(1)
    noise = np.random.default_rng(0).standard_normal(clean.shape, np.float32)
    noisy = clean + np.float32(50 / 255) * noise
    found = {}
    for planes in (1, 3):
        model = create_model("unet-tiny", channels=1, planes=planes)
        options = {"noise": "gaussian", "level": 50, "learning_rate": 4e-3, "progress": False}
        variables, _ = fit(model, balls(2), steps=200, batch_size=8, crop=48, **options)
        settings = {"variables": variables, "range": (0, 1)}
        denoised = (
            zoo.denoise(noisy, model, **settings)
            if planes > 1
            else np.stack([zoo.denoise(plane, model, **settings) for plane in noisy])
        )
        found[planes] = -10 * np.log10(np.square(denoised - clean).mean())
    assert found[3] > found[1] + 0.5, found

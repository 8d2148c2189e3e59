"""The benchmark, against an independent script and as its users meet it."""

import csv
import functools
import json

import jax
import numpy as np
import pytest
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from variables import random_variables

from zoo import cli, metrics, weights
from zoo.data import image_files, sources
from zoo.data.sources import Example
from zoo.evaluate import ImageProtocol, Level, NumpyGaussian
from zoo.evaluate import published_figures as published
from zoo.evaluate.image_evaluator import ImageEvaluator
from zoo.evaluate.measure import measure
from zoo.evaluate.protocol import PUBLISHED
from zoo.modality import IMAGE
from zoo.models import create_model, small_options

NOISE = 25 / 255
LEVEL = Level(25.0, "1/255", "sigma")


def measured(model, images, protocol, wanted):
    evaluator = ImageEvaluator(IMAGE, images, protocol=protocol)
    evaluator.prepare({LEVEL: None})
    metrics = IMAGE.choose(wanted)
    return measure({"model": model}, evaluator, LEVEL, NumpyGaussian(NOISE), metrics=metrics)


def scaled(x, level):
    """A denoiser of one line, the same at every pixel."""
    return 0.9 * x + 0.05


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six images of six sizes."""
    folder = tmp_path_factory.mktemp("data") / "photos"
    folder.mkdir()
    cat = data.chelsea()
    for i in range(6):
        image_files.write(folder / f"{i}.png", cat[20 * i : 20 * i + 61 + i, 50 : 121 + 2 * i])
    return folder


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "mine" / "weights.safetensors"
    path.parent.mkdir()
    options = small_options("unet-tiny")
    model = create_model("unet-tiny", **options)
    variables = random_variables(model, np.zeros((1, 16, 16, 3), np.float32))
    weights.save(path, variables, {"model": "unet-tiny", "options": options})
    return path


@pytest.fixture
def zoo(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        return cli.main([str(one) for one in arguments]), *capsys.readouterr()

    return run


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def images_of(folder):
    return [Example(p.name, image_files.read(p), None) for p in sorted(folder.glob("*.png"))]


def test_scores_are_those_of_an_independent_script(zoo, folder, model_file, tmp_path):
    # Each size needs programs of its own, so not all six.
    code, output, errors = zoo(
        *("score", model_file, "--data", folder, "--sigma", "25", "--baselines", "--limit", "3"),
        *("--shapes", "exact", "--metrics", "psnr", "ssim", "mae"),
    )
    assert (code, errors) == (0, "")
    found = {
        (r["image"], r["method"]): r for r in rows(tmp_path / "scores" / "photos" / "per_image.csv")
    }
    model, variables = weights.load(model_file)
    apply = jax.jit(model.apply)
    means = []
    for path in sorted(folder.glob("*.png"))[:3]:
        clean = image_files.read(path)
        np.random.seed(0)
        noisy = np.float32(clean / 255) + np.random.normal(0, NOISE, clean.shape)
        output_image = np.asarray(apply(variables, np.float32(noisy)[None])[0])
        for method, x in (("noisy", noisy), ("mine", output_image)):
            written = np.uint8(np.round(np.clip(x, 0, 1) * 255))
            row = found[path.name, method]
            psnr = peak_signal_noise_ratio(clean, written)
            assert float(row["psnr"]) == pytest.approx(psnr, abs=2e-3)
            ssim = structural_similarity(
                clean, written, gaussian_weights=True, use_sample_covariance=False, channel_axis=-1
            )
            assert float(row["ssim"]) == pytest.approx(ssim, abs=2e-4)
            mae = np.mean(np.abs(clean - written.astype(np.float64))) / 255
            assert float(row["mae"]) == pytest.approx(mae, rel=2e-3)
            means.append(psnr)
    cells = {r["method"]: r for r in rows(tmp_path / "scores" / "scores.csv")}
    assert float(cells["noisy"]["psnr"]) == pytest.approx(np.mean(means[::2]), abs=2e-3)
    assert f"{np.mean(means[1::2]):.2f}" in output
    whole = json.loads((tmp_path / "scores" / "scores.json").read_text())
    assert whole["protocol"]["seed"] == 0
    assert [cell["images"] for cell in whole["scores"]] == [3, 3]
    assert {(cell["level"], cell["value"], cell["unit"]) for cell in whole["scores"]} == {
        ("25", 25.0, "1/255")
    }


@pytest.mark.matrix
def test_padding_keeps_programs_few_and_figures_equal(folder):
    """For a denoiser that does not look around, the canvas must not matter at all."""
    images = images_of(folder)
    found, compiled = {}, {}
    for shapes in ("exact", "padded", "auto"):
        traced = []

        @jax.jit
        def model(x, level, traced=traced):
            traced.append(x.shape)
            return scaled(x, level)

        found[shapes] = [
            part.scores["model"][metric]
            for part in measured(
                model,
                images,
                ImageProtocol(noise="numpy", shapes=shapes),
                ("psnr", "ssim", "mae"),
            )
            for metric in ("psnr", "ssim", "mae")
        ]
        compiled[shapes] = len(set(traced))
    assert compiled["exact"] == 6
    assert compiled["padded"] == compiled["auto"] < 4
    order = {s: np.concatenate(found[s]) for s in found}
    np.testing.assert_allclose(np.sort(order["padded"]), np.sort(order["exact"]), rtol=1e-4)


@pytest.mark.parametrize(
    "name", ["mse", "mae", "psnr", "ssim", pytest.param("ms_ssim", marks=pytest.mark.matrix)]
)
def test_metrics_of_a_part_are_those_of_the_part(name):
    """Whatever lies outside, even infinity."""
    rng = np.random.default_rng(0)
    sizes = np.array([[200, 190], [178, 178], [210, 210]])
    a = rng.random((3, 256, 256, 2), np.float32)
    b = np.float32(np.clip(a + rng.normal(0, 0.1, a.shape), 0, 1))
    outside = b.copy()
    for i, (h, w) in enumerate(sizes):
        outside[i, h:], outside[i, :, w:] = 7, -3
    options = {} if name in ("mse", "mae") else {"data_range": 1.0}
    function = jax.jit(functools.partial(getattr(metrics, name), **options))
    found = function(a, outside, size=sizes)
    for i, (h, w) in enumerate(sizes):
        alone = function(a[i, :h, :w], b[i, :h, :w])
        assert float(found[i]) == pytest.approx(float(alone), rel=2e-5)
    if name == "ms_ssim":
        assert np.isnan(function(a, b, size=np.array([[175, 200]] * 3))).all()


def test_later_batches_of_a_canvas_need_no_new_program():
    """Runs of one size come in any length, in any order."""
    traced = []

    @jax.jit
    def model(x, level):
        traced.append(x.shape)
        return scaled(x, level)

    sides = [20] * 3 + [70] + [20] * 70 + [70] * 5 + [20]
    images = [Example(f"{i}", np.full((s, s, 1), i, np.uint8), None) for i, s in enumerate(sides)]
    protocol = ImageProtocol(noise="numpy", shapes="padded")
    parts = list(measured(model, images, protocol, ("psnr",)))
    assert len(traced) == 2
    places = [item.piece.place for part in parts for item in part.group.items]
    assert sorted(places) == list(range(80))
    assert all(len(part.scores["model"]["psnr"]) == len(part.group.items) for part in parts)


def test_one_colored_image_makes_a_set_color(zoo, tmp_path):
    gray = data.camera()[:30, :40, None]
    (tmp_path / "set").mkdir()
    image_files.write(tmp_path / "set" / "a.png", gray)
    image_files.write(tmp_path / "set" / "b.png", data.chelsea()[:30, :40])
    code, output, _ = zoo("score", "--data", "set", "--sigma", "25", "--baselines", "median")
    assert code == 0
    assert "- set: 2 in set, color, at their own sizes" in output


def test_files_are_looked_for_before_anything_is_scored(zoo, folder, model_file, tmp_path):
    (tmp_path / "m_15.safetensors").write_bytes(model_file.read_bytes())
    code, output, errors = zoo("score", "m_{sigma}.safetensors", "--data", folder)
    assert (code, output) == (2, "")
    assert errors == "error: there is no weight file m_25.safetensors; check the path\n"
    assert not (tmp_path / "scores").exists()


def test_images_that_are_scored_are_not_removed(zoo, folder, tmp_path):
    (tmp_path / "scores" / "photos" / "denoised").mkdir(parents=True)
    image = tmp_path / "scores" / "photos" / "denoised" / "gallery.png"
    image.write_bytes((folder / "0.png").read_bytes())
    code, _, errors = zoo("score", "--data", "scores/photos", "--baselines", "median")
    assert code == 2
    assert "choose another --out" in errors
    assert image.exists()


def test_no_empty_folder_stays(zoo, tmp_path):
    assert zoo("score", "none.safetensors", "--data", ".", "-o", "a/b/c")[0] == 2
    assert not (tmp_path / "a").exists()


def test_each_file_is_decoded_once(zoo, folder, monkeypatch):
    """Though gray or color, the number of sizes and every level are decided by the pixels."""
    read, names = sources.Source.__getitem__, []

    def watched(self, index):
        names.append(self.names[index])
        return read(self, index)

    monkeypatch.setattr(sources.Source, "__getitem__", watched)
    levels = ("--sigma", "15", "25")
    assert zoo("score", "--data", folder, *levels, "--baselines", "median", "--no-gallery")[0] == 0
    assert sorted(names) == [f"{i}.png" for i in range(6)]


def test_tables_are_kept_after_every_level(zoo, folder, monkeypatch, tmp_path):
    seen = []

    def median(noisy, sigma, clean):
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(noisy)
        return noisy

    monkeypatch.setitem(ImageEvaluator.baselines, "median", median)
    arguments = ("--limit", "2", "--sigma", "15", "25", "--baselines", "median", "--no-gallery")
    code, _, _ = zoo("score", "--data", folder, *arguments)
    assert code != 0
    cells = rows(tmp_path / "scores" / "scores.csv")
    assert {(r["level"], r["method"]) for r in cells} == {("15", "noisy"), ("15", "median")}


@pytest.mark.matrix
def test_a_level_that_nobody_knows_is_not_reported(zoo, tmp_path):
    (tmp_path / "real").mkdir()
    cat = data.chelsea()[:40, :48]
    image_files.write(tmp_path / "real" / "a_clean.png", cat)
    image_files.write(tmp_path / "real" / "a_noisy.png", np.uint8(cat // 2 + 30))
    options = {**small_options("unet-tiny"), "takes_level": True}
    x = np.zeros((1, 16, 16, 3), np.float32)
    variables = random_variables(create_model("unet-tiny", **options), x, np.float32(0.1))
    record = {"model": "unet-tiny", "options": options}
    weights.save(tmp_path / "m.safetensors", variables, record)
    asked = ("score", "m.safetensors", "--data", "real", "--pairs", "*_noisy.png", "*_clean.png")
    code, _, errors = zoo(*asked)
    assert code == 2
    assert "is not known; choose --level estimated" in errors
    assert zoo(*asked, "--level", "estimated", "--baselines", "--no-gallery")[0] == 0


@pytest.mark.matrix
def test_noise_of_jax_and_several_levels(zoo, folder, model_file, tmp_path):
    code, output, _ = zoo(
        *("score", model_file, "--data", folder, "--noise", "jax", "--sigma", "5", "50"),
        *("--baselines", "median", "--limit", "2", "--metrics", "mse", "ms_ssim", "--out", "there"),
    )
    assert code == 0
    names = {path.name for path in (tmp_path / "there").iterdir()}
    assert names == {
        *("table.md", "scores.csv", "scores.json", "photos"),
    }
    names = {path.name for path in (tmp_path / "there" / "photos").iterdir()}
    assert names == {
        *(f"curves_{metric}.png" for metric in ("psnr", "mse")),
        *(f"{name}.json" for name in ("summary", "by_level", "protocol", "manifest")),
        *("summary.csv", "per_image.csv", "gallery_5.png", "gallery_50.png"),
    }
    cells = rows(tmp_path / "there" / "scores.csv")
    assert {r["method"] for r in cells} == {"noisy", "mine", "median"}
    assert list(cells[0])[4:7] == ["psnr", "ms_ssim", "mse"]
    noisy = {r["level"]: float(r["psnr"]) for r in cells if r["method"] == "noisy"}
    # -20 log10(sigma / 255), to which clipping can only add.
    assert noisy["5"] == pytest.approx(34.15, abs=0.2)
    assert noisy["50"] == pytest.approx(14.15, abs=0.9)
    assert "sigma 50" in output
    assert "noise: jax" in output


def test_pairs_bring_their_own_noise(zoo, model_file, tmp_path):
    (tmp_path / "real").mkdir()
    cat = data.chelsea()[:40, :48]
    for name in "ab":
        image_files.write(tmp_path / "real" / f"{name}_clean.png", cat)
        image_files.write(tmp_path / "real" / f"{name}_noisy.png", np.uint8(cat // 2 + 30))
    pairs = ("--pairs", "*_noisy.png", "*_clean.png")
    code, output, errors = zoo(
        *("score", model_file, "--data", "real", *pairs, "--baselines", "--no-gallery")
    )
    assert (code, errors) == (0, "")
    expected = peak_signal_noise_ratio(cat, np.uint8(cat // 2 + 30))
    cells = {r["method"]: r for r in rows(tmp_path / "scores" / "scores.csv")}
    assert float(cells["noisy"]["psnr"]) == pytest.approx(expected, abs=1e-3)
    assert cells["noisy"]["level"] == cells["noisy"]["protocol_noise"] == "real"
    assert "noise: the images' own" in output
    assert "seed" not in output
    for added in (("--sigma", "25"), ("--noise", "jax"), ("--seed", "3")):
        code, _, errors = zoo("score", model_file, "--data", "real", *pairs, *added)
        reported = f"error: pairs bring their own noise; drop {added[0]}, or --pairs\n"
        assert (code, errors) == (2, reported)


@pytest.mark.matrix
def test_the_noise_level_may_be_estimated():
    # Of one size: each would have its own estimator to compile.
    cat = data.chelsea()
    places = (50, 70, 90)
    images = [Example(f"{i}", cat[i : i + 64, 50:130], None) for i in places]
    reported = {}
    for level in ("known", "estimated"):

        def model(x, sigma, level=level):
            reported.setdefault(level, []).extend(np.asarray(sigma)[:3].tolist())
            return x

        protocol = ImageProtocol(noise="numpy", level=level)
        list(measured(model, images, protocol, ("psnr",)))
    assert reported["known"] == pytest.approx([NOISE] * 3)
    assert reported["estimated"] == pytest.approx([NOISE] * 3, rel=0.15)
    assert reported["estimated"] != reported["known"]


def test_published_figures_are_found_by_set_method_and_level():
    assert published.psnr("BSD68", 68, 1, 25, "dncnn-gray") == 29.23
    assert published.psnr("Kodak-24", 24, 3, 50, "drunet-color") == 29.86
    assert published.psnr("set12", 11, 1, 25, "dncnn-gray") is None
    assert published.psnr("set12", 12, 1, 20, "dncnn-gray") is None
    assert published.psnr("set12", 12, 1, 25, "unet-small") is None
    assert published.psnr("holiday", 12, 1, 25, "dncnn-gray") is None
    assert published.psnr("urban100", 100, 3, 25, "bm3d") is None
    assert published.differing(PUBLISHED) == []
    assert published.differing(ImageProtocol(seed=9)) == []
    assert published.differing(ImageProtocol(channels="y", border=4)) == ["channels", "border"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data", "nowhere"], "does not exist"),
        (["--data", "empty"], "has no images"),
        (["unet-tiny", "--data", "."], "no weights of unet-tiny come with the zoo; name a file"),
        (["unet-tinny=x.pth", "--data", "."], "did you mean 'unet-tiny'"),
        (["unet-color=x.pth", "--data", "."], "unet-color comes with its weights; leave out x.pth"),
        (["none.safetensors", "--data", "."], "there is no weight file none.safetensors"),
        (["--data", ".", "--metrics", "psmr"], "unknown metric 'psmr'; did you mean 'psnr'"),
        (["--data", ".", "--baselines", "nml"], "unknown baseline 'nml'; did you mean 'nlm'"),
        (["--data", ".", "--baselines"], "nothing to score"),
        (["--data", ".", "--sigma", "-1"], "sigma -1 is not between"),
        (["--data", ".", "--sigma", "nan"], "sigma nan is not between"),
        (["--data", ".", "--limit", "0"], "no image to evaluate on; check the data and the limit"),
        (["--data", ".", "."], "two folders are called"),
        (["--data", ".", "--seed", "-1"], "seed must be"),
        (["--data", ".", "--border", "300"], "border of 300 leaves nothing of cat.png, 40x40"),
        (["MODEL", "--data", ".", "--images", "gray"], "mine takes color images, and"),
        (["MODEL", "MODEL", "--data", "."], "two rows would be called mine"),
    ],
)
def test_mistakes_are_one_line(zoo, model_file, tmp_path, arguments, words):
    (tmp_path / "empty").mkdir()
    image_files.write(tmp_path / "cat.png", data.chelsea()[:40, :40])
    arguments = [model_file if one == "MODEL" else one for one in arguments]
    code, output, errors = zoo("score", *arguments, *(["--no-gallery"]))
    assert (code, output) == (2, "")
    assert words in errors
    assert errors.startswith("error: ")
    left = tmp_path / "scores"
    assert not left.exists() or any(left.iterdir())
    assert errors.count("\n") == 1


def test_bm3d_is_the_users_to_install(zoo, folder, monkeypatch):
    monkeypatch.setattr("zoo.evaluate.baselines.is_installed", lambda name: name != "bm3d")
    code, _, errors = zoo("score", "--data", folder, "--baselines", "bm3d", "--no-gallery")
    assert code == 2
    assert "non-commercial" in errors
    assert errors.count("\n") == 1

"""The whole evaluation on tiny images and models of one line."""

import csv
import json

import jax
import numpy as np
import pytest
from skimage import data

from zoo.data import image_files
from zoo.data.sources import Example
from zoo.errors import ZooError
from zoo.evaluate import REAL, ImageProtocol, Level, evaluate, mean_merit, read_manifest
from zoo.evaluate.baselines import BASELINES
from zoo.modality import IMAGE, Metric

METHODS = ["model", "noisy", "nlm", "wavelet", "tv"]
METRICS = ["psnr", "ssim", "mse", "mae"]
LOW = Level(15.0, "1/255", "sigma")
MIDDLE = Level(25.0, "1/255", "sigma")
ODD = Level(None, name="σ 25/255")


def gaussian(sigma):
    return lambda key, x: (x + sigma * jax.random.normal(key, x.shape), np.float32(sigma))


def identity(noisy, level):
    assert noisy.dtype == level.dtype == np.float32
    assert level.shape == noisy.shape[:1]
    return noisy


@pytest.fixture(scope="module")
def pair():
    return [
        Example("a cat", data.chelsea()[100:130, 100:132], None),
        Example("cup/1", data.coffee()[100:132, 300:330], None),
    ]


@pytest.fixture(scope="module")
def two_levels(pair, tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    result = evaluate(
        {"model": identity},
        pair,
        levels={LOW: gaussian(15 / 255), ODD: gaussian(25 / 255)},
        outdir=folder,
        sheets=folder / "drawn",
        sigma_known=True,
    )
    return folder, result


def test_every_file_is_there_and_nothing_else(two_levels):
    folder, _ = two_levels
    found = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    assert found == sorted(
        [
            *(f"denoised/{level}/{name}.png" for level in ("15", "σ_25_255") for name in _FILES),
            "drawn/gallery_15.png",
            "drawn/gallery_σ_25_255.png",
            "by_level.json",
            "manifest.json",
            "per_image.csv",
            "protocol.json",
            "summary.csv",
            "summary.json",
        ]
    )


_FILES = ("a_cat", "cup_1")


def test_the_manifest_says_whose_each_file_is(two_levels):
    folder, _ = two_levels
    manifest = read_manifest(folder)
    assert (manifest["modality"], manifest["merit"]) == ("image", "psnr")
    assert [level["text"] for level in manifest["levels"]] == ["sigma 15/255", "σ 25/255 noise"]
    assert [(one["name"], one["kind"]) for one in manifest["methods"]][:3] == [
        *(("model", "model"), ("noisy", "input"), ("nlm", "baseline")),
    ]
    files = [one["file"] for one in manifest["files"]]
    written = (p.relative_to(folder).as_posix() for p in folder.rglob("*.png"))
    assert sorted(files) == sorted(written)
    (found,) = (one for one in manifest["files"] if one["file"] == "denoised/σ_25_255/cup_1.png")
    assert found == {
        **{"file": "denoised/σ_25_255/cup_1.png", "kind": "denoised", "level": "σ 25/255"},
        **{"example": "cup/1", "method": "model"},
    }
    assert read_manifest(folder / "denoised") is None
    (folder / "damaged").mkdir()
    (folder / "damaged" / "manifest.json").write_text('{"levels": []}')
    with pytest.raises(ZooError, match="is damaged"):
        read_manifest(folder / "damaged")


def test_summary_is_the_mean_of_the_rows(two_levels):
    folder, result = two_levels
    summary = json.loads((folder / "summary.json").read_text())
    assert summary == result.summary
    assert list(summary) == METHODS
    with (folder / "per_image.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["level", "image", "method", *METRICS]
    assert len(rows) == 2 * 2 * len(METHODS)
    by_level = json.loads((folder / "by_level.json").read_text())
    assert list(by_level) == ["15", "σ 25/255"]
    for method in METHODS:
        assert list(summary[method]) == METRICS
        for metric in METRICS:
            mine = [r for r in rows if r["method"] == method]
            values = [float(r[metric]) for r in mine]
            assert summary[method][metric] == pytest.approx(np.mean(values), rel=1e-4)
            values = [float(r[metric]) for r in mine if r["level"] == "15"]
            assert by_level["15"][method][metric] == pytest.approx(np.mean(values), rel=1e-4)
    with (folder / "summary.csv").open() as file:
        assert [r["method"] for r in csv.DictReader(file)] == METHODS


def test_the_identity_scores_as_the_noise_does(two_levels):
    _, result = two_levels
    assert result.summary["model"] == result.summary["noisy"]
    # sigma 15 gives 24.6 dB, to which clipping can only add.
    assert 24.5 < result.by_level[LOW]["model"]["psnr"] < 25.5


def test_every_method_sees_the_same_pixels(pair, tmp_path, monkeypatch):
    seen = {"one": [], "two": []}
    for name in seen:
        spy = lambda noisy, sigma, clean, n=name: seen[n].append(noisy) or noisy  # noqa: E731
        monkeypatch.setitem(BASELINES, name, spy)
    inputs = []

    def model(noisy, level):
        inputs.extend(noisy)
        return noisy

    levels = {MIDDLE: gaussian(0.1)}
    evaluate({"model": model}, pair, levels=levels, outdir=tmp_path, baselines=("one", "two"))
    for mine, one, two in zip(inputs, seen["one"], seen["two"], strict=True):
        np.testing.assert_array_equal(mine, one)
        np.testing.assert_array_equal(mine, two)
    # The second image keeps its noise when the level stands among others.
    first = list(inputs)
    inputs.clear()
    more = {LOW: gaussian(0.02), **levels}
    evaluate({"model": model}, pair, levels=more, outdir=tmp_path, baselines=())
    np.testing.assert_array_equal(inputs[3], first[1])


def test_mean_merit_is_that_of_the_summary(two_levels, pair):
    _, result = two_levels
    levels = {LOW: gaussian(15 / 255), MIDDLE: gaussian(25 / 255)}
    found = mean_merit(identity, pair, levels=levels)
    assert type(found) is float
    assert found == pytest.approx(result.summary["model"]["psnr"], abs=1e-4)
    one = [s.figures["psnr"] for s in result.scores if s.method == "model" and s.example == "a cat"]
    found = mean_merit(identity, pair, levels=levels, limit=1)
    assert found == pytest.approx(np.mean(one), abs=1e-4)


def test_the_written_image_is_the_scored_one(two_levels, pair):
    folder, result = two_levels
    written = image_files.read(folder / "denoised" / "15" / "a_cat.png")
    error = (written.astype(float) - pair[0].target) / 255
    assert result.scores[0][:3] == (LOW, "a cat", "model")
    assert result.scores[0].figures["mse"] == pytest.approx(np.mean(error**2), rel=1e-4)


def test_a_metric_of_a_package_gets_the_written_pixels(pair, tmp_path, monkeypatch):
    def worst(output, target, *, data_range):
        return float(np.abs(output - target).max() / data_range)

    shown = {"heading": "worst", "digits": 3, "package": "numpy"}
    monkeypatch.setitem(IMAGE.metrics, "worst", Metric(name="worst", function=worst, **shown))
    found = evaluate(
        {"model": identity},
        pair,
        levels={MIDDLE: gaussian(0.1)},
        outdir=tmp_path,
        baselines=(),
        metrics=("worst",),
        sheets=None,
    )
    written = image_files.read(tmp_path / "denoised" / "a_cat.png")
    expected = np.abs(written.astype(float) - pair[0].target).max() / 255
    assert found.scores[0].figures == {"worst": pytest.approx(expected, abs=1e-6)}


def test_the_table_marks_the_best(two_levels):
    _, result = two_levels
    blocks = result.table().split("\n\n")
    assert len(blocks) == 4
    assert blocks[2].startswith("mean")
    assert blocks[3] == ImageProtocol().line()
    lines = blocks[0].splitlines()
    assert lines[0].split() == ["15", "PSNR,", "dB", "SSIM", "MSE", "MAE"]
    best = max(METHODS, key=lambda m: result.by_level[LOW][m]["psnr"])
    marked = [line for line in lines if line.split()[1].endswith("*")]
    assert [line.split()[0] for line in marked] == [best]
    # Decimal points stand in one column.
    assert len({line.index(".") for line in lines[1:]}) == 1


def test_protocol_is_written_down(two_levels):
    folder, _ = two_levels
    protocol = json.loads((folder / "protocol.json").read_text())
    assert protocol["seed"] == 0
    assert [level["label"] for level in protocol["levels"]] == ["15", "σ 25/255"]
    assert Level.from_json(protocol["levels"][0]) == LOW
    assert protocol["limit"] is None
    assert protocol["images"] == 2


def test_paired_images_of_sixteen_bits(tmp_path):
    rng = np.random.default_rng(0)
    target = (data.camera()[:20, :20, None].astype(np.uint16) * 257).clip(3000, 60000)
    noisy = (target + rng.normal(0, 900, target.shape)).round().astype(np.uint16)
    images = [Example("p", target, noisy), Example("p", noisy, target)]
    reported = []

    def model(noisy, level):
        reported.extend(level.tolist())
        return noisy

    result = evaluate({"model": model}, images, levels={REAL: None}, outdir=tmp_path)
    assert reported == [0, 0]
    np.testing.assert_array_equal(image_files.read(tmp_path / "denoised" / "p.png"), noisy)
    np.testing.assert_array_equal(image_files.read(tmp_path / "denoised" / "p_2.png"), target)
    assert (tmp_path / "gallery.png").is_file()
    expected = 10 * np.log10(65535**2 / np.mean((noisy - target.astype(float)) ** 2))
    assert result.summary["model"]["psnr"] == pytest.approx(expected, abs=1e-3)


def test_small_images_go_in_batches_and_the_limit_holds(tmp_path):
    images = [Example(f"{i}", np.full((8, 8, 1), i, np.uint8), None) for i in range(150)]
    sizes, steps = [], []

    def model(noisy, level):
        sizes.append(len(noisy))
        return noisy

    result = evaluate(
        {"model": model},
        images,
        levels={LOW: gaussian(0.0)},
        outdir=tmp_path,
        baselines=(),
        limit=130,
        progress=lambda *step: steps.append(step),
    )
    assert sizes == [44, 44, 44]
    assert steps == [(44, 130), (88, 130), (130, 130)]
    assert [s.example for s in result.scores[::2]] == [str(i) for i in range(130)]
    # Without noise nothing differs: infinite PSNR, and no SSIM below 11 pixels.
    expected = {"psnr": None, "ssim": None, "mse": 0.0, "mae": 0.0}
    assert json.loads((tmp_path / "summary.json").read_text())["model"] == expected
    assert json.loads((tmp_path / "protocol.json").read_text())["limit"] == 130
    assert "-" in result.table()


def test_large_images_go_one_by_one(tmp_path):
    images = [Example(f"{i}", np.zeros((512, 512, 1), np.uint8), None) for i in range(2)]
    sizes = []

    def model(noisy, level):
        sizes.append(len(noisy))
        return noisy

    levels = {MIDDLE: gaussian(0.1)}
    evaluate({"model": model}, images, levels=levels, outdir=tmp_path, baselines=())
    assert sizes == [1, 1]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"images": []}, "nothing to evaluate on"),
        ({"limit": 0}, "no image"),
        ({"levels": {}}, "no noise level"),
        ({"levels": {Level(None, name="a/b"): None, Level(None, name="a b"): None}}, "share"),
        ({"levels": {MIDDLE: None}}, "name a noise"),
        ({"baselines": ("nml",)}, "did you mean 'nlm'"),
        ({"apply": lambda x, level: x[:, 1:]}, "into"),
        ({"apply": lambda x, level: x * np.float32("nan")}, "a cat is not finite"),
    ],
)
def test_mistakes(pair, tmp_path, changes, words):
    arguments = {
        "apply": identity,
        "images": pair,
        "levels": {MIDDLE: gaussian(0.1)},
        "baselines": (),
        "outdir": tmp_path,
        **changes,
    }
    with pytest.raises(ZooError, match=words) as caught:
        evaluate({"model": arguments.pop("apply")}, arguments.pop("images"), **arguments)
    assert "\n" not in str(caught.value)


def test_a_pair_must_fit(tmp_path):
    bad = Example("p", np.zeros((20, 20, 1), np.uint8), np.zeros((20, 21, 1), np.uint8))
    with pytest.raises(ZooError, match="correct the pair"):
        evaluate({"model": identity}, [bad], levels={REAL: None}, outdir=tmp_path)


def test_a_file_in_the_way_is_named(pair, tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(ZooError, match="cannot make"):
        evaluate({"model": identity}, pair, levels={MIDDLE: gaussian(0.1)}, outdir=tmp_path / "out")

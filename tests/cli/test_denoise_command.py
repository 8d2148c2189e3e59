"""`zoo denoise` on files, with tiny models of random weights; what is denoised how is elsewhere."""

import functools
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
import soundfile
import tifffile
from PIL import Image
from variables import random_variables

from zoo import cli, denoise_file, inference, models, weights
from zoo.data import audio_files
from zoo.errors import ZooError
from zoo.inference import denoise_audio
from zoo.selfsupervised import patch2self

RATE = 16000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files of all kinds, and weights of two models of color images."""
    root = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(0)
    (root / "in" / "deep").mkdir(parents=True)
    color = rng.integers(90, 240, (60, 72, 3)).astype(np.uint8)
    Image.fromarray(color).save(root / "in" / "colour.png")
    Image.fromarray(color[..., 0]).save(root / "in" / "deep" / "grey.tif")
    Image.fromarray(color).save(root / "clean.png")
    sound = np.sin(np.arange(RATE) / 9)[:, None] * 0.3 + 0.05 * rng.normal(size=(RATE, 2))
    soundfile.write(root / "in" / "sound.wav", sound, RATE, subtype="PCM_24")
    whole = (root / "in" / "colour.png").read_bytes()
    (root / "in" / "broken.png").write_bytes(whole[: len(whole) // 2])
    (root / "in" / "empty.png").write_bytes(b"")
    (root / "in" / "notes.txt").write_text("hello")
    for name, options in (("unet-tiny", {}), ("ffdnet-color", {"width": 8, "depth": 3})):
        model = models.create_model(name, **options)
        shapes = (jax.ShapeDtypeStruct(shape, np.float32) for shape in ((1, 32, 32, 3), (1,)))
        variables = random_variables(model, *shapes)
        weights.save(root / f"{name}.safetensors", variables, {"model": name, "options": options})
    return root


@pytest.fixture
def zoo(capsys, tmp_path, monkeypatch, folder):
    """The command in a folder of its own; `in` and the rest of `folder` are there by links."""
    monkeypatch.chdir(tmp_path)
    for name in os.listdir(folder):
        os.symlink(folder / name, name)

    def run(*arguments):
        return cli.main(["denoise", *arguments]), *capsys.readouterr()

    return run


def files(root):
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())


def test_one_image_becomes_one_image(zoo, tmp_path):
    code, output, errors = zoo("in/colour.png", "-o", "x.png", "--weights", "unet-tiny.safetensors")
    assert (code, errors) == (0, "")
    assert re.fullmatch(r"in/colour.png -> x.png: 72 x 60, [\d.]+ s\n", output)
    noisy, clean = (np.asarray(Image.open(path)) for path in ("in/colour.png", "x.png"))
    assert clean.shape == noisy.shape
    assert clean.dtype == noisy.dtype
    assert (clean != noisy).any()


def test_strength_0_changes_nothing_and_the_noise_is_gray(zoo):
    options = ("--weights", "unet-tiny.safetensors", "--strength", "0", "--save-noise")
    assert zoo("in/colour.png", "-o", "x.png", *options)[0] == 0
    noisy, clean, noise = (
        np.asarray(Image.open(path)) for path in ("in/colour.png", "x.png", "x.noise.png")
    )
    np.testing.assert_array_equal(clean, noisy)
    assert (noise == 128).all()


def test_a_mixed_folder_keeps_its_structure_and_tells_what_failed(zoo, tmp_path):
    code, output, errors = zoo("in", "-o", "out", "--weights", "unet-tiny.safetensors")
    assert code == 1
    assert files(tmp_path / "out") == ["colour.png", "deep/grey.tif"]
    *_, summary, skipped = output.splitlines()
    assert summary.startswith("2 images, ")
    assert skipped == "skipped 1 other file: 1 .txt"
    broken, empty, sound, failed = errors.splitlines()
    assert broken.startswith("error: in/broken.png is a truncated or broken png file")
    assert empty == "error: in/empty.png is empty; fetch it again"
    assert sound == (
        "error: in/sound.wav is an audio signal, and unet-tiny.safetensors denoises images; leave "
        "it out, or choose another model"
    )
    assert failed == "failed: 3 of 5: in/broken.png, in/empty.png, in/sound.wav"
    # All that was finished stays the second time, and is counted.
    code, output, errors = zoo("in", "-o", "out", "--weights", "unet-tiny.safetensors")
    assert code == 1
    assert "left 2 outputs that were there" in output
    assert errors.count("is there already") == 0


def test_a_recording_is_denoised_as_in_python(zoo):
    code, output, errors = zoo("in/sound.wav", "-o", "x.wav", "--model", "wiener", "--save-noise")
    assert (code, errors) == (0, "")
    assert output.startswith("in/sound.wav -> x.wav: 1.0 s, 16000 Hz, 2 channels, ")
    denoise_file("in/sound.wav", "y.wav", "wiener")
    noisy, clean, noise, expected = (
        soundfile.read(name, dtype="int32")[0]
        for name in ("in/sound.wav", "x.wav", "x.noise.wav", "y.wav")
    )
    np.testing.assert_array_equal(clean, expected)
    np.testing.assert_array_equal(noise, noisy - clean)
    assert soundfile.info("x.noise.wav").subtype == "PCM_24"


def test_recordings_need_no_model_named(zoo):
    code, output, _ = zoo("in/sound.wav", "-o", "there/")
    assert code == 0
    assert output.startswith("in/sound.wav -> there/sound.wav: 1.0 s, 16000 Hz, 2 channels, by ")


def test_the_level_is_given_or_estimated(zoo, monkeypatch):
    from zoo.inference import noise_level as level

    monkeypatch.setattr(level, "estimate_level", lambda image, scale, luma: 0.1)
    model = ("--weights", "ffdnet-color.safetensors")
    reported = zoo("in/colour.png", "-o", "a.png", *model, "--sigma", "30")[1]
    assert ", sigma 30.0, " in reported
    reported = zoo("in/colour.png", "-o", "b.png", *model, "--sigma", "auto")[1]
    assert ", sigma 25.5, " in reported
    assert Path("a.png").read_bytes() != Path("b.png").read_bytes()


def test_the_range_is_reported_where_it_is_not_all_of_the_type(zoo):
    dark = np.random.default_rng(0).integers(200, 250, (60, 72), np.uint16)
    tifffile.imwrite("dark.tif", dark)
    model = ("--weights", "unet-tiny.safetensors")
    assert ": 72 x 60, range 0 to 255.996, " in zoo("dark.tif", "-o", "a.tif", *model)[1]
    reported = zoo("dark.tif", "-o", "b.tif", *model, "--range", "0", "4095")[1]
    assert ": 72 x 60, range 0 to 4095, " in reported
    tifffile.imwrite("float.tif", dark.astype(np.float32))
    assert ", range 0 to 256, " in zoo("float.tif", "-o", "e.tif", *model)[1]
    tifffile.imwrite("unit.tif", (dark / 256).astype(np.float32))
    assert ", range " not in zoo("unit.tif", "-o", "f.tif", *model)[1]
    code, _, errors = zoo("dark.tif", "-o", "d.tif", *model, "--range", "9", "9")
    assert code == 2
    assert errors.startswith("error: --range (9.0, 9.0) is not the values of black and of white")
    code, _, errors = zoo("in/sound.wav", "--range-per-page")
    assert errors.startswith("error: --range-per-page is an option of images")


def test_counts_below_black_are_refused(zoo):
    below = np.random.default_rng(0).normal(-10, 1, (60, 72)).astype(np.float32)
    tifffile.imwrite("below.tif", below)
    arguments = ("below.tif", "-o", "a.tif", "--weights", "unet-tiny.safetensors")
    arguments += ("--stabilize", "poisson")
    code, _, errors = zoo(*arguments)
    assert code == 1
    assert errors.startswith(
        "error: below.tif: photons make values above black, 0, and those of the image lie below; "
        "give --range BLACK WHITE"
    )
    assert zoo(*arguments, "--range", "-20", "0")[0] == 0


def test_references_are_compared(zoo):
    # The input is its own reference: before nothing is missing.
    options = ("--weights", "unet-tiny.safetensors", "--strength", "0")
    code, output, _ = zoo("in/colour.png", "-o", "x.png", "--reference", "clean.png", *options)
    assert code == 0
    assert "PSNR inf to inf dB, SSIM 1.0000 to 1.0000, " in output
    code, _, errors = zoo("in/deep", "-o", "z", "--reference", ".", *options)
    assert code == 1
    assert errors == "error: there is no reference of in/deep/grey.tif in .; put it there\n"
    assert not os.path.exists("z/grey.tif")


def test_a_reference_that_does_not_fit_is_reported_after_the_work(zoo):
    Image.new("RGB", (9, 9)).save("small.png")
    options = ("--weights", "unet-tiny.safetensors", "--reference", "small.png")
    code, output, errors = zoo("in/colour.png", "-o", "x.png", *options)
    assert code == 1
    assert output.startswith("in/colour.png -> x.png: ")
    assert errors.startswith(
        "error: in/colour.png: the reference and the image have 9 x 9 and 72 x 60 pixels"
    )


def test_a_level_that_no_model_hears_is_said(zoo):
    options = ("--weights", "unet-tiny.safetensors", "--sigma", "25", "-o", "x.png")
    code, output, _ = zoo("in/colour.png", *options)
    assert code == 0
    assert "72 x 60, --sigma unused: the model takes none, " in output


def test_noise_that_cannot_be_written_leaves_the_recording(zoo, tmp_path, monkeypatch):
    def full(source, target, place, overwrite):
        raise ZooError(f"cannot write {place} whole: No space left on device; make room")

    monkeypatch.setattr(denoise_audio, "write_difference", full)
    options = ("-o", "out/", "--save-noise", "--model", "wiener")
    code, output, errors = zoo("in/sound.wav", *options)
    assert code == 1
    assert output.startswith("in/sound.wav -> out/sound.wav: 1.0 s, ")
    assert errors.startswith("error: cannot write out/sound.noise.wav whole: No space left")
    assert files(tmp_path / "out") == ["sound.wav"]


def test_published_weights_need_their_models_name(zoo, tmp_path):
    (tmp_path / "x.pth").write_bytes(b"x")
    assert zoo("in/colour.png", "--weights", "x.pth") == (
        2,
        "",
        "error: x.pth has no record of this zoo, which would name its model; write NAME=x.pth\n",
    )
    code, _, errors = zoo("in/colour.png", "--weights", "x.pth", "--model", "dncnn-color")
    assert code == 2
    assert errors.startswith("error: x.pth is ")
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "reported"),
    [
        (("--model", "unet-tyni"), "unknown model 'unet-tyni'; did you mean 'unet-tiny'?"),
        (
            ("--model", "unet-tiny"),
            "no weights of unet-tiny come with the zoo; name a file, unet-tiny=FILE, or",
        ),
        (("--weights", "none.safetensors"), "there is no weight file none.safetensors"),
        (
            ("--model", "unet-real", "--weights", "unet-tiny.safetensors"),
            "unet-real comes with its weights; leave out unet-tiny.safetensors",
        ),
        (("--model", "clean.png"), "clean.png is no whole safetensors file"),
        (
            ("--model", "unet-small", "--weights", "unet-tiny.safetensors"),
            "unet-tiny.safetensors holds a unet-tiny, not a unet-small; leave out the name",
        ),
        (("--device", "tpu"), "JAX finds no tpu here, but cpu"),
        (("--reference", "none.png"), "there is no reference none.png; check the path"),
    ],
)
def test_mistakes_are_one_line_before_anything_is_done(zoo, options, reported):
    code, output, errors = zoo("in", "-o", "out", *options)
    assert (code, output) == (2, "")
    assert errors.startswith(f"error: {reported}")
    assert errors.count("\n") == 1
    assert not os.path.exists("out")


def test_options_of_images_are_not_for_recordings(zoo):
    reported = "error: --tile is an option of images, and no input is one; drop it\n"
    assert zoo("in/sound.wav", "--tile", "64") == (2, "", reported)


def test_a_profile_is_a_stretch_of_time(zoo, capsys):
    length = audio_files.info("in/sound.wav").frames / RATE
    places = ("in/sound.wav", "-o", "a.wav")
    code, output, errors = zoo(*places, "--profile", f"0:00.1-0:00:{length - 0.1}")
    assert (code, errors) == (0, "")
    assert ", by spectral-gate" in output
    for text in ("1-0.5", "0:00", "0:01-0:x", "1-2-3", "1-inf"):
        with pytest.raises(SystemExit):
            zoo(*places, "--profile", text)
        assert f"argument --profile: '{text}' is not a stretch of time" in capsys.readouterr().err
    _, _, errors = zoo("in/sound.wav", "-o", "b.wav", "--profile", "1:00-1:01")
    assert "the noise profile from 60 to 61 s is not all in the audio" in errors


def test_a_limit_is_the_strength_of_recordings_in_decibels(zoo, capsys):
    assert zoo("in/sound.wav", "-o", "a.wav", "--model", "wiener", "--limit", "6.0206")[0] == 0
    assert zoo("in/sound.wav", "-o", "b.wav", "--model", "wiener", "--strength", "0.5")[0] == 0
    a, b = (audio_files.read(f"{name}.wav") for name in "ab")
    np.testing.assert_allclose(a, b, atol=2 / 32768)
    assert zoo("in/sound.wav", "-o", "c.wav", "--model", "wiener", "--for", "asr")[0] == 0
    x, c = audio_files.read("in/sound.wav"), audio_files.read("c.wav")
    np.testing.assert_allclose((c - x) / 0.7, (b - x) / 0.5, atol=4 / 32768)
    reported = "error: --limit is an option of audio signals, and no input is one; drop it\n"
    assert zoo("in/colour.png", "--limit", "12") == (2, "", reported)
    with pytest.raises(SystemExit):
        zoo("in/sound.wav", "--limit", "12", "--strength", "0.5")
    assert "argument --strength: not allowed with argument --limit" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [
        ("--sigma", "0"),
        ("--sigma", "x"),
        ("--tile", "-1"),
        ("--strength", "1.1"),
        ("--limit", "-1"),
    ],
)
def test_values_out_of_range_are_argparse_business(zoo, capsys, options):
    with pytest.raises(SystemExit) as stop:
        zoo("in/colour.png", *options)
    assert stop.value.code == 2
    assert f"argument {options[0]}: '{options[1]}' is not" in capsys.readouterr().err


def test_the_input_is_replaced_only_when_asked(zoo):
    data = Path("in/colour.png").read_bytes()
    Path("x.png").write_bytes(data)
    model = ("--weights", "unet-tiny.safetensors")
    code, _, errors = zoo("x.png", "-o", "x.png", *model)
    assert code == 1
    assert errors == (
        "error: x.png is the input itself; name another output, or give --overwrite\n"
    )
    assert Path("x.png").read_bytes() == data
    assert zoo("x.png", "-o", "x.png", *model, "--overwrite")[0] == 0
    assert Path("x.png").read_bytes() != data


def test_tiles_change_nothing(zoo):
    model = ("--weights", "unet-tiny.safetensors")
    assert zoo("in/colour.png", "-o", "a.png", *model)[0] == 0
    code, _, errors = zoo("in/colour.png", "-o", "b.png", *model, "--tile", "52")
    assert (code, errors) == (0, "")
    a, b = (np.asarray(Image.open(name)).astype(int) for name in ("a.png", "b.png"))
    assert abs(a - b).max() <= 1


def test_remedies_are_options_of_the_command(zoo):
    Image.new("RGB", (9, 9)).save("small.png")
    code, _, errors = zoo("small.png", "-o", "x.png", "--weights", "ffdnet-color.safetensors")
    assert code == 1
    assert errors.startswith("error: small.png: an image of 9x9 pixels is too small")
    assert errors.endswith("give --sigma\n")
    Image.new("RGB", (64, 64), "gray").save("flat.jpg")
    output = zoo("flat.jpg", "-o", "z.png", "--weights", "ffdnet-color.safetensors")[1]
    assert "try --model unet-real, or --sigma 10)" in output
    report = denoise_file("flat.jpg", "y.png", "ffdnet-color.safetensors")
    assert report.notes[0].endswith("try model='unet-real', or level=10 / 255")
    model = ("--weights", "unet-tiny.safetensors")
    errors = zoo("in/colour.png", "-o", "x.png", *model, "--tile", "15")[2]
    assert errors.startswith("error: in/colour.png: --tile 15 keeps nothing of a tile")
    Path("clip.mkv").write_bytes(b"\x1a\x45\xdf\xa3")
    errors = zoo("clip.mkv", "-o", "x.mkv", *model)[2]
    assert "; give --clean images for those of a video, or choose another model" in errors


@pytest.mark.slow
def test_ctrl_c_leaves_whole_files_only(folder, tmp_path):
    """Pressed while the second of two recordings is long."""
    short, long = (tmp_path / name for name in ("a.wav", "b.wav"))
    rng = np.random.default_rng(0)
    soundfile.write(short, 0.1 * rng.normal(size=RATE), RATE)
    soundfile.write(long, 0.1 * rng.normal(size=300 * RATE), RATE)
    command = [sys.executable, "-m", "zoo.cli", "denoise", str(short), str(long), "-o", "out"]
    # A shell has what it starts in the background ignore Ctrl-C, and that is inherited.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [*command, "--model", "wiener"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline().startswith(str(short))
    deadline = time.monotonic() + 60
    while not list((tmp_path / "out").glob(".b.wav.*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == "stopped; 1 of 2 files are written and stay\n"
    assert os.listdir(tmp_path / "out") == ["a.wav"]


@pytest.fixture
def adapted(zoo, monkeypatch):
    """What `--save-adapted` wrote of an image, with the outcome of the command."""
    Image.fromarray(np.asarray(Image.open("in/colour.png"))[..., 1]).save("gray.png")
    options = {"takes_level": True, "channels": 1, "widths": [4, 6]}
    model = models.create_model("unet-tiny", **options)
    variables = random_variables(model, np.zeros((1, 16, 16, 1), np.float32), np.float32([0.1]))
    record = {"model": "unet-tiny", "options": options}
    weights.save("level.safetensors", variables, record)
    # Of the few steps that a test has time for.
    briefly = functools.partial(inference.adapt_file, steps=2)
    monkeypatch.setattr(inference, "adapt_file", briefly)
    return zoo("gray.png", "-o", "x.png", *ADAPT, "--save-adapted", "camera.safetensors")


ADAPT = ("--adapt", "--weights", "level.safetensors")


def test_an_adaptation_is_fitted_saved_and_taken_again(zoo, adapted, capsys):
    code, output, errors = adapted
    assert (code, errors) == (0, "")
    assert re.match(r"gray.png -> x.png: 72 x 60, .*adapted, ", output)
    code, output, errors = zoo("gray.png", "-o", "y.png", "--adapted", "camera.safetensors")
    assert (code, errors) == (0, "")
    assert ", adapted, " in output
    np.testing.assert_array_equal(*(np.asarray(Image.open(name)) for name in ("x.png", "y.png")))
    assert cli.main(["info", "camera.safetensors"]) == 0
    assert "own weights to the noise of values " in capsys.readouterr().out
    code, _, errors = zoo("gray.png", "-o", "z.png", *ADAPT, "--save-adapted", "camera.safetensors")
    assert (code, errors) == (
        1,
        "error: gray.png: camera.safetensors is there already; name another, or give --overwrite\n",
    )
    assert not os.path.exists("z.png")
    code, _, errors = zoo("gray.png", "-o", "z.png", *ADAPT, "--save-adapted", "z.png")
    assert "z.png is the input or an output; name another --save-adapted" in errors


@pytest.mark.parametrize(
    ("options", "reported"),
    [
        (("--adapt", "--sigma", "9"), "--sigma is for --adapt to find; drop one of them"),
        (
            ("--adapted", "f", "--stabilize", "rician"),
            "--stabilize is for --adapted to find; drop one of them",
        ),
        (("--adapt", "--adapted", "f"), "--adapt makes a new fit and --adapted brings one; drop "),
        (("--adapted", "f", "--model", "unet-gray"), "--adapted brings its model; drop --model"),
        (("--adapted", "unet-gray"), "unet-gray is no adaptation, but weights of unet-medium"),
        (("--adapted", "f.safetensors"), "there is no weight file f.safetensors; check the path"),
        (("--adapt", "--model", "unet-real"), "unet-real takes no noise level, so it cannot be"),
        (("--method", "patch2self", "--tile", "64"), "--method patch2self has no network"),
        (("--bvals", "f"), "--bvals goes with --method patch2self and one file; drop it"),
        (("--save-adapted", "f"), "--save-adapted goes with --adapt; add it, or leave out both"),
        (("clean.png", "--adapt", "--save-adapted", "f"), "--save-adapted is for one image, and"),
    ],
)
def test_what_does_not_go_with_an_adaptation(zoo, options, reported):
    code, output, errors = zoo("in/colour.png", *options, "-o", "out/")
    assert (code, output) == (2, "")
    assert errors.startswith(f"error: {reported}")
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    ("noise", "reported"),
    [
        ("rican", "unknown noise to stabilize 'rican'; did you mean 'rician'?"),
        ("poisson:0", "gain=0.0 of the noise to stabilize is not a number above 0, in the values"),
        ("rician:1,2", "rician:1,2 is not rician:SIGMA, numbers in the values of the image"),
    ],
)
def test_noise_that_is_no_noise(zoo, capsys, noise, reported):
    with pytest.raises(SystemExit):
        zoo("in/colour.png", "--stabilize", noise)
    assert f"argument --stabilize: {reported}" in capsys.readouterr().err


def test_a_series_is_predicted_from_itself(zoo):
    rng = np.random.default_rng(0)
    series = rng.poisson(40, (1, 3, 16, 18)) + rng.integers(0, 9, (4, 3, 16, 18))
    np.save("dwi.npy", series.astype(np.int16))
    Path("dwi.bval").write_text("0 0 1000 1000\n")
    code, output, _ = zoo("dwi.npy", "--method", "patch2self", "-o", "out.npy")
    assert code == 0
    assert "18 x 16, 12 pages" in output
    assert "by b-values" in output
    # One that is alone keeps its bits.
    np.save("wide.npy", series + 1 / 3)
    Path("wide.bval").write_text("0 1000 1000 1000\n")
    _, output, _ = zoo("wide.npy", "--method", "patch2self", "-o", "alone.npy")
    assert "volumes without another of such a b-value, left as they are: 1" in output
    np.testing.assert_array_equal(np.load("alone.npy")[0], series[0] + 1 / 3)
    x = np.moveaxis(series, 0, -1).astype(np.float32)
    expected = np.rint(patch2self(x, (0, 0, 1000, 1000)))
    difference = np.abs(np.moveaxis(np.load("out.npy"), 0, -1) - expected)
    # In two parts the sums round in another way.
    assert difference.max() <= 1
    assert difference.mean() < 0.01
    code, _, errors = zoo("in/colour.png", "--method", "patch2self", "-o", "z.png")
    assert errors.startswith("error: in/colour.png is no series of gray volumes, of four axes")
    Path("dwi.bval").write_text("0 1000\n")
    code, _, errors = zoo("dwi.npy", "--method", "patch2self", "-o", "z.npy")
    assert errors == "error: dwi.npy: 2 b-values for 4 volumes; give a finite one for each volume\n"


def test_an_adaptation_is_of_images(zoo):
    reported = "error: --adapt is an option of images, and no input is one; drop it\n"
    assert zoo("in/sound.wav", "--adapt") == (2, "", reported)

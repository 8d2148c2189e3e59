"""What a user can get wrong ends with one line that names it, and costs nothing."""

import json
import logging
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tifffile
from conftest import ROOT
from families import first

from zoo.data import image_files
from zoo.train import checkpoint, loop
from zoo.train.step import State

CONFIG = f"--config={ROOT}/configs/unet.py"
WITHOUT_VALIDATION = "--config.data.fractions=(0.6, 0.0, 0.4)"
CROP = "--config.data.crop=(8, 8)"
SMALL = (
    "--config.model.name=unet-tiny",
    "--config.train.batch_size=8",
)


class Compiled(Exception):  # noqa: N818 - nothing went wrong
    """The run has got as far as the compiler."""


@pytest.fixture
def refused(command, monkeypatch):
    """Runs `main.py`, expects to be refused before anything is compiled, returns the one line."""

    def compiled(*_):
        raise Compiled

    monkeypatch.setattr(loop, "create_state", compiled)

    def run(*argv):
        code, output, errors = command(*argv)
        assert code == 2
        assert output == ""
        assert errors.startswith("error: ")
        assert errors.count("\n") == 1, errors
        assert len(errors) < 300
        return errors

    return run


@pytest.fixture
def folder(tmp_path):
    """Six images to train on, four to test on."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("test", 4)):
        (tmp_path / "data" / split).mkdir(parents=True)
        for n in range(count):
            image = rng.integers(0, 256, (20, 24, 3), np.uint8)
            image_files.write(tmp_path / "data" / split / f"{n}.png", image)
    return tmp_path / "data"


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


# ---------------------------------------------------------------------------- the command line


def test_without_a_mistake_the_run_gets_to_the_compiler(command, refused):
    for flags in ((CONFIG,), ("--config", CONFIG.partition("=")[2])):
        with pytest.raises(Compiled):
            command(*flags, "--config.train.batch_size=8", "--noconfig.data.augment.flip")


@pytest.mark.parametrize(
    ("flag", "named"),
    first(
        36,
        [
            (
                "--config.nois.level=3",
                "unknown config key 'nois.level'; did you mean 'noise.level'?",
            ),
            ("--config.noise.levle=3", "did you mean 'noise.level'?"),
            ("--config.name.short=3", "unknown config key 'name.short'"),
            ("--config.data.optionsfoo=3", "unknown config key 'data.optionsfoo'"),
            ("--noconfig.data.steam", "did you mean 'data.stream'?"),
            ("--config.train.steps=abc", "train.steps cannot be 'abc'; make it a whole number"),
            ("--config.train.batch_size=1.5", "train.batch_size cannot be '1.5'; make it a whole"),
            ("--config.data.augment.flip=7", "augment.flip cannot be '7'; make it True or False"),
            ("--config.noise.level=abc", "got 'abc'"),
            ("--config.noise.level=(0,", "got '(0,'"),
            ("--config.noise.level=(55, 0)", "got (55, 0)"),
            ("--config.eval.levels=('a',)", "eval.levels is ('a',)"),
            ("--config.model.name=unet-smal", "did you mean 'unet-small'?"),
            ("--config.model.dtype=int32", "did you mean 'float32'?"),
            ("--config.model.options.widht=3", "did you mean 'widths'?"),
            ("--config.noise.name=gausian", "did you mean 'gaussian'?"),
            ("--config.noise.unit=255", "got '255'"),
            ("--config.noise.options.clp=1", "did you mean 'clip'?"),
            ("--config.loss=charbonier", "did you mean 'charbonnier'?"),
            ("--config.loss={'l1': 1, 'ssm': 1}", "did you mean 'ssim'?"),
            ("--config.loss={'l1': -1}", "not -1"),
            ("--config.optimizer.schedule=cosin", "did you mean 'cosine'?"),
            ("--config.optimizer.schedule_options.x=1", "unexpected keyword argument 'x'"),
            ("--config.optimizer.schedule_options.end=a", "schedule_options {'end': 'a'}"),
            ("--config.loss=(1,)", "loss (1,) cannot be made"),
            ("--config.optimizer.name=adm", "did you mean 'adam'?"),
            ("--config.optimizer.options.weight=1", "'weight'"),
            ("--config.parallel=pmaps", "did you mean 'pmap'?"),
            ("--config.data.name=foldr", "did you mean 'folder'?"),
            ("--config.data.options.noisy=a", "unknown option of photos 'noisy'"),
            ("--config.data.on_error=skp", "did you mean 'skip'?"),
            ("--config.eval.baselines=('nml',)", "did you mean 'nlm'?"),
            ("--config.seed=-1", "seed is -1"),
            (f"--config.seed={2**63}", f"seed is {2**63}"),
            ("--config.train.batch_size=100000000", "train.batch_size is 100000000"),
            ("--config.train.batch_size=800000", "lower train.batch_size or data.crop"),
            ("--config.model.options.blocks=10000000", "make it a whole number from 0 to 64"),
            ("--config.train.steps=-5", "train.steps is -5"),
            ("--config.train.epochs=5", "train.epochs has no effect while train.steps is 7000"),
            ("--config.train.lr=1", "did you mean 'optimizer.learning_rate'?"),
            ("--resume-with=seed=3", "seed cannot change in a run that goes on"),
            ("--resume-with=train.steps=3", "set it by --train.steps=VALUE"),
            ("--resume-with=train.lr=3", "did you mean 'optimizer.learning_rate'?"),
            ("--resume-with=train.batch_size", "gives no value; write train.batch_size=VALUE"),
            ("--resume-with=train.batch_size=4", "has saved nothing yet"),
            ("--flagfile=none", "--flagfile cannot be read"),
            ("--config.train.start=unet-gry", "unknown weights 'unet-gry'"),
            ("--config.train.start=none.safetensors", "there is no weight file none.safetensors"),
            ("--config.train.batch_size=0", "train.batch_size is 0"),
            ("--config.train.batch_size=13", f"cannot be shared by {jax.device_count()} devices"),
            (
                "--config.train.ema_decay=2.0",
                "train.ema_decay is 2.0; make it 0 or more, and below 1",
            ),
            ("--config.optimizer.learning_rate=0.0", "learning_rate is 0.0"),
            ("--config.optimizer.accumulate=0", "optimizer.accumulate is 0"),
            ("--config.optimizer.warmup=1.0", "optimizer.warmup is 1.0"),
            ("--config.log.every=0", "log.every is 0"),
            ("--config.checkpoint.every=0", "checkpoint.every is 0"),
            ("--config.checkpoint.keep=0", "checkpoint.keep is 0"),
            ("--config.validation.every=0", "validation.every is 0"),
            ("--config.data.channels=2", "channels is 2"),
            ("--config.data.crop=(0, 0)", "data.crop is (0, 0)"),
            ("--config.data.crop=(32, 64)", "quarter turns need a square crop, not 32x64"),
            ("--config.data.crop=64", "data.crop is (64,)"),
            ("--config.data.crop=(5000, 8)", "smaller than the crop of 5000x8"),
            ("--config.data.crop=('a', 'b')", "data.crop is ('a', 'b')"),
            ("--config.data.tile=(28,)", "data.tile is (28,)"),
            ("--config.data.size=(-1, 8)", "data.size is (-1, 8)"),
            ("--config.data.fractions=(0.5, 0.4, 0.4)", "(0.5, 0.4, 0.4)"),
            ("--confg=x", "unknown flag --confg; did you mean --config?"),
            ("--mode=evil", "--mode=evil"),
            ("train", "unexpected argument 'train'"),
        ],
    ),
)
def test_a_mistaken_flag(refused, flag, named):
    batch_size = () if "batch_size" in flag else ("--config.train.batch_size=8",)
    assert named in refused(CONFIG, *batch_size, flag)


def test_stream_that_does_not_divide(refused):
    flags = ("--config.train.batch_size=8", "--config.data.stream", "--config.data.workers=1")
    assert "crops_per_picture=3" in refused(CONFIG, *flags, "--config.data.crops_per_picture=3")
    assert "data.workers is -1" in refused(CONFIG, *flags, "--config.data.workers=-1")


def test_no_config(refused):
    for flags in ((), ("--workdir=x",), ("--config.train.steps=3",)):
        assert "no config; try --config=configs/unet.py" in refused(*flags)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("def get_config(:\n    pass", "line 1: SyntaxError: "),
        ("x = 1\nimport nosuch", "line 2: ModuleNotFoundError: No module named 'nosuch'"),
        ("\n\ndef get_config():\n    return 1 / 0", "line 4: ZeroDivisionError: "),
        (
            "from zoo.train.config import default_config\ndef get_config():\n"
            "    config = default_config()\n    config.data.crop = 64\n    return config",
            "line 4: TypeError: Could not override field 'crop'",
        ),
        ("x = 1", "must define get_config()"),
        ("def get_config():\n    return get_config()", "line 2: RecursionError: "),
        ("import sys\nsys.exit(3)", "line 2: SystemExit: 3"),
        (
            "\ndef get_config(a, b):\n    pass",
            "line 2, must define get_config() and return a config",
        ),
        (
            "from zoo.train.config import default_config\ndef get_config():\n"
            "    config = default_config()\n    del config.model\n    return config",
            "the config lacks model.",
        ),
        ("def get_config():\n    return 3", "must define get_config() and return a config"),
    ],
)
def test_a_mistaken_config_file(refused, tmp_path, text, named):
    file = tmp_path / "mine.py"
    file.write_text(text)
    line = refused(f"--config={file}", "--config.train.steps=3" if "64" in text else "--mode=train")
    assert f"{file}" in line or "lacks" in line
    assert named in line


def test_a_config_file_by_a_relative_path(refused, tmp_path):
    (tmp_path / "cwd" / "mine.py").write_text("x = 1\n1 / 0")
    for file in ("mine.py", "../cwd/mine.py"):
        assert f"error: {file}, line 2: ZeroDivisionError" in refused(f"--config={file}")


def test_a_missing_config_file(refused, tmp_path):
    for file in ("configs/unett.py", str(tmp_path)):
        assert repr(file) in refused(f"--config={file}:folder", "--config.train.steps=3")


def test_oddities_of_image_files_are_not_printed(refused, caplog):
    refused(CONFIG, "--config.noise.level=abc")
    logging.getLogger("imagecodecs").warning("PNG warning: iCCP: invalid rendering intent")
    assert not caplog.records


def test_a_process_says_it_too():
    command = [sys.executable, "main.py", "--config=configs/unet.py", "--config.nois.level=3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    expected = "error: unknown config key 'nois.level'; did you mean 'noise.level'?\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", expected)


# --------------------------------------------------------------------------------- the workdir


def test_a_mistake_does_not_bind_the_next_try(command, refused):
    """The workdir remembers the config of a run that has saved something, not of a mistake."""
    assert "'abc'" in refused(CONFIG, "--config.noise.level=abc")
    with pytest.raises(Compiled):
        command(CONFIG, "--config.train.batch_size=8")


def test_a_run_that_has_saved_binds_the_next_one(refused, command, tmp_path):
    with pytest.raises(Compiled):
        command(CONFIG, "--config.train.batch_size=8", f"--workdir={tmp_path / 'run'}")
    (tmp_path / "run" / "checkpoints" / "100").mkdir(parents=True)
    before = (tmp_path / "run" / "config.json").read_text()
    line = refused(CONFIG, "--config.train.batch_size=16", f"--workdir={tmp_path / 'run'}")
    assert "train.batch_size (8, now 16)" in line
    assert (tmp_path / "run" / "config.json").read_text() == before


@pytest.mark.parametrize(
    "text", [b"{", b"\xff\xfe", b"[]", b"3", b"[" * 100_000, b'{"resumed_with": 3}']
)
def test_a_damaged_config_in_the_workdir(refused, tmp_path, text):
    (tmp_path / "run" / "checkpoints" / "100").mkdir(parents=True)
    settings = tmp_path / "run" / "config.json"
    settings.write_bytes(text)
    line = refused(CONFIG, f"--workdir={tmp_path / 'run'}", "--config.train.batch_size=8")
    assert f"{settings} is damaged" in line
    assert settings.read_bytes() == text


@pytest.mark.parametrize("name", [".lock", "config.json"])
def test_a_pipe_in_the_workdir(refused, tmp_path, name):
    """Where opening it would wait for ever."""
    run = tmp_path / "run"
    run.mkdir()
    os.mkfifo(run / name)
    assert f"{name}: it is a pipe" in refused(CONFIG, f"--workdir={run}")


def test_a_workdir_that_cannot_be_written(refused, tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    assert f"{file} cannot be written" in refused(CONFIG, f"--workdir={file}")
    assert "cannot be written" in refused(CONFIG, f"--workdir={file}/run")
    assert file.read_text() == "mine"


def test_a_workdir_left_by_a_killed_run(command, refused, tmp_path):
    (tmp_path / "run").mkdir()
    for name in (".lock", ".config.json.0a1b2c3d.part"):
        (tmp_path / "run" / name).write_text("{")
    with pytest.raises(Compiled):
        command(CONFIG, "--config.train.batch_size=8", f"--workdir={tmp_path / 'run'}")


def test_a_workdir_with_other_files(refused, tmp_path):
    (tmp_path / "letter.txt").write_text("mine")
    assert "holds files of no run" in refused(CONFIG, f"--workdir={tmp_path}")
    assert not (tmp_path / "config.json").exists()


def test_evaluation_without_weights(refused, tmp_path):
    line = refused(CONFIG, "--mode=eval", f"--workdir={tmp_path / 'none'}")
    assert f"no weight file {tmp_path / 'none'}" in line
    assert not (tmp_path / "none").exists()


# ------------------------------------------------------------------------------------ the data


def test_a_missing_or_empty_folder(refused, tmp_path):
    assert f"{tmp_path}/none does not exist" in refused(f"{CONFIG}:{tmp_path}/none")
    (tmp_path / "empty").mkdir()
    assert "has no images" in refused(f"{CONFIG}:{tmp_path}/empty")


def test_a_image_smaller_than_the_crop(refused, folder):
    image_files.write(folder / "train" / "small.png", np.zeros((7, 30, 3), np.uint8))
    line = refused(f"{CONFIG}:{folder}", *SMALL, CROP)
    assert "train/small.png is 7x30, smaller than the crop of 8x8" in line


def test_images_of_several_sizes_cannot_be_taken_whole(refused, folder):
    image_files.write(folder / "train" / "wide.png", np.zeros((20, 30, 3), np.uint8))
    line = refused(f"{CONFIG}:{folder}", *SMALL, WITHOUT_VALIDATION, "--config.data.crop=()")
    assert "train/wide.png is 20x30, unlike the others" in line


def test_a_truncated_image(refused, folder):
    truncate(folder / "train" / "3.png")
    line = refused(f"{CONFIG}:{folder}", *SMALL, CROP, WITHOUT_VALIDATION)
    assert "train/3.png is a truncated or broken png file" in line


def test_a_truncated_image_names_the_way_to_leave_it_out(refused, folder):
    truncate(folder / "train" / "3.png")
    line = refused(f"{CONFIG}:{folder}", *SMALL, CROP, WITHOUT_VALIDATION)
    assert "data.on_error=skip" in line


def test_other_files_are_counted_by_their_endings(command, folder, monkeypatch):
    for name in ("a.XCF", "b.xcf", "notes.txt"):
        (folder / "train" / name).write_bytes(b"x")
    reported = []
    monkeypatch.setattr(loop, "_say", reported.append)

    def begun(*_):
        raise Compiled

    monkeypatch.setattr(loop.Checkpoints, "restore", begun)
    monkeypatch.setattr(loop, "create_state", numpy_state)
    monkeypatch.setattr(loop, "MetricsWriter", begun)
    with pytest.raises(Compiled):
        command(f"{CONFIG}:{folder}", *SMALL, CROP, WITHOUT_VALIDATION)
    assert "data: left out 3 other files (2 .xcf, 1 .txt), as train/a.XCF" in reported


def test_a_batch_that_no_memory_holds(refused, folder):
    flags = (f"{CONFIG}:{folder}", "--config.model.name=unet-tiny", WITHOUT_VALIDATION)
    line = refused(*flags, "--config.train.batch_size=1000000")
    assert "a batch of 1000000 examples of 64x64 has more than" in line
    assert "train.batch_size is 100000000" in refused(*flags, "--config.train.batch_size=100000000")


def test_more_steps_an_update_than_the_run_has(refused, folder):
    line = refused(
        f"{CONFIG}:{folder}",
        *SMALL,
        CROP,
        WITHOUT_VALIDATION,
        "--config.train.steps=4",
        "--config.optimizer.accumulate=1000",
    )
    assert "optimizer.accumulate=1000 is more than the 4 steps of the run" in line


def test_flags_in_a_file(refused, tmp_path):
    file = tmp_path / "flags"
    file.write_text(f"# mine\n{CONFIG}\n--config.noise.levle=3\n")
    assert "did you mean 'noise.level'?" in refused(f"--flagfile={file}")
    assert "did you mean 'noise.level'?" in refused("--flagfile", str(file))


def test_nan_in_a_float_image(refused, folder):
    image = np.full((20, 20, 3), np.nan, np.float32)
    tifffile.imwrite(folder / "train" / "nan.tif", image, photometric="rgb")
    assert "train/nan.tif holds NaN or infinity" in refused(
        f"{CONFIG}:{folder}", *SMALL, CROP, WITHOUT_VALIDATION
    )


def test_nothing_to_train_on(refused, folder):
    fractions = "--config.data.fractions=(0.0, 0.0, 1.0)"
    line = refused(f"{CONFIG}:{folder / 'test'}", *SMALL, fractions)
    assert "has nothing for train" in line


def test_paired_data(refused, tmp_path):
    for n in range(6):
        image_files.write(tmp_path / f"{n}_real.png", np.zeros((20, 24, 3), np.uint8))
        image_files.write(tmp_path / f"{n}_mean.png", np.zeros((20, 24, 3), np.uint8))
    pairs = (CONFIG, *SMALL, "--config.data.name=pairs", f"--config.data.path={tmp_path}")
    assert "needs the option 'noisy'" in refused(*pairs)
    names = ("--config.data.options.noisy=*_real.png", "--config.data.options.clean=*_mean.png")
    assert "paired data bring their own noise" in refused(*pairs, *names)
    own = ("--config.noise.name=", "--config.noise.level=None")
    image_files.write(tmp_path / "1_real.png", np.zeros((20, 25, 3), np.uint8))
    line = refused(*pairs, *names, *own, CROP, "--config.data.fractions=(0.9, 0.0, 0.1)")
    assert "1_real.png is 20 x 25 uint8 but" in line
    assert "paired data bring their own noise" in refused(CONFIG, *SMALL, *own)


# ---------------------------------------------------------------------------------- the losses


def numpy_state(model, optimizer, key, shape):
    """`create_state` without the seconds that compiling `init` takes."""
    rng = np.random.default_rng(0)
    inputs = (jnp.zeros(shape), jnp.zeros(shape[:1]))
    params = jax.tree.map(
        lambda x: rng.normal(0, 0.1, x.shape).astype(np.float32),
        jax.eval_shape(model.init, key, *inputs)["params"],
    )
    return State(np.zeros((), np.int32), params, {}, optimizer.init(params), params)


def test_a_run_that_diverges_keeps_its_checkpoint(command, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "create_state", numpy_state)
    truncate(folder / "train" / "3.png")
    code, output, errors = command(
        f"{CONFIG}:{folder}",
        *SMALL,
        CROP,
        WITHOUT_VALIDATION,
        "--config.model.options.widths=(4, 4)",
        "--config.data.augment.quarter_turn=False",
        "--config.data.on_error=skip",
        "--config.optimizer.name=sgd",
        "--config.optimizer.learning_rate=1e6",
        "--config.optimizer.schedule=constant",
        "--config.optimizer.warmup=0.0",
        "--config.train.steps=40",
        "--config.log.every=1",
        "--config.checkpoint.every=1",
        f"--workdir={tmp_path / 'run'}",
    )
    assert (code, output) == (2, "")
    assert "5 train (1 skipped), 0 validation, 4 test" in errors
    assert "skipped train/3.png of train: " in errors
    last = errors.splitlines()[-1]
    assert [line for line in errors.splitlines() if line.startswith("error: ")] == [last]
    assert "Traceback" not in errors
    rows = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    step = json.loads(rows[-1])["step"]
    assert f"not finite at step {step + 1}; the checkpoint of step {step} is kept" in last
    assert checkpoint.Checkpoints(tmp_path / "run" / "checkpoints", keep=3).latest == step
    assert os.path.exists(tmp_path / "run" / "curves.png")

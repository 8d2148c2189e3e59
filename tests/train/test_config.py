"""Which keys a config takes, and which of them a run may change when it goes on."""

import json

import pytest
from conftest import ROOT
from ml_collections import ConfigDict

from zoo.errors import ZooError
from zoo.train import loop
from zoo.train.config import check, check_keys, default_config, to_plain
from zoo.train.workdir import check_changeable, check_same


def changed(**values):
    config = default_config()
    for key, value in values.items():
        *parents, last = key.split("__")
        inner = config
        for parent in parents:
            inner = inner[parent]
        inner[last] = value
    return config


def test_the_defaults_are_in_order():
    check(default_config())


@pytest.mark.parametrize("file", sorted(ROOT.glob("configs/*.py")), ids=lambda file: file.stem)
def test_every_experiment_is_in_order(file):
    experiment = {}
    exec(compile(file.read_text(), file, "exec"), experiment)
    for arguments in ((), ("folder",)):
        config = experiment["get_config"](*arguments)
        check(config)
        # What is written beside a run is JSON.
        assert json.loads(json.dumps(to_plain(config))) == to_plain(config)


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("noise__levle", "noise.level"),
        ("optimizer__learningrate", "optimizer.learning_rate"),
        ("data__augment__flips", "data.augment.flip"),
        ("sed", "seed"),
        ("noise__option", "noise.options"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest(key, nearest):
    config = changed(**{key: 1})
    name = key.replace("__", ".")
    with pytest.raises(ZooError, match=f"unknown config key '{name}'; did you mean '{nearest}'"):
        check(config)


def test_keys_below_a_plain_value_are_refused():
    config = default_config()
    config.noise.level = {"low": 0}
    with pytest.raises(ZooError, match=r"unknown config key 'noise\.level\.low'"):
        check(config)


def test_options_and_losses_are_free():
    config = changed(
        model__options__widths=(8, 8),
        noise__options__ops=({"name": "gaussian", "level": 1},),
        data__options__anything=3,
        optimizer__options=ConfigDict({"nested": {"deep": 1}}),
        loss={"l1": 0.16, "ms_ssim": 0.84},
    )
    check(config)
    check_keys(["noise.options.x", "loss.l1", "noise"])


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("train.ema_decay", (0.0, 0.9999), (1.0, -0.1, float("nan"))),
        ("train.steps", (0, 1), (-1,)),
        ("optimizer.learning_rate", (1e-9,), (0.0, -1.0, float("nan"))),
        ("log.every", (1,), (0,)),
        ("data.crop", ((), (8, 16), (8,)), ((0,), (8, 0), (8, 8, 8, 8), (8.0, 8.0))),
    ],
)
def test_the_bounds_of_a_value(key, good, bad):
    name = key.replace(".", "__")
    for value in good:
        check(changed(**{name: value}))
    for value in bad:
        with pytest.raises(ZooError, match=f"^{key} is "):
            check(changed(**{name: value}))


NUMBERS = {
    "seed": (-1, 2**32, 2**64),
    "data.workers": (-1, 10**6),
    "data.crops_per_picture": (0, 2**40),
    "data.augment.rotate": (-1.0, 1e30),
    "data.augment.zoom": (-0.1, 1e30),
    "data.augment.gain": (-1.0, 1e30),
    "data.augment.tone": (-1.0, 1e30),
    "data.augment.shift": (-0.1, 1.0),
    "data.augment.speed": (-0.1, 1.0),
    "data.sample_rate": (0, 10**9),
    "optimizer.learning_rate": (0.0, -1.0),
    "optimizer.warmup": (-0.1, 1.0),
    "optimizer.clip_norm": (-1.0,),
    "optimizer.accumulate": (0, 2**40),
    "train.batch_size": (0, 10**8),
    "train.epochs": (-1.0,),
    "train.steps": (-1, 2**31),
    "train.ema_decay": (-0.1, 1.0),
    "log.every": (0, 2**40),
    "checkpoint.every": (0, 2**40),
    "checkpoint.keep": (0, 2**40),
    "validation.every": (0, 2**40),
    "validation.limit": (-1, 2**40),
    "eval.limit": (-1, 2**40),
}
OTHERS = {
    "name": ("a/b", "..", "a\nb", "a\\b"),
    "eval.published": (None,),
    "noise.level": (True,),
    "data.size": (None, (0, 8), (8,), (True, 8), ("a", 8), (10**6, 10**6)),
    "data.tile": ((0, 8), (8,), (1.5, 8), (10**6, 10**6)),
    "data.crop": (None, (0, 8), (8, 8, 8, 8), (None,), (10**6, 10**6)),
    "data.fractions": (("a", 0, 0), (float("nan"), 0, 1)),
    "eval.levels": (("a",), (float("nan"),), (float("inf"),), (True,)),
    "eval.baselines": ((5,), (None,)),
}


def test_every_number_has_bounds():
    flat = to_plain(default_config())
    numbers = set()

    def walk(tree, prefix):
        for key, value in tree.items():
            if isinstance(value, dict):
                walk(value, f"{prefix}{key}.")
            elif isinstance(value, int | float) and not isinstance(value, bool):
                numbers.add(f"{prefix}{key}")

    walk(flat, "")
    # The noise and the data look after these.
    left_to_the_model = {"optimizer.learning_rate", "data.sample_rate"}
    assert numbers - {"noise.level", "data.channels"} == NUMBERS.keys() - left_to_the_model


@pytest.mark.parametrize(("key", "bad"), [*NUMBERS.items(), *OTHERS.items()])
def test_values_that_cannot_be_are_refused(key, bad):
    if isinstance(bad[0], float):
        bad += (float("nan"), float("inf"), -float("inf"))
    for value in bad:
        with pytest.raises(ZooError, match=f"^{key} (is|holds) ") as caught:
            check(changed(**{key.replace(".", "__"): value}))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("train.lr", "optimizer.learning_rate"),
        ("train.learning_rate", "optimizer.learning_rate"),
        ("noise.sigma", "noise.level"),
        ("data.batch_size", "train.batch_size"),
        ("train.weight_decay", "optimizer.options.weight_decay"),
    ],
)
def test_a_name_of_other_tools_finds_its_key(key, nearest):
    with pytest.raises(ZooError, match=f"unknown config key '{key}'; did you mean '{nearest}'"):
        check_keys([key])


def test_the_same_config_goes_on_after_a_walk_through_json():
    config = changed(noise__level=(0, 55), loss={"l1": 1, "ssim": 2}, model__options__widths=(8,))
    earlier = json.loads(json.dumps(to_plain(config)))
    check_same(config, earlier)


def test_what_does_not_change_a_step_may_change():
    config = changed(
        name="other",
        parallel="pmap",
        train__steps=7,
        train__epochs=3.0,
        log__every=1,
        checkpoint__every=2,
        checkpoint__keep=9,
        validation__every=3,
        eval__levels=(1, 2),
    )
    check_same(config, to_plain(default_config()))


@pytest.mark.parametrize(
    ("key", "value", "reported"),
    [
        ("noise__level", (0, 55), r"noise\.level \(25, now \[0, 55\]\)"),
        ("seed", 1, r"seed \(0, now 1\)"),
        ("train__batch_size", 8, r"train\.batch_size \(16, now 8\)"),
        ("model__options__widths", (8,), r"model\.options\.widths \(None, now \[8\]\)"),
        ("data__name", "folder", r"data\.name \('photos', now 'folder'\)"),
        ("loss", "l1", r"loss \('charbonnier', now 'l1'\)"),
    ],
)
def test_what_changes_a_step_is_named(key, value, reported):
    with pytest.raises(ZooError, match=reported) as caught:
        check_same(changed(**{key: value}), to_plain(default_config()))
    assert "\n" not in str(caught.value)
    assert "choose another --workdir" in str(caught.value)


def test_what_may_change_on_the_way():
    check_changeable(
        ["optimizer.learning_rate", "train.batch_size", "optimizer.schedule_options.end"]
    )
    for key in ("seed", "noise.level", "optimizer.name", "train.start", "model.name"):
        with pytest.raises(ZooError, match=f"^{key} cannot change"):
            check_changeable([key])
    with pytest.raises(ZooError, match=r"set it by --train\.steps"):
        check_changeable(["train.steps"])
    config = changed(optimizer__learning_rate=3e-3, seed=4)
    earlier = to_plain(default_config()) | {"seed": 4}
    with pytest.raises(ZooError, match=r"--resume-with optimizer\.learning_rate=VALUE"):
        check_same(config, earlier)
    check_same(config, earlier, changed=["optimizer.learning_rate"])


def test_all_differing_keys_are_named():
    config = changed(seed=1, noise__level=3, train__steps=9)
    with pytest.raises(ZooError, match=r"noise\.level .*seed ") as caught:
        check_same(config, to_plain(default_config()))
    assert "train.steps" not in str(caught.value)


def test_values_from_the_command_line(command, monkeypatch):
    seen = {}

    def build(config):
        seen.update(to_plain(config))
        raise ZooError("seen")

    monkeypatch.setattr(loop.experiments, "build", build)
    code, _, errors = command(
        f"--config={ROOT}/configs/unet.py",
        "--config.noise.level=(0,55)",
        "--config.loss={'l1': 0.16, 'ms_ssim': 0.84}",
        "--config.data.crop=(32, 48)",
        "--config.data.size=()",
        "--config.eval.levels=(15,25.5)",
        "--config.eval.baselines=nlm,tv",
        "--config.model.options.widths=(8,8)",
        "--config.optimizer.learning_rate=1",
        "--config.data.augment.flip=False",
        "--config.data.stream",
    )
    assert code == 2
    assert errors == "error: seen\n"
    assert seen["noise"]["level"] == [0, 55]
    assert seen["loss"] == {"l1": 0.16, "ms_ssim": 0.84}
    assert seen["data"]["crop"] == [32, 48]
    assert seen["data"]["size"] == []
    assert seen["eval"]["levels"] == [15, 25.5]
    assert seen["eval"]["baselines"] == ["nlm", "tv"]
    assert seen["model"]["options"] == {"widths": [8, 8]}
    assert seen["optimizer"]["learning_rate"] == 1.0
    assert seen["data"]["augment"]["flip"] is False
    assert seen["data"]["stream"] is True
    others = ("--config.noise.level=None", "--config.eval.baselines=nlm")
    code, _, _ = command(f"--config={ROOT}/configs/unet.py", *others)
    assert seen["noise"]["level"] is None
    assert seen["eval"]["baselines"] == ["nlm"]


def test_a_string_after_the_file_is_the_folder(command, monkeypatch):
    seen = {}

    def train(config, workdir, **_):
        seen.update(path=config.data.path, workdir=str(workdir))
        raise ZooError("seen")

    monkeypatch.setattr(loop, "train", train)
    assert command(f"--config={ROOT}/configs/unet.py:/data/my:photos")[0] == 2
    assert seen == {"path": "/data/my:photos", "workdir": "runs/unet-my:photos"}

"""Every key a config may hold, with its default; the experiments in `configs/` start from here."""

import ast
import contextlib
import json
import math
import re
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict, FieldReference
from ml_collections.config_dict import placeholder

from zoo import files, plugins
from zoo.data.pixels import PIXEL_LIMIT
from zoo.errors import ZooError, first_line, unknown
from zoo.models import create_model, list_models

AUDIO_LOSS = {
    "compressed_magnitude": 0.3,
    "compressed_complex": 0.2,
    "consistency": 0.3,
    "l1": 0.2,
}
"""The loss that audio models train with by default."""

_MOST_BYTES = 2**20  # of a config file

# Keys whose value may be a dictionary of the user's own.
_OPEN = re.compile(r"loss|eval\.published|noise\.(line|coding)|.+\.(schedule_)?options")

# What other tools call some keys; what is spelled like the end of a key is found without this.
_ALSO = {
    "lr": "optimizer.learning_rate",
    "clip": "optimizer.clip_norm",
    "grad_clip": "optimizer.clip_norm",
    "weight_decay": "optimizer.options.weight_decay",
    "batch": "train.batch_size",
    "bs": "train.batch_size",
    "ema": "train.ema_decay",
    "iterations": "train.steps",
    "max_steps": "train.steps",
    "num_epochs": "train.epochs",
    "num_workers": "data.workers",
    "patch_size": "data.crop",
    "crop_size": "data.crop",
    "sigma": "noise.level",
    "pretrained": "train.start",
}

# Steps and places in a batch are int32 on the device.
_MOST = 2**31 - 1


class _Rule(NamedTuple):
    """What a value must be: a test, and the same in words."""

    test: Callable[[Any], bool]
    words: str


def _is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _between(least: float, most: float = _MOST) -> _Rule:
    words = f"{least} or more" if most == _MOST else f"{least} to {most}"
    return _Rule(lambda value: _is_number(value) and least <= value <= most, words)


def _each(test: Callable[[Any], bool], words: str) -> _Rule:
    return _Rule(lambda value: isinstance(value, tuple | list) and all(map(test, value)), words)


def _size(*axes: int, words: str) -> _Rule:
    """A tuple of so many positive whole numbers, together of no more than PIXEL_LIMIT values."""

    def test(value) -> bool:
        return (
            isinstance(value, tuple | list)
            and len(value) in axes
            and all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in value)
            and math.prod(value) <= PIXEL_LIMIT
        )

    return _Rule(test, f"{words}, or (), and {PIXEL_LIMIT:,} of them at most")


_COUNT, _FROM_0 = _between(1), _between(0)
_SHARE = _Rule(lambda value: _is_number(value) and 0 <= value < 1, "0 or more, and below 1")
_AMOUNT = _Rule(lambda value: _is_number(value) and value >= 0, "a number of 0 or more")
_SIDES = "a height and a width (H, W) in pixels"
_RULES = {
    "name": _Rule(
        lambda value: (
            bool(re.fullmatch(r"[^/\\\x00-\x1f]{0,200}", value)) and value not in (".", "..")
        ),
        "a name without slashes; --workdir chooses the folder",
    ),
    "seed": _between(0, 2**32 - 1),  # a random key takes no more
    "data.size": _size(0, 2, words=_SIDES),
    "data.tile": _size(0, 2, words=_SIDES),
    "data.crop": _size(0, 1, 2, 3, words=f"{_SIDES}, samples of audio (T,), voxels (D, H, W)"),
    "data.fractions": _each(_is_number, "three shares that sum to 1"),
    "data.workers": _between(0, 256),
    "data.crops_per_picture": _COUNT,
    "data.augment.rotate": _between(0, 180),
    "data.augment.zoom": _between(0, 15),
    "data.augment.gain": _between(0, 100),
    "data.augment.tone": _between(0, 100),
    "data.augment.shift": _SHARE,
    "data.augment.speed": _SHARE,
    "data.sample_rate": _Rule(
        lambda value: value is None or (_is_number(value) and 1 <= value <= 1_000_000),
        "1 to 1000000 Hz, or None for the model's own",
    ),
    "noise.level": _Rule(
        lambda value: not isinstance(value, bool | dict | ConfigDict),
        "a number or a range (low, high)",
    ),
    "optimizer.learning_rate": _Rule(
        lambda value: value is None or (_is_number(value) and value > 0), "greater than 0"
    ),
    "optimizer.warmup": _SHARE,
    "optimizer.clip_norm": _AMOUNT,
    "optimizer.accumulate": _COUNT,
    "train.batch_size": _between(1, 2**20),
    "train.epochs": _AMOUNT,
    "train.steps": _FROM_0,
    "train.ema_decay": _SHARE,
    "log.every": _COUNT,
    "checkpoint.every": _COUNT,
    "checkpoint.keep": _COUNT,
    "validation.every": _COUNT,
    "validation.limit": _FROM_0,
    "eval.levels": _each(_is_number, "numbers in noise.unit, such as (15, 25), or ()"),
    "eval.baselines": _each(lambda value: isinstance(value, str), "names, such as ('nlm',)"),
    "eval.published": _Rule(lambda value: value is not None, "{} or {MODEL: FILE}"),
    "eval.limit": _FROM_0,
}


def _literal(value) -> FieldReference:
    """A field that takes any literal, so that a number may become a range on the command line."""
    return FieldReference(value, field_type=object)


def default_config() -> ConfigDict:
    """A config with every key at its default.

    The `options` dictionaries are free: they go to the function that the name next to them chooses.
    """
    config = ConfigDict()
    config.name = "run"
    config.seed = 0
    config.parallel = "jit"  # "jit" on a mesh of all devices, or "pmap"

    config.model = ConfigDict()
    config.model.name = "unet-small"  # one of `zoo models`
    config.model.dtype = "float32"  # of the computation; parameters stay float32
    config.model.options = ConfigDict()  # fields of the module

    config.data = ConfigDict()
    config.data.name = "photos"  # photos, folder, pairs, idx, tfds; for sound see below
    config.data.path = ""
    config.data.channels = 3  # 1 or 3; 0 for those of the first image of a folder
    # Of audio, which are resampled to it, in Hz; None: the model's own.
    config.data.sample_rate = placeholder(int)
    config.data.size = ()  # (H, W) every image is resized to; () keeps sizes
    config.data.tile = ()  # (H, W) of the tiles every image is cut into; () leaves them whole
    config.data.crop = (64, 64)  # (H, W) of a training crop, samples (T,) of one of an audio signal
    config.data.fractions = (0.6, 0.0, 0.4)  # train, validation, test, where the data has no split
    config.data.on_error = "raise"  # or "skip": leave unreadable images out and count them
    config.data.options = ConfigDict()
    config.data.stream = False  # True decodes on the fly what is too large for memory
    config.data.workers = 0  # processes that decode a stream; 0 decodes in threads
    config.data.crops_per_picture = 4  # of a stream, from each decoded image
    config.data.augment = ConfigDict()
    config.data.augment.flip = True
    config.data.augment.quarter_turn = True
    config.data.augment.rotate = 0.0  # up to so many degrees
    config.data.augment.shift = 0.0  # up to this fraction of the side
    config.data.augment.zoom = 0.0  # half of the images up to this share larger
    config.data.augment.gain = 0.0  # of audio, up to so many dB up or down
    config.data.augment.polarity = False  # of audio
    config.data.augment.speed = 0.0  # of audio, up to this share faster or slower
    config.data.augment.tone = 0.0  # of audio, each frequency up to so many dB up or down
    config.data.natural = ""  # the command that trains on the data this experiment is meant for

    config.noise = ConfigDict()
    config.noise.name = "gaussian"  # an op of zoo.noise, "sequence" or "choice"; "" for paired data
    config.noise.level = _literal(
        25
    )  # a number, or (low, high) drawn per example; None for the last two
    config.noise.unit = "1/255"  # or "1"
    config.noise.options = ConfigDict()
    # Of audio, each a name, level and options as above, or empty: what the noisy one is coded
    # by, and then what it comes through, such as a telephone line, which the target does as well.
    config.noise.coding = ConfigDict()
    config.noise.line = ConfigDict()

    config.target = ConfigDict()
    config.target.name = ""  # "" for clean targets; a method of zoo.selfsupervised needs none
    config.target.level = _literal(None)  # of noise that the data bring, as noise.level has it
    config.target.options = ConfigDict()

    config.loss = _literal("charbonnier")  # a name, or {name: weight, ...}

    config.optimizer = ConfigDict()
    config.optimizer.name = "adam"  # adam, adamw, muon, sgd
    config.optimizer.learning_rate = placeholder(float)  # None: the model's own, or 1e-3
    config.optimizer.schedule = "cosine"  # constant, cosine, step
    config.optimizer.warmup = 0.0  # share of the run over which the rate rises from 0
    config.optimizer.clip_norm = 0.0  # 0 for never
    config.optimizer.accumulate = 1  # steps averaged into one update
    config.optimizer.schedule_options = ConfigDict()  # of make_schedule, such as boundaries
    config.optimizer.options = ConfigDict()

    config.train = ConfigDict()
    config.train.start = ""  # weights to begin with: a name of zoo.list_weights(), or a file
    config.train.batch_size = 16
    config.train.epochs = 1.0  # an epoch covers each image's area about once
    config.train.steps = 0  # if not 0, instead of epochs
    config.train.ema_decay = 0.999

    config.log = ConfigDict()
    config.log.every = 50  # steps between looks at the metrics
    config.checkpoint = ConfigDict()
    config.checkpoint.every = 1000
    config.checkpoint.keep = 3
    config.validation = ConfigDict()
    config.validation.every = 1000
    config.validation.limit = 64  # images

    config.eval = ConfigDict()
    config.eval.levels = ()  # in noise.unit; () is noise.level, or the middle of its range
    config.eval.baselines = ("nlm", "wavelet", "tv")
    config.eval.published = ConfigDict()  # of audio: model to its file of published weights
    config.eval.limit = 0  # images; 0 for all
    return config


def audio_config() -> ConfigDict:
    """The same for audio: where `default_config` is made for images, another default."""
    config = default_config()
    config.model.name = "stream-t"
    config.data.name = "voices"  # voices, recordings, recording_pairs, tfds
    config.data.channels = 1
    config.data.crop = (32000,)
    config.data.augment.flip = False
    config.data.augment.quarter_turn = False
    config.data.augment.gain = 6.0
    config.data.augment.polarity = True
    config.noise.name = "add_at_snr"  # an op of zoo.noise.audio, "sequence" or "choice"
    config.noise.level = (-5, 20)
    config.noise.unit = "1"
    config.loss = ConfigDict(AUDIO_LOSS)
    config.eval.levels = (-5, 0, 5, 10, 15)  # SNR in dB
    config.eval.baselines = ("spectral-gate", "wiener")
    return config


def check(config: ConfigDict) -> None:
    """Checks the keys of a config and the values that no other module checks.

    Raises:
      ZooError: an unknown key, a missing key or a value out of range; names the nearest key or the
        values allowed.
    """
    flat = flatten(config)
    check_keys(flat)
    groups = {parent for key in flat for parent in _parents(key)}
    for key in flatten(default_config()):
        if key not in flat and key not in groups:
            raise ZooError(f"the config lacks {key}; begin with zoo.train.config.default_config()")
    for key, rule in _RULES.items():
        if key in flat and not rule.test(flat[key]):
            value = flat[key]
            shown = value.to_dict() if isinstance(value, ConfigDict) else value
            raise ZooError(f"{key} is {shown!r}; make it {rule.words}")


def load_config(spec: str, overrides: Iterable[str] = ()) -> ConfigDict:
    """Reads an experiment's config file and applies overrides.

    Args:
      spec: a file with a function `get_config(data="")`, or the name of one in `configs/`, such as
        `"unet"`; `SPEC:DATA` passes DATA to the function. The file is Python and is executed.
      overrides: `KEY=VALUE` each, as `override` takes them. A new `model.name` also resets
        `optimizer.learning_rate` to that model's own, unless it is overridden too.

    Raises:
      ZooError: there is no such file, it fails, it returns no config, or an override is refused.
    """
    overrides = list(overrides)
    name, _, data = spec.partition(":")
    file = _find_config(name)
    check_keys(one.partition("=")[0] for one in overrides)
    try:
        get = plugins.load_file(file).get_config
        config = get(data) if data else get()
        config.to_dict()  # ml_collections postpones some errors until a value is read
        if not isinstance(config, ConfigDict):
            raise TypeError(f"it returns {type(config).__name__}")
    except ZooError:
        raise
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a file may raise, SystemExit too
        raise _in_config(name, file, error) from None
    keys = override(config, overrides, flag="--")
    steps = config.train.steps
    if "train.epochs" in keys and "train.steps" not in keys and steps:
        raise ZooError(
            f"train.epochs has no effect while train.steps is {steps}, as in this config; add "
            "--train.steps=0"
        )
    if "model.name" in keys and "optimizer.learning_rate" not in keys:
        model = config.model.name
        if model in list_models() and getattr(create_model(model), "learning_rate", None):
            config.optimizer.learning_rate = None
    return config


def list_configs() -> list[str]:
    """The names of the configs that come with the package."""
    return sorted(path.stem for path in _configs_folder().glob("*.py"))


def _configs_folder() -> Path:
    """`configs/`: inside the installed package, next to it in the repository."""
    package = Path(__file__).parents[1]
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def _find_config(name: str) -> Path:
    file = Path(name).absolute()  # as tracebacks name it
    if name in list_configs() and not file.is_file():
        return _configs_folder() / f"{name}.py"
    if not file.is_file():
        if re.fullmatch(r"[\w-]+", name):
            raise unknown("config", name, list_configs())
        raise ZooError(f"there is no config file {name!r}; try configs/unet.py, or the name unet")
    if file.suffix != ".py":
        raise ZooError(f"{name} is no config, a Python file with get_config; try configs/unet.py")
    files.regular(file, limit=_MOST_BYTES)
    return file


def _in_config(name: str, file: Path, error: BaseException) -> ZooError:
    """An error in a config file in one line, with the line of the file."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename) == file]
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename) == file:
        lines = [error.lineno]
    last = traceback.format_exception_only(error)[-1].strip()[:300]
    if lines:
        return ZooError(f"{name}, line {lines[-1]}: {last}")
    text = file.read_text(encoding="utf-8", errors="replace")
    found = re.search(r"^def get_config\b", text, re.MULTILINE)
    line = f", line {text[: found.start()].count(chr(10)) + 1}," if found else ""
    return ZooError(
        f"{name}{line} must define get_config() and return a config: {str(error)[:100]}"
    )


def override(
    config: ConfigDict, assignments: Iterable[str], *, flag: str = "--override="
) -> list[str]:
    """Sets keys of a config from text.

    Args:
      config: is changed.
      assignments: `KEY=VALUE` each. VALUE is a Python literal where the key takes no text, and one
        item does for a tuple: `"data.crop=64"` sets `(64,)`.
      flag: what precedes `KEY=VALUE` on the user's command line, for errors.

    Returns:
      The keys.

    Raises:
      ZooError: there is no such key, or VALUE is not of its type.
    """
    keys = []
    for assignment in assignments:
        key, given, text = assignment.partition("=")
        check_keys([key])
        if not given:
            raise ZooError(f"{flag}{assignment} gives no value; write {key}=VALUE")
        kind = _type(config, key)
        try:
            config.update_from_flattened_dict({key: _parsed(kind, text)})
        except (KeyError, TypeError, ValueError) as error:
            remedy = f"make it {_KINDS[kind]}" if kind in _KINDS else first_line(error)
            raise ZooError(f"{flag}{assignment}: {key} cannot be {text!r}; {remedy}") from None
        keys.append(key)
    return keys


_KINDS = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    tuple: "values in parentheses, such as (8, 8)",
    ConfigDict: "a dictionary, such as {'depth': 3}",
}


def _type(config: ConfigDict, key: str) -> type:
    """The type of a key's values; `object` where it takes any, and for a new key of options."""
    *parents, last = key.split(".")
    for parent in parents:
        config = config.get(parent) if isinstance(config, ConfigDict) else None
    known = isinstance(config, ConfigDict) and last in config
    return config.get_type(last) if known else object


def _parsed(kind: type, text: str) -> Any:
    """The value of a type that `text` stands for."""
    if kind is str and text[:1] not in ("'", '"'):
        return text
    if kind is bool and text.lower() in ("true", "false"):
        return text.lower() == "true"
    value = text
    with contextlib.suppress(ValueError, SyntaxError):
        value = ast.literal_eval(text)
    if kind is tuple and not isinstance(value, tuple | list):
        return tuple(value.split(",")) if isinstance(value, str) else (value,)
    if kind in (bool, int, float) and isinstance(value, bool) != (kind is bool):
        raise TypeError
    return value


def check_keys(keys: Iterable[str]) -> None:
    """Refuses a key no experiment has.

    Args:
      keys: with dots, such as `"noise.level"`; a group of keys, such as `"noise"`, will do.

    Raises:
      ZooError: names the key and the nearest one that exists.
    """
    known = flatten(default_config())
    groups = {parent for key in known for parent in _parents(key)}
    for key in keys:
        free = any(parent in known and _OPEN.fullmatch(parent) for parent in _parents(key))
        if not (key in known or key in groups or free):
            near = _meant(key, known)
            raise (
                unknown("config key", key, known)
                if near is None
                else ZooError(f"unknown config key {key!r}; did you mean {near!r}?")
            )


def _meant(key: str, known: Iterable[str]) -> str | None:
    """The key that another tool's name or a name in the wrong group stands for, if there is one."""
    last = key.rpartition(".")[2]
    same = [one for one in known if one.rpartition(".")[2] == last]
    return same[0] if len(same) == 1 else _ALSO.get(last)


def to_plain(config: ConfigDict) -> dict:
    """The config as JSON would hold it: dictionaries, lists, numbers and strings."""
    return json.loads(json.dumps(config.to_dict()))


def _parents(key: str) -> list[str]:
    parts = key.split(".")
    return [".".join(parts[:i]) for i in range(1, len(parts))]


def flatten(tree, prefix: str = "") -> dict:
    """The values of nested dictionaries by their keys joined with dots; empty ones are values."""
    flat = {}
    for key, value in tree.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict | ConfigDict) and value:
            flat |= flatten(value, f"{path}.")
        else:
            flat[path] = value
    return flat

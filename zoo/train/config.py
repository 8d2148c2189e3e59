"""Every key a config may hold, with its default; the experiments in `configs/` start from here."""

import ast
import contextlib
import math
import re
from collections.abc import Collection, Iterable

from ml_collections import ConfigDict, FieldReference
from ml_collections.config_dict import placeholder

from zoo.data.pixels import PIXEL_LIMIT
from zoo.errors import ZooError, unknown

# What a run may change when it goes on in its workdir: how long and where it runs, what it tells
# and how it is scored at the end. Of these only a new end changes what the steps to come compute,
# by the learning-rate schedule.
_FREE = (
    "name",
    "parallel",
    "train.steps",
    "train.epochs",
    "data.workers",
    "data.natural",
    "log.every",
    "checkpoint.every",
    "checkpoint.keep",
    "validation.every",
    "eval.levels",
    "eval.baselines",
    "eval.published",
    "eval.limit",
)

# What a run may also change when it goes on, where that is asked for: it changes the steps to come,
# but neither what the state holds nor what the validation measures.
_ON_THE_WAY = re.compile(
    r"optimizer\.(learning_rate|warmup|schedule(_options(\..+)?)?)|train\.(batch_size|ema_decay)"
)

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

# The least and the greatest value.
_BOUNDS = {
    "seed": (0, 2**32 - 1),  # of which a random key is made
    "data.workers": (0, 256),
    "data.crops_per_picture": (1, _MOST),
    "data.augment.rotate": (0, 180),
    "data.augment.gain": (0, 100),
    "data.augment.tone": (0, 100),
    "data.sample_rate": (1, 1_000_000),
    "optimizer.accumulate": (1, _MOST),
    "train.batch_size": (1, 2**20),
    "train.steps": (0, _MOST),
    "log.every": (1, _MOST),
    "checkpoint.every": (1, _MOST),
    "checkpoint.keep": (1, _MOST),
    "validation.every": (1, _MOST),
    "validation.limit": (0, _MOST),
    "eval.limit": (0, _MOST),
}
# Numbers from 0 to below 1, and finite ones of 0 or more.
_SHARES = ("data.augment.shift", "data.augment.speed", "optimizer.warmup", "train.ema_decay")
_AMOUNTS = ("optimizer.clip_norm", "train.epochs")
_SIZES = ("data.size", "data.tile")


def _literal(value) -> FieldReference:
    """A field that takes any literal, so that a number may become a range on the command line."""
    return FieldReference(value, field_type=object)


def default_config() -> ConfigDict:
    """A config with every key at its default.

    The `options` dictionaries are free: they go to the function the name beside them chooses.
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
    config.data.channels = 3
    config.data.sample_rate = 16000  # of recordings, which are resampled to it; not of pictures
    config.data.size = ()  # (H, W) every picture is resized to; () keeps sizes
    config.data.tile = ()  # (H, W) of the tiles every picture is cut into; () leaves them whole
    config.data.crop = (64, 64)  # (H, W) of a training crop, samples (T,) of one of a recording
    config.data.fractions = (0.6, 0.0, 0.4)  # train, validation, test, where the data has no split
    config.data.on_error = "raise"  # or "skip": leave unreadable pictures out and count them
    config.data.options = ConfigDict()
    config.data.stream = False  # True decodes on the fly what is too large for memory
    config.data.workers = 0  # processes that decode a stream; 0 decodes in threads
    config.data.crops_per_picture = 4  # of a stream, from each decoded picture
    config.data.augment = ConfigDict()
    config.data.augment.flip = True
    config.data.augment.quarter_turn = True
    config.data.augment.rotate = 0.0  # up to so many degrees
    config.data.augment.shift = 0.0  # up to this fraction of the side
    config.data.augment.gain = 0.0  # of recordings, up to so many dB up or down
    config.data.augment.polarity = False  # of recordings
    config.data.augment.speed = 0.0  # of recordings, up to this share faster or slower
    config.data.augment.tone = 0.0  # of recordings, each frequency up to so many dB up or down
    config.data.natural = ""  # the flag that trains on the data this experiment is meant for

    config.noise = ConfigDict()
    config.noise.name = "gaussian"  # an op of zoo.noise, "sequence" or "choice"; "" for paired data
    config.noise.level = _literal(
        25
    )  # a number, or (low, high) drawn per example; None for the last two
    config.noise.unit = "1/255"  # or "1"
    config.noise.options = ConfigDict()
    # Of recordings, each a name, level and options as above, or empty: what the noisy one is coded
    # by, and then what it comes through, such as a telephone line, which the target does as well.
    config.noise.coding = ConfigDict()
    config.noise.line = ConfigDict()

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
    config.train.epochs = 1.0  # an epoch covers each picture's area about once
    config.train.steps = 0  # if not 0, instead of epochs
    config.train.ema_decay = 0.999

    config.log = ConfigDict()
    config.log.every = 50  # steps between looks at the metrics
    config.checkpoint = ConfigDict()
    config.checkpoint.every = 1000
    config.checkpoint.keep = 3
    config.validation = ConfigDict()
    config.validation.every = 1000
    config.validation.limit = 64  # pictures

    config.eval = ConfigDict()
    config.eval.levels = ()  # in noise.unit; () is noise.level, or the middle of its range
    config.eval.baselines = ("nlm", "wavelet", "tv")
    config.eval.published = ConfigDict()  # of recordings: model to its file of published weights
    config.eval.limit = 0  # pictures; 0 for all
    return config


def audio_config() -> ConfigDict:
    """The same for recordings: where `default_config` is made for pictures, another default."""
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
    config.loss = ConfigDict(
        {"compressed_magnitude": 0.3, "compressed_complex": 0.2, "consistency": 0.3, "l1": 0.2}
    )
    config.eval.levels = (-5, 0, 5, 10, 15)  # SNR in dB
    config.eval.baselines = ("spectral-gate", "wiener")
    return config


def check(config: ConfigDict) -> None:
    """Refuses a key no experiment has, and a number that cannot be.

    Raises:
      ZooError: names the key, and the nearest one that exists or the values it takes.
    """
    flat = _flatten(config)
    check_keys(flat)
    _check_complete(flat)
    if not re.fullmatch(r"[^/\\\x00-\x1f]{0,200}", flat["name"]) or flat["name"] in (".", ".."):
        raise ZooError(
            f"name is {flat['name']!r}, and is no path but what a run is called; "
            "the folder of a run is chosen by --workdir"
        )
    if flat.get("eval.published", {}) is None:
        raise ZooError("eval.published is None; make it {} or {MODEL: FILE}")
    level = flat["noise.level"]
    if isinstance(level, bool | dict | ConfigDict):
        raise ZooError(
            f"noise.level is {str(level).strip()}; make it a number or a range (low, high)"
        )
    _check_numbers(flat)
    _check_tuples(flat)


def _check_numbers(flat: dict) -> None:
    for key, (least, most) in _BOUNDS.items():
        if not (_is_number(flat[key]) and least <= flat[key] <= most):
            upper = "or more" if most == _MOST else f"to {most}"
            raise ZooError(f"{key} is {flat[key]}; make it {least} {upper}")
    for key in _SHARES:
        if not (_is_number(flat[key]) and 0 <= flat[key] < 1):
            raise ZooError(f"{key} is {flat[key]}; make it 0 or more, and below 1")
    for key in _AMOUNTS:
        if not (_is_number(flat[key]) and flat[key] >= 0):
            raise ZooError(f"{key} is {flat[key]}; make it a number of 0 or more")
    rate = flat["optimizer.learning_rate"]
    if rate is not None and not (_is_number(rate) and rate > 0):
        raise ZooError(f"optimizer.learning_rate is {rate}; make it greater than 0")


def _check_tuples(flat: dict) -> None:
    for key in (*_SIZES, "data.crop", "data.fractions", "eval.levels", "eval.baselines"):
        if not isinstance(flat[key], tuple | list):
            raise ZooError(f"{key} is {flat[key]}; make it several values, such as (8, 8), or ()")
    for key in _SIZES:
        size = tuple(flat[key])
        if size and not (len(size) == 2 and _is_size(size)):
            raise ZooError(
                f"{key} is {size}; make it a height and a width in pixels, {PIXEL_LIMIT:,} pixels "
                "at most, or ()"
            )
    crop = tuple(flat["data.crop"])
    if len(crop) > 2 or not _is_size(crop):
        raise ZooError(
            f"data.crop is {crop}; make it a height and a width in pixels, the samples of a "
            f"recording (T,), or (), and {PIXEL_LIMIT:,} of them at most"
        )
    fractions = tuple(flat["data.fractions"])
    if not all(map(_is_number, fractions)):
        raise ZooError(f"data.fractions is {fractions}; give three shares that sum to 1")
    for level in flat["eval.levels"]:
        if not _is_number(level):
            raise ZooError(f"eval.levels holds {level!r}; make it numbers in noise.unit")
    for name in flat["eval.baselines"]:
        if not isinstance(name, str):
            raise ZooError(f"eval.baselines holds {name!r}; make it names, such as 'nlm'")


def _is_number(value) -> bool:
    """Whether it is a number that is finite."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_size(size: tuple) -> bool:
    """Whether it counts pixels, or samples, along each axis."""
    return (
        all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in size)
        and math.prod(size) <= PIXEL_LIMIT
    )


def _check_complete(keys: Collection[str]) -> None:
    """Refuses a config that a file has taken keys from."""
    below = {parent for key in keys for parent in _parents(key)}
    for key in _flatten(default_config()):
        if key not in keys and key not in below:
            raise ZooError(f"the config lacks {key}; begin with zoo.train.config.default_config()")


def override(
    config: ConfigDict, assignments: Iterable[str], *, flag: str = "--override"
) -> list[str]:
    """Sets keys of a config, as command lines give them.

    Args:
      config: is changed.
      assignments: `KEY=VALUE` each; a value is Python's where it is one, else the text itself.
      flag: how the user gives them, for an error.

    Returns:
      The keys.

    Raises:
      ZooError: there is no such key, or it takes no such value.
    """
    keys = []
    for assignment in assignments:
        key, given, value = assignment.partition("=")
        if not given:
            raise ZooError(f"{flag}={assignment} gives no value; write {key}=VALUE")
        check_keys([key])
        with contextlib.suppress(ValueError, SyntaxError):
            value = ast.literal_eval(value)
        try:
            config.update_from_flattened_dict({key: value})
        except (KeyError, TypeError, ValueError) as error:
            raise ZooError(f"{flag}={assignment}: {str(error).splitlines()[0]}") from None
        keys.append(key)
    return keys


def check_keys(keys: Iterable[str]) -> None:
    """Refuses a key no experiment has.

    Args:
      keys: with dots, such as `"noise.level"`; a group of keys, such as `"noise"`, will do.

    Raises:
      ZooError: names the key and the nearest one that exists.
    """
    known = _flatten(default_config())
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


def check_same(config: ConfigDict, earlier: dict, changed: Iterable[str] = ()) -> None:
    """Refuses to go on in a workdir whose run computed something else.

    Args:
      config: what is asked for now.
      earlier: the workdir's config, as `to_plain` gave it.
      changed: keys that shall differ from now on.

    Raises:
      ZooError: names the keys that differ.
    """
    found = differing(config, earlier, free={*_FREE, *changed})
    if found:
        ours = [one.partition(" ")[0] for one in found]
        way = [f"--resume-with {key}=VALUE" for key in ours if _ON_THE_WAY.fullmatch(key)]
        on = f", or change what may change on the way by {' '.join(way)}" if way else ""
        raise ZooError(
            f"the workdir belongs to another run: {', '.join(found)} differ; "
            f"choose another --workdir, or the earlier settings{on}"
        )


def check_changeable(keys: Iterable[str]) -> None:
    """Refuses a key that a run cannot change on its way.

    Raises:
      ZooError: names the key and those that can be.
    """
    for key in keys:
        if key in _FREE:
            raise ZooError(f"{key} needs no --resume-with; set it by --config.{key}=VALUE")
        if not _ON_THE_WAY.fullmatch(key):
            raise ZooError(
                f"{key} cannot change in a run that goes on, only the optimizer's learning_rate, "
                "schedule, schedule_options and warmup, and batch_size and ema_decay of train can; "
                "begin another run, with the weights of this one as train.start"
            )


def differing(config: ConfigDict, earlier: dict, free: Iterable[str] = _FREE) -> list[str]:
    """The keys that are not as they were, each with its values, but those that are `free`.

    Free by default is what does not change what a run computes.
    """
    now, then = _flatten(to_plain(config)), _flatten(earlier)
    return [
        f"{key} ({then.get(key)!r}, now {now.get(key)!r})"
        for key in sorted(now.keys() | then.keys())
        # Empty options and none are the same.
        if (now.get(key) or None) != (then.get(key) or None) and key not in free
    ]


def to_plain(config: ConfigDict) -> dict:
    """The config as JSON would hold it: dictionaries, lists, numbers and strings."""
    return _plain(config.to_dict())


def _plain(value):
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


def _parents(key: str) -> list[str]:
    parts = key.split(".")
    return [".".join(parts[:i]) for i in range(1, len(parts))]


def _flatten(tree, prefix: str = "") -> dict:
    flat = {}
    for key, value in tree.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict | ConfigDict) and value:
            flat |= _flatten(value, f"{path}.")
        else:
            flat[path] = value
    return flat

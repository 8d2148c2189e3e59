"""What is measured and in which order; no JAX, so that the parent starts at once."""

import time
from typing import NamedTuple

BEGUN = time.monotonic()
"""When the run did, or nearly: this is read before anything that takes long to import."""

PARTS = {"machine": 6, "golden": 16, "networks": 52, "noise": 8, "loop": 9, "audio": 9}
"""The parts in their order, with their shares of the time; what one leaves goes to the next."""

MODELS = (
    "unet-small",
    "unet-medium",
    "unet-base",
    "dncnn-color",
    "ffdnet-color",
    "nafnet-w32",
    "drunet-color",
    "swinir-color",
    "scunet-color",
    "restormer-color",
)
PEERS = {name: name for name in MODELS} | {"dncnn-color": "dncnn"}
"""What `benchmarks/peers/networks.py` calls them."""
HEAVY = ("swinir-color", "scunet-color", "restormer-color")
"""Those that hold most at once, measured with a quarter of the batch."""
TOY_MODELS = ("dncnn-color", "unet-small")

# A side and a batch, for each of two sizes.
SIZES = ({"infer": (256, 8), "train": (128, 16)}, {"infer": (1024, 1), "train": (256, 4)})
TOY_SIZES = ({"infer": (16, 2), "train": (8, 2)}, {"infer": (32, 1), "train": (16, 2)})
WAVES = (("bf16", 0, 6), ("f32", 0, 2), ("bf16", 1, 1), ("f32", 1, 1))
"""Which cells come first: dtype, size, and the share of the time."""
TOY_WAVES = (("bf16", 0, 3), ("f32", 1, 1))
"""A toy has all its models in the first, and the first model alone in the other."""


class Task(NamedTuple):
    """What a job measures of its model: `"infer"` or `"train"`, of square images."""

    name: str
    side: int
    batch: int


class Job(NamedTuple):
    """One model in one dtype at one size, measured by one process.

    Attributes:
      model: as registered.
      small: whether it has the sizes of tests, for a toy.
      dtype: `"f32"` or `"bf16"`.
      tasks: what is measured of it.
      wave: its number in `WAVES`.
    """

    model: str
    small: bool
    dtype: str
    tasks: tuple[Task, ...]
    wave: int

    @property
    def cells(self) -> list[str]:
        """What its rows are called."""
        return [cell(self.model, self.dtype, task) for task in self.tasks]


def cell(model: str, dtype: str, task: Task) -> str:
    """What a row of a network is called."""
    return f"{model} {task.name} {dtype} {task.side}x{task.side} batch {task.batch}"


def jobs(models: tuple[str, ...], *, toy: bool = False) -> list[Job]:
    """All jobs, the most telling first: every model before the next dtype or size."""
    sizes, found = TOY_SIZES if toy else SIZES, []
    for wave, (dtype, size, _) in enumerate(TOY_WAVES if toy else WAVES):
        for model in models[:1] if toy and wave else models:
            shrink = 4 if model in HEAVY and not toy else 1
            # A quarter of the pixels: fewer images, or smaller ones where there is one.
            tasks = [
                Task(name, side if batch >= shrink else side // 2, max(batch // shrink, 1))
                for name, (side, batch) in sizes[size].items()
            ]
            found.append(Job(model, toy, dtype, tuple(tasks), wave))
    return found


def shares(found: list[Job], *, toy: bool = False) -> dict[int, float]:
    """What of the time a job of each wave gets."""
    waves = [job.wave for job in found]
    weights = [weight for _, _, weight in (TOY_WAVES if toy else WAVES)]
    return {wave: weights[wave] / waves.count(wave) for wave in waves}


class Loop(NamedTuple):
    """A config whose loop is measured beside its bare step."""

    name: str
    config: str
    stream: bool
    override: tuple[str, ...]


LOOPS = (
    Loop("unet.py", "unet.py", False, ()),
    Loop(
        "unet.py with unet-base, bf16, 32 crops of 128x128",
        "unet.py",
        False,
        (
            "model.name=unet-base",
            "model.dtype=bfloat16",
            "train.batch_size=32",
            "data.crop=(128,128)",
        ),
    ),
    Loop("unet.py, streamed", "unet.py", True, ()),
    Loop("audio_stream.py", "audio_stream.py", False, ()),
)
TOY_LOOPS = (
    Loop("unet.py, toy", "unet.py", False, ("model.name=upsample_cnn-base", "data.crop=(16,16)")),
)


def settings(*, toy: bool) -> dict[str, dict]:
    """The arguments of the parts, without those of the networks, by their names."""
    if toy:
        return {
            "machine": {"peaks": False},
            "golden": {"cases": ["dncnn-small", "ffdnet-small"]},
            "noise": {
                "image": {"size": 8, "batch": 2, "ops": ["gaussian", "impulse"]},
                "audio": {"size": 4096, "batch": 2, "ops": ["white"]},
                "block": 0.01,
            },
            "loop": {"loops": TOY_LOOPS, "steps": 4, "turns": 2, "block": 0.05},
            "audio": {"models": ["wiener"], "audio_s": 1, "block": 0.01},
        }
    return {
        "machine": {"peaks": True},
        "golden": {"cases": None},
        "noise": {
            "image": {"size": 512, "batch": 16, "ops": None},
            "audio": {"size": 32000, "batch": 64, "ops": None},
            "block": 0.2,
        },
        "loop": {"loops": LOOPS, "steps": 100, "turns": 5, "block": 0.5},
        "audio": {"models": None, "audio_s": 10, "block": 0.5},
    }

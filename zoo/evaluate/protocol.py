"""Every choice behind a score, named.

Papers differ in whether noisy pixels are clipped, whether the output is rounded, which channels
count and what seeds the noise, and each choice moves the PSNR by more than the methods compared do.
The defaults are those that KAIR, DPIR, SwinIR and Restormer share, but for the random numbers
themselves: theirs are NumPy's, which cannot be drawn on an accelerator.
"""

import dataclasses
from typing import Literal

from zoo.errors import ZooError, unknown

METRICS = ("psnr", "ssim", "ms_ssim", "mse", "mae")

_NOISE = {
    "jax": "drawn on the device by jax.random from fold_in(key(seed), picture index), at every "
    "level; one fixed draw a picture and canvas, so that padding draws anew",
    "numpy": "numpy.random.seed(seed) before every picture, then "
    "numpy.random.normal(0, sigma, (H, W, C)), added in float32",
}
_NOISY = {
    "float": "not clipped (but by the noise's own options)",
    "clip": "clipped to [0, 1]",
    "round": "clipped to [0, 1] and rounded to the target's depth",
}
_OUTPUT = {
    "round": "clipped to [0, 1] and rounded to the target's depth: 8 bits, or 16",
    "clip": "clipped to [0, 1], not rounded",
    "float": "neither clipped nor rounded",
}
_CHANNELS = {
    "all": "all channels together",
    "y": "the luma of ITU-R BT.601 in [16, 235], as MATLAB's rgb2ycbcr, rounded like the output; "
    "grey pictures as they are",
}
_DATA_RANGE = {
    "full": "from black to white: 1, or 255 in 8 bits",
    "picture": "from the darkest to the brightest value of each clean picture; a flat one has none",
}
_LEVEL = {
    "known": "models that take a level are told the true one",
    "estimated": "models that take a level are told what zoo.estimate.estimate_sigma_smooth finds",
}
_SHAPES = {
    "exact": "every picture at its own size",
    "padded": "every picture mirrored at its right and lower edge to multiples of {multiple}",
    "auto": "every picture at its own size if a set has {few} sizes or fewer, else mirrored at its "
    "right and lower edge to multiples of {multiple}",
}

MULTIPLE = 64
"""What sides of pictures that are padded become multiples of, in pixels."""

FEW_SHAPES = 4
"""How many sizes a set may have for `shapes="auto"` to leave it exact."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Protocol:
    """The choices; `choices` explains what each comes to.

    Attributes:
      seed: of the noise, from 0 to 2**31 - 1.
      noise: whose random numbers, `"jax"` or `"numpy"`.
      noisy: what is done to noisy pixels before a model sees them: `"float"` (nothing), `"clip"` or
        `"round"`.
      output: what is done to a model's pixels before they are scored: `"round"`, `"clip"` or
        `"float"`.
      channels: what is compared, `"all"` or `"y"`.
      border: how many pixels at each edge do not count, 0 or more.
      data_range: of PSNR and SSIM, `"full"` or `"picture"`.
      level: what models that take a level are told, `"known"` or `"estimated"`.
      shapes: `"exact"` compiles a program for every size of picture; `"padded"` and `"auto"` keep
        the sizes few: local models see it near two edges, global ones everywhere.
    """

    seed: int = 0
    noise: Literal["jax", "numpy"] = "jax"
    noisy: Literal["float", "clip", "round"] = "float"
    output: Literal["round", "clip", "float"] = "round"
    channels: Literal["all", "y"] = "all"
    border: int = 0
    data_range: Literal["full", "picture"] = "full"
    level: Literal["known", "estimated"] = "known"
    shapes: Literal["exact", "padded", "auto"] = "exact"

    def __post_init__(self):
        if not 0 <= self.seed < 2**31:
            raise ZooError(f"seed must be from 0 to {2**31 - 1}, not {self.seed}")
        if self.border < 0:
            raise ZooError(f"border must be 0 or more, not {self.border}")
        for name, words in _WORDS.items():
            if getattr(self, name) not in words:
                raise unknown(name, getattr(self, name), words)

    def choices(self, *, paired: bool = False) -> dict[str, str | int]:
        """Every choice by its name, each with what it comes to; ready for JSON.

        Args:
          paired: whether the pictures brought their own noise, so that none was chosen.
        """
        words = {
            name: f"{getattr(self, name)}: {told[getattr(self, name)]}"
            for name, told in _WORDS.items()
        }
        words["shapes"] = words["shapes"].format(multiple=MULTIPLE, few=FEW_SHAPES)
        if paired:
            words["noise"] = "the pictures' own"
            if self.level == "known":
                del words["level"]
        return {
            **({} if paired else {"seed": self.seed}),
            "border": self.border,
            **words,
            "same noise": "the same pixels for every method",
            "psnr": "10 log10(range^2 / MSE), dB; infinite for identical pictures",
            "ssim": "Wang 2004: 11x11 Gaussian, sigma 1.5, valid region, mean over channels; "
            "undefined for sides below 11",
            "ms_ssim": "Wang 2003: five scales; undefined for sides below 176",
            "mean": "over the scores of the pictures; null if any of them is infinite or undefined",
        }

    def line(self, *, paired: bool = False) -> str:
        """The choices in one line, for beside a table; `paired` as in `choices`."""
        source = {"numpy": "NumPy's", "jax": "JAX's"}[self.noise]
        noisy = {"float": "not clipped", "clip": "clipped", "round": "clipped and rounded"}
        output = {"round": "clipped and rounded", "clip": "clipped, not rounded", "float": "raw"}
        drawn = "the pictures' own noise" if paired else f"{source} noise of seed {self.seed}"
        parts = [
            f"{drawn}, {noisy[self.noisy]}",
            f"output {output[self.output]}",
            "Y of YCbCr" if self.channels == "y" else "all channels together",
            "range of each picture" if self.data_range == "picture" else "range 1 (255)",
            f"border {self.border}",
            *([] if paired and self.level == "known" else [f"level {self.level}"]),
            {
                "exact": "own sizes",
                "padded": f"padded to x{MULTIPLE}",
                "auto": f"own sizes up to {FEW_SHAPES} a set, else padded to x{MULTIPLE}",
            }[self.shapes],
            "mean over pictures",
        ]
        return "; ".join(parts)


_WORDS = {
    "noise": _NOISE,
    "noisy": _NOISY,
    "output": _OUTPUT,
    "channels": _CHANNELS,
    "data_range": _DATA_RANGE,
    "level": _LEVEL,
    "shapes": _SHAPES,
}

PUBLISHED = Protocol(noise="numpy", shapes="auto")
"""What the published tables were made by; sets of many sizes are padded to save compilations."""


def choices_of(name: str) -> tuple[str, ...]:
    """What a field of `Protocol` may be, for those that are words."""
    return tuple(_WORDS[name])

"""Every choice behind a score, named.

Papers differ in whether noisy pixels are clipped, whether the output is rounded, which channels
count and what seeds the noise, and each choice moves the PSNR by more than the methods compared do.
The defaults for images are those that KAIR, DPIR, SwinIR and Restormer share, except for the random
numbers themselves: theirs are NumPy's, which an accelerator cannot generate.
"""

import dataclasses
from typing import Literal

from zoo.errors import ZooError, unknown

_NOISE = {
    "jax": "made on the device by jax.random from fold_in(key(seed), image index), at every "
    "level; one fixed draw for each image and canvas, so padding changes it",
    "numpy": "numpy.random.seed(seed) before every image, then "
    "numpy.random.normal(0, sigma, (H, W, C)), added in float32",
}
_NOISY = {
    "float": "not clipped (except by the noise's own options)",
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
    "gray images unchanged",
}
_DATA_RANGE = {
    "full": "from black to white: 1, or 255 in 8 bits",
    "image": "from the darkest to the brightest value of each clean image; a flat one has none",
}
_LEVEL = {
    "known": "models that take a level are given the true one",
    "estimated": "models that take a level are given the estimate of "
    "zoo.estimate.estimate_sigma_smooth",
}
_SHAPES = {
    "exact": "every image at its own size",
    "padded": "every image mirrored at its right and lower edge to multiples of {multiple}",
    "auto": "every image at its own size if a set has {few} sizes or fewer, else mirrored at its "
    "right and lower edge to multiples of {multiple}",
}

MULTIPLE = 64
"""The sides of padded images become multiples of so many pixels."""

FEW_SHAPES = 4
"""The most sizes of a set for which `shapes="auto"` pads nothing."""

SHAPES_IN = 2.0
"""Lengths of signals up to eight times as many seconds become multiples of them."""

LOUDEST = 32767 / 32768
"""The highest sample of 16 bits, of 1."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Protocol:
    """The choices of any modality; `choices` explains each.

    Attributes:
      seed: of the noise, from 0 to 2**31 - 1.
    """

    seed: int = 0

    # Of signals without one.
    sample_rate = 0

    def __post_init__(self):
        if not 0 <= self.seed < 2**31:
            raise ZooError(f"seed must be from 0 to {2**31 - 1}, not {self.seed}")

    def choices(self, *, paired: bool = False) -> dict[str, str | int | float]:
        """Every choice by its name, each with its meaning; ready for JSON.

        Args:
          paired: whether the examples brought their own noise, so that none was chosen.
        """
        return {} if paired else dataclasses.asdict(self)

    def line(self, *, paired: bool = False) -> str:
        """The choices in one line, for below a table; `paired` as in `choices`."""
        return f"{'own noise' if paired else f'noise of seed {self.seed}'}; mean over examples"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageProtocol(Protocol):
    """The choices for images.

    Attributes:
      seed: of the noise, from 0 to 2**31 - 1.
      noise: whose random numbers, `"jax"` or `"numpy"`.
      noisy: how noisy pixels are processed before a model gets them: `"float"` (not at all),
        `"clip"` or `"round"`.
      output: how a model's pixels are processed before they are scored: `"round"`, `"clip"` or
        `"float"`.
      channels: which are compared, `"all"` or `"y"`.
      border: how many pixels at each edge do not count, 0 or more.
      data_range: of PSNR and SSIM, `"full"` or `"image"`.
      level: which level models that take one are given, `"known"` or `"estimated"`.
      shapes: `"exact"` compiles a program for every size of image; `"padded"` and `"auto"` keep
        the sizes few: local models see it near two edges, global ones everywhere.
    """

    noise: Literal["jax", "numpy"] = "jax"
    noisy: Literal["float", "clip", "round"] = "float"
    output: Literal["round", "clip", "float"] = "round"
    channels: Literal["all", "y"] = "all"
    border: int = 0
    data_range: Literal["full", "image"] = "full"
    level: Literal["known", "estimated"] = "known"
    shapes: Literal["exact", "padded", "auto"] = "exact"

    def __post_init__(self):
        super().__post_init__()
        if self.border < 0:
            raise ZooError(f"border must be 0 or more, not {self.border}")
        for name, meanings in _MEANINGS.items():
            if getattr(self, name) not in meanings:
                raise unknown(name, getattr(self, name), meanings)

    def choices(self, *, paired: bool = False) -> dict[str, str | int | float]:
        """As `Protocol.choices`."""
        words = {
            name: f"{getattr(self, name)}: {meanings[getattr(self, name)]}"
            for name, meanings in _MEANINGS.items()
        }
        words["shapes"] = words["shapes"].format(multiple=MULTIPLE, few=FEW_SHAPES)
        if paired:
            words["noise"] = "the images' own"
            if self.level == "known":
                del words["level"]
        return {
            **({} if paired else {"seed": self.seed}),
            "border": self.border,
            **words,
            "same noise": "the same pixels for every method",
            "psnr": "10 log10(range^2 / MSE), dB; infinite for identical images",
            "ssim": "Wang 2004: 11x11 Gaussian, sigma 1.5, valid region, mean over channels; "
            "undefined for sides below 11",
            "ms_ssim": "Wang 2003: five scales; undefined for sides below 176",
            "mean": "over the scores of the images; null if any of them is infinite or undefined",
        }

    def line(self, *, paired: bool = False) -> str:
        """As `Protocol.line`."""
        source = {"numpy": "NumPy's", "jax": "JAX's"}[self.noise]
        noisy = {"float": "not clipped", "clip": "clipped", "round": "clipped and rounded"}
        output = {"round": "clipped and rounded", "clip": "clipped, not rounded", "float": "raw"}
        noise = "the images' own noise" if paired else f"{source} noise of seed {self.seed}"
        parts = [
            f"{noise}, {noisy[self.noisy]}",
            f"output {output[self.output]}",
            "Y of YCbCr" if self.channels == "y" else "all channels together",
            "range of each image" if self.data_range == "image" else "range 1 (255)",
            f"border {self.border}",
            *([] if paired and self.level == "known" else [f"level {self.level}"]),
            {
                "exact": "own sizes",
                "padded": f"padded to x{MULTIPLE}",
                "auto": f"own sizes up to {FEW_SHAPES} a set, else padded to x{MULTIPLE}",
            }[self.shapes],
            "mean over images",
        ]
        return "; ".join(parts)


_MEANINGS = {
    "noise": _NOISE,
    "noisy": _NOISY,
    "output": _OUTPUT,
    "channels": _CHANNELS,
    "data_range": _DATA_RANGE,
    "level": _LEVEL,
    "shapes": _SHAPES,
}

PUBLISHED = ImageProtocol(noise="numpy", shapes="auto")
"""The protocol of the published tables; sets of many sizes are padded to save compilations."""


def choices_of(name: str) -> tuple[str, ...]:
    """The values that a field of `ImageProtocol` may have, of those that are words."""
    return tuple(_MEANINGS[name])


_POWER = {
    True: "in its frames of 32 ms within 40 dB of the loudest",
    False: "including pauses",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class AudioProtocol(Protocol):
    """The choices for audio.

    Attributes:
      seed: decides which noise an audio signal gets, and which part of it: from 0 to 2**31 - 1.
      active: whether the level is that of the active parts of an audio signal, as for
        `zoo.noise.audio.add_at_snr`, or of all of it.
      seconds: a longer signal is scored in pieces, so that memory stays flat.
      sample_rate: of the signals, in Hz.
    """

    active: bool = True
    seconds: float = 30.0
    sample_rate: int = 16000

    def __post_init__(self):
        super().__post_init__()
        if self.sample_rate < 1:
            raise ZooError(f"sample_rate must be 1 Hz or more, not {self.sample_rate}")
        if not self.seconds >= SHAPES_IN:
            raise ZooError(f"seconds must be {SHAPES_IN:g} or more, not {self.seconds:g}")

    @property
    def longest(self) -> int:
        """`seconds` in samples."""
        return int(self.seconds * self.sample_rate)

    def choices(self, *, paired: bool = False) -> dict[str, str | int | float]:
        """As `Protocol.choices`."""
        mixing = {
            "mixture": "clean + scaled noise; 10 log10 of the mean power of the clean signal "
            f"({_POWER[self.active]}) over that of the noise is the level in dB",
            "noise": "of every n signals each of the n noises gets one, in an order made from "
            "the seed; the excerpt begins where SHA-256 of seed and name says, the same at "
            "every level, and a noise shorter than the signal starts over",
            "loudness": "a mixture beyond full scale is scaled down to it together with its clean "
            "signal; neither is rounded",
        }
        return {
            **dataclasses.asdict(self),
            **({"noise": "that of the noisy files"} if paired else mixing),
            "output": "scored unchanged, neither clipped nor rounded",
            "pieces": f"a signal of more than {self.seconds:g} s is scored in equal pieces of "
            "at most that, each mixed and denoised on its own",
            "silence": "a piece that is digital silence is left out, for it has no level",
            "shapes": f"zeros at the end make lengths multiples of {SHAPES_IN:g} s (above "
            f"{8 * SHAPES_IN:g} s of an eighth or more) and are cut off before scoring; a causal "
            "model is not affected by them, one with statistics of the whole signal is",
            "models": "given the level in dB, 0 where it is not known",
            "mean": "over the pieces for which every method has a figure; null if there is none",
        }

    def line(self, *, paired: bool = False) -> str:
        """As `Protocol.line`."""
        power = "power of active frames" if self.active else "mean power"
        mixing = "" if paired else f"noises of seed {self.seed}, level by {power}; "
        return (
            f"{mixing}{self.sample_rate} Hz; "
            f"pieces of {self.seconds:g} s at most; output not clipped; mean over signals"
        )

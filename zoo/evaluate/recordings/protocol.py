"""Every choice behind the scores of recordings, named."""

import dataclasses

from zoo.errors import ZooError

SHAPES_IN = 2.0
"""Seconds: what lengths up to eight times as many become multiples of."""

LOUDEST = 32767 / 32768
"""The highest sample of 16 bits, of 1."""

_POWER = {
    True: "in its frames of 32 ms within 40 dB of the loudest",
    False: "pauses and all",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecordingProtocol:
    """The choices; `choices` explains what each comes to.

    Attributes:
      seed: decides which noise a recording gets, and where in it: from 0 to 2**31 - 1.
      active: whether the level is that of the active parts of a recording, as for
        `zoo.noise.audio.add_at_snr`, or of all of it.
      seconds: a longer recording is scored in pieces, so that memory stays flat.
      sample_rate: of the recordings, in Hz.
    """

    seed: int = 0
    active: bool = True
    seconds: float = 30.0
    sample_rate: int = 16000

    def __post_init__(self):
        if not 0 <= self.seed < 2**31:
            raise ZooError(f"seed must be from 0 to {2**31 - 1}, not {self.seed}")
        if self.sample_rate < 1:
            raise ZooError(f"sample_rate must be 1 Hz or more, not {self.sample_rate}")
        if not self.seconds >= SHAPES_IN:
            raise ZooError(f"seconds must be {SHAPES_IN:g} or more, not {self.seconds:g}")

    @property
    def longest(self) -> int:
        """`seconds` in samples."""
        return int(self.seconds * self.sample_rate)

    def choices(self) -> dict[str, str | int | float]:
        """Every choice by its name, each with what it comes to; ready for JSON."""
        return {
            **dataclasses.asdict(self),
            "mixture": "clean + scaled noise; 10 log10 of the mean power of the clean recording "
            f"({_POWER[self.active]}) over that of the noise is the level in dB; paired "
            "recordings bring their own",
            "noise": "of every n recordings each of the n noises gets one, in an order drawn from "
            "the seed; the excerpt begins where SHA-256 of seed and recording says, the same at "
            "every level, and a noise shorter than the recording starts over",
            "loudness": "a mixture beyond full scale is scaled down to it together with its clean "
            "recording; neither is rounded",
            "output": "scored as it comes, neither clipped nor rounded",
            "pieces": f"a recording of more than {self.seconds:g} s is scored in equal pieces of "
            "at most that, each mixed and denoised on its own",
            "silence": "a piece that is digital silence is left out, for it has no level",
            "shapes": f"zeros at the end make lengths multiples of {SHAPES_IN:g} s (above "
            f"{8 * SHAPES_IN:g} s of an eighth or more) and are cut off before scoring; a causal "
            "model does not hear them, one with statistics of the whole recording does",
            "models": "told the level in dB, 0 where it is not known",
            "mean": "over the pieces for which every method has a figure; null if there is none",
        }

    def line(self, *, paired: bool = False) -> str:
        """The choices in one line, for beside a table; those of mixing only where it was done."""
        power = "power of active frames" if self.active else "mean power"
        mixing = "" if paired else f"noises of seed {self.seed}, level by {power}; "
        return (
            f"{mixing}{self.sample_rate} Hz; "
            f"pieces of {self.seconds:g} s at most; output not clipped; mean over recordings"
        )

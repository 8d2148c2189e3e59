"""The device: its versions, and how fast it multiplies and copies."""

import jax
import jax.numpy as jnp
from harness import machine

from accelerated.speak import Speaker, main


def measure(spec: dict, speaker: Speaker) -> None:
    """Rows: the versions first, for they come whatever else fails.

    Args:
      spec: `peaks`: whether to measure the speeds.
      speaker: receives the results.
    """
    peaks = ["matmul float32", "matmul bfloat16", "bandwidth"] if spec["peaks"] else []
    speaker.plan(["versions", *peaks])
    speaker.row("versions", {**machine.versions(), "backend": jax.default_backend()})
    if not peaks:
        return
    for dtype in ("float32", "bfloat16"):
        peak = machine.matmul_peak(jnp.dtype(dtype))
        speaker.row(f"matmul {dtype}", {"dtype": dtype, "tflop_per_s": peak / 1e12})
    speaker.row("bandwidth", {"gigabytes_per_s": machine.bandwidth() / 1e9})


if __name__ == "__main__":
    main(measure)

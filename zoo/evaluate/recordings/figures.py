"""The figures of recordings: what they are called, and which can be had here."""

import functools
import importlib.util
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from zoo import metrics
from zoo.errors import unknown
from zoo.evaluate.means import Column

COLUMNS = {
    "si_sdr": Column("SI-SDR, dB", 2, higher=True),
    "si_sdr_gain": Column("gain, dB", 2, higher=True),
    "segmental_snr": Column("segSNR, dB", 2, higher=True),
    "log_spectral_distance": Column("LSD, dB", 2, higher=False),
    "stoi": Column("STOI", 3, higher=True),
    "pesq": Column("PESQ", 2, higher=True),
}
"""Every figure; the gain is the SI-SDR less that of the noisy recording."""

LISTENERS = {"stoi": "pystoi", "pesq": "pesq"}
"""Those that a package computes on the host, and which."""


def available(wanted: Sequence[str], sample_rate: int) -> tuple[tuple[str, ...], list[str]]:
    """Those of the wanted figures that can be had, in the order of `COLUMNS`, and why others not.

    Raises:
      ZooError: a figure nobody knows.
    """
    for name in wanted:
        if name not in COLUMNS:
            raise unknown("metric", name, COLUMNS)
    left_out = {}
    for name, package in LISTENERS.items():
        if name not in wanted:
            continue
        if importlib.util.find_spec(package) is None:
            left_out[name] = (
                f"no {name.upper()}: it needs the package {package}; pip install {package}, or "
                "denoising-zoo[audio]"
            )
        elif name == "pesq" and sample_rate not in (8000, 16000):
            left_out[name] = f"no PESQ: it is defined at 16000 and 8000 Hz, not {sample_rate}"
    found = tuple(name for name in COLUMNS if name in wanted and name not in left_out)
    return found, list(left_out.values())


@functools.partial(jax.jit, static_argnames=("wanted", "sample_rate"))
def measure(
    output: jax.Array,
    clean: jax.Array,
    lengths: jax.Array,
    *,
    wanted: tuple[str, ...],
    sample_rate: int,
) -> dict[str, jax.Array]:
    """What the device can say of each recording.

    Args:
      output: (B, T, C), float32.
      clean: of the same shape.
      lengths: (B,), the samples that count.
      wanted: of `COLUMNS`; those of `LISTENERS` and the gain are passed over.
      sample_rate: in Hz.

    Returns:
      Metric -> (B,), and "finite": whether every sample that counts is.
    """
    counts = jnp.arange(output.shape[1])[None] < lengths[:, None]
    found = {"finite": jnp.all(jnp.isfinite(output) | ~counts[..., None], axis=(1, 2))}
    if {"si_sdr", "si_sdr_gain"} & set(wanted):
        found["si_sdr"] = metrics.si_sdr(output, clean, length=lengths)
    if "segmental_snr" in wanted:
        found["segmental_snr"] = metrics.segmental_snr(
            output, clean, sample_rate=sample_rate, length=lengths
        )
    if "log_spectral_distance" in wanted:
        found["log_spectral_distance"] = metrics.log_spectral_distance(
            output, clean, length=lengths
        )
    return found

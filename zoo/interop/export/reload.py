"""Runs the denoiser in a file that `zoo export --format=stablehlo` wrote.

It needs jax, NumPy and flatbuffers, and travels within the file:

    import sys
    sys.path.insert(0, "unet-gray.stablehlo.zip")
    import reload
    denoiser = reload.load("unet-gray.stablehlo.zip")
    clean = denoiser(noisy, level)
"""

import json
import os
import zipfile

import jax
import jax.numpy as jnp
from jax import export


def load(path: str | os.PathLike) -> "Denoiser | Stream":
    """The denoiser in a file: a `Stream` where its record's `kind` is `"step"`."""
    with zipfile.ZipFile(path) as archive:
        record = json.loads(archive.read("record.json"))
        programs = {
            name.removesuffix(".jax"): export.deserialize(bytearray(archive.read(name)))
            for name in archive.namelist()
            if name.endswith(".jax")
        }
    return (Stream if record["kind"] == "step" else Denoiser)(record, programs)


class Denoiser:
    """Whole images or audio.

    Attributes:
      record: what the program takes, and where its weights come from.
      exported: the program, as `jax.export` has it; its `call` is pure and may be used within jit
        and vmap.
    """

    def __init__(self, record: dict, programs: dict[str, export.Exported]):
        self.record, self.exported = record, programs["program"]
        self._call = jax.jit(self.exported.call)

    def __call__(self, x, level=None) -> jax.Array:
        """Denoises a batch.

        Args:
          x: of the shape that `record["inputs"]` states, such as (N, H, W, C) in [0, 1].
          level: of the noise, in the units of x, a number or (N,); for programs that take one.

        Returns:
          The clean estimate, shape of `x`, float32.
        """
        x = jnp.asarray(x, jnp.float32)
        if len(self.record["inputs"]) == 1:
            return self._call(x)
        if level is None:
            raise ValueError("this denoiser takes the level of the noise, in the units of x")
        return self._call(x, jnp.broadcast_to(jnp.asarray(level, jnp.float32), x.shape[:1]))


class Stream:
    """Signals as they come, a chunk at a time.

    Attributes:
      record: what the program takes; `record["model"]["latency"]` samples is how far the output
        lags behind the input.
      exported: the program of a step.
    """

    def __init__(self, record: dict, programs: dict[str, export.Exported]):
        self.record, self.exported = record, programs["program"]
        self._step, self._start = jax.jit(self.exported.call), jax.jit(programs["start"].call)

    def start(self, batch: int = 1) -> list[jax.Array]:
        """The state before the first samples of `batch` streams."""
        return self._start(jnp.zeros((batch, *self.record["inputs"][0]["shape"][1:])))

    def __call__(self, state: list[jax.Array], x) -> tuple[list[jax.Array], jax.Array]:
        """The next state, and the clean estimate of a chunk (B, hop, 1)."""
        y, *state = self._step(jnp.asarray(x, jnp.float32), *state)
        return state, y

"""The outputs of every family on the device, against the golden files and against the CPU."""

import functools
import importlib
import json
import os
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from seeded import seeded_input, seeded_state

from accelerated.children import ROOT
from accelerated.speak import Speaker, failure, main
from zoo.interop.torch import from_state
from zoo.models import create_model

INTEROP = ROOT / "tests" / "interop"
TOLERANCE = 1e-4
"""Of `tests/interop/test_certificates.py`, for float32 without TF32."""
PRECISIONS = ("float32", "float32 default", "bfloat16")
"""Matmuls in full float32; as the device has them by default, TF32 where it can; in bfloat16."""


class Certificate(NamedTuple):
    """A golden file and what made it."""

    label: str
    family: str
    case: object


def certificates(labels: list[str] | None) -> list[Certificate]:
    """Those of drawn weights: one of every family, then the others, those of full size last.

    Args:
      labels: only these; all where None.
    """
    found = []
    for path in sorted((INTEROP / "cases").glob("[a-z]*.py")):
        family = importlib.import_module(f"cases.{path.stem}")
        found += [
            (case.slow, turn, Certificate(label, path.stem, case))
            for turn, (label, case) in enumerate(family.CASES.items())
            if not case.weights and (labels is None or label in labels)
        ]
    return [one for *_, one in sorted(found, key=lambda one: one[:2])]


class Golden:
    """One golden file; each method may run in a thread of its own."""

    def __init__(self, one: Certificate, folder: Path = INTEROP / "golden"):
        self._case = one.case
        with np.load(folder / f"{one.label}.npz") as file:
            arrays = dict(file)
        state = seeded_state(json.loads(str(arrays["shapes"])), self._case.scales)
        for name in [name for name in arrays if name.startswith("constant:")]:
            state[name.removeprefix("constant:")] = arrays[name]
        self.expected = arrays["output"]
        self._variables = from_state(self._case.model, state, **self._case.options)
        self._x = seeded_input(self._case.shape)
        self.has_dtype = hasattr(create_model(self._case.model, **self._case.options), "dtype")

    def output(self, precision: str, device: jax.Device) -> np.ndarray:
        """What our module makes of the golden input."""
        options = dict(self._case.options)
        if precision == "bfloat16":
            options["dtype"] = jnp.bfloat16
        model = create_model(self._case.model, **options)
        matmul = "highest" if precision == "float32" else "default"
        variables, x = jax.device_put((self._variables, self._x), device)
        level = self._case.level
        # A CPU takes longer to optimise a program than to run it once.
        options = {"xla_backend_optimization_level": 0} if device.platform == "cpu" else None
        run = jax.jit(
            lambda variables, x: model.apply(variables, x, level), compiler_options=options
        )
        # The precision is that of the thread.
        with jax.default_matmul_precision(matmul):
            y = run(variables, x)
        return np.asarray(y, np.float32)


def difference(found: np.ndarray, wanted: np.ndarray) -> float:
    """The largest, over the largest value where that is above 1: as the certificates have it."""
    return float(np.abs(found - wanted).max() / max(1.0, np.abs(wanted).max()))


def measure(spec: dict, speaker: Speaker) -> None:
    """A row for each golden file and precision, in the order in which they are there.

    Args:
      spec: `cases`: labels, or None for all.
      speaker: receives the results.
    """
    found = certificates(spec["cases"])
    speaker.plan([f"{one.label} {p}" for one in found for p in PRECISIONS])
    device, cpu = jax.devices()[0], jax.devices("cpu")[0]
    goldens, reference, waiting = {}, {}, {}

    def report(one: Certificate, precision: str, y: np.ndarray) -> None:
        expected = goldens[one.label]().expected
        off = difference(y, expected)
        speaker.row(
            f"{one.label} {precision}",
            {
                "family": one.family,
                "case": one.label,
                "model": one.case.model,
                "precision": precision,
                "device": device.device_kind,
                "difference": off,
                "difference_to_cpu": difference(y, reference[one.label]),
                "holds": off <= TOLERANCE if precision == "float32" else None,
            },
        )

    def run(one: Certificate, precision: str, where: jax.Device) -> np.ndarray | None:
        golden = goldens[one.label]()
        if precision == "bfloat16" and not golden.has_dtype:
            return None
        return golden.output(precision, where)

    # Nothing is timed here.
    pool, futures = ThreadPoolExecutor(os.cpu_count()), {}
    for one in found:
        goldens[one.label] = functools.cache(functools.partial(Golden, one))
        for precision, where in [("cpu", cpu), *((p, device) for p in PRECISIONS)]:
            own = "float32" if precision == "cpu" else precision
            futures[pool.submit(run, one, own, where)] = (one, precision)
    for future in as_completed(futures):
        one, precision = futures[future]
        cell = f"{one.label} {precision}"
        if error := failure(future):
            names = PRECISIONS if precision == "cpu" else [precision]
            for name in names:
                speaker.left(f"{one.label} {name}", error)
        elif precision == "cpu":
            reference[one.label] = future.result()
            for name, y in waiting.pop(one.label, {}).items():
                report(one, name, y)
        elif future.result() is None:
            speaker.left(cell, f"{one.case.model} computes in float32 only")
        elif one.label in reference:
            report(one, precision, future.result())
        else:
            waiting.setdefault(one.label, {})[precision] = future.result()


if __name__ == "__main__":
    main(measure)

"""Ours against the original PyTorch networks, by the golden files that golden.py made."""

import importlib
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import traverse_util
from seeded import seeded_picture, seeded_state

from zoo.interop.torch import from_state
from zoo.models import create_model

HERE = Path(__file__).parent
TOLERANCE = 1e-4


def cases():
    for path in sorted((HERE / "cases").glob("[a-z]*.py")):
        family = importlib.import_module(f"cases.{path.stem}")
        for label, case in family.CASES.items():
            yield pytest.param(label, case, id=label, marks=[pytest.mark.slow] * case.slow)


@pytest.mark.parametrize(("label", "case"), list(cases()))
def test_model_equals_its_original(label, case):
    golden = dict(np.load(HERE / "golden" / f"{label}.npz"))
    state = seeded_state(json.loads(str(golden.pop("shapes"))), case.scales)
    variables = from_state(case.model, state, **case.options)
    model = create_model(case.model, **case.options)

    def apply(variables, x):
        return model.apply(
            variables, x, case.level, capture_intermediates=True, mutable=["intermediates"]
        )

    output, kept = jax.jit(apply)(variables, seeded_picture(case.shape))
    expected = golden.pop("output")
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(output, expected, rtol=0, atol=TOLERANCE * scale)
    seen = traverse_util.flatten_dict(kept["intermediates"], sep="/")
    assert golden.keys() == {f"group:{name}" for name in case.groups}
    for name, value in golden.items():
        ours = seen[f"{name.removeprefix('group:')}/__call__"][0]
        scale = max(1.0, float(np.abs(value).max()))
        np.testing.assert_allclose(
            np.asarray(ours).reshape(value.shape),
            value,
            rtol=0,
            atol=TOLERANCE * scale,
            err_msg=name,
        )

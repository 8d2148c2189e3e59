"""Ours against the original PyTorch networks, by the golden files that golden.py made."""

import importlib
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import traverse_util
from seeded import seeded_input, seeded_state

from zoo.interop.torch import from_state, load_torch
from zoo.models import create_model

HERE = Path(__file__).parent
TOLERANCE = 1e-4
# The quickest one of a family; the others, and those of larger families, are of the matrix.
QUICK = {"dncnn-small", "drunet-small", "swinir-small"}


def cases():
    for path in sorted((HERE / "cases").glob("[a-z]*.py")):
        family = importlib.import_module(f"cases.{path.stem}")
        for label, case in family.CASES.items():
            marks = [pytest.mark.slow] * case.slow + [pytest.mark.matrix] * (label not in QUICK)
            yield pytest.param(label, case, id=label, marks=marks)


@pytest.mark.parametrize(("label", "case"), list(cases()))
def test_model_equals_its_original(label, case, request):
    golden = dict(np.load(HERE / "golden" / f"{label}.npz"))
    state = seeded_state(json.loads(str(golden.pop("shapes"))), case.scales)
    for name in [name for name in golden if name.startswith("constant:")]:
        state[name.removeprefix("constant:")] = golden.pop(name)
    if case.weights:
        path = request.getfixturevalue("zoo_data") / "weights" / case.weights
        variables = load_torch(case.model, path, **case.options)
    else:
        variables = from_state(case.model, state, **case.options)
    model = create_model(case.model, **case.options)

    def apply(variables, x):
        return model.apply(
            variables, x, case.level, capture_intermediates=True, mutable=["intermediates"]
        )

    output, kept = jax.jit(apply)(variables, seeded_input(case.shape))
    expected = golden.pop("output")
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(output, expected, rtol=0, atol=TOLERANCE * scale)
    seen = traverse_util.flatten_dict(kept["intermediates"], sep="/")
    assert golden.keys() == {f"group:{name}" for name in case.groups}
    for name, value in golden.items():
        ours = seen[f"{name.removeprefix('group:')}/__call__"][0]
        # Behind its output a recurrent layer gives its state.
        ours = ours[0] if isinstance(ours, tuple) else ours
        # A network that looks ahead begins with frames before the first.
        ours = ours[:, getattr(model, "lookahead", 0) :]
        scale = max(1.0, float(np.abs(value).max()))
        np.testing.assert_allclose(
            np.asarray(ours).reshape(value.shape),
            value,
            rtol=0,
            atol=TOLERANCE * scale,
            err_msg=name,
        )

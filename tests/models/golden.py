"""The specification and the parameters of every variant, as golden.json keeps them.

A change of architecture breaks every weight file of the variant, so it has to show in review:
after one that is meant, or with a new variant, run

    python tests/models/golden.py

and read the diff of golden.json before committing it.
"""

import dataclasses
import functools
import hashlib
import json
import math
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
from flax import traverse_util

# Thousands of lines nobody would read; the layouts of published files name them all anyway.
MOST_NAMED = 64

PATH = Path(__file__).with_name("golden.json")


def natural_shape(spec, batch=2):
    """(N, H, W, K C) or (B, T, C) the variant takes, small."""
    if spec.modality == "audio":
        return (batch, 2048, spec.channels)
    side = 32 if 32 % spec.multiple == 0 else spec.multiple
    return (batch, *(spec.size or (side, side)), spec.inputs)


@functools.cache
def traced(name, dtype=jnp.float32, **options):
    """Shapes and dtypes of the variant's output and variables."""
    from zoo.models import create_model, disable_winograd, model_spec

    shape = natural_shape(model_spec(name, **options))
    x = jax.ShapeDtypeStruct(shape, dtype)
    level = jax.ShapeDtypeStruct(shape[:1], jnp.float32)
    model = create_model(name, **options)
    # Convolutions are an operation each, as XLA has them; tests/models/test_conv.py has the others.
    with disable_winograd():
        return jax.eval_shape(model.init_with_output, jax.random.key(0), x, level)


def describe(name):
    """The specification, number of parameters and dtype and shape of each, as JSON."""
    from zoo.models import model_spec

    spec = model_spec(name)
    _, variables = traced(name)
    flat = traverse_util.flatten_dict(variables, sep="/")
    count = sum(math.prod(v.shape) for k, v in flat.items() if k.startswith("params/"))
    named = {k: f"{v.dtype}[{','.join(map(str, v.shape))}]" for k, v in sorted(flat.items())}
    if len(named) > MOST_NAMED:
        digest = hashlib.sha256(json.dumps(named).encode()).hexdigest()
        named = f"{len(named)} variables, SHA-256 of their names and shapes {digest}"
    described = {
        "spec": dataclasses.asdict(spec),
        "parameters": count,
        "variables": named,
    }
    return json.loads(json.dumps(described, sort_keys=True))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from zoo.models import list_models

    table = {name: describe(name) for name in list_models()}
    PATH.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n")
    for variant, facts in table.items():
        print(f"{variant:30} {facts['parameters']:12,}")

"""The registered variants, and the smallest of each family, as parameters of tests."""

import json

import golden
import pytest
from families import marked

from zoo.models import list_models, model_spec

GOLDEN = json.loads(golden.PATH.read_text())

FAMILIES: dict[str, str] = {}
"""The smallest variant of each."""
for _name in sorted(list_models(), key=lambda n: GOLDEN.get(n, {}).get("parameters", 0)):
    FAMILIES.setdefault(model_spec(_name).family, _name)

IMAGES = [name for name in list_models() if model_spec(name).modality == "image"]
RECORDINGS = [name for name in list_models() if model_spec(name).modality == "audio"]

every_variant = pytest.mark.parametrize("name", list_models())


def of_matrix(names):
    """Variants, of which only the smallest of a representative family is no matrix test."""
    families = {name: model_spec(name).family for name in names}
    return [marked(n, families[n] if FAMILIES[families[n]] == n else "") for n in names]

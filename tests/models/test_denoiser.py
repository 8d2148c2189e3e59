"""The contract of the base class, by networks of one line."""

from typing import Literal

import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from zoo.errors import ZooError
from zoo.models import Denoiser, spec_of

RNG = np.random.default_rng(0)


class Leveled(Denoiser):
    """Returns what it was given: the padded image, or the level."""

    stride: int = 4
    margin: str = "constant"
    output: str = "linear"
    gives: Literal["image", "level"] = "image"

    takes_level = True

    def _denoise(self, x, level, train):
        assert (x.shape[1] % 4, x.shape[2] % 4, level.shape) == (0, 0, (len(x), 1, 1, 1))
        return x if self.gives == "image" else jnp.broadcast_to(level, x.shape)


def image(*shape):
    return RNG.random(shape, np.float32)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("linear", lambda x: x),
        ("noise", lambda x: x - x),
        ("residual", lambda x: x + x),
        ("sigmoid", lambda x: 1 / (1 + np.exp(-x))),
    ],
)
def test_what_is_padded_is_cropped_and_becomes_the_clean_image(output, expected):
    x = image(2, 5, 7, 3)
    y = Leveled(output=output).apply({}, x, 0.1)
    np.testing.assert_allclose(y, expected(x), atol=1e-6)


def test_levels_are_a_number_or_one_an_example():
    model, x = Leveled(gives="level"), image(2, 3, 4, 3)
    np.testing.assert_array_equal(model.apply({}, x, 0.5), np.full(x.shape, 0.5))
    levels = np.array([0.1, 0.2], np.float32)
    np.testing.assert_array_equal(model.apply({}, x, levels)[:, 2, 3, 0], levels)
    with pytest.raises(ZooError, match=r"^Leveled takes a noise level: call it with level="):
        model.apply({}, x)
    with pytest.raises(ZooError, match=r"Leveled got levels of shape \(3,\) for a batch of 2"):
        model.apply({}, x, np.zeros(3, np.float32))


def test_a_single_image_is_refused():
    with pytest.raises(ZooError, match=r"^Leveled takes \(N, H, W, C\), got shape \(3, 4, 3\)"):
        Leveled().apply({}, image(3, 4, 3), 0.1)


def test_fields_are_held_against_their_choices():
    message = r"^Leveled: gives='noise' is unknown; choose from 'image', 'level'$"
    with pytest.raises(ZooError, match=message):
        Leveled(gives="noise")


def test_fields_may_have_types_that_only_type_checkers_know():
    class Partial(Leveled):
        widths: "Missing" = (3,)  # noqa: F821

    assert Partial().widths == (3,)
    with pytest.raises(ZooError, match=r"^Partial: gives='noise' is unknown"):
        Partial(gives="noise")


def test_any_module_has_a_specification():
    class Foreign(nn.Module):
        reach = 3

    spec = spec_of(Foreign())
    assert (spec.name, spec.family, spec.reach, spec.stride) == ("Foreign", "test_denoiser", 3, 1)
    spec = spec_of(Leveled(), "mine")
    assert (spec.name, spec.takes_level, spec.stride, spec.margin) == ("mine", True, 4, "constant")

"""The contract of the noise ops, checked for every registered op."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lowering import custom_calls

from zoo import noise
from zoo.errors import ZooError
from zoo.noise import (
    OPS,
    audio,
    dead_pixels,
    gaussian,
    poisson_gaussian,
    quantize,
    registry,
    stripes,
)
from zoo.noise.op_contract import FRACTION, op

RNG = np.random.default_rng(0)
IMAGES = RNG.random((2, 9, 8, 3), np.float32)
RECORDINGS = RNG.uniform(-1, 1, (2, 700, 2)).astype(np.float32)
RECORDING = RNG.uniform(-1, 1, (900, 2)).astype(np.float32)
# Where the usual values of an op change too little of signals as short as these.
EXAMPLES = {
    ("audio", "clicks"): {"rate": (100.0, 2000.0)},
    ("audio", "dropouts"): {"amount": (0.1, 0.4), "length": 0.001},
}
NOT_RANDOM = {
    *(("image", name) for name in ("quantize", "jpeg")),
    *(("audio", name) for name in ("quantize", "resample", "clipping", "gain", "dc_offset")),
    *(("audio", name) for name in ("low_pass", "band_pass", "mu_law")),
}
# Ops whose level does not order the error.
NO_ORDER = {("audio", "reverb"), ("audio", "remix"), ("audio", "codec")}
SIGNED = ("db", "offset", "snr")

# jit fuses and so rounds otherwise than op by op.
JIT_TOLERANCE = 2e-6

SIGNALS = {"image": IMAGES, "audio": RECORDINGS}
NAMES = [(modality, name) for modality in SIGNALS for name in sorted(registry(modality))]
# Additive, of counts, of single pixels; by spectrum, from a recording, in places. The others are
# the matrix, which CI runs too.
REPRESENTATIVE = {
    *(("image", n) for n in ("gaussian", "poisson", "mask_pixels")),
    *(("audio", n) for n in ("white", "add_at_snr", "clicks")),
}


def marked(name):
    return pytest.param(name, marks=[pytest.mark.matrix] * (name not in REPRESENTATIVE))


# What compiles nothing is asked of every op anywhere.
every_op = pytest.mark.parametrize("name", NAMES, ids=str)
every_op_compiled = pytest.mark.parametrize("name", [marked(name) for name in NAMES], ids=str)


def op_of(name):
    return registry(name[0])[name[1]]


def examples(name):
    """The two usual values of the op's level, the one that changes less first, and the options."""
    level, *_ = op_of(name).levels
    given = EXAMPLES.get(name) or op_of(name).examples
    return np.asarray(given[level], np.float32), {k: v for k, v in given.items() if k != level}


def needed(name, x):
    """The op's options without a default, for the signal `x`."""
    if name == ("audio", "add_at_snr"):
        return {"noise": RECORDING}
    if name == ("audio", "remix"):
        return {"noisy": np.sin(np.arange(x.size, dtype=np.float32)).reshape(x.shape)}
    return examples(name)[1]


def noise_of(name):
    """The op with its level as third positional argument, and the two levels to try."""
    level = next(iter(op_of(name).levels))

    def apply(key, x, value):
        return op_of(name)(key, x, **{level: value}, **needed(name, x))

    return apply, level, examples(name)[0]


# The contract does not depend on how well the program is optimized, and this compiles sooner.
COMPILER = {"xla_backend_optimization_level": 0}


@functools.cache
def jitted(name):
    return jax.jit(noise_of(name)[0], compiler_options=COMPILER)


@every_op
def test_signature(name):
    function = op_of(name)
    first, second, *options = inspect.signature(function).parameters.values()
    assert (first.name, second.name) == ("key", "x")
    assert all(option.kind is inspect.Parameter.KEYWORD_ONLY for option in options)
    assert options[0].name == next(iter(function.levels))
    assert options[0].default is inspect.Parameter.empty
    assert options[-1].name == "clip"
    assert options[-1].default is None
    assert function.__name__ == name[1]
    assert function.signal_ndim == SIGNALS[name[0]].ndim - 1
    for option in options:
        assert f"\n  {option.name}: " in function.__doc__
    assert all(f"\n  {part}: " in function.__doc__ for part in ("key", "x"))
    assert "\nReturns:\n" in function.__doc__
    assert name[1] in {"image": noise, "audio": audio}[name[0]].__all__


@every_op_compiled
def test_jit_and_vmap_agree_with_one_by_one(name):
    apply, _, levels = noise_of(name)
    signals = SIGNALS[name[0]]
    keys = jax.random.split(jax.random.key(1), 2)
    mapped = jax.jit(jax.vmap(apply), compiler_options=COMPILER)(keys, signals, levels)
    for i in range(2):
        alone = jitted(name)(keys[i], signals[i], levels[i])
        assert alone.shape == signals[i].shape
        assert alone.dtype == jnp.float32
        assert np.isfinite(alone).all()
        assert not np.array_equal(alone, signals[i])
        np.testing.assert_allclose(mapped[i], alone, atol=JIT_TOLERANCE)


@every_op_compiled
def test_can_be_lowered_for_a_tpu(name):
    if name == ("audio", "codec"):
        pytest.skip("its libraries run on the host; JAX lowers callbacks only where the device is")
    apply, _, levels = noise_of(name)
    found = custom_calls(apply, jax.random.key(1), SIGNALS[name[0]], levels)
    # An operation of XLA for TPUs.
    assert found <= {"LuDecomposition"}


@every_op_compiled
def test_each_example_has_its_level(name):
    """Where the levels change places, so does which of two equal signals suffers more."""
    if name in NO_ORDER:
        pytest.skip("its level does not order the error")
    _, _, levels = noise_of(name)
    same = np.stack([SIGNALS[name[0]][0]] * 2)
    error, swapped = (
        np.square(jitted(name)(jax.random.key(2), same, order) - same).reshape(2, -1).mean(1)
        for order in (levels, levels[::-1].copy())
    )
    assert error[0] < error[1]
    assert swapped[0] > swapped[1]


@every_op_compiled
def test_key_is_what_decides(name):
    _, _, levels = noise_of(name)
    signals = SIGNALS[name[0]]
    first, again, *others = (
        jitted(name)(jax.random.key(k), signals, levels) for k in (1, 1, 2, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    # Some draw among few outcomes, so that one other key may give the same.
    same = all(np.array_equal(first, other) for other in others)
    assert same == (name in NOT_RANDOM)


@every_op_compiled
@pytest.mark.parametrize(
    "dtype", [jnp.bfloat16, pytest.param(jnp.float16, marks=pytest.mark.matrix)]
)
def test_low_precision_is_float32_cast_once(name, dtype):
    _, _, levels = noise_of(name)
    x = jnp.asarray(SIGNALS[name[0]], dtype)
    noisy = jitted(name)(jax.random.key(3), x, levels)
    assert noisy.dtype == dtype
    assert noisy.shape == x.shape
    expected = jitted(name)(jax.random.key(3), x.astype(jnp.float32), levels)
    np.testing.assert_allclose(
        noisy.astype(jnp.float32), expected, rtol=float(jnp.finfo(dtype).eps), atol=JIT_TOLERANCE
    )


@every_op_compiled
def test_gradient_is_finite(name):
    apply, _, levels = noise_of(name)
    x = jnp.asarray(SIGNALS[name[0]][:, :8]).at[0, 0].set(0).at[0, 1].set(-0.1)
    slope = jax.grad(lambda x: apply(jax.random.key(4), x, levels).sum())
    slope = jax.jit(slope, compiler_options=COMPILER)
    assert np.isfinite(slope(x)).all()
    assert np.isfinite(slope(jnp.zeros_like(x))).all()


@pytest.mark.parametrize("name", ["rician", "camera", "poisson_gaussian"])
def test_gradient_without_noise_or_light_is_finite(name):
    further = {"b": 0.0} if name == "poisson_gaussian" else {}
    level = next(iter(OPS[name].levels))
    slope = jax.grad(lambda x: OPS[name](jax.random.key(4), x, **{level: 0.0}, **further).sum())
    slope = jax.jit(slope, compiler_options=COMPILER)
    assert np.isfinite(slope(jnp.asarray([-0.1, 0.0, 0.5]))).all()


@every_op_compiled
def test_negative_intensities_are_legal(name):
    _, _, levels = noise_of(name)
    assert np.isfinite(jitted(name)(jax.random.key(5), SIGNALS[name[0]] - 0.5, levels)).all()


@every_op_compiled
def test_clip_and_no_jit(name):
    apply, level, levels = noise_of(name)
    x = SIGNALS[name[0]][0]
    options = {level: levels[0], **needed(name, x)}
    free = apply(jax.random.key(6), x, levels[0])
    np.testing.assert_allclose(
        jitted(name)(jax.random.key(6), x, levels[0]), free, atol=JIT_TOLERANCE
    )
    clipped = op_of(name)(jax.random.key(6), x, **options, clip=(0.25, 0.5))
    np.testing.assert_array_equal(clipped, np.clip(free, 0.25, 0.5))
    with pytest.raises(ZooError, match="clip must be a pair"):
        op_of(name)(jax.random.key(6), x, **options, clip=(1, 0))


@every_op
def test_wrong_levels_raise_one_line(name):
    apply, level, levels = noise_of(name)
    wrong = [
        np.full(3, levels[0]),
        np.full((2, 1, 1, 1), levels[0]),
        np.nan,
        "much",
        (0.1, 0.2),
        *([] if level in SIGNED else [-1]),
    ]
    for value in wrong:
        with pytest.raises(ZooError, match=rf"^{name[1]}: {level} [^\n]+$"):
            apply(jax.random.key(0), SIGNALS[name[0]], value)


@every_op
def test_integers_raise(name):
    apply, _, levels = noise_of(name)
    dtype, scale = {"image": ("uint8", 255), "audio": ("int16", 32768)}[name[0]]
    with pytest.raises(
        ZooError, match=f"{name[1]}: x is {dtype}; convert it to float in .*, such as x / {scale}"
    ):
        apply(jax.random.key(0), (SIGNALS[name[0]] * 0.9 * scale).astype(dtype), levels)


def test_errors_name_culprit_and_remedy():
    key = jax.random.key(0)
    with pytest.raises(ZooError) as caught:
        gaussian(key, IMAGES, sigma=np.ones(3))
    assert str(caught.value) == (
        "gaussian: sigma of shape (3,) does not fit x of shape (2, 9, 8, 3); "
        "give one number or an array of shape (2,)"
    )
    with pytest.raises(
        ZooError, match=r"quantize: bits must be a whole number from 1 to 16, got 2\.5"
    ):
        quantize(key, IMAGES, bits=2.5)
    with pytest.raises(ZooError, match=r"amount must be from 0 to 1, got 1\.5"):
        dead_pixels(key, IMAGES, amount=jnp.asarray([0.1, 1.5]))
    with pytest.raises(ZooError, match="poisson_gaussian: b must be at least 0, got -1"):
        poisson_gaussian(key, IMAGES, a=0.1, b=-1)
    with pytest.raises(ZooError, match=r"stripes: x of shape \(8, 3\) lacks axes"):
        stripes(key, IMAGES[0, 0], sigma=0.1)
    with pytest.raises(ZooError, match=r"white: snr must be a finite number, got nan"):
        audio.white(key, RECORDINGS, snr=np.nan)
    with pytest.raises(ZooError, match=r"factor must be from 0 to 1, 0 excluded, got 0"):
        audio.resample(key, RECORDINGS, factor=0)
    with pytest.raises(ZooError, match=r"white: x of shape \(0, 2\) is empty"):
        audio.white(key, RECORDINGS[0, :0], snr=5)
    with pytest.raises(ZooError, match=r"white: x of shape \(700,\) lacks axes"):
        audio.white(key, RECORDINGS[0, :, 0], snr=0)
    with pytest.raises(ZooError) as caught:
        audio.white(key, RECORDINGS.swapaxes(1, 2), snr=0)
    assert str(caught.value) == (
        "white: x of shape (2, 2, 700) has 700 channels; audio is (..., T, C), "
        "so swap its last two axes"
    )


def test_level_can_vary_along_any_leading_axis_of_an_elementwise_op():
    sigma = np.zeros((2, 9), np.float32)
    sigma[1, 4] = 1
    changed = gaussian(jax.random.key(0), IMAGES, sigma=sigma) != IMAGES
    assert changed[1, 4].all()
    assert changed.sum() == changed[1, 4].size


def test_missing_and_unknown_keywords_are_type_errors():
    with pytest.raises(TypeError, match="sigma"):
        gaussian(jax.random.key(0), IMAGES)
    with pytest.raises(TypeError, match="sigm"):
        gaussian(jax.random.key(0), IMAGES, sigma=1, sigm=1)


def test_only_functions_of_the_contract_are_registered():
    before = dict(OPS)
    assert "gaussian" not in audio.OPS
    assert audio.OPS["quantize"] is not OPS["quantize"]

    def gaussian(key, x, *, sigma):
        return x

    def positional(key, x, amount):
        return x

    def level_last(key, x, *, option=1, amount):
        return x

    def no_key(x, *, amount):
        return x

    with pytest.raises(ValueError, match="already registered"):
        op(sigma=FRACTION)(gaussian)
    for wrong in (positional, level_last, no_key):
        with pytest.raises(TypeError, match="must take"):
            op(amount=FRACTION)(wrong)
    with pytest.raises(TypeError, match="must take"):
        op()(gaussian)
    assert before == OPS

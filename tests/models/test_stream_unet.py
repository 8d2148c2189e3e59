"""The streaming U-Net: its size, a twin of its description, and streams against whole files."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util
from variables import random_variables

from zoo import spectral
from zoo.errors import ZooError
from zoo.models import (
    StreamUNet,
    count_parameters,
    create_model,
    init_variables,
    merge_batch_norm,
    model_spec,
)

HOP = 256
SMALL = {"width": 8, "convs": 2, "inner": 8, "bands": 6, "blocks": 2}
# Of most recordings here, so that they share a program.
SHAPE = (2, 6 * HOP, 1)
# As the contract of streaming models has it.
TOLERANCE = 1e-4
MORE_CELLS = [(1, HOP * 6), (2, HOP * 6), (1, HOP * 5 + 77), (1, 1), (2, 1)]


def recording(*shape, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def loud(model, x):
    """Random variables whose mask is of order 1, so that a difference would show."""
    variables = random_variables(model, x)
    variables["params"]["mask"]["scale"] = np.full(1, 20, np.float32)
    return variables


@pytest.mark.parametrize(
    ("name", "count"), [("stream-t", 22_091), ("stream-b", 92_115), ("stream-s", 195_523)]
)
def test_parameters_are_as_published(name, count):
    assert count_parameters(name) == count


@pytest.mark.parametrize(
    ("name", "thousands"), [("stream-t-48k", 28), ("stream-b-48k", 101), ("stream-s-48k", 207)]
)
def test_those_of_48_khz_are_so_with_their_batch_norm_merged(name, thousands):
    assert count_parameters(name, norm="merged") // 1000 == thousands
    spec = model_spec(name)
    assert (spec.sample_rate, spec.hop, spec.latency) == (48000, 512, 512)


@functools.cache
def jitted(model):
    return jax.jit(model.apply), jax.jit(model.step)


def stream(model, variables, x, sizes):
    """The outputs of chunks of so many hops, the first `latency` samples cut off."""
    step, hop = jitted(model)[1], model.hop
    state, outputs, at = model.init_state(len(x), x.shape[-1]), [], 0
    total = hop * sum(sizes)
    x = np.pad(x, ((0, 0), (0, total - x.shape[1]), (0, 0)))
    for size in sizes:
        state, y = step(variables, state, x[:, at : at + hop * size])
        assert y.shape == (len(x), hop * size, x.shape[-1])
        outputs.append(y)
        at += hop * size
    return np.concatenate(outputs, axis=1)[:, model.latency :]


# Each cell compiles the network three times: a recording and two kinds of chunks.
@pytest.mark.parametrize(
    ("channels", "samples"),
    [
        (2, HOP * 5 + 77),
        *(pytest.param(*cell, marks=pytest.mark.matrix) for cell in MORE_CELLS),
    ],
)
def test_a_stream_is_the_whole_file(channels, samples):
    model = StreamUNet(**SMALL)
    x = recording(2, samples, channels)
    variables = loud(model, x)
    whole = jitted(model)[0](variables, x)
    assert np.abs(whole).max() > (1e-3 if samples > 1 else 1e-4)
    # Seven hops: the file's six, and one of zeros to flush what lags.
    for sizes in ([1] * 7, [3, 3, 1], [1, 3, 3]):
        y = stream(model, variables, x, sizes)
        np.testing.assert_allclose(
            y[:, :samples], whole, atol=min(TOLERANCE, 0.01 * float(np.abs(whole).max()))
        )


@pytest.mark.matrix
@pytest.mark.parametrize("size", "tbs")
@pytest.mark.parametrize("kind", ["", "-48k"])
def test_each_variant_streams(size, kind):
    model = create_model(f"stream-{size}{kind}")
    x = recording(1, 4 * model.hop, 1)
    variables = loud(model, x)
    y = stream(model, variables, x, [1, 3, 1])
    np.testing.assert_allclose(y, jitted(model)[0](variables, x), atol=TOLERANCE)


@pytest.mark.matrix
def test_learned_maps_begin_as_the_fixed_ones():
    x = recording(1, 2 * HOP, 1)
    fixed, learned = StreamUNet(**SMALL), StreamUNet(**SMALL, maps="learned")
    variables = init_variables(learned, jax.random.key(0), x.shape)
    assert variables["params"]["narrow"].shape == (6, 64)
    assert variables["params"]["widen"].shape == (64, 6)
    params = {k: v for k, v in variables["params"].items() if k not in ("narrow", "widen")}
    expected = jitted(fixed)[0](variables | {"params": params}, x)
    np.testing.assert_allclose(jitted(learned)[0](variables, x), expected, atol=1e-6)


@pytest.mark.parametrize("frame", [0, 8, 20, 512.0, "512", 2**17])
def test_a_frame_that_cannot_be(frame):
    with pytest.raises(ZooError, match=r"frame=.* is not a multiple of 8 from 16 to 65536"):
        StreamUNet(frame=frame)


def test_the_future_beyond_the_latency_is_not_seen():
    """A sample is done when its own hop and one more have come: no later sample may change it."""
    model = StreamUNet(**SMALL)
    x = recording(*SHAPE)
    variables = loud(model, x)
    changed = x.copy()
    changed[:, 5 * HOP :] = recording(2, HOP, 1, seed=1)
    apply = jitted(model)[0]
    difference = np.abs(apply(variables, x) - apply(variables, changed))
    assert difference[:, : 4 * HOP].max() == 0
    assert difference[:, 4 * HOP : 5 * HOP].max() > 0


def test_a_chunk_of_another_length_is_refused_in_one_line():
    model = StreamUNet(**SMALL)
    x = recording(1, 300, 1)
    with pytest.raises(ZooError, match=r"^StreamUNet streams chunks of multiples of 256 samples, "):
        model.step(loud(model, x), model.init_state(1), x)


def test_a_width_that_heads_do_not_divide_is_refused():
    with pytest.raises(ZooError, match=r"^StreamUNet: inner=6 is not a multiple of 4 heads$"):
        StreamUNet(inner=6)


def test_it_is_as_described():
    """Frame by frame in NumPy's float64, from the description and not from the model's code."""
    model = StreamUNet(**SMALL)
    x = recording(*SHAPE)
    variables = loud(model, x)
    p = traverse_util.flatten_dict(variables["params"], sep="/")
    p = {k: v.astype(np.float64) for k, v in p.items()}
    q = traverse_util.flatten_dict(variables["batch_stats"], sep="/")

    def norm(y, name):
        y = (y - q[f"{name}/norm/mean"]) / np.sqrt(q[f"{name}/norm/var"] + 1e-5)
        return y * p[f"{name}/norm/scale"] + p[f"{name}/norm/bias"]

    def silu(y):
        return y / (1 + np.exp(-y))

    def sigmoid(y):
        return 1 / (1 + np.exp(-y))

    def conv(y, name, stride=1, pad=0):
        kernel = p[f"{name}/kernel"]
        y = np.pad(y, ((pad, pad), (0, 0)))
        last = len(y) - len(kernel) + 1
        return np.stack(
            [np.einsum("tc,tcd->d", y[i : i + len(kernel)], kernel) for i in range(0, last, stride)]
        )

    # Triangles centred at evenly spaced bins, each as wide as the space between.
    space = 63 / 5
    hats = np.maximum(0, 1 - np.abs(np.arange(64)[:, None] - space * np.arange(6)[None]) / space)
    narrow, widen = (hats / hats.sum(0)).T, hats

    framed = np.pad(x[0, :, 0].astype(np.float64), HOP)
    window = np.sin(np.pi * np.arange(512) / 512) ** 2
    memory = [np.zeros((6, 8)) for _ in range(2)]
    total, weight = np.zeros(8 * HOP), np.zeros(8 * HOP)
    for k in range(7):
        place = slice(HOP * k, HOP * k + 512)
        spectrum = np.fft.rfft(framed[place] * window)[:256]
        spectrum = spectrum * np.maximum(np.abs(spectrum), 1e-5) ** (0.3 - 1)
        y = np.stack([spectrum.real, spectrum.imag], -1)
        skips = [silu(norm(conv(y, "stem", 4, 2), "stem"))]
        for i in range(2):
            skips.append(silu(norm(conv(skips[-1], f"encoder{i}", 1, 1), f"encoder{i}")))
        y = norm(conv(narrow @ skips[-1], "inward"), "inward")
        for i in range(2):
            gru, h = f"time{i}_gru", memory[i]
            a = np.split(y @ p[f"{gru}/input_kernel"] + p[f"{gru}/input_bias"], 3, -1)
            b = np.split(h @ p[f"{gru}/hidden_kernel"] + p[f"{gru}/hidden_bias"], 3, -1)
            r, z = sigmoid(a[0] + b[0]), sigmoid(a[1] + b[1])
            memory[i] = h = (1 - z) * np.tanh(a[2] + r * b[2]) + z * h
            y = y + norm(conv(h, f"time{i}_project"), f"time{i}_project")
            if i == 0:
                y = y + p["place"]
            query, key, value = np.split(y @ p[f"frequency{i}_qkv/kernel"], 3, -1)
            heads = []
            for head in range(4):
                of = slice(2 * head, 2 * head + 2)
                scores = np.exp(query[:, of] @ key[:, of].T / np.sqrt(2))
                heads.append(scores / scores.sum(1, keepdims=True) @ value[:, of])
            name = f"frequency{i}_project"
            y = y + norm(conv(np.concatenate(heads, 1), name), name)
        y = norm(conv(widen @ y, "outward"), "outward")
        for i in (1, 0):
            y = np.concatenate([y, skips[i + 1]], 1)
            y = silu(norm(conv(y, f"join{i + 1}"), f"join{i + 1}"))
            y = silu(norm(conv(y, f"decoder{i}", 1, 1), f"decoder{i}"))
        y = silu(norm(conv(np.concatenate([y, skips[0]], 1), "join0"), "join0"))
        kernel = p["mask/kernel"] * p["mask/scale"] / np.linalg.norm(p["mask/kernel"])
        mask = np.zeros((260, 2))
        for i in range(64):
            mask[4 * i : 4 * i + 8] += kernel @ y[i]
        mask = mask[2:-2] + p["mask/bias"]
        spectrum = spectrum * (mask[:, 0] + 1j * mask[:, 1])
        spectrum = spectrum * np.maximum(np.abs(spectrum), 1e-5) ** (1 / 0.3 - 1)
        total[place] += window * np.fft.irfft(np.append(spectrum, 0))
        weight[place] += window**2
    expected = (total / np.maximum(weight, 1e-9))[HOP:-HOP]
    found = jitted(model)[0](variables, x)[0, :, 0]
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.matrix
def test_merged_batch_norm_computes_the_same():
    model = StreamUNet(**SMALL)
    x = recording(*SHAPE)
    variables = loud(model, x)
    merged, less = merge_batch_norm(model, variables)
    expected = jitted(model)[0](variables, x)
    np.testing.assert_allclose(jitted(merged)[0](less, x), expected, atol=1e-5)
    shapes = jax.eval_shape(merged.init, jax.random.key(0), x)
    assert jax.tree.map(jnp.shape, less) == jax.tree.map(lambda s: s.shape, shapes)
    with pytest.raises(ZooError, match="there is no batch norm to merge"):
        merge_batch_norm(merged, less)


@pytest.mark.matrix
def test_training_and_inference_convolve_alike():
    """They take different ways; with the batch's own statistics at hand they agree."""
    model = StreamUNet(**SMALL)
    x = recording(*SHAPE)
    variables = loud(model, x)
    train = jax.jit(functools.partial(model.apply, train=True, mutable=["batch_stats"]))
    expected, new = train(variables, x)
    old = variables["batch_stats"]
    batch = jax.tree.map(lambda a, b: (b - 0.9 * a) / 0.1, old, new["batch_stats"])
    found = jitted(model)[0]({"params": variables["params"], "batch_stats": batch}, x)
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())


@pytest.mark.matrix
def test_silence_stays_silence_and_gradients_are_finite():
    model = StreamUNet(**SMALL)
    x = np.zeros(SHAPE, np.float32)
    variables = loud(model, x)
    np.testing.assert_allclose(jitted(model)[0](variables, x), 0, atol=1e-6)

    def loss(params, x):
        state = {"params": params, "batch_stats": variables["batch_stats"]}
        y, _ = model.apply(state, x, train=True, mutable=["batch_stats"])
        return jnp.square(y - 0.1).sum()

    for g in jax.tree.leaves(jax.jit(jax.grad(loss, (0, 1)))(variables["params"], x)):
        assert np.isfinite(g).all()


@pytest.mark.matrix
def test_it_starts_near_its_input():
    model = create_model("stream-t")
    x = recording(1, 4 * HOP, 1)
    variables = init_variables(model, jax.random.key(0), x.shape)
    y = jitted(model)[0](variables, x)
    assert 0 < np.abs(y - x).mean() < 0.5 * np.abs(x).mean()


@pytest.mark.matrix
def test_vmap_and_bfloat16_signals():
    model = StreamUNet(**SMALL)
    x = recording(*SHAPE)
    variables = loud(model, x)
    one_by_one = jax.jit(jax.vmap(lambda x: model.apply(variables, x[None])[0]))(x)
    np.testing.assert_allclose(one_by_one, jitted(model)[0](variables, x), atol=1e-5)
    low = jnp.asarray(x, jnp.bfloat16)
    state, y = jax.eval_shape(model.step, variables, model.init_state(2), low)
    assert y.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(state)} == {jnp.dtype(jnp.float32)}


@pytest.mark.matrix
def test_reflect_padding_is_that_of_the_transform():
    """With a mask of 1 only the transform is left, and the last bin, which is dropped."""
    model = StreamUNet(**SMALL, padding="reflect")
    x = recording(1, 5 * HOP, 1)
    variables = random_variables(model, x)
    variables["params"]["mask"]["scale"] = np.zeros(1, np.float32)
    variables["params"]["mask"]["bias"] = np.asarray([1, 0], np.float32)
    spectrum = np.array(spectral.stft(x[..., 0]))
    spectrum[..., -1] = 0
    expected = spectral.istft(spectrum, length=5 * HOP)[..., None]
    np.testing.assert_allclose(jitted(model)[0](variables, x), expected, atol=1e-5)
    with pytest.raises(ZooError, match="too short to mirror"):
        model.apply(variables, x[:, :200])

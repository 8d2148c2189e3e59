"""Streams: any chunks give the whole, at the same places, and no later than is said."""

import jax
import numpy as np
import pytest
from families import first
from stubs import HOP, Difference, Gain, Whole, noise
from variables import random_variables

from zoo import AudioStream, denoise
from zoo.errors import ZooError
from zoo.models import StreamUNet, create_model

SMALL = StreamUNet(width=8, convs=1, inner=4, bands=6, blocks=1)


def variables_of(model):
    """Such that the mask is of order 1, and a difference would show."""
    variables = random_variables(model, np.zeros((1, 4096, 1), np.float32))
    variables["params"]["mask"]["scale"] = np.full(1, 20, np.float32)
    return variables


def chunks(x, seed, most):
    rng, at = np.random.default_rng(seed), 0
    while at < len(x):
        size = int(rng.integers(0, most))
        yield x[at : at + size]
        at += size


def heard(stream, x, seed=0, most=2000):
    """All that comes out of chunks of random sizes, never later than is said."""
    found, fed, given = [], 0, 0
    for chunk in chunks(x, seed, most):
        found.append(stream.feed(chunk))
        fed, given = fed + len(chunk), given + len(found[-1])
        assert fed - given <= stream.latency
    found.append(stream.finish())
    return np.concatenate(found)


@pytest.mark.parametrize("samples", first(1, [257, 20011, 1, 255, 256]))
def test_chunks_are_the_whole_recording(samples):
    variables, x = variables_of(SMALL), noise(samples, 2)
    expected = np.asarray(jax.jit(SMALL.apply)(variables, x[None]))[0]
    assert np.abs(expected - x).max() > 0.01
    stream = AudioStream(SMALL, variables, channels=2, separate_channels=True)
    found = heard(stream, x)
    assert (found.shape, found.dtype) == (x.shape, np.float32)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_registered_name_without_weights():
    model, x = create_model("wiener"), noise(9001)
    expected = np.asarray(jax.jit(model.apply)({}, x[None]))[0]
    np.testing.assert_allclose(heard(AudioStream("wiener"), x), expected, atol=1e-4)


@pytest.mark.parametrize("most", [3, 700, 50_000])
def test_nothing_is_lost_between_chunks(most):
    x = noise(3000 if most == 3 else 70_001)
    np.testing.assert_allclose(
        heard(AudioStream(Difference()), x, most=most), np.diff(x, axis=0, prepend=0), atol=1e-6
    )


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_another_rate(rate):
    model, x = Gain(0.5), noise(20011, 2)
    stream = AudioStream(model, channels=2, sample_rate=rate)
    found = heard(stream, x, most=1500)
    np.testing.assert_allclose(found, denoise(x, model, sample_rate=rate), atol=1e-5)
    assert stream.latency_seconds == stream.latency / rate < 0.25


def test_the_latency_is_a_hop_and_the_models_own():
    stream = AudioStream(Gain())
    assert stream.latency == 2 * HOP
    assert stream.latency_seconds == 0.032
    # A sample is out when its hop and the next are complete.
    x = noise(3 * HOP)
    assert len(stream.feed(x[: 2 * HOP - 1])) == 0
    np.testing.assert_array_equal(stream.feed(x[2 * HOP - 1 : 2 * HOP]), x[:HOP])
    np.testing.assert_array_equal(stream.finish(), x[HOP : 2 * HOP])


def test_after_the_end_another_recording_begins():
    stream, x = AudioStream(Difference()), noise(1000)
    first = heard(stream, x)
    assert len(stream.finish()) == 0
    np.testing.assert_array_equal(heard(stream, x, seed=1), first)


def test_two_streams_do_not_meet():
    x, one, other = noise(2000), AudioStream(Difference()), AudioStream(Difference())
    found = []
    for chunk in chunks(x, 0, 500):
        found.append(one.feed(chunk))
        other.feed(1 - chunk)
    found.append(one.finish())
    np.testing.assert_allclose(np.concatenate(found), np.diff(x, axis=0, prepend=0), atol=1e-6)


def test_a_buffer_that_is_used_again():
    """Sound cards hand out the same memory again and again."""
    stream, x, buffer, found = (
        AudioStream(Difference()),
        noise(1000),
        np.zeros((100, 1), np.float32),
        [],
    )
    for at in range(0, 1000, 100):
        buffer[:] = x[at : at + 100]
        found.append(stream.feed(buffer))
    found.append(stream.finish())
    np.testing.assert_allclose(np.concatenate(found), np.diff(x, axis=0, prepend=0), atol=1e-6)


def test_int16_and_strength():
    x = np.arange(-500, 500, dtype=np.int16)[:, None]
    found = heard(AudioStream(Gain(0.5), strength=0.5), x)
    np.testing.assert_allclose(found, x.astype(np.float32) * 0.75 / 32768, atol=1e-7)


@pytest.mark.parametrize(
    ("chunk", "match"),
    [
        (np.zeros((2, 480), np.float32), "transpose"),
        (np.zeros(480, np.float32), r"\(480,\)"),
        (np.full((480, 2), np.nan, np.float32), "NaN"),
        (np.zeros((480, 2), np.int64), "int64"),
    ],
)
def test_a_wrong_chunk_is_refused_and_leaves_the_stream_as_it_was(chunk, match):
    stream, x = AudioStream(Difference(), channels=2, separate_channels=True), noise(1000, 2)
    found = [stream.feed(x[:600])]
    with pytest.raises(ZooError, match=match) as caught:
        stream.feed(chunk)
    assert "\n" not in str(caught.value)
    found += [stream.feed(x[600:]), stream.finish()]
    np.testing.assert_allclose(np.concatenate(found), np.diff(x, axis=0, prepend=0), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"model": "stream-q"}, "stream-"),
        ({"model": "dncnn-gray"}, "denoises images"),
        ({"model": "stream-s"}, "no weights of stream-s"),
        ({"model": "spectral-gate"}, "does not stream"),
        ({"model": Whole()}, "does not stream"),
        ({"model": "no/such.safetensors"}, "no weight file"),
        ({"model": 3}, "a model is a name"),
        ({"model": "wiener", "variables": {"params": {"a": np.zeros(1)}}}, "not those of wiener"),
        ({"model": "wiener", "sample_rate": 0}, "sample_rate"),
        ({"model": "wiener", "strength": 1.5}, "strength"),
        ({"model": "wiener", "channels": 0}, "channels"),
    ],
)
def test_what_cannot_be_a_stream(options, match):
    with pytest.raises(ZooError, match=match) as caught:
        AudioStream(**options)
    assert "\n" not in str(caught.value)

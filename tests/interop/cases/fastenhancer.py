"""FastEnhancer as NumPy reads its published files, frame by frame of the paper's description.

No package holds the network. This reading, float by float from the file to the samples, is
independent of the zoo's: it shares neither its reader nor its layers. On 25 pairs of
VoiceBank+DEMAND it reaches the published figures.
"""

from typing import NamedTuple

import numpy as np
from case import Case

HEADS = 4


class Size(NamedTuple):
    file: str
    width: int
    convs: int
    inner: int
    bands: int
    blocks: int
    frame: int


SIZES = {
    "fastenhancer-t": Size("fe_tiny.bin", 24, 2, 20, 16, 2, 512),
    "fastenhancer-t-48k": Size("fe_tiny_48k.bin", 24, 2, 20, 24, 2, 1024),
    "fastenhancer-b-48k": Size("fe_base_48k.bin", 48, 2, 36, 36, 3, 1024),
    "fastenhancer-s-48k": Size("fe_small_48k.bin", 64, 3, 48, 48, 3, 1024),
}


def case(label):
    size, hop = SIZES[label], SIZES[label].frame // 2
    options = {"norm": "merged", "padding": "reflect"}
    model = f"stream-{label.removeprefix('fastenhancer-')}"
    if model == "stream-t":
        options["maps"] = "learned"
    # Of the larger ones only the last block, which the layers before it go into.
    blocks = range(size.blocks) if "-t" in label else [size.blocks - 1]
    names = [f"{part}{i}_{kind}" for i in blocks for part, kind in LAYERS]
    names += ["stem", "inward", "outward", "join0"] if label == "fastenhancer-t" else []
    groups = {name: name for name in names}
    return Case(model, (1, 4 * hop, 1), options=options, groups=groups, weights=size.file)


LAYERS = (("time", "gru"), ("time", "project"), ("frequency", "project"))
CASES = {label: case(label) for label in SIZES}


def read(case, path, x):
    """The output for a recording (T,) and the outputs of the groups, by the file."""
    size = next(size for size in SIZES.values() if size.file == case.weights)
    weights = (_of_16k if size.frame == 512 else _of_48k)(path.read_bytes(), size)
    seen = {}
    output = _denoised(weights, x, size.frame, seen)
    return output, {name: seen[name] for name in case.groups}


def _taker(data):
    numbers, at = np.frombuffer(data, np.float32), 0

    def take(*shape):
        nonlocal at
        at += int(np.prod(shape))
        return numbers[at - int(np.prod(shape)) : at].reshape(shape)

    return take, lambda: len(numbers) - at


def _of_16k(data, size):
    _, c, convs, r, bands, blocks, frame = size
    take, rest = _taker(data)

    def affine(*shape):
        return take(*shape), take(shape[0])

    stem, bias = affine(c, 8, 2)
    # As a convolution of 8 taps: channel 2 p + i of tap t is input i of tap 4 t + p.
    taps = [stem[:, 2 * (k % 4) : 2 * (k % 4) + 2, k // 4] for k in range(8)]
    w = {"stem": (np.stack(taps, -1), bias)}
    w |= {f"encoder{i}": affine(c, c, 3) for i in range(convs)}
    w["narrow"], w["inward"] = take(bands, frame // 8), affine(r, c)
    for i in range(blocks):
        wi, bi, wh, bh = take(3 * r, r), take(3 * r), take(3 * r, r), take(3 * r)
        # Reset gate, update gate, candidate.
        w[f"gru{i}"] = [(wi[k], bi[k], wh[k], bh[k]) for k in np.split(np.arange(3 * r), 3)]
        w[f"time{i}_project"] = affine(r, r)
        heads = take(HEADS, 3 * r // HEADS, r)
        w[f"heads{i}"] = [np.split(head, 3) for head in heads]
        w[f"frequency{i}_project"] = affine(r, r)
        if i == 0:
            w["place"] = take(bands, r)
    w["widen"], w["outward"] = take(frame // 8, bands), affine(c, r)
    for i in reversed(range(convs)):
        w[f"join{i + 1}"], w[f"decoder{i}"] = affine(c, 2 * c), affine(c, c, 3)
    w["join0"], w["mask"] = affine(c, 2 * c), (take(c, 2, 8), take(2))
    assert rest() == 0
    return w


def _of_48k(data, size):
    _, c, convs, r, bands, blocks, frame = size
    take, rest = _taker(data[20:])

    def normed(*shape):
        kernel, gain, bias = take(*shape), take(shape[0]), take(shape[0])
        return kernel * gain.reshape(-1, *[1] * (len(shape) - 1)), bias

    w = {"stem": normed(c, 2, 8)} | {f"encoder{i}": normed(c, c, 3) for i in range(convs)}
    w["narrow"], w["inward"] = take(bands, frame // 8), normed(r, c)
    for i in range(blocks):
        update, reset = [(take(r, r), take(r, r), take(r)) for _ in range(2)]
        wn, un, bi, bh = take(r, r), take(r, r), take(r), take(r)
        gates = [(wi, bias, wh, np.float32(0)) for wi, wh, bias in (reset, update)]
        w[f"gru{i}"] = [*gates, (wn, bi, un, bh)]
        w[f"time{i}_project"] = take(r, r), take(r)
        if i == 0:
            w["place"] = take(bands, r)
        kinds = []
        for _ in range(3):
            kinds.append(np.split(take(r, r), HEADS))
            assert not take(r).any()
        w[f"heads{i}"] = list(zip(*kinds, strict=True))
        w[f"frequency{i}_project"] = take(r, r), take(r)
    w["outward"], w["widen"] = normed(c, r), take(frame // 8, bands)
    for i in reversed(range(convs)):
        w[f"join{i + 1}"], w[f"decoder{i}"] = normed(c, 2 * c), normed(c, c, 3)
    w["join0"], w["mask"] = normed(c, 2 * c), (take(c, 2, 8), take(2))
    assert rest() == 0
    return w


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _silu(x):
    return x * _sigmoid(x)


def _affine(weights, x):
    """(T, in, F) to (T, out, F)."""
    kernel, bias = weights
    return kernel @ x + bias[:, None]


def _convolved(weights, x, stride=1):
    """The same of several taps, padded."""
    kernel, bias = weights
    taps = kernel.shape[2]
    x = np.pad(x, ((0, 0), (0, 0), ((taps - stride) // 2,) * 2))
    last = x.shape[2] - taps + 1
    return (
        sum(kernel[:, :, k] @ x[:, :, k : k + last : stride] for k in range(taps)) + bias[:, None]
    )


def _masked(w, features, seen):
    """Features (T, 2, F) to the mask of that shape."""
    skips = [_silu(_convolved(w["stem"], features, 4))]
    convs = sum(name.startswith("encoder") for name in w)
    for i in range(convs):
        skips.append(_silu(_convolved(w[f"encoder{i}"], skips[-1])))
    seen["stem"] = skips[0].swapaxes(1, 2)
    h = _affine(w["inward"], skips[-1] @ w["narrow"].T).swapaxes(1, 2)
    seen["inward"] = h
    for i in range(sum(name.startswith("gru") for name in w)):
        state, states = np.zeros_like(h[0]), []
        for x in h:
            given, kept = zip(
                *((x @ wi.T + bi, state @ wh.T + bh) for wi, bi, wh, bh in w[f"gru{i}"]),
                strict=True,
            )
            reset, update = (_sigmoid(given[k] + kept[k]) for k in range(2))
            state = (1 - update) * np.tanh(given[2] + reset * kept[2]) + update * state
            states.append(state)
        seen[f"time{i}_gru"] = np.stack(states)
        kernel, bias = w[f"time{i}_project"]
        seen[f"time{i}_project"] = np.stack(states) @ kernel.T + bias
        h = h + seen[f"time{i}_project"]
        if i == 0:
            h = h + w["place"]
        heard = []
        for query, key, value in w[f"heads{i}"]:
            scores = (h @ query.T) @ (h @ key.T).swapaxes(1, 2) / np.sqrt(len(query))
            scores = np.exp(scores - scores.max(-1, keepdims=True))
            heard.append(scores / scores.sum(-1, keepdims=True) @ (h @ value.T))
        kernel, bias = w[f"frequency{i}_project"]
        seen[f"frequency{i}_project"] = np.concatenate(heard, -1) @ kernel.T + bias
        h = h + seen[f"frequency{i}_project"]
    h = _affine(w["outward"], h.swapaxes(1, 2) @ w["widen"].T)
    seen["outward"] = h.swapaxes(1, 2)
    for i in reversed(range(convs)):
        h = _silu(_affine(w[f"join{i + 1}"], np.concatenate([h, skips[i + 1]], 1)))
        h = _silu(_convolved(w[f"decoder{i}"], h))
    h = _silu(_affine(w["join0"], np.concatenate([h, skips[0]], 1)))
    seen["join0"] = h.swapaxes(1, 2)
    kernel, bias = w["mask"]
    mask = np.zeros((len(h), 2, 4 * h.shape[2] + 4))
    for k in range(8):
        mask[:, :, k : k + 4 * h.shape[2] : 4] += kernel[:, :, k].T @ h
    return mask[:, :, 2:-2] + bias[:, None]


def _denoised(w, x, size, seen):
    """A recording (T,), T a multiple of half a frame, reflected at its ends."""
    hop = size // 2
    padded = np.pad(x, hop, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    starts = range(0, len(padded) - size + 1, hop)
    spectrum = np.fft.rfft(np.stack([padded[at : at + size] for at in starts]) * window)[:, :-1]
    spectrum = spectrum * np.maximum(np.abs(spectrum), 1e-5) ** (0.3 - 1)
    mask = _masked(w, np.stack([spectrum.real, spectrum.imag], 1), seen)
    spectrum = spectrum * (mask[:, 0] + 1j * mask[:, 1])
    spectrum = spectrum * np.abs(spectrum) ** (1 / 0.3 - 1)
    frames = np.fft.irfft(np.pad(spectrum, ((0, 0), (0, 1))), size) * window
    total, weight = np.zeros(len(padded)), np.zeros(len(padded))
    for at, frame in zip(starts, frames, strict=True):
        total[at : at + size] += frame
        weight[at : at + size] += window**2
    return (total / np.maximum(weight, 1e-9))[hop:-hop]

"""UL-UNAS as NumPy reads its published checkpoint, from the paper and the keys of the file.

No package holds the network. This reading, from the file's bytes to the samples, is independent of
the zoo's: it shares neither its reader nor its layers. On its authors' recording it gives, but for
the rounding of their file, what they give.
"""

import pickle
import zipfile
from collections import OrderedDict

import numpy as np
from case import Case

SIZE, HOP, LOW, BANDS, RATE = 512, 256, 65, 64, 16000
# Kind of block, kernel over frames and bins, stride, groups; from the encoder's first to its last.
STAGES = (
    ("ops", (3, 3), 2, 1),
    ("pconv1", (2, 3), 2, 2),
    ("pconv", (2, 3), 1, 2),
    ("pconv1", (1, 5), 1, 2),
    ("pconv", (1, 5), 1, 2),
)
GROUPS = ("encoder2", "encoder4", "dual1", "decoder1", "decoder4")

CASES = {
    "ulunas": Case(
        "ulunas",
        (1, 3001, 1),
        options={"padding": "reflect"},
        groups={name: name for name in GROUPS},
        weights="ulunas.tar",
    )
}


def read(case, path, x):
    """The output for a recording (T,) and the outputs of the groups, (1, T, F, C)."""
    weights = tensors(path)
    window = np.sin(np.pi * np.arange(SIZE) / SIZE) ** 2
    padded = np.pad(x, HOP, mode="reflect")
    frames = 1 + len(x) // HOP
    cut = np.stack([padded[i * HOP :][:SIZE] for i in range(frames)])
    spectrum = np.fft.rfft(cut * window)
    mask, seen = masked(weights, np.abs(spectrum))
    framed = np.fft.irfft(spectrum * mask) * window
    total, weight = np.zeros((2, (frames + 1) * HOP))
    for i, one in enumerate(framed):
        total[i * HOP :][:SIZE] += one
        weight[i * HOP :][:SIZE] += window**2
    middle = slice(HOP, HOP + (frames - 1) * HOP)
    output = np.zeros(len(x))
    output[: (frames - 1) * HOP] = total[middle] / weight[middle]
    # Behind the middle of the last frame the original gives silence, and ours what is known.
    rest = len(x) - (frames - 1) * HOP
    output[-rest:] = (total / np.maximum(weight, 1e-11))[middle.stop :][:rest]
    return output, {name: seen[name].transpose(1, 2, 0)[None] for name in case.groups}


def tensors(path):
    """The state dict of a file of `torch.save`, without PyTorch."""
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
        folder = name.removesuffix("data.pkl")

        class Reader(pickle.Unpickler):
            def find_class(self, module, name):
                kinds = {"FloatStorage": "<f4", "LongStorage": "<i8"}
                return kinds.get(name, array if name == "_rebuild_tensor_v2" else OrderedDict)

            def persistent_load(self, found):
                return np.frombuffer(archive.read(f"{folder}data/{found[2]}"), found[1])

        with archive.open(name) as file:
            return Reader(file).load()["model"]


def array(storage, offset, shape, strides, *_):
    strides = [storage.itemsize * stride for stride in strides]
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, strides)


def filters():
    """The triangular bands (64, 192) above the 65 lowest bins."""
    scale = lambda hertz: 21.4 * np.log10(1 + 0.00437 * hertz)  # noqa: E731
    steps = np.linspace(scale(LOW * RATE / SIZE), scale(RATE / 2), BANDS)
    centers = np.round((10 ** (steps / 21.4) - 1) / 0.00437 * SIZE / RATE)
    return np.stack([np.interp(np.arange(LOW, HOP + 1), centers, row) for row in np.eye(BANDS)])


def masked(w, magnitude):
    """Magnitudes (T, 257) to gains (T, 257), and the outputs of the blocks, (C, T, F)."""
    bands, seen, skips = filters(), {}, []
    x = np.log10(np.maximum(magnitude, 1e-12))
    x = np.concatenate([x[:, :LOW], x[:, LOW:] @ bands.T], 1)[None]
    for i, stage in enumerate(STAGES):
        x = block(w, f"encoder.en_convs.{i}", x, stage, up=False)
        seen[f"encoder{i}"] = x
        skips.append(x)
    for i in range(2):
        x = seen[f"dual{i}"] = dual(w, f"dpgrnn.{i}", x)
    for i, stage in enumerate(STAGES[::-1]):
        x = block(w, f"decoder.de_convs.{i}", x + skips.pop(), stage, up=True)
        seen[f"decoder{i}"] = x
    gains = 1 / (1 + np.exp(-x[0]))
    return np.concatenate([gains[:, :LOW], gains[:, LOW:] @ bands], 1), seen


def block(w, key, x, stage, up):
    first, kernel, stride, groups = stage
    if first == "ops":
        x = norm(w, f"{key}.ops.2", conv(w, f"{key}.ops.1", x, kernel, stride, 1, up))
        return attention(w, f"{key}.ops.4", affine(w, f"{key}.ops.3", x))
    x = norm(w, f"{key}.{first}.1", conv(w, f"{key}.{first}.0", x, (1, 1), 1, groups))
    x = shuffle(affine(w, f"{key}.{first}.2", x))
    x = norm(w, f"{key}.dconv.2", conv(w, f"{key}.dconv.1", x, kernel, stride, len(x), up))
    x = affine(w, f"{key}.dconv.3", x)
    if first == "pconv":
        return attention(w, f"{key}.dconv.4", x)
    x = norm(w, f"{key}.pconv2.1", conv(w, f"{key}.pconv2.0", x, (1, 1), 1, groups))
    return shuffle(attention(w, f"{key}.pconv2.2", x))


def conv(w, key, x, kernel, stride, groups, up=False):
    """A causal convolution as PyTorch defines it; transposed, every input spreads its kernel."""
    weight, bias = w[f"{key}.weight"].astype(float), w[f"{key}.bias"]
    (deep, wide), (_, t, f), side = kernel, x.shape, kernel[1] // 2
    x = x.reshape(groups, -1, t, f)
    weight = weight.reshape(groups, -1, *weight.shape[1:])
    if up:
        y = np.zeros((groups, weight.shape[2], t + deep - 1, (f - 1) * stride + wide))
        for i in range(deep):
            for j in range(wide):
                part = np.einsum("gctf,gco->gotf", x, weight[..., i, j])
                y[:, :, i : i + t, j : j + (f - 1) * stride + 1 : stride] += part
        y = y[:, :, :t, side : y.shape[-1] - side]
    else:
        x = np.pad(x, ((0, 0), (0, 0), (deep - 1, 0), (side, side)))
        out = (f + 2 * side - wide) // stride + 1
        y = sum(
            np.einsum(
                "gctf,goc->gotf",
                x[:, :, i : i + t, j : j + (out - 1) * stride + 1 : stride],
                weight[..., i, j],
            )
            for i in range(deep)
            for j in range(wide)
        )
    return y.reshape(-1, t, y.shape[-1]) + bias[:, None, None]


def norm(w, key, x):
    gain = w[f"{key}.weight"] / np.sqrt(w[f"{key}.running_var"] + 1e-5)
    offset = w[f"{key}.bias"] - w[f"{key}.running_mean"] * gain
    return x * gain[:, None, None] + offset[:, None, None]


def affine(w, key, x):
    if f"{key}.slope_weight" not in w:
        return x
    gain, offset = (w[f"{key}.affine_{name}"][:, None] for name in ("weight", "bias"))
    return gain * x + offset + np.where(x > 0, x, w[f"{key}.slope_weight"][:, None, None] * x)


def shuffle(x):
    return np.stack(np.split(x, 2), 1).reshape(x.shape)


def attention(w, key, x):
    _, t, f = x.shape
    over_time = gru(w, f"{key}.ta_gru", (x**2).mean(2).T[None])[0]
    channels = sigmoid(linear(w, f"{key}.ta_fc", over_time)).T
    over_bins = np.pad((x**2).mean(0), ((0, 0), (0, -f % 4))).reshape(t, -1, 4)
    both = [gru(w, f"{key}.fa.gru", over_bins), gru(w, f"{key}.fa.gru", over_bins, "_reverse")]
    bins = sigmoid(linear(w, f"{key}.fa.fc", np.concatenate(both, -1))).reshape(t, -1)[:, :f]
    return channels[:, :, None] * x * bins[None]


def dual(w, key, x):
    x = x.transpose(1, 2, 0)
    for name, across in (("intra", False), ("inter", True)):
        y = x.swapaxes(0, 1) if across else x
        parts = []
        for i, half in enumerate(np.split(y, 2, -1), 1):
            unit = f"{key}.{name}_rnn.rnn{i}"
            parts.append(gru(w, unit, half))
            if not across:
                parts.append(gru(w, unit, half, "_reverse"))
        y = linear(w, f"{key}.{name}_fc", np.concatenate(parts, -1))
        y = y.swapaxes(0, 1) if across else y
        mean, var = y.mean((1, 2), keepdims=True), y.var((1, 2), keepdims=True)
        ln = f"{key}.{name}_ln"
        x = x + (y - mean) / np.sqrt(var + 1e-8) * w[f"{ln}.weight"] + w[f"{ln}.bias"]
    return x.transpose(2, 0, 1)


def linear(w, key, x):
    return x @ w[f"{key}.weight"].T + w[f"{key}.bias"]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru(w, key, x, direction=""):
    """States (B, T, R) of the sequences (B, T, F)."""
    inner, outer, bias, hidden_bias = (
        w[f"{key}.{name}_l0{direction}"]
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    x = x[:, ::-1] if direction else x
    state, found = np.zeros((len(x), outer.shape[1])), []
    for now in x.swapaxes(0, 1):
        (a, b, c), (d, e, g) = (
            np.split(one, 3, -1) for one in (now @ inner.T + bias, state @ outer.T + hidden_bias)
        )
        reset, update = sigmoid(a + d), sigmoid(b + e)
        state = (1 - update) * np.tanh(c + reset * g) + update * state
        found.append(state)
    found = found[::-1] if direction else found
    return np.stack(found, 1)

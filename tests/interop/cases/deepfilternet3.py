"""DeepFilterNet3: its published graphs run by onnxruntime, and NumPy for what is around them.

On its authors' recording it reaches, by this reading, the SI-SDR of their own test.
"""

from itertools import pairwise

import numpy as np
from case import Case

SIZE, HOP, BANDS, BINS, ORDER, AHEAD = 960, 480, 32, 96, 5, 2

# By what they are called here, the outputs of the graphs, and what is inside of them.
ENCODER = {"encoder_out": "emb"}
GAINS = {"gains0": "m"}
FILTERS = {
    "filters_out": "/df_out/df_out.1/Tanh_output_0",
    "pathway": "/df_convp/df_convp.4/Relu_output_0",
}

CASES = {
    "deepfilternet3": Case(
        "deepfilternet3",
        (1, 8001, 1),
        options={"norm": "merged"},
        groups={name: name for name in (ENCODER | GAINS | FILTERS)},
        weights="dfn3_enc.onnx",
    )
}


def read(case, path, x):
    """The output for a recording (T,) and the outputs of the groups."""
    frames = 1 + -(-len(x) // HOP)
    # The features of silence lie behind the end, as far as the network looks ahead.
    x = np.pad(x, (HOP, (frames + AHEAD) * HOP - len(x)))
    cut = np.stack([x[i * HOP :][:SIZE] for i in range(frames + AHEAD)])
    spectrum = np.fft.rfft(cut * window()) / SIZE
    coarse, fine = (one[AHEAD:] for one in features(spectrum))
    fed = {
        "feat_erb": coarse[None, None],
        "feat_spec": np.stack([fine.real, fine.imag])[None].astype(np.float32),
    }
    outer = ("e0", "e1", "e2", "e3", "emb", "c0")
    encoded = run(path, {**dict(zip(outer, outer, strict=True)), **ENCODER}, **fed)
    gains = run(path.with_name("dfn3_erb_dec.onnx"), GAINS, **{k: encoded[k] for k in DECODED})
    filters = run(
        path.with_name("dfn3_df_dec.onnx"),
        FILTERS | {"coefs": "coefs"},
        emb=encoded["emb"],
        c0=encoded["c0"],
    )
    taps = filters["coefs"].reshape(frames, BINS, ORDER, 2)
    taps = taps[..., 0] + 1j * taps[..., 1]
    around = np.pad(spectrum[:, :BINS], ((ORDER - 1 - AHEAD, 0), (0, 0)))
    y = spectrum[:frames] * np.repeat(gains["gains0"].reshape(frames, BANDS), widths(), axis=1)
    y[:, :BINS] = sum(around[i : i + frames] * taps[:, :, i] for i in range(ORDER))
    cut = np.fft.irfft(y, SIZE) * SIZE * window()
    output = np.zeros((frames + 1) * HOP)
    for i, one in enumerate(cut):
        output[i * HOP :][:SIZE] += one
    seen = {key: channels_last(v) for key, v in (encoded | gains | filters).items()}
    return output[HOP:][: len(x)][: case.shape[1]], {name: seen[name] for name in case.groups}


DECODED = ("emb", "e3", "e2", "e1", "e0")


def channels_last(array):
    return array.transpose(0, 2, 3, 1) if array.ndim == 4 and array.shape[1] != 1 else array


def run(path, wanted, **fed):
    """The values of a graph by our names for them, also of those that it does not give."""
    import onnx
    import onnxruntime

    model = onnx.load(path)
    given = {one.name for one in model.graph.output}
    for name in set(wanted.values()) - given:
        model.graph.output.append(onnx.ValueInfoProto(name=name))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return dict(zip(wanted, session.run(list(wanted.values()), fed), strict=True))


def window():
    return np.sin(np.pi / 2 * np.sin(np.pi * (np.arange(SIZE) + 0.5) / SIZE) ** 2)


def widths():
    """How many bins each band has, by the rule of libDF."""
    scale = 24.7 * 9.265
    step = 9.265 * np.log1p(24000 / scale) / BANDS
    found, before, over = [], 0, 0
    for i in range(1, BANDS + 1):
        edge = int(np.floor(scale * np.expm1(i * step / 9.265) / 50 + 0.5))
        count = edge - before - over
        over = max(2 - count, 0)
        found.append(max(count, 2))
        before = edge
    found[-1] += HOP + 1 - sum(found)
    return found


def features(spectrum):
    """Levels of bands less their running means, and the low bins by that of their magnitudes."""
    edges = np.cumsum([0, *widths()])
    power = np.abs(spectrum) ** 2
    bands = np.stack([power[:, a:b].mean(1) for a, b in pairwise(edges)], 1)
    levels = 10 * np.log10(bands + 1e-10)
    mean, size = np.linspace(-60, -90, BANDS), np.linspace(1e-3, 1e-4, BINS)
    coarse, fine = [], []
    for level, low in zip(levels, spectrum[:, :BINS], strict=True):
        mean = 0.99 * mean + 0.01 * level
        size = 0.99 * size + 0.01 * np.abs(low)
        coarse.append((level - mean) / 40)
        fine.append(low / np.sqrt(size))
    return np.float32(coarse), np.stack(fine)

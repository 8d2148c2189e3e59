"""DeepFilterNet3's graphs: what is read of them, what is refused, and their authors' own test."""

import re
import shutil

import jax
import numpy as np
import pytest

from zoo import metrics
from zoo.data import audio_files
from zoo.errors import ZooError
from zoo.interop.torch import from_state
from zoo.interop.weight_readers import read_state
from zoo.metrics import perceptual
from zoo.models import small_options
from zoo.resolve import resolve

WIDTH, HIDDEN = 8, 16
PARTS = ("enc", "erb_dec", "df_dec")


def conv(*shape, bias=True, up=False):
    return "ConvTranspose" if up else "Conv", [shape, *([(shape[0],)] if bias else [])]


def separable(up=False, out=WIDTH):
    return [conv(WIDTH, 1, 1, 3, bias=False, up=up), conv(out, WIDTH, 1, 1)]


def linear(groups, inputs, outputs):
    return "Einsum", [(groups, inputs // groups, outputs // groups)]


GRU = ("GRU", [(1, 3 * HIDDEN, HIDDEN), (1, 3 * HIDDEN, HIDDEN), (1, 6 * HIDDEN)])
SCALE = conv(WIDTH, 1, 1, 1)
CODE = 8 * WIDTH
# As the published graphs have them, narrow.
LAYERS = {
    "enc": [
        *[conv(WIDTH, 1, 3, 3), *separable(), *separable(), *separable()],
        *[conv(WIDTH, 1, 3, 3, bias=False), conv(WIDTH, WIDTH, 1, 1), *separable()],
        *[linear(32, 48 * WIDTH, CODE), linear(16, CODE, HIDDEN), GRU, linear(16, HIDDEN, CODE)],
        ("MatMul", [(CODE, 1)]),
    ],
    "erb_dec": [
        *[linear(16, CODE, HIDDEN), GRU, GRU, linear(16, HIDDEN, CODE), SCALE, *separable()],
        *[SCALE, *separable(up=True), SCALE, *separable(up=True), SCALE, conv(1, WIDTH, 1, 3)],
    ],
    "df_dec": [
        *[linear(8, CODE, HIDDEN), GRU, GRU, linear(16, CODE, HIDDEN)],
        *[conv(10, WIDTH // 2, 5, 1, bias=False), conv(10, 10, 1, 1)],
        *[("MatMul", [(HIDDEN, 1)]), linear(16, HIDDEN, 960)],
    ],
}


@pytest.fixture
def graphs(tmp_path):
    """The three files with random weights, and these in the order of the layers."""
    onnx = pytest.importorskip("onnx")
    rng, written = np.random.default_rng(0), {}
    for part, layers in LAYERS.items():
        nodes, tensors, written[part] = [], [], []
        for i, (kind, shapes) in enumerate(layers):
            arrays = [rng.normal(0, 0.1, shape).astype(np.float32) for shape in shapes]
            names = [f"w{i}_{j}" for j in range(len(arrays))]
            made = [
                onnx.numpy_helper.from_array(array, name)
                for array, name in zip(arrays, names, strict=True)
            ]
            # Some of the published ones stand among the nodes.
            if kind == "GRU":
                for one in made:
                    nodes.append(onnx.helper.make_node("Constant", [], [one.name], value=one))
            else:
                tensors += made
            nodes.append(onnx.helper.make_node(kind, [f"x{i}", *names], [f"x{i + 1}"]))
            nodes.append(onnx.helper.make_node("Relu", [f"x{i + 1}"], [f"y{i}"]))
            written[part].append(arrays)
        graph = onnx.helper.make_graph(nodes, "graph", [], [], tensors)
        model = onnx.helper.make_model(graph, producer_name="pytorch")
        (tmp_path / f"it_{part}.onnx").write_bytes(model.SerializeToString())
    return tmp_path, written


def test_tensors_are_found_by_the_order_of_layers(graphs):
    folder, written = graphs
    states = [read_state(folder / f"it_{part}.onnx") for part in PARTS]
    for state in states[1:]:
        jax.tree.map(np.testing.assert_array_equal, state, states[0])
    state = states[0]
    np.testing.assert_array_equal(state["enc.erb_conv0.bias"], written["enc"][0][1])
    np.testing.assert_array_equal(state["df_dec.df_out.weight"], written["df_dec"][-1][0])
    # ONNX has the gates z, r, n; of both biases those of the input first.
    _, hidden, biases = written["erb_dec"][2]
    z, r, n = hidden[0].reshape(3, HIDDEN, HIDDEN)
    expected = np.concatenate([r, z, n])
    np.testing.assert_array_equal(state["erb_dec.emb_gru.gru1.hidden_weight"], expected)
    z, r, n = biases[0, 3 * HIDDEN :].reshape(3, HIDDEN)
    expected = np.concatenate([r, z, n])
    np.testing.assert_array_equal(state["erb_dec.emb_gru.gru1.hidden_bias"], expected)
    small = small_options("deepfilternet3")
    assert small == {"width": WIDTH, "hidden": HIDDEN}
    for norm in ("merged", "batch"):
        assert from_state("deepfilternet3", state, norm=norm, **small)


def test_what_is_not_the_three_files_is_refused(graphs):
    folder, _ = graphs
    path = folder / "it_enc.onnx"

    def refused(path, said):
        with pytest.raises(ZooError, match=rf"^{re.escape(str(path))} .*{said}") as caught:
            read_state(path)
        assert "\n" not in str(caught.value)

    shutil.copy(path, folder / "other.onnx")
    refused(folder / "other.onnx", r"is not called enc\.onnx, erb_dec\.onnx or df_dec\.onnx")
    shutil.copy(path, folder / "it_df_dec.onnx")
    refused(path, r"is not of DeepFilterNet3: it_df_dec\.onnx has other layers")
    (folder / "it_df_dec.onnx").write_bytes(path.read_bytes()[:3000])
    refused(path, "is damaged or cut short")
    (folder / "it_df_dec.onnx").unlink()
    refused(path, r"is one of three files, and it_df_dec\.onnx is not beside it")


@pytest.mark.slow
@pytest.mark.parametrize("form", ["deepfilternet3={}", "deepfilternet3"])
def test_it_passes_the_test_of_its_authors(zoo_data, form):
    """df/scripts/test_df.py, whose SI-SDR takes no mean away: single precision to its tolerance,
    and what comes with the zoo to 0.01 dB."""
    noisy, clean = (
        audio_files.read(zoo_data / "audio-tests" / f"dfn_{name}.wav")
        for name in ("noisy_snr0", "clean")
    )
    published = "=" in form
    if published:
        pytest.importorskip("onnx")
    model = resolve(form.format(zoo_data / "weights" / "dfn3_enc.onnx"))
    heard = np.asarray(jax.jit(model.module.apply)(model.variables, noisy[None]))[0]
    # They score the file as it was written, 16 bits.
    heard = np.round(heard * 32768) / 32768
    found = metrics.si_sdr(heard[None], clean[None])[0]
    assert found == pytest.approx(20.014915, abs=1e-4 if published else 0.01)
    assert perceptual.stoi(heard, clean, 48000) == pytest.approx(0.97424, abs=1e-4)

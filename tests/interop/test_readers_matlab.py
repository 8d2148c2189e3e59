"""Networks in MATLAB files: their axes, their order of pixels, and what is refused."""

import h5py
import numpy as np
import pytest
from matlab_files import conv, dncnn, put_matlab, write_matlab
from refusal import refused

from zoo.interop.weight_readers import read_state


def test_matlab_axes(tmp_path):
    layers = dncnn()
    found = read_state(write_matlab(tmp_path / "f", layers, compression="gzip"))
    assert [(k, v.shape) for k, v in found.items()] == [
        ("model.0.weight", (4, 1, 3, 3)),
        ("model.0.bias", (4,)),
        ("model.2.weight", (4, 4, 3, 3)),
        ("model.2.bias", (4,)),
        ("model.4.weight", (1, 4, 3, 3)),
        ("model.4.bias", (1,)),
    ]
    filters, bias = layers[2]["weights"]
    assert found["model.2.weight"][3, 1, 0, 2] == filters[3, 1, 2, 0]
    np.testing.assert_array_equal(found["model.2.bias"], bias[0])
    assert found["model.4.weight"][0, 1, 0, 2] == layers[4]["weights"][0][1, 2, 0]


@pytest.mark.parametrize("channels", [1, 3])
def test_ffdnet_orders_pixels_by_rows(tmp_path, channels):
    """What MATLAB's columns of a patch give and get, PyTorch's rows give and get."""
    first, last = conv(8, 4 * channels + 1, 0), conv(4 * channels, 8, 1)
    layers = [{"type": "SubP"}, {"type": "concat"}, first, {"type": "relu"}, last, {"type": "SubP"}]
    found = read_state(write_matlab(tmp_path / "f", layers))
    patch = np.random.default_rng(2).random((channels, 2, 2))
    by_rows = np.append(patch.reshape(-1), 0.3)
    by_columns = np.append(patch.transpose(0, 2, 1).reshape(-1), 0.3)
    centre = first["weights"][0][:, :, 1, 1]
    np.testing.assert_allclose(found["model.0.weight"][:, :, 1, 1] @ by_rows, centre @ by_columns)
    np.testing.assert_array_equal(found["model.0.bias"], first["weights"][1][0])

    def patches(weight, bias, order):
        values = weight @ np.arange(8.0) + bias
        return values.reshape(channels, 2, 2).transpose(order)

    ours = patches(found["model.2.weight"][:, :, 1, 1], found["model.2.bias"], (0, 1, 2))
    centre = last["weights"][0][:, :, 1, 1]
    np.testing.assert_allclose(ours, patches(centre, last["weights"][1][0], (0, 2, 1)))


@pytest.mark.parametrize(
    ("place", "layer", "match"),
    [
        (1, {"type": "bnorm"}, "layers that are not read: 'bnorm'; .*batch norm merged"),
        (1, {"type": "conv"}, "not a chain of convolutions and ReLUs"),
        (1, {"type": "relu", "leak": np.array([[0.2]])}, "another leak than 0"),
        (2, conv(4, 4, 0, dilate=np.array([[2.0]])), "another dilate than 1"),
        (2, conv(4, 4, 0, stride=np.array([[1.0], [2.0]])), "another stride than 1"),
        (2, conv(4, 4, 0, pad=np.array([[0.0]])), "another pad than 1"),
        (2, {"type": "conv"}, "damaged"),
        (2, {"type": "conv", "weights": [np.zeros((4, 4, 3, 3))]}, "damaged"),
        (2, {"type": "conv", "weights": [np.zeros((3, 4, 3, 3)), np.zeros((1, 4))]}, "damaged"),
    ],
)
def test_other_networks_in_matlab_files(tmp_path, place, layer, match):
    layers = dncnn()
    layers[place] = layer
    refused(write_matlab(tmp_path / "f", layers), match)


def test_a_matlab_file_that_claims_a_lot(tmp_path):
    path = tmp_path / "f"
    with h5py.File(path, "w") as file:
        put_matlab(file, "net/layers", dncnn())
        file.create_dataset("#refs#/l0/pad", (2**40,), np.float64, chunks=True)
    refused(path, "larger than any of these networks")
    with h5py.File(path, "w") as file:
        file.create_dataset("net/layers", (2**40,), h5py.ref_dtype, chunks=True)
    refused(path, "more layers than any")
    with h5py.File(path, "w") as file:
        file["weights"] = np.arange(6.0)
    refused(path, "not a MatConvNet network")

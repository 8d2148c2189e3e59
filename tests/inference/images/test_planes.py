"""Models of several planes: what each plane of a stack is denoised with, in arrays and files."""

import numpy as np
import pytest
import tifffile
from small import jitted
from variables import random_variables

import zoo
from zoo.errors import ZooError
from zoo.inference import ImageDenoiser, blocks, plane_windows
from zoo.models import create_model

MODEL = create_model("unet-tiny", channels=1, planes=3, widths=(4, 6))
VOLUMETRIC = create_model("unet3d-tiny", channels=1, widths=(4, 6))
VARIABLES, OTHERS = (
    random_variables(one, np.zeros((1, 32, 32, one.planes), np.float32), np.float32([0.1]))
    for one in (MODEL, VOLUMETRIC)
)
WINDOWS = [[1, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 2]]


def stack(*lead, seed=0):
    return np.random.default_rng(seed).random((*lead, 32, 36), np.float32)


def wanted(x):
    """Of four planes, by the network itself."""
    seen = np.stack([np.moveaxis(x[window], 0, -1) for window in WINDOWS])
    return np.asarray(jitted(MODEL)(VARIABLES, seen))[..., 0]


def test_each_plane_is_denoised_with_those_beside_it():
    x = stack(4)
    options = {"variables": VARIABLES, "range": (0, 1)}
    clean = zoo.denoise(x, MODEL, **options)
    np.testing.assert_allclose(clean, wanted(x), atol=1e-6)
    np.testing.assert_array_equal(zoo.denoise(x[..., None], MODEL, **options)[..., 0], clean)
    half = zoo.denoise(x, MODEL, strength=0.5, **options)
    np.testing.assert_allclose(half, (x + clean) / 2, atol=1e-6)


@pytest.mark.matrix
@pytest.mark.parametrize(
    ("model", "variables"), [(MODEL, VARIABLES), (VOLUMETRIC, OTHERS)], ids=["2.5-D", "3-D"]
)
def test_tiles_make_no_difference_and_channels_are_apart(model, variables):
    x = np.random.default_rng(1).random((model.planes, 32, 160, 3), np.float32)
    options = {"variables": variables, "range": (0, 1)}
    whole = zoo.denoise(x, model, **options)
    tiled = zoo.denoise(x, model, tile=64, **options)
    np.testing.assert_allclose(tiled, whole, atol=2e-6)
    alone = zoo.denoise(x[..., 1], model, **options)
    np.testing.assert_allclose(whole[..., 1], alone, atol=2e-6)


def test_a_file_of_channels_is_denoised_along_z(tmp_path):
    x = stack(4, 2)
    tifffile.imwrite(tmp_path / "x.tif", x, imagej=True, metadata={"axes": "ZCYX"})
    zoo.denoise_file(
        tmp_path / "x.tif", tmp_path / "y.tif", MODEL, variables=VARIABLES, range=(0, 1)
    )
    found = tifffile.imread(tmp_path / "y.tif")
    for channel in (0, 1):
        np.testing.assert_allclose(found[:, channel], wanted(x[:, channel]), atol=1e-6)


def test_the_noise_that_is_saved_is_no_neighbor(tmp_path):
    x = stack(4)
    tifffile.imwrite(tmp_path / "x.tif", x, photometric="minisblack")
    options = {"variables": VARIABLES, "range": (0, 1), "save_noise": tmp_path / "noise.tif"}
    zoo.denoise_file(tmp_path / "x.tif", tmp_path / "y.tif", MODEL, **options)
    np.testing.assert_allclose(tifffile.imread(tmp_path / "y.tif"), wanted(x), atol=1e-6)
    noise = np.clip(x - wanted(x) + 0.5, 0, 1)
    np.testing.assert_allclose(tifffile.imread(tmp_path / "noise.tif"), noise, atol=1e-6)


def test_a_plane_is_read_once_and_few_are_held():
    class Pages:
        name, stacks, reads = "x", [(("z", 9), ("c", 2))], []

        def __len__(self):
            return 18

        def __iter__(self):
            return map(self.__getitem__, range(18))

        def __getitem__(self, number):
            self.reads.append(number)
            return Page(np.float32(number))

    class Page:
        living = most = 0

        def __init__(self, image):
            self.image = image
            Page.living += 1
            Page.most = max(Page.most, Page.living)

        def __del__(self):
            Page.living -= 1

    seen = [
        [*map(float, around), float(page.image)]
        for page, around in plane_windows.of_pages(Pages(), 3)
    ]
    assert Pages.reads == list(range(18))
    assert seen[0] == [2, 2, 0]
    assert seen[7] == [5, 9, 7]
    assert seen[17] == [15, 15, 17]
    assert Page.most <= 7


def test_what_is_no_stack_is_refused_in_one_line(tmp_path):
    options = {"variables": VARIABLES}
    with pytest.raises(ZooError, match="takes 3 planes of a stack at once, and the array has"):
        zoo.denoise(stack(), MODEL, **options)
    with pytest.raises(ZooError, match="the array is a stack of 2 planes, where 3 are needed"):
        zoo.denoise(stack(2), MODEL, **options)
    with pytest.raises(ZooError, match="UNet takes 3 planes of a stack at once; give it a stack"):
        ImageDenoiser(MODEL, **options)(stack())
    tifffile.imwrite(tmp_path / "x.tif", stack())
    with pytest.raises(ZooError, match=r"x\.tif is a single plane, where 3 are needed"):
        zoo.denoise_file(tmp_path / "x.tif", tmp_path / "y.tif", MODEL, **options)
    assert not (tmp_path / "y.tif").exists()
    with pytest.raises(ZooError, match="blocks are of single planes"):
        blocks.needed(ImageDenoiser(MODEL, **options), 1)

"""Arrays of any axes, block by block: the result of the whole, and refusals."""

import sys
from pathlib import Path

import numpy as np
import pytest

import zoo
from zoo.errors import ZooError
from zoo.inference.value_scale import Scale

da = pytest.importorskip("dask.array")
sys.path.insert(0, str(Path(__file__).parent / "inference" / "images"))

from small import Box, Half, Middle, build, make_image  # noqa: E402


@pytest.fixture(scope="module")
def tiny():
    model, variables = build("unet-tiny")
    return {"model": model, "variables": variables}


def mapped(array, chunks, **options):
    return zoo.science.map_blocks(array=da.from_array(array, chunks=chunks), **options)


def test_blocks_make_no_difference(tiny):
    x = make_image(101, 455, dtype=np.float32)[..., 0]
    whole = zoo.denoise(x, **tiny)
    assert abs(whole - x).max() > 0.1
    done = mapped(x, (37, 61), **tiny)
    assert done.npartitions > 1
    assert (done.shape, done.dtype) == (x.shape, x.dtype)
    np.testing.assert_allclose(done.compute(scheduler="sync"), whole, atol=1e-5)


def test_batch_and_channel_axes():
    planes = np.stack([make_image(60, 590, seed=seed)[..., 0] for seed in range(4)])
    options = {"model": Box(), "range": (0, 255)}
    expected = np.stack([zoo.denoise(x, **options) for x in planes])
    done = mapped(planes.reshape(2, 2, 60, 590), (1, 2, 30, 100), **options)
    assert done.npartitions == 4
    np.testing.assert_array_equal(done.compute(scheduler="sync").reshape(4, 60, 590), expected)
    # Three channels that are equal in some blocks are not taken for gray there.
    color = np.stack([planes[0], planes[0], planes[1]])
    color[2, :, :350] = planes[0, :, :350]
    options["model"] = Box(channels=3)
    expected = np.moveaxis(zoo.denoise(np.moveaxis(color, 0, -1), **options), -1, 0)
    done = mapped(color, (1, 60, 100), channel_axis=0, **options)
    np.testing.assert_array_equal(done.compute(scheduler="sync"), expected)


def test_one_range_for_all_of_the_array():
    planes = np.stack([make_image(60, 590)[..., 0], np.full((60, 590), 7)]).astype(np.uint16) * 100
    denoiser = zoo.inference.ImageDenoiser(Box())
    scale = denoiser.find_scales(planes[..., None])[planes.dtype]
    expected = [denoiser(x, None, None, scale).image for x in planes]
    done = mapped(planes, (1, 60, 100), model=Box())
    np.testing.assert_array_equal(done.compute(scheduler="sync"), expected)
    # What is stated is not looked for.
    never = da.map_blocks(lambda block: 1 / 0, da.zeros((400, 400), chunks=100), dtype=np.float32)
    assert zoo.science.map_blocks(Box(), never, range=(0, 1)).shape == (400, 400)


def test_planes_of_nothing_say_nothing_of_the_noise():
    planes = np.zeros((5, 60, 64), np.uint16)
    planes[2] = 256 * make_image(60, 64)[..., 0].astype(np.uint16)
    seen = zoo.science._level(
        da.from_array(planes[..., None]),
        zoo.inference.ImageDenoiser(Half(1, takes_level=True)),
        Scale(0, 65535, 65535),
    )
    assert seen == pytest.approx(0.1, rel=0.2)


def test_the_model_is_one_task_that_others_depend_on():
    graph = mapped(make_image(600, 600)[..., 0], 100, range=(0, 255), model=Box()).__dask_graph__()
    holders = [key for key, task in dict(graph).items() if "ImageDenoiser" in repr(task)[:10_000]]
    assert len(holders) <= 1


def test_models_that_see_all_are_refused():
    with pytest.raises(ZooError, match=r"Middle looks at all .* choose a local model: .*unet-gray"):
        mapped(make_image(60, 60)[..., 0], 30, model=Middle())


def test_arrays_without_planes_are_refused():
    for x, options, reported in (
        (np.zeros(9), {}, "has no planes"),
        (np.zeros((9, 9), complex), {}, "holds complex128; convert it"),
        (np.zeros((9, 20, 20)), {"channel_axis": 0}, "has 9 channels"),
        (np.zeros((9, 20)), {"channel_axis": 0}, "channel_axis=0 is no axis"),
    ):
        with pytest.raises(ZooError, match=reported):
            mapped(x, 5, **options, model=Box())

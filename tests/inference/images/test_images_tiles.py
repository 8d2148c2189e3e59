"""Tiles: where they lie, and that they leave no trace."""

import functools
import gc
import json
import subprocess
import sys
import weakref

import jax
import numpy as np
import pytest
import small
from families import first

from zoo.errors import ZooError
from zoo.inference import ImageDenoiser, image_denoiser, tile_program, tiling
from zoo.inference.noise_level import estimate_level
from zoo.models import create_model, model_spec

TOLERANCE = 1e-5


def whole(model, variables, x, level=0.1):
    """What the model gives by itself, the image untiled and padded by nobody else."""
    return np.asarray(small.jitted(model)(variables, x[None], level)[0])


@pytest.mark.parametrize("canvas", [True, False])
@pytest.mark.parametrize("chosen", [True, False])
@pytest.mark.parametrize("length", [1, 7, 63, 64, 65, 129, 1000, 4001])
@pytest.mark.parametrize(
    ("side", "halo", "stride"), first(1, [(64, 9, 8), (40, 0, 1), (96, 24, 32)])
)
def test_tiles_lie_on_the_stride_and_keep_each_pixel_once(
    length, side, halo, stride, chosen, canvas
):
    kinds = {"exact": True, "chosen": chosen, "canvas": canvas}
    axis = tiling.grid((length, length), side, halo, stride, **kinds).rows
    assert axis.tile <= side
    assert all(start % stride == 0 for start in axis.starts)
    assert axis.starts[-1] + axis.filled == length + -length % stride
    assert axis.filled == axis.tile or (canvas and len(axis.starts) == 1)
    assert list(axis.starts) == sorted(set(axis.starts))
    covered = np.zeros(length, int)
    for number, start in enumerate(axis.starts):
        kept = axis.kept(number)
        covered[kept] += 1
        assert number == 0 or kept.start >= start + halo
        assert number == len(axis.starts) - 1 or kept.stop <= start + axis.tile - halo
    assert (covered == 1).all()
    weights = np.zeros(length)
    for number in range(len(axis.starts)):
        weights[axis.seen(number)] += axis.weights(number)
    np.testing.assert_allclose(weights, 1, atol=1e-6)


def test_tiles_too_small_for_their_overlap_are_refused_where_there_are_several():
    model, variables = small.build("dncnn-gray")
    denoise = ImageDenoiser(model, variables=variables, tile=34)
    with pytest.raises(ZooError, match=r"tile=34 keeps nothing.* overlap of 17; take at least 35"):
        denoise(small.make_image(40, 30))
    assert denoise(small.make_image(34, 20)).tiles == 1


def local():
    """One with a stride and one without; the others in the matrix."""
    for name in small.names("local"):
        kept = name in ("unet-tiny", "dncnn-gray")
        yield pytest.param(name, marks=[pytest.mark.matrix] * (not kept))


@pytest.mark.parametrize("name", list(local()))
def test_tiled_equals_whole(name):
    """Odd sides, three tiles along one axis and two along the other."""
    model, variables = small.build(name)
    facts = model_spec(name)
    side = 2 * facts.reach + 3 * facts.stride
    side += -side % facts.stride
    height, width = side + 2 * facts.stride + 1, side + 3
    x = small.make_image(height, width, dtype=np.float32)
    denoise = ImageDenoiser(model, variables=variables, tile=side)
    found = denoise(x, 0.1)
    assert found.tiles >= 4
    assert found.deviation is None
    expected = whole(model, variables, x)
    assert np.abs(expected - x).max() > 0.01
    np.testing.assert_allclose(found.image, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("size", first(2, [((1, 1),), ((150, 5),), ((2, 3),), ((49, 48),)]))
@pytest.mark.parametrize("channels", [1, 3])
def test_tiled_equals_whole_at_any_size(size, channels):
    model, variables = small.build("unet-tiny", channels, takes_level=True, blocks=0)
    x = small.make_image(*size, channels, np.float32)
    found = ImageDenoiser(model, variables=variables, tile=48)(x, 0.1)
    np.testing.assert_allclose(found.image, whole(model, variables, x), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(
    "name", [pytest.param("unet-small", marks=pytest.mark.matrix), "ffdnet-gray"]
)
def test_tiles_wide_enough_for_winograd_equal_the_whole(name):
    """On a CPU rows go four by four then, wherever the tile begins."""
    options = {"width": 64, "depth": 3} if name == "ffdnet-gray" else {"widths": (64, 64)}
    model, variables = small.build(name, **options)
    x = small.make_image(101, 77, dtype=np.float32)
    side = model.reach * 2 + 4 * model.stride
    found = ImageDenoiser(model, variables=variables, tile=side)(x, 0.1)
    assert found.tiles >= 4
    np.testing.assert_allclose(found.image, whole(model, variables, x), atol=TOLERANCE)


# Windows are among what is tested next.
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.matrix] * (name != "nafnet-small"))
        for name in small.names("global", "windowed")
    ],
)
def test_one_tile_is_the_whole_image_of_any_model(name):
    model, variables = small.build(name)
    x = small.make_image(1, 18, dtype=np.float32)
    found = ImageDenoiser(model, variables=variables, tile=0)(x)
    assert found.deviation is None
    np.testing.assert_allclose(found.image, whole(model, variables, x), rtol=0, atol=TOLERANCE)


@pytest.mark.matrix
@pytest.mark.parametrize(
    "name", [pytest.param("nafnet-small", marks=pytest.mark.matrix), "swinir-small"]
)
def test_blended_tiles_say_by_how_much_they_differ_from_another_tiling(name):
    model, variables = small.build(name)
    x = small.make_image(100, 90, dtype=np.float32)
    denoise = ImageDenoiser(model, variables=variables, tile=48, overlap=8)
    found, other = denoise(x), ImageDenoiser(model, variables=variables, tile=64, overlap=8)(x)
    expected = whole(model, variables, x)
    change = np.sqrt(np.mean((expected - x) ** 2))
    between = np.sqrt(np.mean((found.image - other.image) ** 2))
    assert found.deviation < 0.5 * change
    assert between < 2 * found.deviation
    assert np.sqrt(np.mean((found.image - expected) ** 2)) < 3 * found.deviation


def test_blended_tiles_of_a_global_model_by_hand():
    """Two tiles of one column; where they overlap a raised cosine leads from one to the other."""
    x = np.concatenate([np.zeros((40, 4)), np.ones((40, 4))]).astype(np.float32)
    model = small.Middle()
    found = ImageDenoiser(model, tile=48, overlap=8)(x)
    assert found.tiles == 2
    # Rows 0 to 47 and 32 to 79, of 8 and 40 bright rows.
    first, second = (x + 8 / 48) / 2, (x + 40 / 48) / 2
    ramp = np.sin(np.pi / 2 * np.clip((np.arange(80) - 32 + 0.5) / 16, 0, 1)) ** 2
    expected = first * (1 - ramp[:, None]) + second * ramp[:, None]
    np.testing.assert_allclose(found.image, expected, atol=1e-6)
    np.testing.assert_allclose(found.deviation, (40 - 8) / 48 / 2, rtol=1e-5)


def test_a_smaller_overlap_than_the_reach_blends_and_a_pointwise_model_does_not_mind():
    model, variables = small.build("dncnn-gray")
    x = small.make_image(60, 50, dtype=np.float32)
    found = ImageDenoiser(model, variables=variables, tile=40, overlap=4)(x)
    assert 0 < found.deviation < 0.1
    half = ImageDenoiser(small.Half(1), tile=16, overlap=2)(x)
    assert half.deviation < 1e-7
    np.testing.assert_allclose(half.image, x / 2, atol=1e-6)


def test_images_of_like_sizes_share_one_program():
    model, variables = small.build("unet-tiny")
    denoise = ImageDenoiser(model, variables=variables, tile=80)
    before = tile_program.compiled.cache_info().currsize
    for size in [(200, 130), (161, 300), (90, 81), (77, 75), (80, 73)]:
        denoise(small.make_image(*size))
    # One on all devices for the tiles of large images, one for all that are a single tile.
    assert tile_program.compiled.cache_info().currsize - before <= 2


def sizes(count, least, most):
    return np.random.default_rng(0).integers(least, most, (count, 2)).tolist()


@pytest.fixture
def counted(monkeypatch):
    """Programs compiled while a test runs."""
    compiled = []
    make = tile_program.compiled.__wrapped__

    def counting(*key):
        compiled.append(key)
        return make(*key)

    monkeypatch.setattr(tile_program, "compiled", functools.lru_cache(tile_program.KEPT)(counting))
    return compiled


def test_thirty_sizes_take_four_programs_and_give_what_each_gives_alone(counted):
    """A global model, distinguished from its padding by the mean of the image itself."""
    denoise = ImageDenoiser(small.Middle(canvas=True))
    for size in sizes(30, 20, 128):
        x = small.make_image(*size, dtype=np.float32)
        np.testing.assert_allclose(denoise(x).image, (x + x.mean()) / 2, atol=1e-6)
    # Canvases of 64 and 128 pixels along each axis.
    assert len(counted) == 4


def test_a_size_that_comes_often_gets_a_program_of_its_own(counted, monkeypatch):
    monkeypatch.setattr(image_denoiser, "_WORTH_A_PROGRAM", 2 * (128 * 128 - 100 * 70))
    denoise = ImageDenoiser(small.Middle(canvas=True))
    x = small.make_image(100, 70, dtype=np.float32)
    for programs in (1, 1, 1, 2, 2):
        np.testing.assert_allclose(denoise(x).image, (x + x.mean()) / 2, atol=1e-6)
        assert len(counted) == programs
    # Another size has had no such waste.
    denoise(small.make_image(90, 80, dtype=np.float32))
    assert len(counted) == 2


def test_a_model_that_knows_no_canvas_sees_its_image_alone_and_few_programs_are_kept(counted):
    denoise = ImageDenoiser(small.Middle())
    for size in sizes(5, 20, 128):
        x = small.make_image(*size, dtype=np.float32)
        np.testing.assert_allclose(denoise(x).image, (x + x.mean()) / 2, atol=1e-6)
    assert len(counted) == 5
    made = tile_program.compiled.__wrapped__
    kept = functools.lru_cache(2)(made)
    first = weakref.ref(kept("key", (1, 8, 8, 1), np.dtype(np.uint8), True, np.uint8, None))
    assert first() is not None
    for height in range(2):
        kept("key", (1, height, 8, 1), np.dtype(np.uint8), True, np.uint8, None)
    gc.collect()
    assert first() is None


@pytest.mark.parametrize(
    ("tiles", "programs", "share"),
    [
        ((51, 8, 768), 36, 2),
        ((17, 1, 768), 36, 2),
        ((91, 16, 768), 36, 2),
        ((136, 8, 1576), 80, 1.5),
    ],
)
def test_a_thousand_sizes_have_few_tiles_that_cover_no_more_than_they_must(tiles, programs, share):
    """Larger tiles, which wide halos get, have more lengths and cover less for nothing."""
    reach, stride, side = tiles
    kinds = {"exact": True, "chosen": False, "canvas": True}
    shapes, computed, given = set(), 0, 0
    for height, width in sizes(1000, 64, 3000):
        grid = tiling.grid((height, width), side, reach, stride, **kinds)
        shapes.add(grid.shape)
        computed += grid.count * grid.shape[0] * grid.shape[1]
        given += height * width
    assert len(shapes) <= programs
    assert computed < share * given


def test_tiles_are_large_where_halos_are_wide_and_fit_in_memory():
    model = create_model("unet-medium", blocks=3)
    assert tile_program.side(model, 3, 17, 8) == 768
    wide = tile_program.side(model, 3, model.reach, 8)
    assert (wide / (wide - 2 * model.reach)) ** 2 < 1.45
    # The largest array of a program, of 4 bytes a value.
    assert 4 * wide**2 * tile_program.values_per_pixel(model, 3) <= 2**27


def test_estimating_levels_compiles_nothing():
    compiled = []
    name = "/jax/core/compile/backend_compile_duration"
    listen = lambda event, *_, **__: compiled.append(event) if event == name else None  # noqa: E731
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        jax.jit(lambda x: x + 1)(np.zeros(3, np.float32))
        assert compiled
        compiled.clear()
        for size in ((31, 40), (100, 90), (1100, 1000)):
            assert estimate_level(small.make_image(*size, 3)) == pytest.approx(0.1, rel=0.2)
        assert not compiled
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


@pytest.mark.slow
def test_memory_stays_flat_over_a_thousand_sizes():
    """Resident memory in a process of its own."""
    grown = json.loads(subprocess.check_output([sys.executable, "-c", _THOUSAND]))
    # Nine shapes of tiles, one, two or four at once, are all there after a few hundred sizes.
    assert grown["programs"] <= 27
    assert grown["last"] < 1.15 * grown["middle"]


_THOUSAND = """
import json, re
from pathlib import Path
import jax
import numpy as np
from zoo.inference import ImageDenoiser, tile_program
from zoo.models import create_model, init_variables

def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

model = create_model("unet-tiny", channels=1)
variables = init_variables(model, jax.random.key(0), (1, 16, 16, 1))
denoise = ImageDenoiser(model, variables=variables)
rng, held = np.random.default_rng(0), []
for height, width in rng.integers(30, 256, (1000, 2)):
    denoise(rng.integers(0, 256, (height, width), np.uint8))
    held.append(resident())
programs = tile_program.compiled.cache_info().currsize
print(json.dumps({"programs": programs, "middle": held[499], "last": held[-1]}))
"""


def test_progress_counts_tiles_up_to_all():
    model, variables = small.build("unet-tiny")
    calls = []
    denoise = ImageDenoiser(model, variables=variables, tile=64)
    found = denoise(small.make_image(200, 190), progress=lambda *c: calls.append(c))
    assert calls == sorted(calls)
    assert calls[-1] == (found.tiles, found.tiles)

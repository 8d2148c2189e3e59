"""Image files denoised: the right pixels, everything else kept, whole or not at all."""

import os
import struct

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms
from small import build

from zoo.data import image_files
from zoo.data.image_metadata import Metadata
from zoo.errors import ZooError
from zoo.inference import Denoised, ImageDenoiser
from zoo.inference.denoise_images import denoise_image_file, removed
from zoo.inference.value_scale import scale_of_range

SHAPE = (24, 36)


class Halver:
    """Halves colors and leaves alpha; notes what it was given."""

    def __init__(self, takes_level=True):
        self.levels, self.scales = [], []
        self._takes_level = takes_level

    def __call__(self, image, level=None, progress=None, scale=None):
        self.scales.append(scale)
        self.levels.append(level)
        out = image.copy()
        colors = image.shape[-1] - (image.shape[-1] in (2, 4))
        half = image[..., :colors] / 2
        out[..., :colors] = half if image.dtype.kind == "f" else np.floor(half)
        for done in (1, 2):
            if progress:
                progress(done, 2)
        level = level or 10 * len(self.levels) / 255
        level = level if self._takes_level else None
        return Denoised(out, level, 0.01 * len(self.levels), 2, scale)


def random(channels, dtype=np.uint8, shape=SHAPE, seed=0):
    rng = np.random.default_rng(seed)
    if dtype == np.float32:
        return rng.random((*shape, channels), np.float32)
    return rng.integers(0, np.iinfo(dtype).max, (*shape, channels), dtype, endpoint=True)


def halved(photo):
    out = photo.copy()
    colors = photo.shape[-1] - (photo.shape[-1] in (2, 4))
    out[..., :colors] = photo[..., :colors] // 2 if photo.dtype != np.float32 else (
        photo[..., :colors] / 2
    )  # fmt: skip
    return out


def refused(match, *args, **options):
    with pytest.raises(ZooError, match=match) as caught:
        denoise_image_file(*args, **options)
    assert "\n" not in str(caught.value)


def only(folder, *names):
    assert sorted(os.listdir(folder)) == sorted(names)


KINDS = [("png", c, d) for c in (1, 2, 3, 4) for d in (np.uint8, np.uint16)] + [
    ("tif", c, d) for c in (1, 2, 3, 4) for d in (np.uint8, np.uint16, np.float32)
]


@pytest.mark.parametrize(("suffix", "channels", "dtype"), KINDS)
def test_pixels_alpha_and_noise(tmp_path, suffix, channels, dtype):
    photo = random(channels, dtype)
    names = [f"{name}.{suffix}" for name in ("a", "b", "noise")]
    src, dst, noise = (tmp_path / name for name in names)
    image_files.write(src, photo)
    report = denoise_image_file(src, dst, Halver(), save_noise=noise)
    assert report[:5] == (1, SHAPE, pytest.approx(10), 0.01, ())
    np.testing.assert_array_equal(image_files.read(dst), halved(photo))
    taken = image_files.read(noise)
    assert taken.dtype == dtype
    scale = 1 if dtype == np.float32 else np.iinfo(dtype).max
    colors = channels - (channels in (2, 4))
    exact = photo.astype(np.float64) / scale - halved(photo) / scale + 0.5
    # Half of 255 is between two of its integers; it is the upper one.
    step = 0.6 / scale if dtype != np.float32 else 1e-6
    expected = np.clip(exact, 0, 1)[..., :colors]
    np.testing.assert_allclose(taken[..., :colors] / scale, expected, atol=step)
    np.testing.assert_array_equal(taken[..., colors:], photo[..., colors:])
    only(tmp_path, *names)


def test_levels_are_of_each_page(tmp_path):
    stack = random(1, np.uint16, (3, *SHAPE))[..., 0]
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack")
    seen, denoiser = [], Halver()
    report = denoise_image_file(
        tmp_path / "a.tif", tmp_path / "b.tif", denoiser, save_noise=tmp_path / "n.tif",
        progress=lambda done, whole: seen.append((done, whole)),
    )  # fmt: skip
    assert report.pages == 3
    assert report.level == pytest.approx(20)
    assert report.deviation == 0.03
    assert denoiser.levels == [None] * 3
    assert seen == [(done, 6) for done in range(1, 7)]
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), stack // 2)
    assert tifffile.imread(tmp_path / "n.tif").shape == stack.shape
    denoise_image_file(tmp_path / "b.tif", tmp_path / "b.tif", Halver(), overwrite=True)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), stack // 2 // 2)
    reported = Halver(takes_level=False)
    report = denoise_image_file(
        tmp_path / "a.tif", tmp_path / "b.tif", reported, level=0.1, overwrite=True
    )
    assert reported.levels == [0.1] * 3
    assert report.level is None


def test_a_phones_image(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.5)
    photo = np.full((32, 48, 3), 200, np.uint8)
    Image.fromarray(photo).save(tmp_path / "a.jpg", exif=exif, quality=93)
    report = denoise_image_file(tmp_path / "a.jpg", tmp_path / "b.jpg", Halver())
    assert report.size == (48, 32)
    with Image.open(tmp_path / "b.jpg") as image:
        assert image.size == (32, 48)
        assert image.getexif().get(0x0112, 1) == 1
        assert image.getexif().get_ifd(0x8825)[2] == (52.0, 31.0, 12.5)
        np.testing.assert_allclose(np.asarray(image), 100, atol=2)


def test_what_is_lost_is_said_and_other_formats(tmp_path):
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(random(3, np.uint16)))
    report = denoise_image_file(tmp_path / "a.png", tmp_path / "b.jpg", Halver())
    assert report.lost == ("16 bits became 8 bits, all that JPEG holds",)
    Image.fromarray(random(3)).quantize(8).save(tmp_path / "a.gif")
    refused("256 colors", tmp_path / "a.gif", tmp_path / "b.gif", Halver())
    denoise_image_file(tmp_path / "a.gif", tmp_path / "b.png", Halver())


def test_what_cannot_be_written_is_said_before_the_work(tmp_path):
    image_files.write(tmp_path / "a.png", random(4))
    denoiser = Halver()
    refused("cannot hold transparency", tmp_path / "a.png", tmp_path / "b.jpg", denoiser)
    refused("cannot tell a format", tmp_path / "a.png", tmp_path / "b.xyz", denoiser)
    refused("cannot write", tmp_path / "a.png", tmp_path / "none" / "b.png", denoiser)
    refused("is a folder", tmp_path / "a.png", tmp_path, denoiser)
    refused("No such file", tmp_path / "none.png", tmp_path / "b.png", denoiser)
    (tmp_path / "bad.png").write_bytes((tmp_path / "a.png").read_bytes()[:200])
    refused("truncated or broken", tmp_path / "bad.png", tmp_path / "b.png", denoiser)
    assert denoiser.levels == []
    only(tmp_path, "a.png", "bad.png")


def test_the_input_is_replaced_only_when_asked(tmp_path):
    photo = random(3)
    src = tmp_path / "a.png"
    image_files.write(src, photo)
    os.symlink("a.png", tmp_path / "soft.png")
    os.link(src, tmp_path / "hard.png")
    names = ("a.png", "soft.png", "hard.png")
    for name in names:
        refused("is there already", src, tmp_path / name, Halver())
        refused("is the input; name another", src, tmp_path / "b.png", Halver(),
                save_noise=tmp_path / name, overwrite=True)  # fmt: skip
    refused("is the output; name another", src, tmp_path / "b.png", Halver(),
            save_noise=tmp_path / "." / "b.png")  # fmt: skip
    np.testing.assert_array_equal(image_files.read(src), photo)
    denoise_image_file(src, src, Halver(), overwrite=True)
    np.testing.assert_array_equal(image_files.read(src), halved(photo))
    # The other name of the file that was is the original's last.
    np.testing.assert_array_equal(image_files.read(tmp_path / "hard.png"), photo)
    only(tmp_path, *names)


@pytest.mark.parametrize("error", [ZooError("too small"), KeyboardInterrupt()])
def test_an_error_half_way_leaves_nothing(tmp_path, error):
    stack = random(1, shape=(2, *SHAPE))[..., 0]
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack")
    halver = Halver()

    def second(image, level, progress, scale):
        if halver.levels:
            raise error
        return halver(image, level, progress, scale)

    with pytest.raises(type(error)):
        denoise_image_file(
            tmp_path / "a.tif", tmp_path / "b.tif", second, save_noise=tmp_path / "n.tif"
        )
    only(tmp_path, "a.tif")


def test_floats_of_tiff_keep_what_is_beyond_0_and_1(tmp_path):
    photo = np.linspace(0, 1, 24 * 36, dtype=np.float32).reshape(*SHAPE, 1)
    photo[3, 4] = np.nan
    tifffile.imwrite(tmp_path / "a.tif", 400 * photo - 100)

    def identity(image, level, progress, scale):
        return Denoised(image.copy(), None, None, 1, scale)

    report = denoise_image_file(
        tmp_path / "a.tif", tmp_path / "b.tif", identity, save_noise=tmp_path / "n.tif"
    )
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), 400 * photo - 100)
    assert np.nanmax(np.abs(tifffile.imread(tmp_path / "n.tif"))) == 0
    assert report.level is report.deviation is None
    assert (report.scale.low, report.scale.high) == (-128, 384)


def test_pages_share_one_range_unless_asked(tmp_path):
    stack = np.stack([random(1, np.uint16)[..., 0] >> shift for shift in (9, 4, 12)])
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack")
    highs = {}
    for limits in (None, "page", (10, 500)):
        halver = Halver()
        report = denoise_image_file(
            tmp_path / "a.tif", tmp_path / "b.tif", halver, range=limits, overwrite=True
        )
        highs[limits] = [round(scale.high) for scale in halver.scales]
        assert report.scale == halver.scales[0]
    assert highs[None] == [4096] * 3
    assert highs["page"] == [128, 4096, 16]
    assert highs[10, 500] == [500] * 3


def icc(curve):
    """As much of a profile as tells its curve."""
    head = bytes(16) + b"GRAY" + bytes(108) + struct.pack(">I", 1)
    return head + b"kTRC" + struct.pack(">II", 144, len(curve)) + curve


@pytest.mark.parametrize(
    ("beside", "linear"),
    [
        ({"icc": icc(b"curv" + bytes(8))}, True),
        ({"icc": icc(b"curv" + struct.pack(">IIH", 0, 1, 256))}, True),
        ({"icc": icc(b"curv" + struct.pack(">IIH", 0, 1, 563))}, False),
        ({"icc": icc(b"para" + struct.pack(">IHHi", 0, 0, 0, 65536))}, True),
        ({"icc": icc(b"curv" + struct.pack(">II3H", 0, 3, 0, 32768, 65535))}, True),
        ({"icc": icc(b"curv" + struct.pack(">II3H", 0, 3, 0, 9999, 65535))}, False),
        ({"icc": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()}, False),
        ({"icc": b"nothing"}, False),
        ({"chunks": ((b"gAMA", struct.pack(">I", 100000)),)}, True),
        ({"chunks": ((b"gAMA", struct.pack(">I", 45455)),)}, False),
        ({"chunks": ((b"cICP", bytes((1, 8, 0, 1))),)}, True),
        ({}, False),
    ],
)
def test_a_file_tells_that_it_is_linear(beside, linear):
    assert Metadata(**beside).is_linear() == linear


def test_where_noise_hides_from_the_estimate_the_remedy_is_reported(tmp_path):
    clean = np.repeat(np.repeat(random(3, shape=(6, 6)), 16, 0), 16, 1)
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    for name, options in {"a.jpg": {}, "camera.png": {"exif": exif}, "other.png": {}}.items():
        Image.fromarray(clean).save(tmp_path / name, **options)
        denoiser = lambda image, *given: Denoised(image, 0.001, None, 1, given[-1])  # noqa: E731
        report = denoise_image_file(tmp_path / name, tmp_path / f"out.{name}", denoiser)
        assert (name != "other.png") == any("model='unet-real'" in note for note in report.notes)


def test_removed_takes_the_place_of_the_image():
    photo = random(3)
    kept = photo.copy()
    scale = scale_of_range((0, 255), photo.dtype)
    out = removed(photo, halved(photo), scale)
    assert out is photo
    kept.flags.writeable = False
    np.testing.assert_array_equal(removed(kept, halved(kept), scale), out)


def test_with_a_denoiser_of_the_zoo(tmp_path):
    """The file holds what the array gives."""
    model, variables = build("ffdnet-gray")
    denoiser = ImageDenoiser(model, variables=variables)
    photo = random(1, shape=(40, 33))
    image_files.write(tmp_path / "a.png", photo)
    report = denoise_image_file(tmp_path / "a.png", tmp_path / "b.png", denoiser, level=0.1)
    denoised = denoiser(photo, 0.1)
    np.testing.assert_array_equal(image_files.read(tmp_path / "b.png"), denoised.image)
    assert report[:4] == (1, (40, 33), pytest.approx(25.5), denoised.deviation)

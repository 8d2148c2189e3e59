"""Measurements: their mean stays, whatever a model adds to it, and what was not measured too."""

import os
from pathlib import Path

import numpy as np
import pytest

from zoo import cli
from zoo.data import image_files
from zoo.data.image_files import read_pages
from zoo.inference.denoise_images import denoise_image_file
from zoo.inference.image_denoiser import Denoised

ROWS, COLUMNS = 64, 80
SCIENCE = Path(os.environ.get("ZOO_DATA", "nowhere"), "science")


def scene():
    y, x = np.mgrid[:ROWS, :COLUMNS]
    return 300 + 100 * np.sin(x / 9.0) * np.cos(y / 7.0)


def stack(dtype, sigma=20.0):
    noise = np.random.default_rng(0).normal(0, sigma, (3, ROWS, COLUMNS))
    values = scene() + noise
    return np.rint(values).astype(dtype) if np.dtype(dtype).kind in "iu" else values.astype(dtype)


def biased(offset):
    """A perfect denoiser, but for a constant."""

    def run(image, level, progress, scale):
        clean = (scene()[..., None] + offset).astype(image.dtype)
        return Denoised(np.where(np.isfinite(image), clean, image), 0.1, None, 1, scale)

    return run


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float16, np.float32])
@pytest.mark.parametrize("offset", [0.3, -7.0])
def test_the_mean_of_each_plane_stays(tmp_path, dtype, offset):
    before = stack(dtype)
    np.save(tmp_path / "a.npy", before)
    report = denoise_image_file(tmp_path / "a.npy", tmp_path / "b.npy", biased(offset))
    after = np.load(tmp_path / "b.npy")
    assert after.dtype == dtype
    removed = before.astype(np.float64) - after
    # A thousandth of the noise; each plane of so few pixels has a mean that is eleven times off.
    for plane in (removed, *removed):
        assert abs(plane.mean()) < 1e-3 * plane.std()
    assert report.shift == pytest.approx(removed.mean() / removed.std(), abs=1e-9)
    # No more than a constant was added, beside the steps of the type.
    wanted = scene() + before.mean(axis=(1, 2), keepdims=True) - scene().mean()
    assert np.abs(after - wanted).max() <= (0.55 if np.dtype(dtype).kind in "iu" else 0.26)


def test_images_are_as_the_model_has_them(tmp_path):
    image_files.write(tmp_path / "a.png", stack(np.uint16)[0][..., None])
    report = denoise_image_file(tmp_path / "a.png", tmp_path / "b.tif", biased(5))
    assert report.shift is None
    (page,) = read_pages(tmp_path / "b.tif")
    np.testing.assert_array_equal(page.image[..., 0], (scene() + 5).astype(np.uint16))


def test_what_was_not_measured_stays_and_does_not_count(tmp_path):
    before = stack(np.float32)
    before[0] = np.nan
    before[1, :9] = np.nan
    np.save(tmp_path / "a.npy", before)
    report = denoise_image_file(tmp_path / "a.npy", tmp_path / "b.npy", biased(3))
    after = np.load(tmp_path / "b.npy")
    np.testing.assert_array_equal(np.isnan(after), np.isnan(before))
    for plane in before[1:] - after[1:]:
        assert abs(np.nanmean(plane)) < 1e-3 * np.nanstd(plane)
    assert report.notes == ("a plane without any measurement is left as it is",)


def test_padding_of_dicom_does_not_count_and_noise_fits_its_bits(tmp_path):
    pydicom = pytest.importorskip("pydicom")
    before = stack(np.uint16)[0]
    before[:30] = 4000
    made = pydicom.dcmread(pydicom.data.get_testdata_file("MR_small.dcm"))
    made.set_pixel_data(before, "MONOCHROME2", 12, generate_instance_uid=False)
    made.add_new("PixelPaddingValue", "US", 4000)
    made.save_as(tmp_path / "a.dcm")
    options = {"save_noise": tmp_path / "n.dcm"}
    denoise_image_file(tmp_path / "a.dcm", tmp_path / "b.dcm", biased(-4), **options)
    after = pydicom.dcmread(tmp_path / "b.dcm").pixel_array
    assert (after[:30] == 4000).all()
    removed = before[30:].astype(float) - after[30:]
    assert abs(removed.mean()) < 1e-3 * removed.std()
    # Around the middle of 12 bits.
    noise = pydicom.dcmread(tmp_path / "n.dcm")
    np.testing.assert_array_equal(noise.pixel_array[30:] - 2048.0, removed)
    assert noise.DerivationDescription.startswith("noise taken out")


@pytest.mark.matrix
@pytest.mark.skipif(not SCIENCE.is_dir(), reason="needs the files of ZOO_DATA/science")
def test_real_files_by_the_command(tmp_path, capsys):
    """Volumes of MR, a CT and MR slice, and a galaxy; the means by each field's own library."""
    nibabel, pydicom = pytest.importorskip("nibabel"), pytest.importorskip("pydicom")
    fits = pytest.importorskip("astropy.io.fits")
    readers = {
        "example4d.nii.gz": lambda path: np.asarray(nibabel.load(path).dataobj),
        "anatomical.nii": lambda path: np.asarray(nibabel.load(path).dataobj),
        "MR_small_RLE.dcm": lambda path: pydicom.dcmread(path).pixel_array,
        "CT_small.dcm": lambda path: pydicom.dcmread(path).pixel_array,
        "M51.fits": fits.getdata,
    }
    inputs = [str(SCIENCE / name) for name in readers]
    assert cli.main(["denoise", *inputs, "-o", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("mean kept to") >= 4
    for name, read in readers.items():
        before, after = read(SCIENCE / name), read(tmp_path / name)
        assert (after.shape, after.dtype) == (before.shape, before.dtype)
        removed = before.astype(np.float64) - after
        assert abs(removed.mean()) <= 1e-3 * removed.std()

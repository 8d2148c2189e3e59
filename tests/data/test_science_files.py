"""NIfTI, FITS, MRC and NumPy files: read and written with all but the values as it was."""

import gzip

import numpy as np
import pytest
from page_files import refused
from science_files import raised, values

from zoo.data import file_kinds, image_files
from zoo.data.image_files import read_pages
from zoo.data.image_metadata import Page
from zoo.errors import EXTRAS

nibabel = pytest.importorskip("nibabel")
mrcfile = pytest.importorskip("mrcfile")
fits = pytest.importorskip("astropy.io.fits")


def volume(path, data, slope=None):
    kind = nibabel.Nifti1Image if path.name != "two.nii" else nibabel.Nifti2Image
    image = kind(data, np.diag([2, 3, 4, 1.0]), dtype=data.dtype)
    image.header["descrip"] = b"spin echo"
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"of mine"))
    if slope:
        image.header.set_slope_inter(*slope)
    image.to_filename(path)
    return image


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float64])
def test_a_nifti_volume_keeps_all_but_its_values(tmp_path, dtype):
    data = values((20, 24, 3, 2), dtype)
    volume(tmp_path / "a.nii", data, slope=None if dtype == np.float64 else (0.5, -10))
    pages = raised(tmp_path / "a.nii", tmp_path / "b.nii.gz")
    assert len(pages) == 6
    # x runs along the rows of a plane, and the last axis is the slowest.
    np.testing.assert_array_equal(list(pages)[4].image[..., 0], data[:, :, 1, 1].T)
    before, after = nibabel.load(tmp_path / "a.nii"), nibabel.load(tmp_path / "b.nii.gz")
    assert after.header.binaryblock == before.header.binaryblock
    assert after.header.extensions[0].get_content() == b"of mine"
    np.testing.assert_array_equal(after.dataobj.get_unscaled(), data + dtype(1))


def test_nifti_of_other_orders_and_colors(tmp_path):
    header = nibabel.Nifti2Header(endianness=">")
    header.set_data_dtype(">i2")
    data = values((20, 24, 3), ">i2")
    nibabel.Nifti2Image(data, np.eye(4), header).to_filename(tmp_path / "a.nii.gz")
    raised(tmp_path / "a.nii.gz", tmp_path / "b.nii")
    after = nibabel.load(tmp_path / "b.nii")
    np.testing.assert_array_equal(after.dataobj, data + 1)
    assert after.header.endianness == ">"
    colors = values((20, 24, 2, 3), np.uint8)
    packed = colors.view([("R", "u1"), ("G", "u1"), ("B", "u1")])[..., 0]
    nibabel.Nifti1Image(packed, np.eye(4)).to_filename(tmp_path / "c.nii")
    first = next(iter(read_pages(tmp_path / "c.nii"))).image
    np.testing.assert_array_equal(first, colors[:, :, 0].swapaxes(0, 1))
    # A slice along x has no line of voxels for a plane.
    volume(tmp_path / "d.nii", values((1, 24, 20)))
    assert next(iter(read_pages(tmp_path / "d.nii"))).image.shape == (20, 24, 1)


def test_a_fits_file_keeps_its_units_headers_and_checksums(tmp_path):
    science = values((3, 20, 24), np.float32)
    science[0, 3, 3] = np.nan
    flags = values((20, 24), np.int32)
    table = fits.BinTableHDU.from_columns([fits.Column("x", "E", array=np.arange(5.0))])
    units = [
        fits.PrimaryHDU(),
        fits.ImageHDU(science, fits.Header({"CRVAL1": 1.5, "DATAMAX": 99.0}), name="SCI"),
        fits.ImageHDU(flags, name="DQ"),
        table,
        fits.ImageHDU(np.arange(7.0), name="SPECTRUM"),
    ]
    fits.HDUList(units).writeto(tmp_path / "a.fits", checksum=True)
    assert len(raised(tmp_path / "a.fits", tmp_path / "b.fits")) == 3
    with fits.open(tmp_path / "a.fits") as before, fits.open(tmp_path / "b.fits") as after:
        for one, other in zip(before, after, strict=True):
            ignored = ["CHECKSUM", "DATASUM", "DATAMAX"]
            assert fits.HeaderDiff(one.header, other.header, ignore_keywords=ignored).identical
            assert other.verify_checksum() == other.verify_datasum() == 1
        np.testing.assert_array_equal(after["SCI"].data, science + 1)
        assert after["SCI"].header["DATAMAX"] == np.nanmax(science) + 1
        np.testing.assert_array_equal(after["DQ"].data, flags)
        np.testing.assert_array_equal(after[3].data["x"], np.arange(5.0))


def test_integers_of_fits_are_what_they_stand_for(tmp_path):
    unsigned = values((20, 24), np.uint16) + np.uint16(60000)
    fits.PrimaryHDU(unsigned).writeto(tmp_path / "a.fits")
    (page,) = raised(tmp_path / "a.fits", tmp_path / "b.fits")
    np.testing.assert_array_equal(page.image[..., 0], unsigned)
    np.testing.assert_array_equal(fits.getdata(tmp_path / "b.fits"), unsigned + 1)
    # Those that are blank stay, and their neighbors stand for them meanwhile.
    unit = fits.PrimaryHDU(values((20, 24)))
    unit.data[2:5, 3], unit.header["BLANK"] = -999, -999
    unit.writeto(tmp_path / "c.fits")
    (page,) = raised(tmp_path / "c.fits", tmp_path / "d.fits")
    assert page.missing.sum() == 3
    assert page.image.min() >= 0
    stored = np.where(page.missing, -999, page.image[..., 0] + 1)
    after = fits.getdata(tmp_path / "d.fits", do_not_scale_image_data=True)
    np.testing.assert_array_equal(after, stored)


@pytest.mark.parametrize("dtype", [np.int16, np.uint16])
def test_compressed_tiles_of_fits_stay_compressed(tmp_path, dtype):
    data = values((40, 48), dtype)
    tiles = fits.CompImageHDU(data, compression_type="RICE_1", tile_shape=(10, 48), name="SCI")
    fits.HDUList([fits.PrimaryHDU(), tiles]).writeto(tmp_path / "a.fits.fz")
    raised(tmp_path / "a.fits.fz", tmp_path / "b.fits.fz")
    with fits.open(tmp_path / "b.fits.fz") as after:
        assert isinstance(after["SCI"], fits.CompImageHDU)
        assert after["SCI"].tile_shape == (10, 48)
        np.testing.assert_array_equal(after["SCI"].data, data + 1)


@pytest.mark.filterwarnings("ignore:Setting the dtype:DeprecationWarning")
@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.float16, np.float32])
def test_an_mrc_stack_keeps_its_header(tmp_path, dtype):
    data = values((4, 20, 24), dtype)
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(data)
        file.voxel_size = (1.1, 1.2, 1.3)
        file.set_extended_header(np.frombuffer(b"x" * 320, "V1"))
        file.add_label("of mine")
    (tmp_path / "a.map.gz").write_bytes(gzip.compress((tmp_path / "a.mrc").read_bytes()))
    assert len(raised(tmp_path / "a.map.gz", tmp_path / "b.mrc")) == 4
    with mrcfile.open(tmp_path / "a.mrc") as before, mrcfile.open(tmp_path / "b.mrc") as after:
        np.testing.assert_array_equal(after.data, data + dtype(1))
        assert after.data.dtype == dtype
        assert after.voxel_size == before.voxel_size
        assert after.extended_header.tobytes() == b"x" * 320
        assert list(after.get_labels()) == list(before.get_labels())
        assert after.header.dmax == before.header.dmax + 1
        np.testing.assert_allclose(after.header.dmean, before.header.dmean + 1, rtol=1e-6)
        np.testing.assert_allclose(after.header.rms, before.header.rms, rtol=1e-5)


@pytest.mark.parametrize(
    ("shape", "pages", "page"),
    [
        ((20, 24), 1, (20, 24, 1)),
        ((20, 24, 3), 1, (20, 24, 3)),
        ((5, 20, 24), 5, (20, 24, 1)),
        ((2, 3, 20, 24), 6, (20, 24, 1)),
        ((2, 20, 24, 4), 2, (20, 24, 4)),
    ],
)
def test_axes_of_numpy_arrays(tmp_path, shape, pages, page):
    data = np.asfortranarray(values(shape, ">f8"))
    np.save(tmp_path / "a.npy", data)
    found = raised(tmp_path / "a.npy", tmp_path / "b.npy")
    assert (len(found), next(iter(found)).image.shape) == (pages, page)
    after = np.load(tmp_path / "b.npy")
    np.testing.assert_array_equal(after, data + 1)
    assert after.dtype == data.dtype
    assert after.flags.f_contiguous == data.flags.f_contiguous


def test_an_npz_of_one_array_stays_one(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", cells=values((3, 20, 24)))
    raised(tmp_path / "a.npz", tmp_path / "b.npz")
    np.testing.assert_array_equal(np.load(tmp_path / "b.npz")["cells"], values((3, 20, 24)) + 1)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".fits", ".mrc", ".npy", ".npz", ".tif"])
def test_a_volume_becomes_another_format(tmp_path, ending):
    data = values((2, 3, 20, 24))
    np.save(tmp_path / "a.npy", data)
    pages = read_pages(tmp_path / "a.npy")
    path = tmp_path / f"b{ending}"
    lost = image_files.write_pages(path, list(pages))
    own = file_kinds.IMAGE_FORMATS[ending] == "npy"
    assert own == (not lost)
    for before, after in zip(pages, read_pages(path), strict=True):
        np.testing.assert_array_equal(after.image, before.image)
        assert after.image.dtype == np.int16
    if ending in (".nii", ".fits"):
        read = nibabel.load if ending == ".nii" else fits.getdata
        shape = data.shape if ending == ".fits" else data.shape[::-1]
        assert read(path).shape == shape


def write(path, kind):
    data = values((3, 20, 24))
    if kind == "complex nifti":
        nibabel.Nifti1Image(data.astype(np.complex64), np.eye(4)).to_filename(path)
    elif kind == "line of nifti":
        nibabel.Nifti1Image(data[0, 0], np.eye(4)).to_filename(path)
    elif kind == "table":
        fits.BinTableHDU.from_columns([fits.Column("x", "E", array=[1.0])]).writeto(path)
    elif kind == "two arrays":
        np.savez(path, a=data, b=data)
    else:
        arrays = {
            "objects": np.array([{}], object),
            "fields": np.zeros((20, 24), [("a", "i2")]),
            "complex": np.zeros((20, 24), complex),
            "bool": np.zeros((20, 24), bool),
            "none": np.zeros((0, 24)),
        }
        np.save(path, arrays[kind], allow_pickle=True)


@pytest.mark.parametrize(
    ("name", "kind", "reported"),
    [
        ("a.nii", "complex nifti", "holds values of type complex64"),
        ("a.nii", "line of nifti", "which is no image"),
        ("a.fits", "table", "holds no image, but tables"),
        ("a.npz", "two arrays", "holds 2 arrays; save each as .npy"),
        ("a.npy", "objects", "holds Python objects, which are not read"),
        ("a.npy", "fields", "holds values of type"),
        ("a.npy", "complex", "holds values of type complex128"),
        ("a.npy", "bool", "holds values of type bool"),
        ("a.npy", "none", "which is no image"),
    ],
)
def test_what_holds_no_image_is_refused(tmp_path, name, kind, reported):
    write(tmp_path / name, kind)
    refused(reported, read_pages, tmp_path / name)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".fits", ".mrc", ".npy"])
def test_truncated_files_are_refused(tmp_path, ending):
    np.save(tmp_path / "a.npy", values((9, 20, 24)))
    pages = list(read_pages(tmp_path / "a.npy"))
    path = tmp_path / f"b{ending}"
    image_files.write_pages(path, pages, overwrite=True)
    path.write_bytes(path.read_bytes()[:-3000])
    refused("truncated", read_pages, path)
    # Nothing is left of an output that fails.
    before = sorted(tmp_path.iterdir())
    other = Page(np.zeros((7, 8, 1), np.int16))
    refused(
        "its pages have the sizes",
        image_files.write_pages,
        tmp_path / f"c{ending}",
        [pages[0], other],
    )
    assert sorted(tmp_path.iterdir()) == before


def test_a_missing_library_is_one_line(tmp_path, monkeypatch):
    volume(tmp_path / "a.nii", values((20, 24, 2)))
    find = image_files.science.importlib.util.find_spec
    monkeypatch.setattr(
        image_files.science.importlib.util,
        "find_spec",
        lambda name: None if name == "nibabel" else find(name),
    )
    reported = rf"is NIfTI, which needs nibabel; pip install 'denoising-zoo\[{EXTRAS['nibabel']}\]'"
    refused(reported, read_pages, tmp_path / "a.nii")

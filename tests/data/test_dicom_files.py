"""DICOM files: frames as stored, and derived images that keep all else of the data set."""

import shutil

import numpy as np
import pytest
from page_files import refused
from science_files import dicom, raised, values

from zoo.data import file_kinds, image_files
from zoo.data.image_files import read_pages
from zoo.errors import ZooError

pydicom = pytest.importorskip("pydicom")
uid = pydicom.uid
TEST_FILES = pydicom.data.get_testdata_file

CHANGED = {
    *("SOPInstanceUID", "SeriesInstanceUID", "SeriesDescription", "ImageType"),
    *("DerivationDescription", "SourceImageSequence", "PixelData"),
}


@pytest.mark.parametrize(
    "syntax",
    [
        uid.ExplicitVRLittleEndian,
        uid.ImplicitVRLittleEndian,
        uid.ExplicitVRBigEndian,
        uid.DeflatedExplicitVRLittleEndian,
        uid.RLELossless,
    ],
)
def test_a_derived_image_keeps_the_data_set_and_the_coding(tmp_path, syntax):
    frames = values((3, 20, 24)) - np.int16(50)
    rescale = {"RescaleSlope": 2.5, "RescaleIntercept": -1024, "WindowCenter": 40}
    dicom(tmp_path / "a", frames, syntax=syntax, SeriesDescription="T1", **rescale)
    pages = raised(tmp_path / "a", tmp_path / "b.dcm")
    np.testing.assert_array_equal(np.stack([page.image[..., 0] for page in pages]), frames)
    before, after = pydicom.dcmread(tmp_path / "a"), pydicom.dcmread(tmp_path / "b.dcm")
    np.testing.assert_array_equal(after.pixel_array, frames + 1)
    assert after.file_meta.TransferSyntaxUID == syntax
    changed = {e.keyword for e in after if e.tag not in before or before[e.tag] != e}
    assert changed <= CHANGED
    assert {e.keyword for e in before} <= {e.keyword for e in after}
    assert after.ImageType == ["DERIVED", "PRIMARY", "AXIAL"]
    assert after.SeriesDescription == "T1 denoised"
    assert after.DerivationDescription.startswith("denoised, by denoising-zoo")
    assert after.SOPInstanceUID != before.SOPInstanceUID
    assert after.SOPInstanceUID == after.file_meta.MediaStorageSOPInstanceUID
    source = after.SourceImageSequence[0]
    assert source.ReferencedSOPInstanceUID == before.SOPInstanceUID


def test_images_of_a_series_stay_together_and_others_apart(tmp_path):
    made = [dicom(tmp_path / f"{n}", values((20, 24), seed=n)) for n in (1, 2)]
    made[1].SeriesInstanceUID = made[0].SeriesInstanceUID
    made[1].save_as(tmp_path / "2")
    for name in "12":
        raised(tmp_path / name, tmp_path / f"{name}.dcm")
    raised(tmp_path / "1", tmp_path / "3.dcm", by=2)
    one, two, three = (pydicom.dcmread(tmp_path / f"{n}.dcm") for n in (1, 2, 3))
    assert one.SeriesInstanceUID == two.SeriesInstanceUID != made[0].SeriesInstanceUID
    assert len({one.SOPInstanceUID, two.SOPInstanceUID, three.SOPInstanceUID}) == 3


def test_values_stay_within_the_bits_that_are_stored(tmp_path):
    frames = values((20, 24), np.uint16) + np.uint16(4000)
    ends = {"SmallestImagePixelValue": 4000, "LargestImagePixelValue": 4099}
    dicom(tmp_path / "a.dcm", frames.clip(0, 4095), BitsStored=12, **ends)
    raised(tmp_path / "a.dcm", tmp_path / "b.dcm", by=20)
    after = pydicom.dcmread(tmp_path / "b.dcm")
    np.testing.assert_array_equal(after.pixel_array, (frames.clip(0, 4095) + 20).clip(0, 4095))
    assert (after.BitsStored, after.BitsAllocated, after.HighBit) == (12, 16, 11)
    assert after.SmallestImagePixelValue == after.pixel_array.min()
    assert after.LargestImagePixelValue == 4095


def test_padding_is_no_measurement(tmp_path):
    frames = values((20, 24))
    frames[:5, :5] = -2000
    # Written by some as if it were unsigned.
    made = dicom(tmp_path / "a.dcm", frames)
    made.add_new("PixelPaddingValue", "US", 2**16 - 2000)
    made.save_as(tmp_path / "a.dcm")
    (page,) = raised(tmp_path / "a.dcm", tmp_path / "b.dcm")
    assert page.missing.sum() == 25
    assert page.image.min() >= 0
    after = pydicom.dcmread(tmp_path / "b.dcm").pixel_array
    np.testing.assert_array_equal(after, np.where(frames == -2000, -2000, frames + 1))


def test_colors_and_files_of_old_scanners(tmp_path):
    colors = values((21, 23, 3), np.uint8)
    dicom(tmp_path / "a.dcm", colors)
    (page,) = raised(tmp_path / "a.dcm", tmp_path / "b.dcm")
    np.testing.assert_array_equal(page.image, colors)
    np.testing.assert_array_equal(pydicom.dcmread(tmp_path / "b.dcm").pixel_array, colors + 1)
    dicom(tmp_path / "c", values((20, 24)), meta=False)
    assert file_kinds.kind_of(tmp_path / "c") == "image"
    raised(tmp_path / "c", tmp_path / "d.dcm")
    after = pydicom.dcmread(tmp_path / "d.dcm")
    np.testing.assert_array_equal(after.pixel_array, values((20, 24)) + 1)
    assert after.PatientName == "DOE^JANE"


@pytest.mark.parametrize(
    ("name", "like"),
    [
        # Written by the same scan as it was and compressed without loss.
        ("MR_small_RLE.dcm", "MR_small.dcm"),
        ("MR_small_bigendian.dcm", "MR_small.dcm"),
        ("MR_small_implicit.dcm", "MR_small.dcm"),
        ("MR_small_jp2klossless.dcm", "MR_small.dcm"),
        ("MR_small_jpeg_ls_lossless.dcm", "MR_small.dcm"),
        ("SC_rgb_jpeg_gdcm.dcm", "SC_rgb_rle.dcm"),
    ],
)
def test_compressed_frames_are_those_of_the_plain_file(tmp_path, name, like):
    pages = raised(TEST_FILES(name), tmp_path / "b.dcm")
    (page,) = pages
    plain = pydicom.dcmread(TEST_FILES(like)).pixel_array
    np.testing.assert_array_equal(page.image.reshape(plain.shape), plain)
    after = pydicom.dcmread(tmp_path / "b.dcm")
    np.testing.assert_array_equal(after.pixel_array, plain + plain.dtype.type(1))
    if "jp" in name:
        assert "became none" in page.lost[0]
        assert after.file_meta.TransferSyntaxUID == uid.ExplicitVRLittleEndian


def test_palettes_and_ybr_become_rgb(tmp_path):
    for name in ("examples_palette.dcm", "SC_ybr_full_422_uncompressed.dcm"):
        shutil.copy(TEST_FILES(name), tmp_path / "a.dcm")
        (page,) = raised(tmp_path / "a.dcm", tmp_path / "b.dcm", by=0)
        after = pydicom.dcmread(tmp_path / "b.dcm")
        assert after.PhotometricInterpretation == "RGB"
        np.testing.assert_array_equal(after.pixel_array, page.image)
        assert page.lost[0].endswith("became RGB")


def test_what_is_no_dicom_image_is_refused_without_a_name(tmp_path):
    made = dicom(tmp_path / "a.dcm", values((20, 24)))
    data = (tmp_path / "a.dcm").read_bytes()
    (tmp_path / "b.dcm").write_bytes(data[:-100])
    refused(
        "is a truncated or broken DICOM file",
        lambda path: list(read_pages(path)),
        tmp_path / "b.dcm",
    )
    made.NumberOfFrames = 12345678
    made.save_as(tmp_path / "c.dcm")
    data = (tmp_path / "c.dcm").read_bytes()
    (tmp_path / "c.dcm").write_bytes(data.replace(b"12345678", b"ROE^JANE"))
    with pytest.raises(ZooError, match="truncated or broken") as caught:
        read_pages(tmp_path / "c.dcm")
    assert "ROE" not in str(caught.value)
    del made.NumberOfFrames, made.PixelData
    made.save_as(tmp_path / "c.dcm")
    refused("is a DICOM file without pixels", read_pages, tmp_path / "c.dcm")
    refused("has 1 bits a pixel, a mask", read_pages, TEST_FILES("liver_1frame.dcm"))
    # By their class, so that a study as a folder leaves them out.
    for name in ("rtplan.dcm", "test-SR.dcm", "DICOMDIR"):
        assert file_kinds.kind_of(TEST_FILES(name)) is None
    refused("only a DICOM file has", image_files.write_pages, tmp_path / "d.dcm", [_page()])


def _page():
    return image_files.Page(values((20, 24, 1)))

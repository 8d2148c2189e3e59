"""What a data set says of an image that is derived from another.

References:
  DICOM PS3.3 2024, C.7.6.1.1.2 (image type), C.7.6.1.1.3 (derivation), C.12.4 (source images),
  C.7.6.3 (image pixel module); PS3.16, CID 7202 (purpose of a reference).
"""

import contextlib
import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

_TEXT, _SERIES = 1024, 64
_PALETTE = ("Red", "Green", "Blue", "Alpha")
_OVERLAYS = range(0x6000, 0x6020, 2)
_SIGNATURES = ((0x4FFE, 0x0001), (0xFFFA, 0xFFFA))


class Digest:
    """A digest of frames, by which equal images have equal identifiers."""

    def __init__(self):
        self._hash = hashlib.sha256()

    def add(self, frame: np.ndarray) -> None:
        """Takes a frame into account."""
        self._hash.update(frame)

    def __str__(self) -> str:
        return self._hash.hexdigest()


def derive(
    header: Dataset,
    image: np.ndarray,
    ends: Sequence[tuple[float, float]],
    digest: Digest,
    word: str,
) -> None:
    """Makes the data set that of a derived image, of which it is the source.

    The instance and its series get new identifiers, which follow from those of the source, so that
    all images of a series stay together. Study, patient and frame of reference stay.

    Args:
      header: the data set with its new pixels; changed.
      image: some pixels, of the type and the channels of all.
      ends: the least and the largest value of each frame.
      digest: of the frames.
      word: what was done to the source, such as "denoised".
    """
    from zoo import __version__  # noqa: PLC0415 - of the package above

    _describe_pixels(header, image, ends)
    for group, element in _SIGNATURES:
        if (group, element) in header:
            del header[group, element]
    former, kind = header.get("SOPInstanceUID"), header.get("SOPClassUID")
    if former and kind:
        _refer(header, kind, former)
    if former:
        header.SOPInstanceUID = uid.generate_uid(entropy_srcs=[str(former), str(digest)])
        header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    if kind:
        header.file_meta.MediaStorageSOPClassUID = kind
    header.file_meta.ImplementationClassUID = uid.PYDICOM_IMPLEMENTATION_UID
    if series := header.get("SeriesInstanceUID"):
        header.SeriesInstanceUID = uid.generate_uid(entropy_srcs=[str(series), word])
    title = f"{header.get('SeriesDescription') or ''} {word}".strip()
    if len(title) <= _SERIES:
        header.SeriesDescription = title
    types = list(header.get("ImageType") or ())
    header.ImageType = ["DERIVED", *(types[1:] or ["PRIMARY"])]
    for one in _frame_types(header):
        one.FrameType = ["DERIVED", *list(one.FrameType)[1:]]
    note = f"{word}, by denoising-zoo {__version__}"
    earlier = header.get("DerivationDescription")
    whole = f"{earlier}; {note}" if earlier else note
    header.DerivationDescription = whole if len(whole) <= _TEXT else note


def has_embedded_overlay(header: Dataset) -> bool:
    """Whether an overlay lies in bits of the pixels that are not used for their values."""
    return any(
        (group, 0x0102) in header and (group, 0x3000) not in header and header[group, 0x0102].value
        for group in _OVERLAYS
    )


def is_signed(header: Dataset) -> bool:
    """Whether there is a digital signature."""
    return any(tag in header for tag in _SIGNATURES)


def _describe_pixels(
    header: Dataset, image: np.ndarray, ends: Sequence[tuple[float, float]]
) -> None:
    if image.ndim == 3:
        if header.PhotometricInterpretation.startswith("PALETTE"):
            for color in _PALETTE:
                for name in ("", "Data"):
                    drop(header, f"{color}PaletteColorLookupTable{name or 'Descriptor'}")
                drop(header, f"Segmented{color}PaletteColorLookupTableData")
            bits = 8 * image.dtype.itemsize
            header.BitsAllocated = header.BitsStored = bits
            header.HighBit, header.PixelRepresentation = bits - 1, 0
            drop(header, "PixelPaddingValue", "PixelPaddingRangeLimit")
        header.PhotometricInterpretation = "RGB"
        header.SamplesPerPixel, header.PlanarConfiguration = image.shape[2], 0
    # Of a whole series they cannot be known here.
    drop(header, "SmallestPixelValueInSeries", "LargestPixelValueInSeries")
    kind = "SS" if header.get("PixelRepresentation") else "US"
    found = {"Smallest": min(low for low, _ in ends), "Largest": max(high for _, high in ends)}
    for word, value in found.items():
        keyword = f"{word}ImagePixelValue"
        if keyword in header:
            del header[keyword]
            if image.dtype.kind in "iu" and image.dtype.itemsize <= 2:
                header.add_new(keyword, kind, int(value))


def drop(header: Dataset, *keywords: str) -> None:
    """Removes those of some elements that are there."""
    for keyword in keywords:
        if keyword in header:
            delattr(header, keyword)


def _refer(header: Dataset, kind: str, former: str) -> None:
    purpose = Dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator = "121322", "DCM"
    purpose.CodeMeaning = "Source image for image processing operation"
    source = Dataset()
    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = kind, former
    source.PurposeOfReferenceCodeSequence = Items([purpose])
    header.SourceImageSequence = Items([*(header.get("SourceImageSequence") or ()), source])


def _frame_types(header: Dataset) -> Iterator[Dataset]:
    """The items that hold the type of frames, of images with several."""
    for name in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for groups in header.get(name) or ():
            for element in groups:
                if element.VR == "SQ" and element.keyword.endswith("FrameTypeSequence"):
                    with contextlib.suppress(AttributeError):
                        yield from (item for item in element.value if item.FrameType)

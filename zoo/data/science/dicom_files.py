"""DICOM images, by pydicom: the frames of a file, as stored, and a derived image made of them.

A rescale slope and intercept, a lookup table and a window stay as they are, since they say how
stored values are to be understood. A palette is looked up and YBR becomes RGB, for neither can be
denoised. Nothing that a data set says of a patient is ever part of a message, so that warnings,
which quote values, are ignored.

References:
  DICOM PS3.3 2024, C.7.6.1 and C.7.6.3 (images and their pixels), C.12.1 (instances); PS3.5, 8
  (encoding of pixels) and annex A (transfer syntaxes).
"""

import contextlib
import tempfile
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pydicom
from pydicom import encaps, pixels, uid
from pydicom.dataset import Dataset

from zoo import files
from zoo.data import pixels as images
from zoo.data.image_metadata import Metadata, Page
from zoo.data.science import dicom_codecs, dicom_derived
from zoo.data.science.stacks import Stack
from zoo.errors import ZooError

_PIXELS = {"PixelData": "OW", "FloatPixelData": "OF", "DoubleFloatPixelData": "OD"}
# Bytes of an element beyond which it is read when it is asked for, as pixels are not.
_LARGE = 2**20
_COLORS = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "YBR_PARTIAL_420"})
_GRAYS = frozenset({"MONOCHROME1", "MONOCHROME2"})
_PALETTE = "PALETTE COLOR"
# Transfer syntaxes that are kept on writing.
_NATIVE = (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian)
_KEPT = frozenset({*_NATIVE, uid.DeflatedExplicitVRLittleEndian})


class FrameStack(Stack):
    """The frames of a DICOM file.

    Attributes:
      form, lead, ends: as of `zoo.data.science.stacks.Stack`.
      syntax: the transfer syntax.

    Args:
      path: the file.

    Raises:
      ZooError: it is broken, or holds no image.
    """

    form = "dicom"

    def __init__(self, path: str):
        self._path, self._name = files.regular(path), path
        with self._intact():
            header = self.header()
            self._check(header)
            self.lead = (int(pixels.utils.get_nr_frames(header, warn=False)),)
            self.ends = _ends(header)

    def header(self) -> Dataset:
        """The data set, read again; large elements are read when they are asked for.

        Raises:
          Exception: it is broken.
        """
        with warnings.catch_warnings(action="ignore"):
            found = pydicom.dcmread(self._path, defer_size=_LARGE, force=True)
        if not hasattr(found, "file_meta"):
            found.file_meta = pydicom.dataset.FileMetaDataset()
        if "TransferSyntaxUID" not in found.file_meta:
            implicit, little = found.original_encoding
            explicit = _NATIVE[1] if little else _NATIVE[2]
            found.file_meta.TransferSyntaxUID = _NATIVE[0] if implicit else explicit
        self.syntax = found.file_meta.TransferSyntaxUID
        return found

    def pages(self, numbers: Sequence[int] | None = None) -> Iterator[Page]:
        """Frames as pages, each decoded now; all by default."""
        with self._intact():
            header = self.header()
            missing, lost = _padding(header), tuple(self._lost(header))
            for number, frame in enumerate(self.frames(numbers)):
                gone = None if missing is None else missing(frame)
                image = frame if frame.ndim == 3 else frame[..., None]
                if header.PhotometricInterpretation == _PALETTE:
                    with warnings.catch_warnings(action="ignore"):
                        image = pixels.apply_color_lut(frame, header)[..., :3]
                if gone is not None and gone.any():
                    image = images.filled(image.copy(), gone)
                else:
                    gone = None
                image = np.ascontiguousarray(image, image.dtype.newbyteorder("="))
                image = images.check(image, self._name, any_range=True)
                yield Page(image, Metadata(stack=self), () if number else lost, missing=gone)

    def frames(self, numbers: Sequence[int] | None = None) -> Iterator[np.ndarray]:
        """The frames as stored, but for colors, which are RGB, and a palette's numbers.

        Raises:
          Exception: they are broken.
        """
        source: BinaryIO | Dataset = self.header()
        plugin = dicom_codecs.plugin(self.syntax)
        options = {"correct_unused_bits": self.ends is not None}
        if self.syntax.is_encapsulated:
            options = {}
        with contextlib.ExitStack() as stack:
            if self.syntax != uid.DeflatedExplicitVRLittleEndian:
                # From the file, of which one frame at a time is in memory.
                source = stack.enter_context(files.opened(self._path))
                options["transfer_syntax_uid"] = self.syntax
            found = pixels.iter_pixels(source, indices=numbers, decoding_plugin=plugin, **options)
            stack.enter_context(contextlib.closing(found))
            while True:
                # Not around the yield, where other code runs.
                with warnings.catch_warnings(action="ignore"):
                    frame = next(found, None)
                if frame is None:
                    return
                yield frame

    def keeps(self, header: Dataset) -> bool:
        """Whether the transfer syntax is that of the output too."""
        short = self.syntax == uid.RLELossless and header.BitsAllocated <= 16
        return short or self.syntax in _KEPT

    def copied(self, output: BinaryIO, path: Path, word: str) -> "FrameWriter":
        """A writer of an image derived from this one."""
        return FrameWriter(self, output, word)

    def _check(self, header: Dataset) -> None:
        """Refuses what holds no image, or none that can be denoised."""
        if not any(keyword in header for keyword in _PIXELS):
            raise ZooError(f"{self._name} is a DICOM file without pixels; leave it out")
        bits = header.get("BitsAllocated", 0)
        if bits not in (8, 16, 32, 64):
            what = "a mask rather than an image" if bits == 1 else "which are not read"
            raise ZooError(f"{self._name} has {bits} bits a pixel, {what}; leave it out")
        kind = header.PhotometricInterpretation
        if kind not in _COLORS | _GRAYS | {_PALETTE}:
            raise ZooError(f"{self._name} has pixels of the kind {kind}, which are not read")
        images.check_size(header.Columns, header.Rows, self._name)

    def _lost(self, header: Dataset) -> Iterator[str]:
        if not self.keeps(header):
            yield f"its compression, {self.syntax.name}, became none"
        kind = header.PhotometricInterpretation
        if kind == _PALETTE or kind.startswith("YBR"):
            yield f"{kind} became RGB"
        if dicom_derived.has_embedded_overlay(header):
            yield "its overlay in unused bits of the pixels is not kept"
        if dicom_derived.is_signed(header):
            yield "its digital signature, which no longer holds, is not kept"

    @contextlib.contextmanager
    def _intact(self) -> Iterator[None]:
        """Turns any exception into one line, without what it quotes of the data set."""
        try:
            yield
        except (ZooError, GeneratorExit):
            raise
        except MemoryError:
            raise ZooError(f"{self._name} does not fit into memory; take fewer frames") from None
        except NotImplementedError:
            raise ZooError(
                f"{self._name} is compressed as {self.syntax.name}, which is not read; decompress "
                "it by dcmdjpeg or gdcmconv --raw, and take that"
            ) from None
        except Exception as error:
            raise ZooError(
                f"{self._name} is a truncated or broken DICOM file ({type(error).__name__}); fetch "
                "it again, or save it again with the program that wrote it"
            ) from None


class FrameWriter:
    """A writer of a derived image, frame by frame.

    Args:
      stack: the frames it is derived from.
      output: the file to write, open.
      word: what was done to it.
    """

    def __init__(self, stack: FrameStack, output: BinaryIO, word: str):
        self._stack, self._output, self._word = stack, output, word
        self._header = stack.header()
        self._missing = _padding(self._header)
        self._former = stack.frames() if self._missing else None
        rle = stack.syntax == uid.RLELossless and stack.keeps(self._header)
        self._coded: list[bytes] | None = [] if rle else None
        # Frames are gathered in a file, so that no more than one is in memory.
        self._raw = tempfile.TemporaryFile()  # noqa: SIM115 - longer open than a block
        weakref.finalize(self, self._raw.close)
        self._ends: list[tuple[float, float]] = []
        self._digest = dicom_derived.Digest()
        self._image: np.ndarray | None = None

    def put(self, page: Page) -> None:
        """Writes the next frame."""
        image = page.image if page.image.shape[-1] > 1 else page.image[..., 0]
        if self._stack.ends and image.dtype.kind in "iu":
            image = np.clip(image, *self._stack.ends).astype(image.dtype)
        if self._former is not None:
            former = next(self._former)
            image = np.where(self._missing(former), former, image)
        self._ends.append((image.min(), image.max()))
        self._image = image[:1, :1]
        big = self._stack.syntax == uid.ExplicitVRBigEndian
        data = np.ascontiguousarray(image, image.dtype.newbyteorder(">" if big else "<"))
        self._digest.add(data)
        if self._coded is None:
            self._raw.write(data)
        else:
            self._coded.append(self._packed(data))

    def finish(self) -> None:
        """Completes the file."""
        header, stack = self._header, self._stack
        dicom_derived.drop(header, "ExtendedOffsetTable", "ExtendedOffsetTableLengths")
        if not stack.keeps(header):
            header.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
        keyword = next(keyword for keyword in _PIXELS if keyword in header)
        if self._coded is not None:
            value, kind = encaps.encapsulate(self._coded), "OB"
        else:
            self._raw.write(bytes(self._raw.tell() % 2))
            self._raw.seek(0)
            # Other values than of 8 bits are swapped by the order of bytes.
            value, kind = self._raw, _PIXELS[keyword]
            if self._image.dtype.itemsize == 1 and not stack.syntax.is_implicit_VR:
                kind = "OB"
        with warnings.catch_warnings(action="ignore"):
            header.add_new(keyword, kind, value)
            header[keyword].is_undefined_length = self._coded is not None
            dicom_derived.derive(header, self._image, self._ends, self._digest, self._word)
            complete = all(key in header for key in ("SOPClassUID", "SOPInstanceUID"))
            header.save_as(self._output, enforce_file_format=complete)

    def _packed(self, data: np.ndarray) -> bytes:
        # In RLE each channel is by itself.
        return pixels.get_encoder(uid.RLELossless).encode(
            data.tobytes(),
            rows=data.shape[0],
            columns=data.shape[1],
            samples_per_pixel=data.shape[2] if data.ndim == 3 else 1,
            number_of_frames=1,
            bits_allocated=8 * data.dtype.itemsize,
            bits_stored=8 * data.dtype.itemsize,
            pixel_representation=int(data.dtype.kind == "i"),
            photometric_interpretation="RGB" if data.ndim == 3 else "MONOCHROME2",
            planar_configuration=0,
        )


def refusal(dtype: np.dtype, channels: int) -> str:
    """Why planes of other formats cannot be held."""
    return "a DICOM image is of a patient and a study, which only a DICOM file has; end it in .tif"


def _ends(header: Dataset) -> tuple[int, int] | None:
    """The least and the largest value; None where it is as the type has it, or oddly stored."""
    stored, bits = header.get("BitsStored"), header.BitsAllocated
    odd = header.get("HighBit", 0) != (stored or 0) - 1
    if "PixelData" not in header or not stored or stored >= bits or odd:
        return None
    if header.PhotometricInterpretation not in _GRAYS:
        return None
    half = 1 << stored - 1
    return (-half, half - 1) if header.PixelRepresentation else (0, 2 * half - 1)


def _padding(header: Dataset) -> Callable[[np.ndarray], np.ndarray] | None:
    """Tells which pixels of a frame are none, `(H, W)`; None where none can be."""
    if "PixelData" not in header or header.PhotometricInterpretation not in _GRAYS:
        return None
    value = header.get("PixelPaddingValue")
    if not isinstance(value, int):
        return None
    other = header.get("PixelPaddingRangeLimit", value)
    bits, signed = header.BitsAllocated, header.PixelRepresentation

    def stored(number: int) -> int:
        # Written with the other sign by some.
        number %= 1 << bits
        return number - (1 << bits) if signed and number >= 1 << bits - 1 else number

    least, most = sorted((stored(value), stored(other)))
    return lambda frame: (frame >= least) & (frame <= most)

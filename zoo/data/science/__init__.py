"""Files of laboratories and hospitals: arrays of planes below a header that gives them a meaning.

Each format is read by the library of its field, and each is a stack of planes: the last two axes of
its arrays, or the frames of a scan. A plane is read when it is asked for, as stored, whatever
scale, window or unit the header names; and a file of the same format is written as a copy of the
file that was read, with other planes in it. So nothing but the values is ever replaced.

A module of a format has

  `layout(file, name)`: where the arrays of an open file are, as `Block`s;
  `refusal(dtype, channels)`: why it cannot hold such planes, or an empty text;
  `create(file, shape, dtype)`: writes a file of zeros, for planes that come from another format;
  `finish(file, totals)`: sets what the header says of the values, once they are written.

DICOM, whose files have identities and are often compressed, has a stack of its own, and so has
Zarr, whose files are folders.
"""

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import BinaryIO, NamedTuple

from zoo.data.image_metadata import Metadata, Page
from zoo.data.science import stacks
from zoo.errors import EXTRAS, ZooError


class Form(NamedTuple):
    """A format.

    Attributes:
      name: what its field calls it.
      package: the library that reads it, by its import name.
      module: the module here.
    """

    name: str
    package: str
    module: str


FORMS = {
    "nifti": Form("NIfTI", "nibabel", "nifti_files"),
    "dicom": Form("DICOM", "pydicom", "dicom_files"),
    "fits": Form("FITS", "astropy", "fits_files"),
    "mrc": Form("MRC", "mrcfile", "mrc_files"),
    "npy": Form("NumPy", "numpy", "numpy_files"),
    "zarr": Form("Zarr", "zarr", "zarr_files"),
}
"""The formats, by their names in `zoo.data.file_kinds`."""


def opened(form: str, path: str) -> stacks.Stack:
    """The planes of a file, of which only the header is read.

    Args:
      form: its format.
      path: the file, which must stay while its planes are read.

    Raises:
      ZooError: the library is missing, or the file is broken, truncated or holds no planes.
    """
    module = _module(form, path)
    if form == "dicom":
        return module.FrameStack(path)
    if form == "zarr":
        return module.ZarrStack(path)
    return stacks.ArrayStack(form, module, path)


def fitting(page: Page, path: Path, form: str, count: int) -> tuple[Metadata, tuple[str, ...]]:
    """What a file of a format here can hold of a page; see `zoo.data.image_fitting.fitting`.

    Raises:
      ZooError: the library is missing, or the format cannot hold the page.
    """
    module = _module(form, str(path))
    if _is_own(page.metadata, form, count):
        if form == "zarr":
            page.metadata.stack.check_levels()
        return page.metadata, ()
    if reason := module.refusal(page.image.dtype, page.image.shape[-1]):
        raise ZooError(f"{path}: {reason}")
    found, name = page.metadata, FORMS[form].name
    lost = header_lost(found, name)
    if found.exif or found.icc or found.xmp or found.chunks or found.segments or found.tiff:
        lost += (f"{name} has no place for the metadata of image files",)
    return Metadata(stack=found.stack), lost


def header_lost(metadata: Metadata, name: str) -> tuple[str, ...]:
    """That the header of a file read here is not in one of another format, if there is such."""
    if metadata.stack is None:
        return ()
    return (f"{name} has no place for the header of {FORMS[metadata.stack.form].name}",)


def writer(
    form: str, output: BinaryIO | Path, path: Path, page: Page, count: int, word: str
) -> stacks.Writer:
    """A writer of planes one after the other.

    Args:
      form: the format to write.
      output: the file, empty, open for reading and writing; of Zarr the folder.
      path: the name that it is going to have.
      page: the first plane, after `fitting`.
      count: how many there are going to be.
      word: what was done to them, which DICOM notes.
    """
    stack = page.metadata.stack
    if _is_own(page.metadata, form, count):
        return stack.copied(output, path, word)
    lead = stack.lead if stack and len(stack) == count else (count,)
    module = _module(form, str(path))
    if form == "zarr":
        return module.ZarrWriter.new(output, path, page, lead)
    return stacks.ArrayWriter.new(module, output, path, page, lead)


def _is_own(metadata: Metadata, form: str, count: int) -> bool:
    stack = metadata.stack
    return stack is not None and stack.form == form and len(stack) == count


def _module(form: str, name: str) -> ModuleType:
    known = FORMS[form]
    if importlib.util.find_spec(known.package) is None:
        raise ZooError(
            f"{name} is {known.name}, which needs {known.package}; "
            f"pip install 'denoising-zoo[{EXTRAS[known.package]}]'"
        )
    return importlib.import_module(f"{__name__}.{known.module}")

"""Files inside files: gzip of NIfTI, FITS and MRC, the zip of NumPy, and the tiles of FITS.

What is packed is unpacked into a temporary file, where planes lie as their format has them, and
packed again at the end. Temporary files have no name, so that nothing is left of them.
"""

import gzip
import shutil
import tempfile
import weakref
import zipfile
from pathlib import Path
from typing import BinaryIO

from zoo import files
from zoo.data import file_kinds
from zoo.errors import ZooError

_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"
# As nibabel: denoised values pack little better at a higher one, and take several times as long.
_LEVEL = 1
_BLOCK = 2**20


class Unpacked:
    """A file as its format has it, unpacked where it was not.

    Attributes:
      file: open for reading, as long as this is there.
      source: the file itself.
      member: the name of the array in a zip of NumPy.
      tiled: whether it is a FITS file of compressed tiles.

    Args:
      path: the file.
      form: its format.

    Raises:
      ZooError: it cannot be read, or is a zip of several arrays.
      Exception: it is broken.
    """

    def __init__(self, path: str, form: str):
        self.source, self.member, self.tiled = path, "", False
        self.file = files.opened(path)
        weakref.finalize(self, self.file.close)
        head = self.file.read(4)
        self.file.seek(0)
        if head.startswith(_GZIP):
            self._take(gzip.GzipFile(fileobj=self.file))
        elif head == _ZIP:
            with zipfile.ZipFile(self.file) as packed:
                names = packed.namelist()
                if len(names) != 1:
                    raise ZooError(f"{path} holds {len(names)} arrays; save each as .npy")
                self.member = names[0]
                self._take(packed.open(self.member))
        if form == "fits":
            from zoo.data.science import fits_files  # noqa: PLC0415 - an extra

            self.tiled = fits_files.is_tiled(self.file)
            if self.tiled:
                plain = _temporary(self)
                fits_files.untile(self.file, plain)
                self._keep(plain)

    def _take(self, packed: BinaryIO) -> None:
        plain = _temporary(self)
        with packed:
            shutil.copyfileobj(packed, plain, _BLOCK)
        self._keep(plain)

    def _keep(self, plain: BinaryIO) -> None:
        self.file.close()
        self.file = plain


class Packing:
    """A plain file to write, and what becomes of it.

    Attributes:
      file: to write, open for reading and writing; the output itself where that is not packed.

    Args:
      path: the output's name, whose ending says whether it is packed.
      output: the file to write it to.
      like: the file that it is a copy of, or None.
    """

    def __init__(self, path: Path, output: BinaryIO, like: Unpacked | None):
        self._output, self._like, self.file = output, like, output
        self._ending = file_kinds.ending(path)
        self._tiled = like is not None and like.tiled and not self._ending.endswith(".gz")
        if self._tiled or self._ending.endswith((".gz", ".npz")):
            self.file = _temporary(self)

    def finish(self) -> None:
        """Packs the plain file."""
        if self.file is self._output:
            return
        self.file.seek(0)
        if self._tiled:
            from zoo.data.science import fits_files  # noqa: PLC0415 - an extra

            with files.opened(self._like.source) as source:
                fits_files.tile(self.file, self._output, source)
        elif self._ending == ".npz":
            member = (self._like and self._like.member) or "arr_0.npy"
            with (
                zipfile.ZipFile(self._output, "w", zipfile.ZIP_DEFLATED) as packed,
                packed.open(member, "w", force_zip64=True) as inside,
            ):
                shutil.copyfileobj(self.file, inside, _BLOCK)
        else:
            with gzip.GzipFile("", "wb", _LEVEL, self._output, mtime=0) as packed:
                shutil.copyfileobj(self.file, packed, _BLOCK)


def _temporary(owner: object) -> BinaryIO:
    """A temporary file without a name, which is closed when its owner is gone."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - longer open than a block
    weakref.finalize(owner, file.close)
    return file

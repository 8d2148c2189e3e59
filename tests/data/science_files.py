"""Small files of laboratories and hospitals for tests, written by the libraries of their fields."""

import warnings

import numpy as np

from zoo.data import image_files


def values(shape, dtype=np.int16, seed=0):
    """Integers from 0 to 99 of any type."""
    return np.random.default_rng(seed).integers(0, 100, shape).astype(dtype)


def raised(source, target, by=1):
    """Copies a file with a constant added to every plane; returns the pages of the source."""
    pages = image_files.read_pages(source)
    with image_files.writing(target, len(pages), overwrite=True) as put:
        for page in pages:
            put(page._replace(image=page.image + page.image.dtype.type(by)))
    return pages


def dicom(path, frames, *, syntax=None, meta=True, **elements):
    """Writes a DICOM file of gray or RGB frames, little endian unless the syntax is another."""
    import pydicom
    from pydicom import uid
    from pydicom.dataset import Dataset, FileMetaDataset

    syntax = syntax or uid.ExplicitVRLittleEndian
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID = uid.MRImageStorage, uid.generate_uid()
    made.StudyInstanceUID, made.SeriesInstanceUID = uid.generate_uid(), uid.generate_uid()
    made.PatientName, made.PatientID = "DOE^JANE", "4711"
    made.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    color = frames.ndim == 3 and frames.shape[-1] == 3
    if frames.ndim == 3 and not color:
        made.NumberOfFrames = len(frames)
    made.Rows, made.Columns = frames.shape[:2] if color else frames.shape[-2:]
    made.SamplesPerPixel, made.PixelRepresentation = (
        3 if color else 1,
        int(frames.dtype.kind == "i"),
    )
    made.PhotometricInterpretation = "RGB" if color else "MONOCHROME2"
    if color:
        made.PlanarConfiguration = 0
    bits = 8 * frames.dtype.itemsize
    made.BitsAllocated, made.BitsStored, made.HighBit = bits, bits, bits - 1
    order = ">" if syntax == uid.ExplicitVRBigEndian else "<"
    made.PixelData = frames.astype(frames.dtype.newbyteorder(order)).tobytes()
    made["PixelData"].VR = "OW" if bits > 8 else "OB"
    for name, value in elements.items():
        setattr(made, name, value)
    if "BitsStored" in elements:
        made.HighBit = made.BitsStored - 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if meta:
            made.file_meta = FileMetaDataset()
            made.file_meta.TransferSyntaxUID = syntax
            if syntax.is_encapsulated:
                made.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
                made.compress(syntax, generate_instance_uid=False)
            made.save_as(path, enforce_file_format=True)
        else:
            pydicom.dcmwrite(path, made, implicit_vr=True, little_endian=True)
    return made

"""Compressed frames of DICOM that pydicom alone does not decode, by imagecodecs.

References:
  DICOM PS3.5 2024, 8.2 and annex A.4 (JPEG, JPEG-LS, JPEG 2000 and HTJ2K in DICOM).
"""

import imagecodecs
import numpy as np
from pydicom import uid
from pydicom.pixels import get_decoder
from pydicom.pixels.decoders.base import DecodeRunner

_PLUGIN = "zoo"
_JPEG_2000 = (uid.JPEG2000Lossless, uid.JPEG2000)
_HTJ2K = (uid.HTJ2KLossless, uid.HTJ2KLosslessRPCL, uid.HTJ2K)
_DECODERS = {
    **dict.fromkeys(
        (uid.JPEGExtended12Bit, uid.JPEGLossless, uid.JPEGLosslessSV1), imagecodecs.jpeg_decode
    ),
    **dict.fromkeys((uid.JPEGLSLossless, uid.JPEGLSNearLossless), imagecodecs.jpegls_decode),
    **dict.fromkeys(_JPEG_2000, imagecodecs.jpeg2k_decode),
    **dict.fromkeys(_HTJ2K, imagecodecs.htj2k_decode),
}
DECODER_DEPENDENCIES = dict.fromkeys(_DECODERS, ("imagecodecs",))
"""As pydicom wants it of a module that decodes."""


def plugin(syntax: str) -> str:
    """Which of pydicom's decoders to take: this one, made known to it, or empty for any of its."""
    if syntax not in _DECODERS:
        return ""
    decoder = get_decoder(syntax)
    if _PLUGIN not in decoder.available_plugins:
        decoder.add_plugin(_PLUGIN, (__name__, "decode_frame"))
    # Of 8 bits it may be of YCbCr, which only pydicom knows what to do with.
    return "" if syntax == uid.JPEGExtended12Bit else _PLUGIN


def is_available(syntax: str) -> bool:
    """Whether a transfer syntax is decoded here, as pydicom asks."""
    return syntax in _DECODERS


def decode_frame(source: bytes, runner: DecodeRunner) -> bytearray:
    """A frame's values, channels last, as pydicom wants them of a decoder.

    Args:
      source: the compressed frame.
      runner: the frame's description; its options are set to what was found.
    """
    syntax = runner.transfer_syntax
    frame = np.asarray(_DECODERS[syntax](source))
    runner.set_option("planar_configuration", 0)
    runner.set_option("bits_allocated", 8 * frame.dtype.itemsize)
    if syntax in _JPEG_2000 + _HTJ2K and runner.samples_per_pixel > 1:
        # The color transform of the codestream is undone.
        runner.set_option("photometric_interpretation", "RGB")
    # Which it may overwrite.
    return bytearray(frame.tobytes())

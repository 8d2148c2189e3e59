"""Containers of JPEG, PNG, WebP, BMP, GIF, HEIC and AVIF: metadata in, encoded files out.

References:
  ITU-T T.81, 1992, annexes B and K; ITU-T T.871, 2011 (JFIF).
  ICC.1:2022, annex B.4; Adobe, "XMP Specification Part 3", 2020, 1.1.3.
  W3C, "Portable Network Graphics (PNG) Specification, Third Edition", 2025.
  "WebP Container Specification", RFC 9649, 2024; ISO/IEC 23008-12:2022 (HEIF).
"""

import functools
import io
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress

import imagecodecs
import numpy as np
from PIL import Image

from zoo.data import image_decoding, raw_photos
from zoo.data.image_metadata import INCH, Density, Metadata
from zoo.errors import ZooError

Piece = bytes | memoryview

_EXIF = b"Exif\0\0"
_QUALITY, _LEAST_QUALITY = 95, 90

_JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_JPEG_MORE_XMP = b"http://ns.adobe.com/xmp/extension/\0"
_JPEG_ICC = b"ICC_PROFILE\0"
# Of other images in the file, which are reported by what follows the image; and the color coding.
_JPEG_LAYOUT = (b"MPF\0", b"FPXR\0", b"Adobe", _JPEG_ICC)
_JPEG_KEPT = {"APP13": 0xED, "COM": 0xFE}
_JPEG_MOST = 65533
_SUBSAMPLING = {(1, 1): "444", (2, 1): "422", (2, 2): "420", (1, 2): "440", (4, 1): "411"}
# Where the entropy-coded data ends: any marker but a stuffed zero, a fill byte or a restart.
_JPEG_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")

_PNG_HEADER_END = 33
_PNG_XMP = b"XML:com.adobe.xmp\0"
_PNG_TEXT = frozenset({b"tEXt", b"zTXt", b"iTXt"})
# The meaning of the colors. Bits in use, background and histogram are void after a change.
_PNG_COLORS = frozenset({b"cICP", b"gAMA", b"cHRM", b"sRGB", b"mDCV", b"cLLI"})
# The layout of the pixels, or void after a change: the last is where Apple's decoders begin.
_PNG_SILENT = frozenset(
    (b"IHDR", b"PLTE", b"tRNS", b"IEND", b"bKGD", b"hIST", b"sBIT", b"sPLT", b"tIME", b"iDOT")
)
# Of compressed chunks: real profiles and packets are far smaller, and a small file may expand to
# more.
_PNG_MOST = 2**24

# Some writers end the name of the last with a zero.
_WEBP_FIELDS = {b"EXIF": "exif", b"ICCP": "icc", b"XMP ": "xmp", b"XMP\0": "xmp"}
_WEBP_PIXELS = frozenset({b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM"})


def read(data: bytes, kind: str, name: str) -> tuple[Metadata, tuple[str, ...]]:
    """The metadata of an image file other than TIFF.

    Args:
      data: the file's bytes.
      kind: its format, as `zoo.data.file_kinds.image_format` returns it.
      name: what to call it in an error.

    Returns:
      The metadata, upright, and short sentences on what is lost. Broken metadata is lost.

    Raises:
      ZooError: the image is animated, or the library that reads it is missing.
    """
    readers = {"png": _read_png, "jpeg": _read_jpeg, "webp": _read_webp, "raw": _read_raw}
    try:
        found, lost = readers.get(kind, functools.partial(_read_pillow, kind))(data, name)
    except ZooError:
        raise
    except Exception:
        return Metadata(), ("its metadata is broken and not kept",)
    found, more = found.upright()
    return found, tuple(dict.fromkeys((*lost, *more)))


def encode(image: np.ndarray, metadata: Metadata, kind: str) -> Iterator[Piece]:
    """An encoded image file, in pieces.

    Args:
      image: `(H, W, C)`: png of uint8 or uint16, C from 1 to 4; of uint8 jpeg and bmp, C in {1, 3},
        and webp, C in {3, 4}.
      metadata: what the format holds of it is written. JPEG has its quality, at least 90, and its
        subsampling, else 95 and none; WebP is lossless, or of quality 95 where it says "lossy".
      kind: the format.

    Raises:
      OSError, RuntimeError, ValueError: the encoder refuses the image.
    """
    image = image[..., 0] if image.shape[-1] == 1 else image
    encoders = {"png": _encode_png, "jpeg": _encode_jpeg, "webp": _encode_webp, "bmp": _encode_bmp}
    return encoders[kind](image, metadata)


def fits_jpeg(blob: bytes | None, *, xmp: bool = False) -> bool:
    """Whether EXIF or XMP fits into its only segment of a JPEG file."""
    return len(blob or b"") <= _JPEG_MOST - len(_JPEG_XMP if xmp else _EXIF)


def _refuse_animation(name: str) -> None:
    raise ZooError(f"{name} is animated; save its frames as files of their own")


def _read_jpeg(data: bytes, name: str) -> tuple[Metadata, list[str]]:
    found, lost, segments = {}, [], []
    with image_decoding.opened(io.BytesIO(data), "jpeg", name) as image:
        info, parts, at_scan = image.info, image.applist, image.fp.tell()
        layers, tables = image.layer, image.quantization
    (x, y), unit = info.get("jfif_density", (0, 0)), info.get("jfif_unit")
    if x and y and (unit or x != y):
        found["density"] = Density(x, y, {1: INCH, 2: 0.01}.get(unit))
    for kind, body in parts:
        if kind == "APP1" and body.startswith((_EXIF, _JPEG_XMP)):
            field, mark = ("exif", _EXIF) if body.startswith(_EXIF) else ("xmp", _JPEG_XMP)
            found.setdefault(field, body[len(mark) :])
        elif kind == "APP1" and body.startswith(_JPEG_MORE_XMP):
            lost.append("the part of its XMP beyond 64 KB is not kept")
        elif kind in _JPEG_KEPT:
            segments.append((_JPEG_KEPT[kind], body))
        elif kind != "APP0" and not body.startswith(_JPEG_LAYOUT):
            lost.append(f"its JPEG segment {kind} is not kept")
    if "icc_profile" in info:
        found["icc"] = info["icc_profile"]
        if not found["icc"]:
            lost.append("its color profile lacks a part and is not kept")
    if 0 in tables:
        total, sums = sum(tables[0]), _jpeg_sums()
        found["quality"] = min(range(100, 0, -1), key=lambda quality: abs(sums[quality] - total))
    if len(layers) == 3:
        (_, h, v, _), (_, h2, v2, _), _ = layers
        found["subsampling"] = _SUBSAMPLING.get((h // max(h2, 1), v // max(v2, 1)), "444")
    if len(layers) == 4:
        lost.append("CMYK became RGB by the plain formula, without its color profile")
    lost += _find_beyond_jpeg(data, at_scan, found)
    return Metadata(**found, segments=tuple(segments)), sorted(set(lost))


@functools.cache
def _jpeg_sums() -> dict[int, int]:
    """The sum of libjpeg's table of brightness at each quality, by which a file's is known."""
    sums = {}
    for quality in range(1, 101):
        out = io.BytesIO()
        Image.new("L", (8, 8)).save(out, "JPEG", quality=quality)
        with Image.open(out) as image:
            sums[quality] = sum(image.quantization[0])
    return sums


def _find_beyond_jpeg(data: bytes, at: int, found: dict) -> list[str]:
    """Find what phones append to the image: a gain map, a preview, a video."""
    while end := _JPEG_MARKER.search(data, at):
        marker, at = data[end.end() - 1], end.end()
        if marker == 0xD9:
            break
        if at + 2 <= len(data):
            at += struct.unpack_from(">H", data, at)[0]
    if not end or not data[at:].strip(b"\0\xff\r\n "):
        return []
    lost = ["what follows the image in its file (a gain map, a preview, a video) is not kept"]
    if any(word in found.get("xmp", b"") for word in (b"Container:", b"MotionPhoto")):
        del found["xmp"]
        lost.append("its XMP, which contains the offset of that, is not kept")
    return lost


def _encode_jpeg(image: np.ndarray, metadata: Metadata) -> Iterator[Piece]:
    quality = _QUALITY if metadata.quality is None else max(metadata.quality, _LEAST_QUALITY)
    subsampling = None if image.ndim == 2 else metadata.subsampling or "444"
    data = imagecodecs.jpeg8_encode(image, level=quality, subsampling=subsampling)
    yield data[:2]
    unit, x, y = 0, 1, 1
    if metadata.density:
        unit = {None: 0, 0.01: 2}.get(metadata.density.unit, 1)
        x, y = metadata.density.per(INCH if unit == 1 else 0.01)
    x, y = (min(max(round(value), 1), 65535) for value in (x, y))
    yield _jpeg_segment(0xE0, b"JFIF\0\1\1" + struct.pack(">BHHBB", unit, x, y, 0, 0))
    if metadata.exif:
        yield _jpeg_segment(0xE1, _EXIF + metadata.exif)
    if metadata.xmp:
        yield _jpeg_segment(0xE1, _JPEG_XMP + metadata.xmp)
    icc, room = metadata.icc or b"", _JPEG_MOST - len(_JPEG_ICC) - 2
    parts = [icc[at : at + room] for at in range(0, len(icc), room)]
    for i, part in enumerate(parts):
        yield _jpeg_segment(0xE2, _JPEG_ICC + bytes([i + 1, len(parts)]) + part)
    for segment in metadata.segments:
        yield _jpeg_segment(*segment)
    # The encoder's own JFIF segment has 18 bytes.
    yield memoryview(data)[20 if data[2:4] == b"\xff\xe0" else 2 :]


def _jpeg_segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _read_png(data: bytes, name: str) -> tuple[Metadata, list[str]]:
    found, lost, chunks = {}, [], []
    for kind, body, intact in image_decoding.png_chunks(data):
        if kind == b"acTL" and struct.unpack(">I", body[:4])[0] > 1:
            _refuse_animation(name)
        if kind[0] & 32 and not intact:
            lost.append(f"a broken {kind.decode('ascii', 'replace')} chunk is not kept")
        elif kind == b"eXIf":
            found["exif"] = body
        elif kind == b"iCCP" and "icc" not in found:
            found["icc"] = _inflated(body[body.index(b"\0") + 2 :])
        elif kind == b"pHYs":
            x, y, meters = struct.unpack(">IIB", body)
            found["density"] = Density(x, y, 1.0 if meters else None)
        elif kind == b"iTXt" and body.startswith(_PNG_XMP):
            if "xmp" not in found:
                found["xmp"] = _png_international_text(body)
        elif kind in _PNG_TEXT or kind in _PNG_COLORS:
            chunks.append((kind, body))
        elif kind not in _PNG_SILENT and kind != b"iCCP":
            lost.append(f"its PNG chunk {kind.decode('ascii', 'replace')} is not kept")
    for field, what in (("icc", "color profile"), ("xmp", "XMP")):
        if found.get(field, b"") is None:
            lost.append(f"its {what}, of more than {_PNG_MOST // 2**20} MB, is not kept")
    return Metadata(**found, chunks=tuple(chunks)), lost


def _png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _inflated(data: bytes) -> bytes | None:
    """Decompressed data; None where it is too long."""
    found = zlib.decompressobj().decompress(data, _PNG_MOST + 1)
    return found if len(found) <= _PNG_MOST else None


def _png_international_text(body: bytes) -> bytes | None:
    """The text of an iTXt chunk: keyword, two bytes on compression, language, keyword again."""
    rest = body[body.index(b"\0") + 1 :]
    compressed, rest = rest[0], rest[2:]
    text = rest.split(b"\0", 2)[2]
    return _inflated(text) if compressed else text


def _encode_png(image: np.ndarray, metadata: Metadata) -> Iterator[Piece]:
    data = imagecodecs.png_encode(image)
    yield data[:_PNG_HEADER_END]
    if metadata.icc:
        # Before the colors in figures, which some readers would prefer.
        yield _png_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(metadata.icc))
    for kind, body in metadata.chunks:
        if kind in _PNG_COLORS:
            yield _png_chunk(kind, body)
    if metadata.density:
        x, y = (round(value) for value in metadata.density.per(1.0))
        yield _png_chunk(b"pHYs", struct.pack(">IIB", x, y, metadata.density.unit is not None))
    if metadata.exif:
        yield _png_chunk(b"eXIf", metadata.exif)
    if metadata.xmp:
        yield _png_chunk(b"iTXt", _PNG_XMP + b"\0\0\0\0" + metadata.xmp)
    for kind, body in metadata.chunks:
        if kind in _PNG_TEXT:
            yield _png_chunk(kind, body)
    yield memoryview(data)[_PNG_HEADER_END:]


def _read_webp(data: bytes, name: str) -> tuple[Metadata, list[str]]:
    found, lost = {}, []
    at = 12
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        if kind == b"ANMF":
            _refuse_animation(name)
        if kind == b"VP8 ":
            found["webp"] = "lossy"
        if kind in _WEBP_FIELDS:
            found[_WEBP_FIELDS[kind]] = data[at + 8 : at + 8 + length]
        elif kind not in _WEBP_PIXELS:
            lost.append(f"its WebP chunk {kind.decode('ascii', 'replace').strip()} is not kept")
        at += 8 + length + length % 2
    if "exif" in found:
        found["exif"] = found["exif"].removeprefix(_EXIF)
    return Metadata(**found), lost


def _encode_webp(image: np.ndarray, metadata: Metadata) -> Iterator[Piece]:
    lossless = metadata.webp != "lossy"
    yield _encode_pillow(
        image,
        "WEBP",
        lossless=lossless,
        quality=80 if lossless else _QUALITY,
        exact=True,
        icc_profile=metadata.icc or b"",
        exif=_EXIF + metadata.exif if metadata.exif else b"",
        xmp=metadata.xmp or b"",
    )


def _encode_bmp(image: np.ndarray, metadata: Metadata) -> Iterator[Piece]:
    density = metadata.density
    # Pillow expects pixels per inch, and without them writes 96.
    options = {"dpi": density.per(INCH)} if density and density.unit else {}
    yield _encode_pillow(image, "BMP", **options)


def _read_pillow(kind: str, data: bytes, name: str) -> tuple[Metadata, list[str]]:
    """The metadata of BMP, GIF, AVIF and HEIC."""
    lost = []
    image = image_decoding.opened(io.BytesIO(data), kind, name)
    if kind == "heic":
        more = len(image) - 1
        if more:
            lost.append(f"its other {more} images are not kept")
        if image.info.get("depth_images") or image.info.get("aux"):
            lost.append("what belongs to the image in its file (depth, gain map) is not kept")
        info = image.info
    else:
        with image:
            if getattr(image, "n_frames", 1) > 1:
                _refuse_animation(name)
            info = {} if kind == "gif" else image.info
    blob, xmp = info.get("exif") or b"", info.get("xmp")
    dpi = info.get("dpi", (0, 0)) if kind == "bmp" else (0, 0)
    return Metadata(
        # In the file they are signed integers, a meter.
        density=Density(*dpi) if min(dpi) > 0 and max(dpi) < 2**31 * INCH else None,
        exif=blob.removeprefix(_EXIF) or None,
        icc=info.get("icc_profile") or None,
        xmp=xmp.encode() if isinstance(xmp, str) else xmp or None,
    ), lost


def _read_raw(data: bytes, name: str) -> tuple[Metadata, list[str]]:
    """The EXIF of a raw file's preview."""
    exif = None
    # A broken preview does not affect the pixels; a broken file is reported when it is decoded.
    with suppress(Exception):
        preview = raw_photos.preview(data, name)
        exif = _read_jpeg(preview, name)[0].exif if preview else None
    kept = "of its metadata only the EXIF of its preview" if exif else "none of its metadata"
    return Metadata(exif=exif), [raw_photos.DEVELOPED, f"{kept} is kept"]


def _encode_pillow(image: np.ndarray, kind: str, **options) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, kind, **options)
    return out.getvalue()

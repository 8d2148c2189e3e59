"""Frames of a video as arrays: color from the planes of a frame, and a change back into them.

Only the change goes back, so what does not change keeps its bits, also outside of the legal range,
and a color matrix or a chroma position that is guessed has no effect but on the change.

References:
  ITU-T H.273, "Coding-independent code points for video signal type identification": ranges and
  matrices.
"""

from typing import NamedTuple

import numpy as np

from zoo.errors import ZooError

# Shares of red and of blue in the luma, by the code point of the matrix.
_MATRICES = {
    **{1: (0.2126, 0.0722), 4: (0.30, 0.11), 5: (0.299, 0.114), 6: (0.299, 0.114)},
    **{7: (0.212, 0.087), 9: (0.2627, 0.0593), 10: (0.2627, 0.0593)},
}
# What players take where none is stated: BT.709 from 720 lines on, BT.601 below.
_HIGH = 720
# Formats with interleaved planes, and the planar ones that hold the same.
_PLANAR = {
    **dict.fromkeys(("rgb24", "bgr24", "rgb0", "bgr0", "0rgb", "0bgr"), "gbrp"),
    **dict.fromkeys(("rgb48le", "bgr48le"), "gbrp16le"),
    **dict.fromkeys(("nv12", "nv21"), "yuv420p"),
    **dict.fromkeys(("nv16", "yuyv422", "uyvy422", "yvyu422"), "yuv422p"),
    **dict.fromkeys(("nv24", "nv42"), "yuv444p"),
}
_LIMITED, _FULL = 1, 2


class Layout(NamedTuple):
    """How the frames of a video hold their colors.

    Attributes:
      name: of the pixel format.
      planar: of the format in which planes are read and written.
      kind: "gray", "rgb" or "yuv".
      bits: of each value.
      order: planes of red, green and blue; of luma and two of chroma; or of gray.
      full: whether values use the full range.
      matrix: shares of red and of blue in the luma.
    """

    name: str
    planar: str
    kind: str
    bits: int
    order: tuple[int, ...]
    full: bool
    matrix: tuple[float, float]

    @property
    def dtype(self) -> np.dtype:
        """Of the planes."""
        return np.dtype(np.uint8 if self.bits <= 8 else "<u2")


def layout(frame, path: object) -> Layout:
    """The layout of a frame of PyAV.

    Args:
      frame: the frame.
      path: of the file, for errors.

    Raises:
      ZooError: it has alpha, a palette or another form that is not supported.
    """
    import av  # noqa: PLC0415 - an extra

    name = frame.format.name
    if any(one.is_alpha for one in frame.format.components) or frame.format.has_palette:
        what = "a palette" if frame.format.has_palette else "alpha"
        raise ZooError(
            f"{path} has frames with {what} ({name}), which are not supported; convert it, as by "
            "ffmpeg -pix_fmt yuv420p"
        )
    planar = _PLANAR.get(name, name)
    form = av.VideoFormat(planar, frame.width, frame.height)
    parts = form.components
    bits = {one.bits for one in parts}
    fits = len({one.plane for one in parts}) == len(parts) and not form.is_bit_stream
    deep = max(bits) > 8 and (form.is_big_endian or not planar.endswith("le"))
    if not fits or deep or len(bits) > 1 or not 8 <= max(bits) <= 16 or len(parts) not in (1, 3):
        raise ZooError(
            f"{path} has frames of the pixel format {name}, which is not supported; convert it, as "
            "by ffmpeg -pix_fmt yuv420p"
        )
    kind = "gray" if len(parts) == 1 else "rgb" if form.is_rgb else "yuv"
    stated = int(frame.color_range)
    # FFmpeg takes gray for full where nothing is stated.
    full = stated == _FULL or kind == "rgb" or planar.startswith("yuvj")
    full = full or (kind == "gray" and stated != _LIMITED)
    matrix = _MATRICES.get(int(frame.colorspace), _MATRICES[1 if frame.height >= _HIGH else 6])
    return Layout(name, planar, kind, max(bits), tuple(one.plane for one in parts), full, matrix)


def to_color(frame, form: Layout) -> np.ndarray:
    """Colors of a frame.

    Args:
      frame: of PyAV.
      form: its layout.

    Returns:
      (H, W, 3) RGB, or (H, W, 1) of gray, float32, black 0 and white 1; values of limited range may
      lie outside.
    """
    planes = _planes(_planar(frame, form), form)
    if form.kind == "rgb":
        return np.stack(planes, -1).astype(np.float32) / np.float32(2**form.bits - 1)
    black, white, middle, span = _limits(form)
    light = (planes[0].astype(np.float32) - black) / white
    if form.kind == "gray":
        return light[..., None]
    height, width = light.shape
    blue, red = (_enlarged((one - middle) / span, height, width) for one in planes[1:])
    of_red, of_blue = form.matrix
    r = light + 2 * (1 - of_red) * red
    b = light + 2 * (1 - of_blue) * blue
    g = (light - of_red * r - of_blue * b) / (1 - of_red - of_blue)
    return np.stack([r, g, b], -1).astype(np.float32)


def luma(x: np.ndarray, form: Layout) -> np.ndarray:
    """The luma of colors (H, W, 3), or of changes of them, (H, W)."""
    of_red, of_blue = form.matrix
    return x @ np.float32([of_red, 1 - of_red - of_blue, of_blue])


def with_change(frame, change: np.ndarray, form: Layout):
    """A frame plus a change of its colors; time, side data and color tags stay.

    Args:
      frame: of PyAV; it may be overwritten.
      change: (H, W, C) as of `to_color`; of one channel it changes the luma alone.
      form: the layout.

    Returns:
      The frame, of its own pixel format, rounded and clipped to the values it can hold.
    """
    frame.make_writable()
    work = _planar(frame, form)
    planes = _planes(work, form)
    if form.kind == "rgb":
        parts = [
            channel * (2**form.bits - 1)
            for channel in np.broadcast_to(change, (*change.shape[:2], 3)).transpose(2, 0, 1)
        ]
    else:
        _, white, _, span = _limits(form)
        of_red, of_blue = form.matrix
        light = change[..., 0] if change.shape[-1] == 1 else luma(change, form)
        parts = [light * white]
        if change.shape[-1] == 3 and form.kind == "yuv":
            blue = (change[..., 2] - light) / (2 * (1 - of_blue))
            red = (change[..., 0] - light) / (2 * (1 - of_red))
            parts += [_reduced(one, planes[1].shape) * span for one in (blue, red)]
    for plane, part in zip(planes, parts, strict=False):
        plane[...] = np.clip(np.rint(plane + part), 0, 2**form.bits - 1).astype(form.dtype)
    if work is frame:
        return frame
    back = work.reformat(format=form.name)
    back.pts, back.time_base, back.duration = frame.pts, frame.time_base, frame.duration
    return back


def is_gray(frame, form: Layout) -> bool:
    """Whether a frame has no color."""
    if form.kind == "gray":
        return True
    planes = _planes(_planar(frame, form), form)
    if form.kind == "rgb":
        return all(np.array_equal(planes[0], one) for one in planes[1:])
    return all((one == 2 ** (form.bits - 1)).all() for one in planes[1:])


def _planar(frame, form: Layout):
    return frame if form.planar == frame.format.name else frame.reformat(format=form.planar)


def _planes(frame, form: Layout) -> list[np.ndarray]:
    """Views of the planes of a planar frame, in the order of the components."""
    found = []
    for number in form.order:
        plane = frame.planes[number]
        rows = np.frombuffer(plane, form.dtype).reshape(-1, plane.line_size // form.dtype.itemsize)
        found.append(rows[: plane.height, : plane.width])
    return found


def _limits(form: Layout) -> tuple[np.float32, ...]:
    """Black and the span to white of luma; middle and span of chroma."""
    unit = 2 ** (form.bits - 8)
    most = 2**form.bits - 1
    limits = (
        (0, most, 128 * unit, most)
        if form.full
        else (16 * unit, 219 * unit, 128 * unit, 224 * unit)
    )
    return tuple(map(np.float32, limits))


def _enlarged(x: np.ndarray, height: int, width: int) -> np.ndarray:
    """Chroma at every pixel, linear between its places, which lie amid the pixels they are of."""
    for axis, length in ((0, height), (1, width)):
        factor = _factor(length, x.shape[axis])
        if factor == 1:
            continue
        at = (np.arange(length, dtype=np.float32) + 0.5) / factor - 0.5
        first = np.clip(np.floor(at).astype(int), 0, x.shape[axis] - 1)
        after = np.minimum(first + 1, x.shape[axis] - 1)
        share = np.clip(at - first, 0, 1).astype(np.float32)
        share = share[:, None] if axis == 0 else share
        low = x.take(first, axis)
        x = low + share * (x.take(after, axis) - low)
    return x


def _reduced(x: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Means over the pixels of each value of chroma."""
    for axis, length in enumerate(shape):
        factor = _factor(x.shape[axis], length)
        if factor == 1:
            continue
        spare = length * factor - x.shape[axis]
        pad = [(0, spare if one == axis else 0) for one in range(2)]
        x = np.pad(x, pad, mode="edge")
        x = x.reshape(*x.shape[:axis], length, factor, *x.shape[axis + 1 :]).mean(axis + 1)
    return x


def _factor(pixels: int, values: int) -> int:
    """How many pixels along an axis have one value of chroma, a power of 2: 9 and 3 make 4."""
    return 1 << (-(-pixels // values) - 1).bit_length()

"""Small videos for tests."""

from fractions import Fraction

import numpy as np

SIZE = (32, 48)
UNIT = Fraction(1, 1000)
TIMES = (0, 40, 80, 160, 170, 240, 320, 400)
"""Of frames, in milliseconds, at no constant rate."""


def scene(count=8, speed=1.3):
    """Waves that move right, (T, H, W, 3) float32."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    frames = []
    for t in range(count):
        at = x - speed * t
        waves = [np.sin(at / 3), np.cos(y / 4 + at / 7), np.sin((at + 2 * y) / 5)]
        frames.append(0.5 + 0.3 * np.stack(waves, -1))
    return np.float32(frames)


def write(
    path,
    frames,
    codec="ffv1",
    form="yuv444p",
    *,
    sound=None,
    times=TIMES,
    tags=None,
    rotation=None,
    options=None,
    shape=None,
    unit=UNIT,
):
    """Write frames (T, H, W, 3) as a video, with an audio track and a chapter if there is sound."""
    import av

    with av.open(str(path), "w") as out:
        out.metadata["title"] = "A clip"
        video = out.add_stream(codec, rate=25, options=options or {})
        height, width = frames[0].shape[:2]
        video.width, video.height, video.pix_fmt = width, height, form
        context = video.codec_context
        context.time_base = unit
        for name, value in (tags or {}).items():
            setattr(context, name, value)
        if shape:
            context.sample_aspect_ratio = shape
        if rotation:
            video.set_display_rotation(rotation)
        packets = []
        if sound:
            audio = out.add_stream(sound, rate=48000, layout="mono")
            samples = np.float32(0.1 * np.sin(np.arange(24000) / 9))[None]
            piece = av.AudioFrame.from_ndarray(samples, "fltp", "mono")
            piece.sample_rate, piece.pts, piece.time_base = 48000, 0, Fraction(1, 48000)
            packets += [*audio.encode(piece), *audio.encode(None)]
            chapter = {"id": 0, "start": 0, "end": 300, "time_base": UNIT}
            out.set_chapters([{**chapter, "metadata": {"title": "one"}}])
        for x, time in zip(frames, times, strict=True):
            image = np.uint8(np.rint(255 * np.clip(x, 0, 1)))
            frame = av.VideoFrame.from_ndarray(image, "rgb24").reformat(
                format=form, dst_colorspace=(tags or {}).get("colorspace")
            )
            frame.pts, frame.time_base = time, UNIT
            packets += video.encode(frame)
        packets += video.encode(None)
        for packet in sorted(packets, key=lambda one: one.dts * one.time_base):
            out.mux(packet)


def facts(path):
    """What must be kept: codec, pixels, tags, shape, rotation, times, audio packets, chapters."""
    import av

    with av.open(str(path)) as file:
        track = file.streams.video[0]
        context = track.codec_context
        frames = list(file.decode(track))
        names = ["name", "pix_fmt", "color_range", "color_primaries", "color_trc", "colorspace"]
        kept = [getattr(context, name) for name in names]
        kept += [track.sample_aspect_ratio, frames[0].rotation, file.metadata.get("title")]
        times = [one.pts * one.time_base for one in frames]
        chapters = [(one["metadata"], one["end"] * one["time_base"]) for one in file.chapters()]
    with av.open(str(path)) as file:
        packets = [one for one in file.demux() if one.size and one.stream.type == "audio"]
        sound = [(bytes(one), one.pts * one.time_base) for one in packets]
        return kept, times, chapters, sound


def colors(path):
    """Frames as FFmpeg shows them, (T, H, W, 3) in [0, 1]."""
    import av

    with av.open(str(path)) as file:
        return np.stack([one.to_ndarray(format="rgb24") for one in file.decode(video=0)]) / 255

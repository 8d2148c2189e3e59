"""How well the images of videos are denoised: frame by frame, and with their neighbors.

    python benchmarks/video.py --data DATA

Clips of 9 frames of 128x160 pixels are cut from photographs of `DATA/photos/val`: a still scene, a
pan and a zoom by fractions of pixels, an object that moves before a moving scene, and a cut. Their
noise is Gaussian, or that of one camera (`zoo.noise.photograph`, all frames as one image, so that
they have one kind of noise). For each way of denoising: PSNR; the root mean square of what changes
from a frame to the next along the true motion, in 1/255, which of the clean clip is that of
interpolation; on the still scene the standard deviation over time; and the PSNR of the pixels of
which neighbors show something else. With `--codecs` instead: what the coding of an output costs,
of the clean pan, and bits per pixel. The rows go to `benchmarks/results/`.
"""

import argparse
import csv
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from scipy import ndimage

import zoo
from zoo.data import image_files
from zoo.inference import denoise_video
from zoo.resolve import resolve

COLUMNS = ("noise", "clip", "method", "psnr", "change", "flicker", "psnr_occluded")
FRAMES, HEIGHT, WIDTH = 9, 128, 160
MARGIN, CUT = 30, 4
SIGMAS = (15, 25)
RADIUS = 24
# Of a camera's noise, in 1/255, that is worth to be removed.
NOISY = (10, 25)
CODECS = {
    "libx264": ("mp4", "yuv420p"),
    "libx265": ("mp4", "yuv420p10le"),
    "libvpx-vp9": ("webm", "yuv420p"),
    "libsvtav1": ("mp4", "yuv420p10le"),
    "libvpx": ("webm", "yuv420p"),
    "mpeg4": ("mp4", "yuv420p"),
    "mjpeg": ("mov", "yuvj420p"),
    "prores_ks": ("mov", "yuv422p10le"),
    "ffv1": ("mkv", "yuv420p"),
}


class Clip(NamedTuple):
    """A clip, its motion, and where neighbors within reach show something else.

    Frame t shows at p the scene at `scale[t] * (p - center) + shift[t]`, but for the object.
    """

    name: str
    clean: np.ndarray
    scale: np.ndarray
    shift: np.ndarray
    occluded: np.ndarray
    object: np.ndarray


def photographs(folder: Path) -> list[np.ndarray]:
    """Four photographs at half their size, sharp."""
    paths = sorted((folder / "photos/val").iterdir())
    images = [image_files.read(paths[i]).astype(np.float32) / 255 for i in (2, 9, 17, 22)]
    return [
        ndimage.zoom(ndimage.gaussian_filter(x, (0.8, 0.8, 0)), (0.5, 0.5, 1), order=1)
        for x in images
    ]


def clips(images: list[np.ndarray]) -> Iterator[Clip]:
    """All clips."""
    t = np.arange(FRAMES)
    one, still = np.ones(FRAMES), np.zeros((FRAMES, 2))
    yield made("still", images[0], one, still)
    yield made("pan", images[1], one, np.stack([0.7 * t, 1.6 * t], 1))
    yield made("zoom", images[2], 1.012**-t, still)
    yield made("object", images[3], one, np.stack([0.3 * t, -1.2 * t], 1), images[0])
    halves = [made("", image, one, np.stack([0.7 * t, 0 * t], 1)) for image in images[:2]]
    clean = np.concatenate([halves[0].clean[:CUT], halves[1].clean[CUT:]])
    occluded = np.zeros(clean.shape[:3], bool)
    occluded[CUT - 2 : CUT + 2] = True
    yield halves[0]._replace(name="cut", clean=clean, occluded=occluded)


def made(
    name: str,
    image: np.ndarray,
    scale: np.ndarray,
    shift: np.ndarray,
    other: np.ndarray | None = None,
) -> Clip:
    """A clip of a photograph, with another that moves before it."""
    grid = np.stack(np.mgrid[:HEIGHT, :WIDTH], -1).astype(np.float64)
    center = np.array([HEIGHT, WIDTH]) / 2
    frames, masks = [], []
    for t in range(FRAMES):
        frame = sampled(image, scale[t] * (grid - center) + center + MARGIN + shift[t])
        at = np.array([HEIGHT / 2 + 1.5 * t - 6, MARGIN + 6.3 * t])
        mask = np.clip(RADIUS + 0.5 - np.hypot(*np.moveaxis(grid - at, -1, 0)), 0, 1)
        mask = mask * (other is not None)
        if other is not None:
            moved = sampled(other, grid - at + 100)
            frame = frame * (1 - mask[..., None]) + moved * mask[..., None]
        frames.append(np.clip(frame, 0, 1).astype(np.float32))
        masks.append(mask > 0)
    masks = np.stack(masks)
    near = [masks[max(t - 2, 0) : t + 3].any(0) & ~masks[t] for t in range(FRAMES)]
    return Clip(name, np.stack(frames), scale, shift, np.stack(near), masks)


def sampled(image: np.ndarray, at: np.ndarray) -> np.ndarray:
    """An image at places between its pixels."""
    at = np.moveaxis(at, -1, 0)
    return np.stack(
        [ndimage.map_coordinates(x, at, mode="mirror") for x in np.moveaxis(image, -1, 0)], -1
    )


def camera(clean: np.ndarray, number: int) -> np.ndarray:
    """A clip with the noise of a camera: the first from a seed on that is noisy enough."""
    tall = clean.reshape(1, -1, *clean.shape[2:])
    for seed in range(100 * number, 100 * number + 100):
        noisy = np.asarray(zoo.noise.photograph(jax.random.key(seed), tall, strength=1.0))
        if NOISY[0] <= 255 * np.std(noisy - tall) <= NOISY[1]:
            return noisy.reshape(clean.shape)
    raise RuntimeError("no such noise")


def outputs(noisy: np.ndarray, level: float | None) -> Iterator[tuple[str, np.ndarray]]:
    """All ways of denoising."""
    yield "noisy", noisy
    clip = denoise_video.Clip(None, level, lambda: zip(noisy[:-1:2], noisy[1::2], strict=True), {})
    yield "frame by frame", np.stack([clip.denoised(x) for x in noisy])
    # The better one of the two is what `zoo denoise` does with such a model.
    for takes, name in ((False, "denoised, then averaged"), (True, "averaged, then denoised")):
        clip.takes_level = takes
        frames = denoise_video.denoised_frames(((None, x) for x in noisy), clip)
        yield name, np.stack([y for _, _, y in frames])


def psnr(x: np.ndarray, clean: np.ndarray) -> float:
    """In dB, of values clipped to [0, 1]."""
    return float(-10 * np.log10(np.mean(np.square(np.clip(x, 0, 1) - clean))))


def change(x: np.ndarray, clip: Clip) -> float:
    """Root mean square of what changes along the motion, but for the object, in 1/255."""
    grid = np.stack(np.mgrid[:HEIGHT, :WIDTH], -1).astype(np.float64)
    center, squares = np.array([HEIGHT, WIDTH]) / 2, []
    for t in range(FRAMES - 1):
        if clip.name == "cut" and t == CUT - 1:
            continue
        scene = clip.scale[t] * (grid - center) + clip.shift[t]
        at = (scene - clip.shift[t + 1]) / clip.scale[t + 1] + center
        inside = ((at >= 0) & (at <= np.array([HEIGHT, WIDTH]) - 1)).all(-1) & ~clip.object[t]
        inside &= (
            ndimage.map_coordinates(clip.object[t + 1].astype(float), at.transpose(2, 0, 1)) < 0.01
        )
        squares.append(np.square(sampled(x[t + 1], at) - x[t])[inside])
    return 255 * float(np.sqrt(np.mean(np.concatenate(squares))))


def rows(folder: Path) -> Iterator[tuple]:
    """One for each noise, clip and way."""
    noises = [*SIGMAS, None]
    for sigma in noises:
        for number, clip in enumerate(clips(photographs(folder))):
            rng = np.random.default_rng(number)
            if sigma:
                noise = sigma / 255 * rng.standard_normal(clip.clean.shape)
                noisy = (clip.clean + noise).astype(np.float32)
            else:
                noisy = camera(clip.clean, number)
            label = f"gaussian {sigma}" if sigma else "camera"
            ways = [("clean", clip.clean), *outputs(noisy, sigma and sigma / 255)]
            for method, x in ways:
                where = clip.occluded
                figures = [
                    "" if method == "clean" else f"{psnr(x, clip.clean):.2f}",
                    f"{change(x, clip):.2f}",
                    f"{255 * np.std(x, axis=0).mean():.2f}" if clip.name == "still" else "",
                    f"{psnr(x[where], clip.clean[where]):.2f}"
                    if where.any() and method != "clean"
                    else "",
                ]
                yield label, clip.name, method, *figures


def codec_rows(folder: Path) -> Iterator[tuple]:
    """What the coding costs, of each codec: PSNR of the luma and bits per pixel."""
    import av  # noqa: PLC0415 - an extra

    clean = next(one.clean for one in clips(photographs(folder)) if one.name == "pan")
    for encoder, (suffix, form) in CODECS.items():
        with tempfile.TemporaryDirectory() as place:
            source, target = (Path(place) / f"{name}.{suffix}" for name in "ab")
            best = {"crf": "1", "x265-params": "log-level=none"} if "26" in encoder else {}
            best |= {"crf": "4", "b": "0"} if "vpx" in encoder else {}
            with av.open(str(source), "w") as out:
                track = out.add_stream(encoder, rate=25, options=best)
                track.width, track.height, track.pix_fmt = WIDTH, HEIGHT, form
                for i, x in enumerate(clean):
                    image = np.rint(255 * x).astype(np.uint8)
                    frame = av.VideoFrame.from_ndarray(image, "rgb24").reformat(format=form)
                    frame.pts = i
                    out.mux(track.encode(frame))
                out.mux(track.encode(None))
            report = zoo.denoise_file(
                source, target, resolve("unet-color"), 10 / 255, clean="images", strength=0
            )
            before, after = (
                np.stack(
                    [
                        one.to_ndarray(format="gray16le")
                        for one in av.open(str(path)).decode(video=0)
                    ]
                )
                / 65535
                for path in (source, target)
            )
            error = np.mean(np.square(after - before))
            with av.open(str(target)) as file:
                size = sum(one.size for one in file.demux(video=0))
            decibels = f"{-10 * np.log10(error):.1f}" if error else "lossless"
            yield report.codec, form, decibels, f"{8 * size / before.size:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--codecs", action="store_true")
    arguments = parser.parse_args()
    results = Path(__file__).parent / "results"
    name, head = "video.csv", COLUMNS
    if arguments.codecs:
        name, head = "video_codecs.csv", ("codec", "pixels", "psnr", "bits_per_pixel")
    make = codec_rows if arguments.codecs else rows
    with (results / name).open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        for row in make(arguments.data):
            print(*row, sep=", ", flush=True)
            writer.writerow(row)


if __name__ == "__main__":
    main()

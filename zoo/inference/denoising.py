"""`zoo.denoise` and `zoo.denoise_file`, for images and audio."""

import os
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from flax import linen as nn
from jax.typing import ArrayLike, DTypeLike

from zoo import files
from zoo.data import file_kinds
from zoo.errors import ZooError
from zoo.inference import even_noise, image_canvas, plane_windows
from zoo.inference.denoise_audio import (
    AudioReport,
    denoise_audio,
    denoise_audio_file,
    write_difference,
)
from zoo.inference.denoise_images import ImageReport, check_places, denoise_image_file
from zoo.inference.denoise_video import (
    VideoReport,
    denoise_video_and_audio_file,
    denoise_video_file,
)
from zoo.inference.even_noise import Noise
from zoo.inference.image_denoiser import ImageDenoiser
from zoo.modality import AUDIO, get
from zoo.resolve import Resolved, resolve

# An array so narrow and so long is rather audio than an image, whose noise could not be estimated.
_NARROW, _LONG = 16, 1000


def denoise(
    x: ArrayLike,
    model: str | os.PathLike | nn.Module | Resolved | None = None,
    level: float | None = None,
    *,
    sample_rate: int | None = None,
    variables: Mapping | None = None,
    strength: float = 1.0,
    limit: float | None = None,
    separate_channels: bool = False,
    profile: tuple[float, float] | None = None,
    range: tuple[float, float] | None = None,
    stabilize: str | Noise | None = None,
    tile: int | None = None,
    overlap: int | None = None,
    ensemble: bool = False,
    dtype: DTypeLike | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Denoises one image or one audio signal of any size, with bounded working memory.

    If `sample_rate` is given, `x` is audio. Compiled programs are reused between calls, but a model
    given by name is read from its file each time: for many arrays pass the result of
    `zoo.resolve.resolve`, or for images create one `zoo.inference.ImageDenoiser`.

    Args:
      x: an image (H, W) or (H, W, C), C from 1 to 4: gray, gray and alpha, color, color and alpha;
        integers or floats of any range. Alpha and values that are not finite (masked pixels) are
        left unchanged. Three equal channels are treated as one gray image.
        For a model of several planes (`zoo.models.ModelSpec.planes`) a stack, (N, H, W) or
        (N, H, W, C). Or audio (T,) or (T, C), int16 or floats in [-1, 1].
      model: the name of weights that come with the package, the path of a weight file,
        `"NAME=FILE"`, a registered model, or a module. None selects "unet-photo" for color images
        ("unet-color" if `level` or `stabilize` is given), "unet-gray" for gray images, and for
        audio "stream-s-48k" or, if the sound ends below 6.5 kHz, a gentle Wiener filter. A gray
        model processes each channel of a color image separately; a color model gets a gray image
        as three equal channels, and its outputs are averaged.
      level: for images; standard deviation of the noise as a fraction of white, such as 25 / 255,
        above 0 and at most 1. None estimates it, where the model takes a level; other models
        ignore it. White is the largest value of 8 and 16 bit integers; for floats and wider
        integers it is 1, or the end of the range if that is more. With `stabilize` it is the level
        after stabilization.
      sample_rate: for audio, in Hz, 1000 to 768000; audio is resampled to the rate of the model.
      variables: those of a registered model or a module; None with weights.
      strength: fraction of the model's change that is applied, 0 to 1: x + strength (y - x).
      limit: for audio; the largest attenuation in dB, instead of `strength`, which is then
        1 - 10^(-limit / 20): 12 leaves a quarter of the amplitude of whatever the model removes.
      separate_channels: for audio; whether each channel is processed separately. Otherwise all
        channels get the same gain, so that sources keep their position.
      profile: for audio; start and end, in seconds, of an interval that holds only noise. It
        selects "spectral-gate", which learns the noise from it: for hum, hiss and music.
      range: for images; the values of black and of white. None chooses them: the range of the type
        or [0, 1], halved as often as the image leaves the upper half empty, with an offset for
        images with values below 0 or far from black.
      stabilize: for images; noise whose variance depends on the value, stabilized before the model
        and inverted without bias after it. "poisson": photon noise and read noise, whose variance
        is a linear function of the value; "rician": noise of magnitudes, as in magnetic resonance,
        whose bias is removed too; or known parameters, a `zoo.stabilize.PoissonGaussian` or
        `Rician`, which are estimated otherwise. None or "none" does not stabilize.
      tile: for images; side of the tiles in pixels, rounded up to a multiple that the model needs;
        0 uses no tiles, None decides by the size of the image and the model.
      overlap: for images; pixels at each inner side of a tile that are computed and discarded, or
        blended. None uses the reach of the model, so that tiles have no effect, or 32 if the model
        has no bounded reach.
      ensemble: for images; whether to average over eight flips and rotations, at eight times the
        cost.
      dtype: for images; of the computation, float32 or bfloat16; None uses that of the model.
      progress: called with the number of tiles or samples done and the total.

    Returns:
      The clean estimate, shape and dtype of `x`. Integers are rounded and clipped; floats may lie
      outside their nominal range.

    Raises:
      ZooError: `x` is neither a valid image nor valid audio, or could be both; the model is unknown
        or for other signals; its variables do not fit; an option is out of range or for the other
        modality; or the image is too small to estimate a level from.
    """
    options = {"tile": tile, "overlap": overlap, "ensemble": ensemble, "dtype": dtype}
    of_audio = {"limit": limit, "separate_channels": separate_channels, "profile": profile}
    found = _resolved(model, variables)
    if sample_rate is not None:
        of_images = dict(options, level=level, range=range, stabilize=stabilize)
        _refuse(of_images, "images", "audio")
        found = found and resolve(found, modality="audio")
        settings = {**of_audio, "strength": strength, "progress": progress}
        return denoise_audio(np.asarray(x), found, sample_rate=sample_rate, **settings)
    if found and found.modality == "audio":
        raise ZooError(f"{found.label} denoises {AUDIO.plural}; give sample_rate=, in Hz")
    _refuse(of_audio, "audio", "an image")
    if found is None and level is None:
        _refuse_ambiguous(np.shape(x))
    denoiser = ImageDenoiser(found, strength=strength, **options)
    stabilize = even_noise.check(stabilize)
    if found and found.specification.planes > 1:
        return _denoise_stack(np.asanyarray(x), denoiser, found, level, range, stabilize, progress)
    colors = image_canvas.colors(x)
    scale = denoiser.find_scales([colors], range, stabilize=stabilize)[colors.dtype]
    return denoiser(x, level, progress, scale).image


def _denoise_stack(
    x: np.ndarray,
    denoiser: ImageDenoiser,
    model: Resolved,
    level: float | None,
    limits: tuple[float, float] | None,
    stabilize: str | Noise | None,
    progress: Callable[[int, int], None] | None,
) -> np.ndarray:
    """The planes of a stack one after the other, at one scale of values."""
    around, done = plane_windows.of_array(x, model.specification.planes), []
    every = map(image_canvas.colors, x)
    scale = denoiser.find_scales(every, limits, stabilize=stabilize)[x.dtype]
    for number, (plane, beside) in enumerate(zip(x, around, strict=True)):
        done.append(denoiser(plane, level, None, scale, around=beside).image)
        if progress is not None:
            progress(number + 1, len(x))
    return np.stack(done)


def denoise_file(
    src: str | os.PathLike,
    dst: str | os.PathLike,
    model: str | os.PathLike | nn.Module | Resolved | None = None,
    level: float | None = None,
    *,
    variables: Mapping | None = None,
    strength: float = 1.0,
    limit: float | None = None,
    separate_channels: bool = False,
    profile: tuple[float, float] | None = None,
    range: tuple[float, float] | Literal["page"] | None = None,
    stabilize: str | Noise | None = None,
    tile: int | None = None,
    overlap: int | None = None,
    ensemble: bool = False,
    dtype: DTypeLike | None = None,
    save_noise: str | os.PathLike | None = None,
    clean: Literal["audio", "images", "both"] = "audio",
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> ImageReport | AudioReport | VideoReport:
    """Denoises an image file, an audio file or a video, recognized by its content.

    See `zoo.inference.denoise_image_file`, `denoise_audio_file` and `denoise_video_file` for the
    formats and for what an output keeps of its input.

    Args:
      src: the file to read.
      dst: the file to write; its suffix selects the format. It is written completely or not at
        all; its folder must exist.
      model, variables, strength, limit, separate_channels, profile, tile, overlap, ensemble, dtype:
        as in `zoo.denoise`.
      level: for images, see `zoo.denoise`; None estimates it for each page.
      range: for images; the values of black and of white; None chooses them for all pages together,
        "page" for each page.
      stabilize: for images, see `zoo.denoise`; None selects "poisson" if the color profile or other
        metadata of the file state that values are proportional to light.
      save_noise: a file for what was removed; for images it is centered on mid gray. None writes
        none.
      clean: what of a video is denoised: its audio, its images, or both, by the default models;
        the rest is copied unchanged. Other files have one of them.
      overwrite: whether existing files at `dst` and `save_noise` are replaced; `dst` may then be
        `src`.
      progress: called with the number of tiles, samples or frames done and the total.

    Returns:
      A report of what was written.

    Raises:
      ZooError: `src` is missing, damaged, or neither image nor audio; `dst` or `save_noise` exists,
        is the other or `src`, or cannot be written; or as `zoo.denoise`. Nothing is left behind
        then, except a `dst` finished before `save_noise` failed.
    """
    modality = file_kinds.kind_of(src)
    if modality not in (file_kinds.IMAGE, file_kinds.AUDIO):
        raise ZooError(f"{src} is {file_kinds.description(src)}")
    options = {"tile": tile, "overlap": overlap, "ensemble": ensemble, "dtype": dtype}
    of_images = {"level": level, "range": range, "stabilize": stabilize}
    of_audio = {"limit": limit, "separate_channels": separate_channels, "profile": profile}
    found = _resolved(model, variables)
    common = {"overwrite": overwrite, "progress": progress}
    if clean not in ("audio", "images", "both"):
        raise ZooError(f"clean={clean!r} is not 'audio', 'images' or 'both'")
    if clean != "audio" and modality == file_kinds.AUDIO:
        _refuse_for_videos(src, {"range": range, "stabilize": stabilize, "save_noise": save_noise})
        settings = {"level": level, "strength": strength, **common}
        if clean == "images":
            _refuse(of_audio, "audio", "the images of a video")
            found = found and resolve(found, modality="image")
            return denoise_video_file(src, dst, found, **settings, **options)
        if found:
            raise ZooError(
                "clean='both' takes a model of images and one of audio, the defaults; to name "
                "them, denoise one after the other"
            )
        return denoise_video_and_audio_file(
            src, dst, **settings, of_audio=of_audio, of_images=options
        )
    if found:
        check_modality(found, src, modality)
    if modality == "image":
        _refuse(of_audio, "audio", "an image")
        denoiser = ImageDenoiser(found, strength=strength, **options)
        return denoise_image_file(src, dst, denoiser, **of_images, save_noise=save_noise, **common)
    _refuse({**of_images, **options}, "images", "audio")
    check_places(src, dst, save_noise)
    if save_noise is not None:
        files.free(save_noise, overwrite)
    report = denoise_audio_file(src, dst, found, strength=strength, **of_audio, **common)
    if save_noise is not None:
        write_difference(src, dst, save_noise, overwrite=overwrite)
    return report


def check_modality(model: Resolved, path: str | os.PathLike, modality: str) -> None:
    """Refuses a model whose modality is not that of a file.

    Args:
      model: the model.
      path: the file.
      modality: of the file.

    Raises:
      ZooError: the modalities differ.
    """
    if model.modality != modality:
        video = modality == file_kinds.AUDIO and file_kinds.may_hold_video(path)
        remedy = "give clean='images' for those of a video" if video else "leave it out"
        raise ZooError(
            f"{path} is {one_of(modality)}, and {model.label} denoises "
            f"{get(model.modality).plural}; {remedy}, or choose another model"
        )


def one_of(modality: str) -> str:
    """An example of a modality in words: `an image`, `an audio signal`."""
    noun = get(modality).noun
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _resolved(
    model: str | os.PathLike | nn.Module | Resolved | None, variables: Mapping | None
) -> Resolved | None:
    if model is None and variables is not None:
        raise ZooError("variables are given without their model; name it too")
    return None if model is None else resolve(model, variables)


def _refuse_for_videos(src: str | os.PathLike, options: Mapping[str, Any]) -> None:
    if not file_kinds.may_hold_video(src):
        raise ZooError(f"{src} is audio without images; leave out clean=")
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise ZooError(f"{given[0]}= is not for videos; leave it out")


def _refuse(options: Mapping[str, Any], of: str, this: str) -> None:
    given = [name for name, value in options.items() if value is not None and value is not False]
    if given:
        raise ZooError(f"{given[0]}= is an option of {of}, and this is {this}; leave it out")


def _refuse_ambiguous(shape: tuple[int, ...]) -> None:
    if len(shape) == 1 or (len(shape) == 2 and min(shape) < _NARROW and max(shape) > _LONG):
        raise ZooError(
            f"an array of shape {shape} may be audio; give sample_rate=, in Hz, or name a model of "
            "images and a level"
        )

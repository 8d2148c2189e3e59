"""`zoo.denoise` and `zoo.denoise_file`: images and audio, through a model of their kind."""

import os
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from flax import linen as nn
from jax.typing import ArrayLike, DTypeLike

from zoo import files
from zoo.data import file_kinds
from zoo.errors import ZooError
from zoo.inference import even_noise, image_canvas
from zoo.inference.denoise_audio import (
    AudioReport,
    denoise_audio,
    denoise_audio_file,
    write_difference,
)
from zoo.inference.denoise_images import ImageReport, check_places, denoise_image_file
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
    """Denoises one image or one recording of any size, in memory that hardly grows with it.

    `sample_rate` makes `x` audio. Programs are kept from call to call, but a model given by name is
    read each time: for many arrays pass what `zoo.resolve.resolve` returns, or for images make one
    `zoo.inference.ImageDenoiser`.

    Args:
      x: an image (H, W) or (H, W, C), C from 1 to 4: gray, gray and alpha, color, color and alpha;
        integers or floats of any range. Alpha is left as it is, and so are values that are not
        finite, which stand for a mask. Three channels that are equal are one gray image.
        Or audio (T,) or (T, C), int16 or floats in [-1, 1].
      model: the name of weights that come with the zoo, a weight file's path, `"NAME=FILE"`, a
        registered model, or a module. None takes for color images "unet-photo", or
        "unet-color" where their level is given or `stabilize` is, for gray ones "unet-gray", and
        for audio "stream-s-48k" or, where the sound ends below 6.5 kHz, a gentle Wiener filter. A
        gray model takes each channel of a color image by itself; a color model gets a gray one
        three times, and its outputs are averaged.
      level: of images; standard deviation of the noise as a share of white, such as 25 / 255,
        above 0 and at most 1; None estimates it. White is the largest value of integers of 8 and
        16 bits; of floats and wider integers 1, or the range's end where that is more. Of noise
        made even it is that afterwards. Models that take no level ignore it.
      sample_rate: of audio, in Hz, 1000 to 768000; the model's is reached by resampling.
      variables: those of a registered model or a module; None with weights.
      strength: how much of the model's change is made, 0 (none) to 1 (all): x + strength (y - x).
      limit: of audio; the most attenuation in dB, in the place of `strength`, which is then
        1 - 10^(-limit / 20): 12 leaves a quarter of the amplitude of whatever the model removes.
      separate_channels: of audio; whether each channel is processed by itself. Otherwise the
        channels get one gain, so that what is left, right or around stays there.
      profile: of audio; start and end in seconds of a stretch that holds only noise, from which
        "spectral-gate", which it chooses, learns that noise: for hum, hiss and music.
      range: of images; the values that the model is to see as black and as white; None chooses
        them: what the type or [0, 1] holds, halved as often as the image leaves half of it empty,
        and an offset for images with values below 0 or far from black.
      stabilize: of images; noise that depends on the value, which is made even before the model;
        the signal is led back without bias. "poisson", that of photons and of reading them, whose
        variance is a line of the value; "rician", that of magnitudes, as of magnetic resonance, of
        which the bias is taken too; or with its figures, which are estimated otherwise, a
        `zoo.stabilize.PoissonGaussian` or `Rician`. None or "none" takes it for even.
      tile: of images; side of the tiles in pixels, rounded up to what the model divides by; 0 takes
        the image whole, None decides by its size and the model's.
      overlap: of images; pixels at each inner side of a tile that are computed but not kept, or are
        blended; None takes the model's reach, so that tiles make no difference, or 32 where it has
        none.
      ensemble: of images; whether the result is the mean over the eight flips and turns, which
        takes eight times as long.
      dtype: of images; that of the computation, float32 or bfloat16; None leaves it to the model.
      progress: called with the tiles or samples that are done and with all.

    Returns:
      The clean estimate, shape and dtype of `x`: integers are rounded and clipped, floats may pass
      the ends of their range.

    Raises:
      ZooError: `x` is no such image or recording or may be either, the model is unknown or takes
        other signals, its variables do not fit, an option is out of range or of the other
        modality, or the image is too small to estimate a level from.
    """
    options = {"tile": tile, "overlap": overlap, "ensemble": ensemble, "dtype": dtype}
    of_audio = {"limit": limit, "separate_channels": separate_channels, "profile": profile}
    found = _resolved(model, variables)
    if sample_rate is not None:
        _refuse_image_options(dict(options, level=level, range=range, stabilize=stabilize))
        found = found and resolve(found, modality="audio")
        settings = {**of_audio, "strength": strength, "progress": progress}
        return denoise_audio(np.asarray(x), found, sample_rate=sample_rate, **settings)
    if found and found.modality == "audio":
        raise ZooError(f"{found.label} denoises {AUDIO.plural}; give sample_rate=, in Hz")
    _refuse_audio_options(of_audio)
    if found is None and level is None:
        _refuse_ambiguous(np.shape(x))
    denoiser = ImageDenoiser(found, strength=strength, **options)
    stabilize = even_noise.check(stabilize)
    colors = image_canvas.colors(x)
    scale = denoiser.find_scales([colors], range, stabilize=stabilize)[colors.dtype]
    return denoiser(x, level, progress, scale).image


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
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> ImageReport | AudioReport:
    """Denoises an image file or an audio file; which it is, its first bytes say.

    See `zoo.inference.denoise_image_file` and `denoise_audio_file` for the formats and for what is
    kept of a file.

    Args:
      src: the file to read.
      dst: the file to write; its suffix chooses the format. It appears at the end, whole, or not at
        all; its folder exists.
      model, variables, strength, limit, separate_channels, profile, tile, overlap, ensemble, dtype:
        as in `zoo.denoise`.
      level: of images, see `zoo.denoise`; None estimates it, page by page.
      range: of images; the values that the model is to see as black and as white; None chooses them
        for all pages, "page" for each.
      stabilize: of images, see `zoo.denoise`; None takes "poisson" where the color profile or the
        other metadata of the file say that values are in proportion to light.
      save_noise: a file for what was removed: of images around mid gray. None writes none.
      overwrite: whether files at `dst` and `save_noise` are replaced; `dst` may then be `src`.
      progress: called with the tiles or samples that are done and with all.

    Returns:
      A report of what was written.

    Raises:
      ZooError: `src` is missing, damaged, or neither image nor audio; `dst` or `save_noise` exists,
        is the other or `src`, or cannot be written; or as `zoo.denoise`. Nothing is left behind
        then, but for a `dst` finished before `save_noise` failed.
    """
    modality = file_kinds.kind_of(src)
    if modality not in (file_kinds.IMAGE, file_kinds.AUDIO):
        raise ZooError(f"{src} is {file_kinds.description(src)}")
    options = {"tile": tile, "overlap": overlap, "ensemble": ensemble, "dtype": dtype}
    of_images = {"level": level, "range": range, "stabilize": stabilize}
    of_audio = {"limit": limit, "separate_channels": separate_channels, "profile": profile}
    found = _resolved(model, variables)
    if found:
        check_modality(found, src, modality)
    common = {"overwrite": overwrite, "progress": progress}
    if modality == "image":
        _refuse_audio_options(of_audio)
        denoiser = ImageDenoiser(found, strength=strength, **options)
        return denoise_image_file(src, dst, denoiser, **of_images, save_noise=save_noise, **common)
    _refuse_image_options({**of_images, **options})
    check_places(src, dst, save_noise)
    if save_noise is not None:
        files.free(save_noise, overwrite)
    report = denoise_audio_file(src, dst, found, strength=strength, **of_audio, **common)
    if save_noise is not None:
        write_difference(src, dst, save_noise, overwrite=overwrite)
    return report


def check_modality(model: Resolved, path: str | os.PathLike, modality: str) -> None:
    """Refuses a model of the other modality than a file's.

    Args:
      model: the model.
      path: the file.
      modality: of the file.

    Raises:
      ZooError: the model is of the other.
    """
    if model.modality != modality:
        raise ZooError(
            f"{path} is {one_of(modality)}, and {model.label} denoises "
            f"{get(model.modality).plural}; leave it out, or choose another model"
        )


def one_of(modality: str) -> str:
    """An example of a modality in words: `an image`, `a recording`."""
    noun = get(modality).noun
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _resolved(
    model: str | os.PathLike | nn.Module | Resolved | None, variables: Mapping | None
) -> Resolved | None:
    if model is None and variables is not None:
        raise ZooError("variables are given without their model; name it too")
    return None if model is None else resolve(model, variables)


def _refuse_image_options(options: Mapping[str, Any]) -> None:
    _refuse(options, "images", "audio")


def _refuse_audio_options(options: Mapping[str, Any]) -> None:
    _refuse(options, "audio", "an image")


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

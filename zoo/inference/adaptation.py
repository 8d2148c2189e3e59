"""Adaptation of a denoiser to the noise of one image, or of an instrument, without clean data.

Cameras, microscopes and telescopes make noise that grows with the light and that no network was
trained on. A curve maps the values to such whose noise is even, a network trained on Gaussian
noise denoises those, and the inverse curve leads back. The curve alone is learned, of the noisy
image itself: some pixels are hidden from the network, which has to predict them from the others.

References:
  Herbreteau, Unser, "Noise2VST: Self-Supervised Image Denoising via Variance-Stabilizing
    Transformations", ICCV 2025.
"""

import dataclasses
import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from flax import linen as nn
from flax import traverse_util
from jax.typing import ArrayLike, DTypeLike

from zoo import weights
from zoo.errors import ZooError, unknown
from zoo.inference import image_canvas, single_image, value_scale
from zoo.inference.curve_fit import SIDES, Bank, fit_curve, line_curve, measured_curve
from zoo.inference.denoising import denoise
from zoo.inference.image_denoiser import DEFAULTS
from zoo.inference.noise_curve import AdaptedDenoiser, merged
from zoo.models import create_model, list_models, spec_of, variable_shapes
from zoo.resolve import Resolved, resolve

METHODS = ("noise2vst", *single_image.METHODS)
"""The methods of `adapt`."""

_KEY = "adapted"
# Values that a fit to a file holds in memory.
_HELD = 2**26
_STEPS = 300


@dataclasses.dataclass(frozen=True)
class Adapted:
    """A denoiser adapted to an instrument; `zoo.adapt` makes one.

    It is used as a function of an image, or anywhere a model is taken:
    `zoo.denoise_file(src, dst, adapted.model, range=adapted.range, stabilize="none")`.

    Attributes:
      model: the adapted module, an `AdaptedDenoiser`, with its variables.
      range: the values of an image that the module sees as 0 and as 1, which are those the curve
        begins and ends with. Other images must be brought there alike, since noise depends on the
        values themselves.
    """

    model: Resolved
    range: tuple[float, float]

    def __call__(
        self,
        image: ArrayLike,
        *,
        strength: float = 1.0,
        tile: int | None = None,
        overlap: int | None = None,
        ensemble: bool = False,
        dtype: DTypeLike | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> np.ndarray:
        """Denoises an image: the one that the curve was fitted to, or another of the instrument.

        Args:
          image: (H, W) or (H, W, C) as `zoo.denoise` takes it, in the units of the fitted one.
          strength, tile, overlap, ensemble, dtype, progress: as of `zoo.denoise`.

        Returns:
          The clean estimate, shape and dtype of the image.

        Raises:
          ZooError: as `zoo.denoise`.
        """
        return denoise(
            image,
            self.model,
            range=self.range,
            strength=strength,
            tile=tile,
            overlap=overlap,
            ensemble=ensemble,
            dtype=dtype,
            progress=progress,
        )

    def save(self, path: str | os.PathLike) -> None:
        """Writes a file for `load_adapted` and `zoo denoise --adapted`, whole or not at all.

        Of weights that come with the zoo it holds their name, and is of 1 KB; others it holds
        itself.

        Args:
          path: the `.safetensors` file; one that is there is replaced.

        Raises:
          ZooError: the file cannot be written, or the network is a module that was given as such,
            which no file can name.
        """
        record = self.model.metadata
        if record is None:
            raise ZooError(
                f"{self.model.label} is of a module that no file can name; register it, or adapt "
                "a weight file"
            )
        variables = dict(self.model.variables)
        if record[_KEY]["base"]:
            variables = {"params": {k: v for k, v in variables["params"].items() if k != "base"}}
        weights.save(path, variables, dict(record))


def adapt(
    image: ArrayLike | Sequence[ArrayLike],
    model: str | os.PathLike | nn.Module | Resolved | None = None,
    *,
    method: str = "noise2vst",
    variables: Mapping | None = None,
    steps: int | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Adapted:
    """Adapts a denoiser to the noise of an image, without a clean one.

    For noise that is independent from pixel to pixel, of a strength that depends on the value
    alone: photons and their counting, read noise, also beyond a tone curve. Noise that is smeared
    over neighbors, as by JPEG or by resizing, is not removed.

    Args:
      image: (H, W) or (H, W, C) as `zoo.denoise` takes it, integers or floats of any range; or
        several of one instrument, such as the pages of a file. Alpha is ignored, and so are values
        that are not finite.
      model: a network that takes a noise level, in any form of `zoo.denoise`; None takes
        "unet-gray" or "unet-color". It stays as it is.
      method: "noise2vst" fits a curve around the network. "noise2fast" and "zs-n2n" take no model:
        they learn a small network from the image alone, for noise of any kind that is independent
        from pixel to pixel; on photographs it is the weaker denoiser.
      variables: those of a registered model or a module; None with weights.
      steps: of Adam, at least 0; None for the usual number, 300 of the curve and 1500 of a network,
        and none where the variance of the noise is a line of the value, whose curve is known. After
        0 steps the curve is that of a measurement of the noise. On three confocal images 1000
        steps changed the PSNR of 300 by at most 0.01 dB.
      seed: of the crops and the hidden pixels; the same one gives the same result.
      progress: called with the steps that are done and with all.

    Returns:
      The adapted denoiser.

    Raises:
      ZooError: it is no such image or one of less than 16 pixels a side, the model is unknown,
        takes no level or only images of one size, or an option is out of range.
    """
    if method not in METHODS:
        raise unknown("method", method, METHODS)
    by_itself = steps is None
    if steps is None:
        steps = _STEPS if method == "noise2vst" else single_image.STEPS
    for name, value in (("steps", steps), ("seed", seed)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
            raise ZooError(f"{name}={value!r} is not a whole number, at least 0")
    several = isinstance(image, list | tuple) and all(np.ndim(one) > 1 for one in image)
    if several and not image:
        raise ZooError("there is no image to adapt to; give at least one")
    pages = [image_canvas.canvas(one) for one in (image if several else [image])]
    steps, seed = int(steps), int(seed)
    if method != "noise2vst":
        if model is not None or variables is not None:
            raise ZooError(f"method={method!r} learns a network of its own; leave out model")
        return _learned(pages, method, steps, seed, progress)
    if model is None and variables is not None:
        raise ZooError("variables are given without their model; name it too")
    if model is None:
        # A gray network takes the channels of a color image too, one by one.
        model = DEFAULTS[min(page.source.shape[-1] for page in pages)]
    base = resolve(model, variables, modality="image")
    check_adaptable(base)
    bank = Bank([(page.source, page.seen) for page in pages], base.specification.channels)
    module = AdaptedDenoiser(base.module)
    measured = measured_curve(bank)
    fitted = line_curve(bank, measured) if by_itself else None
    if fitted is None:
        fitted = fit_curve(module, base.variables, measured, bank, steps, seed, progress)
    else:
        steps = 0
    variables = merged(fitted, base.variables)
    label = f"{base.label}, adapted"
    record = _record(base, bank.range, steps, seed)
    return Adapted(Resolved(module, variables, spec_of(module), label, record), bank.range)


def _learned(
    pages: Sequence[image_canvas.Canvas],
    method: str,
    steps: int,
    seed: int,
    progress: Callable[[int, int], None] | None,
) -> Adapted:
    """A small network learned from the images alone."""
    channels = min(page.source.shape[-1] for page in pages)
    bank = Bank([(page.source, page.seen) for page in pages], channels)
    name, module, variables = single_image.learn(bank, method, steps, seed, progress)
    entry = {
        "base": None,
        "method": method,
        "range": list(bank.range),
        "steps": steps,
        "seed": seed,
    }
    record = {"model": name, "options": single_image.OPTIONS, _KEY: entry}
    return Adapted(Resolved(module, variables, spec_of(module), method, record), bank.range)


def adapt_file(
    src: str | os.PathLike,
    model: str | os.PathLike | nn.Module | Resolved | None = None,
    *,
    method: str = "noise2vst",
    steps: int | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Adapted:
    """Adapts a denoiser to the noise of an image file, to all pages or to some of a large one.

    Args:
      src: the file.
      model, method, steps, seed, progress: as of `adapt`.

    Raises:
      ZooError: the file is missing, damaged or no image; or as `adapt`.
    """
    # Here, since its libraries are heavy.
    from zoo.data import image_files  # noqa: PLC0415

    pages = image_files.read_pages(src)
    first = next(iter(pages)).image
    most = max(1, _HELD // first.size)
    step = -(-len(pages) // most)
    kept = [page.image for page in itertools.islice(pages, 0, None, step)]
    return adapt(kept, model, method=method, steps=steps, seed=seed, progress=progress)


def load_adapted(path: str | os.PathLike) -> Adapted:
    """Reads what `Adapted.save` wrote.

    Args:
      path: the file.

    Raises:
      ZooError: there is no such file, it is damaged or no adaptation, or it names weights that do
        not come with this zoo.
    """
    record = weights.read_record(weights.find(path))
    entry = record.get(_KEY)
    if entry is None:
        raise ZooError(
            f"{path} is no adaptation, but weights of {record['model']}; give what Adapted.save "
            "or zoo denoise --save-adapted wrote"
        )
    name = entry["base"]
    if name and name not in weights.list_weights():
        raise ZooError(
            f"{path} adapts {name}, which this zoo does not bring; install one that does"
        )
    method = entry.get("method", METHODS[0])
    if method not in METHODS:
        raise ZooError(f"{path} is adapted by {method}, which this zoo does not know; update it")
    base = resolve(name, modality="image") if name else None
    if base:
        check_adaptable(base)
    module = base.module if base else weights.read_model(path)[0]
    if method == METHODS[0]:
        module = AdaptedDenoiser(module)
    shapes = variable_shapes(module, spec_of(module))
    if base:
        shapes = {key: shape for key, shape in shapes.items() if "/base/" not in key}
    variables = traverse_util.unflatten_dict(weights.read_variables(path, shapes), sep="/")
    if base:
        variables = merged(variables["params"], base.variables)
    label = os.fspath(path)
    found = Resolved(module, jax.device_put(variables), spec_of(module), label, record)
    return Adapted(found, value_scale.check_range(entry["range"]))


def check_adaptable(base: Resolved) -> None:
    """Refuses a model that cannot be adapted.

    Raises:
      ZooError: it takes no level, no crops of 64 pixels, or several planes.
    """
    facts = base.specification
    if facts.planes > 1:
        raise ZooError(
            f"{base.label} takes {facts.planes} planes of a stack, and one image adapts a model; "
            "choose another model"
        )
    if not facts.takes_level:
        raise ZooError(
            f"{base.label} takes no noise level, so it cannot be adapted; choose one that does, "
            "such as unet-gray or unet-color"
        )
    if facts.size or SIDES[-1] % facts.multiple:
        what = "x".join(map(str, facts.size)) if facts.size else f"multiples of {facts.multiple}"
        raise ZooError(f"{base.label} takes images of {what} pixels only; choose another model")


def _record(
    base: Resolved, limits: tuple[float, float], steps: int, seed: int
) -> dict[str, Any] | None:
    """What the file of an adaptation says; None where it could not name the network."""
    shipped = base.label in weights.list_weights()
    known = base.metadata or {}
    name, options = known.get("model"), known.get("options", {})
    if name is None:
        # NAME=FILE of published weights, or a registered model beside its variables.
        name = base.label.partition("=")[0]
        if name not in list_models() or create_model(name) != base.module:
            return None
    entry = {
        "base": base.label if shipped else None,
        "range": list(limits),
        "steps": steps,
        "seed": seed,
    }
    kept = {key: known[key] for key in ("noise", "license") if key in known}
    return {"model": name, "options": dict(options), **kept, _KEY: entry}

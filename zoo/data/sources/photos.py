"""The photographs that come inside scikit-image: real pictures without a download.

They are read as files: `skimage.data` would fetch what the wheel lacks. Each was looked at.
Left out as drawings: chessboard, color, horse, logo, phantom, multipage, no_time_for_that. Left out
as photographs: motorcycle_right, which is motorcycle_left from some centimetres aside and would
only count that scene twice; clock_motion, blurred throughout; cell, a hologram with ringing;
hubble_deep_field, whose dark sky is noise that a denoiser should not learn to keep;
microaneurysms and lfw_subset, too small for a crop.
"""

import importlib.util
from pathlib import Path

from zoo.data import image_files
from zoo.data.sources.contract import Listing
from zoo.errors import ZooError

PHOTOS = {
    "train": (
        "brick.png",
        "coins.png",
        "grass.png",
        "gravel.png",
        "ihc.png",
        "moon.png",
        "motorcycle_left.png",
        "page.png",
        "retina.jpg",
        "rocket.jpg",
        "text.png",
    ),
    "validation": ("astronaut.png",),
    "test": ("chelsea.png", "coffee.png", "camera.png"),
}
"""The split is fixed, so that scores can be compared."""


def splits(
    path: str,
    fractions: tuple[float, float, float],
    seed: int,
) -> dict[str, Listing]:
    """List the photographs.

    Args:
      path: empty, or a folder that holds the same files.
      fractions: unused.
      seed: unused.

    Raises:
      ZooError: scikit-image is missing or lacks one of the files.
    """
    folder = Path(path) if path else _folder()
    listings = {}
    for split, names in PHOTOS.items():
        for name in names:
            if not (folder / name).is_file():
                raise ZooError(f"{folder / name} is missing; reinstall scikit-image")
        items = [str(folder / name) for name in names]
        listings[split] = Listing([Path(name).stem for name in names], items, _read)
    return listings


def _folder() -> Path:
    # Found, not imported: importing `skimage.data` prepares its downloads.
    spec = importlib.util.find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise ZooError("the photos need scikit-image; pip install scikit-image")
    return Path(spec.submodule_search_locations[0], "data")


def _read(path: str):
    return image_files.read(path), None

"""How fast PyPI's BM3D is on this machine, for the figures of quality against speed.

    python benchmarks/peers/bm3d_speed.py

It wants the package bm3d (`pip install bm3d`; its license is non-commercial), and takes 256x256
pixels of scikit-image's photographs with Gaussian noise of sigma 25/255.
"""

import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from harness import flags, machine, results, timing
from skimage import data

from zoo.data import pixels
from zoo.evaluate import NumpyGaussian
from zoo.evaluate.baselines import bm3d

SIDE, SIGMA = 256, 25 / 255


def main():
    """Measures both kinds of image and writes the rows."""
    parser = flags.Parser(__doc__)
    results.add_arguments(parser)
    arguments = parser.parse_args()
    machine.warn_if_busy()
    photos = {"bm3d": data.camera()[..., None], "cbm3d": data.astronaut()}
    with results.Kept("bm3d", arguments.out, machine.context()) as kept:
        for name, photo in photos.items():
            clean = pixels.to_float(photo[128 : 128 + SIDE, 128 : 128 + SIDE])
            noisy = NumpyGaussian(SIGMA).add(0, clean)
            run = partial(bm3d, noisy, SIGMA, clean)
            times = timing.measure(run, arguments.seconds)
            error = np.mean((run() - clean) ** 2)
            kept.add(
                {
                    "method": name,
                    "seconds": times.median,
                    "megapixels_per_s": SIDE**2 / 1e6 / times.median,
                    "psnr": -10 * np.log10(error),
                    "runs": len(times.steps),
                }
            )


if __name__ == "__main__":
    sys.exit(flags.guard(main))

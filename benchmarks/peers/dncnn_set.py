"""A test set through DnCNN, ours and PyTorch's in turn, on the same weights and noisy pixels.

    python benchmarks/peers/dncnn_set.py --data bsd68 --weights dncnn_25.pth --torch-python PYTHON

PYTHON is that of an environment with torch and numpy (on a CPU: Python 3.11, torch==2.13.0). Both
processes take turns, A B B A, so that neither meets a busier machine; a ratio is ours over
theirs, below 1 where we are faster. The row goes to `benchmarks/results/`.
"""

import argparse
import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from zoo.data import pixels, sources
from zoo.errors import ZooError
from zoo.evaluate import NumpyGaussian
from zoo.interop.torch import load_torch
from zoo.models import create_model

HERE = Path(__file__).parent
COLUMNS = (
    "data", "pictures", "model", "torch_layout", "pairs", "psnr_ours", "psnr_torch", "ours_s",
    "torch_s", "ratio_median", "ratio_low", "ratio_high", "cores", "jax", "load_average",
)  # fmt: skip


def ours(name, path, noisy):
    """A function that denoises all pictures once: clipped and rounded, uint8."""
    model, variables = create_model(name), load_torch(name, path)

    @jax.jit
    def apply(variables, x):
        return jnp.round(jnp.clip(model.apply(variables, x), 0, 1) * 255).astype(jnp.uint8)

    def run():
        return [np.asarray(apply(variables, x[None]))[0] for x in noisy]

    return run


class Torch:
    """The other process."""

    def __init__(self, python, pictures, weights, layout):
        command = [python, HERE / "dncnn_torch.py", pictures, weights, layout, str(os.cpu_count())]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.layout = layout
        self.psnr = float(self._process.stdout.readline())

    def seconds(self):
        """What one pass takes there."""
        print(file=self._process.stdin, flush=True)
        return float(self._process.stdout.readline())

    def stop(self):
        """Lets it end."""
        self._process.stdin.close()
        self._process.wait()


def timed(run):
    """What one pass takes here."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main():
    """Measures and writes the row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="a folder of grey pictures")
    parser.add_argument("--weights", required=True, help="DnCNN as KAIR publishes it")
    parser.add_argument("--torch-python", required=True, help="a Python that has torch")
    parser.add_argument("--model", default="dncnn-gray")
    parser.add_argument("--pairs", type=int, default=7)
    # On CPU the default layout took 1.6 times as long.
    parser.add_argument(
        "--torch-layout", choices=("channels_last", "default"), default="channels_last"
    )
    parser.add_argument("--limit", type=int, help="only the first so many pictures")
    parser.add_argument("--out", type=Path, default=HERE.parent / "results")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"warning: this machine is not idle, load {load:.1f}")
    try:
        everything = {"path": arguments.data, "fractions": (0.0, 0.0, 1.0)}
        source = sources.load("folder", channels=1, **everything)["test"]
        clean = [picture.target for picture in source][: arguments.limit]
        noise = NumpyGaussian(25 / 255)
        noisy = [noise.add(0, pixels.to_float(x)) for x in clean]
        run = ours(arguments.model, arguments.weights, noisy)
    except ZooError as error:
        parser.error(str(error))
    errors = [np.mean((o.astype(float) - c) ** 2) for o, c in zip(run(), clean, strict=True)]
    psnr = np.mean([10 * np.log10(255**2 / error) for error in errors])

    with tempfile.TemporaryDirectory() as folder:
        stored = {f"clean{i}": x[..., 0] for i, x in enumerate(clean)}
        stored |= {f"noisy{i}": x[..., 0] for i, x in enumerate(noisy)}
        np.savez(f"{folder}/pictures.npz", **stored)
        pictures, weights = f"{folder}/pictures.npz", Path(arguments.weights).resolve()
        layout = arguments.torch_layout
        peer = Torch(arguments.torch_python, pictures, weights, layout)
        pairs = []
        for i in range(arguments.pairs):
            if i % 2:
                theirs, mine = peer.seconds(), timed(run)
            else:
                mine, theirs = timed(run), peer.seconds()
            pairs.append((mine, theirs))
            print(f"pair {i + 1}: {mine:.2f} s, PyTorch {theirs:.2f} s, ratio {mine / theirs:.3f}")
        peer.stop()

    ratios = sorted(mine / theirs for mine, theirs in pairs)
    row = {
        "data": Path(arguments.data).resolve().name,
        "pictures": len(clean),
        "model": arguments.model,
        "torch_layout": peer.layout,
        "pairs": len(pairs),
        "psnr_ours": f"{psnr:.4f}",
        "psnr_torch": f"{peer.psnr:.4f}",
        "ours_s": f"{statistics.median(mine for mine, _ in pairs):.2f}",
        "torch_s": f"{statistics.median(theirs for _, theirs in pairs):.2f}",
        "ratio_median": f"{statistics.median(ratios):.3f}",
        "ratio_low": f"{ratios[0]:.3f}",
        "ratio_high": f"{ratios[-1]:.3f}",
        "cores": os.cpu_count(),
        "jax": jax.__version__,
        "load_average": f"{load:.1f}",
    }
    print("\n".join(f"{name}: {value}" for name, value in row.items()))
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / f"peers_dncnn_{row['data']}.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerow(row)
    print(f"written to {path}")


if __name__ == "__main__":
    sys.exit(main())

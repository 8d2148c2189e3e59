"""A test set through DnCNN, ours and PyTorch's in turn, on the same weights and noisy pixels.

    python benchmarks/peers/dncnn_set.py --data bsd68 --weights dncnn_25.pth --torch-python PYTHON

PYTHON is that of an environment with torch and numpy (on a CPU: Python 3.11, torch==2.13.0). Both
processes take turns, A B, B A, so that neither meets a busier machine; a ratio is our speed over
theirs, above 1 where we are faster. The row goes to `benchmarks/results/`.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import jax
import jax.numpy as jnp
import numpy as np
from harness import flags, machine, results
from turns import take, timed
from worker import Worker

from zoo.data import pixels, sources
from zoo.evaluate import NumpyGaussian
from zoo.interop.torch import load_torch
from zoo.models import create_model

HERE = Path(__file__).parent


def ours(name, path, noisy):
    """A function that denoises all images once: clipped and rounded, uint8."""
    model, variables = create_model(name), load_torch(name, path)

    @jax.jit
    def apply(variables, x):
        return jnp.round(jnp.clip(model.apply(variables, x), 0, 1) * 255).astype(jnp.uint8)

    def run():
        return [np.asarray(apply(variables, x[None]))[0] for x in noisy]

    return run


def main():
    """Measures and writes the row."""
    parser = flags.Parser(__doc__)
    parser.add_argument("--data", required=True, help="a folder of gray images")
    parser.add_argument("--weights", required=True, help="DnCNN as KAIR publishes it")
    parser.add_argument("--torch-python", required=True, help="a Python that has torch")
    parser.add_argument("--model", default="dncnn-gray")
    parser.add_argument("--pairs", type=flags.count, default=7)
    parser.add_argument(
        "--torch-layout", choices=("channels_last", "default"), default="channels_last"
    )
    parser.add_argument("--limit", type=flags.count, help="only the first so many images")
    parser.add_argument("--out", type=Path, default=HERE.parent / "results")
    arguments = parser.parse_args()
    load = machine.warn_if_busy()
    everything = {"path": arguments.data, "fractions": (0.0, 0.0, 1.0)}
    source = sources.load("folder", channels=1, **everything)["test"]
    clean = [image.target for image in source][: arguments.limit]
    noise = NumpyGaussian(25 / 255)
    noisy = [noise.add(0, pixels.to_float(x)) for x in clean]
    run = ours(arguments.model, arguments.weights, noisy)
    errors = [np.mean((o.astype(float) - c) ** 2) for o, c in zip(run(), clean, strict=True)]
    psnr = np.mean([10 * np.log10(255**2 / error) for error in errors])

    with tempfile.TemporaryDirectory() as folder:
        stored = {f"clean{i}": x[..., 0] for i, x in enumerate(clean)}
        stored |= {f"noisy{i}": x[..., 0] for i, x in enumerate(noisy)}
        images, weights = f"{folder}/images.npz", Path(arguments.weights).resolve()
        np.savez(images, **stored)
        layout, threads = arguments.torch_layout, machine.cores()
        command = [arguments.torch_python, HERE / "dncnn_torch.py", images, weights, layout]
        with Worker([*command, threads]) as peer:
            theirs = peer.ask(do="psnr")["psnr"]
            pairs = take(
                lambda: timed(run), lambda: peer.ask(do="time")["seconds"], arguments.pairs
            )

    name = Path(arguments.data).resolve().name
    row = {
        "data": name,
        "images": len(clean),
        "model": arguments.model,
        "torch_layout": layout,
        "pairs": arguments.pairs,
        "psnr_ours": psnr,
        "psnr_torch": theirs,
        **pairs.row(),
        "busy_cores_before": load,
        "cores": threads,
        "jax": jax.__version__,
    }
    print("\n".join(f"{name}: {value}" for name, value in row.items()))
    path = results.write(f"peers_dncnn_{name}", [row], arguments.out, machine.context())
    print(f"written to {path}")


if __name__ == "__main__":
    sys.exit(flags.guard(main))

"""What learning from noisy images alone costs: every method beside clean targets.

    python benchmarks/selfsupervised.py --data DATA

DATA holds `bsds500/`, `cbsd68/` and `bsd68/` (`--channels=1`), as for `configs/unet_gray.py`. All
train on BSDS500's train and test and are scored on BSD68 or CBSD68, whose images are left out. The
same network, images, steps and seed for every method; new noise is drawn each time an image is
seen, is not clipped, and no method but `clean` sees an image without it. A row has the PSNR on the
test set, in float and clipped to [0, 1], and its distance from `clean`. The rows go to
`benchmarks/results/`; those that are there are not measured again.

Methods of one image are adapted to each test image by `zoo.adapt`, with networks of their own. They
take long, and run where they are named, such as on eight images:

    python benchmarks/selfsupervised.py --data DATA --images=8 --method="adapt noise2vst"
    python benchmarks/selfsupervised.py --data DATA --images=8 --method="adapt zs-n2n"
"""

import argparse
import csv
from pathlib import Path

import jax
import numpy as np

import zoo
from zoo.errors import ZooError
from zoo.evaluate import mean_merit
from zoo.train.config import default_config
from zoo.train.experiment import build
from zoo.train.loop import run

COLUMNS = (
    "noise", "method", "channels", "model", "steps", "batch", "crop", "images", "psnr", "gap",
)  # fmt: skip
# Of a training, and so empty where there is none.
OF_TRAINING = ("model", "steps", "batch", "crop")
ONE_IMAGE = {"adapt noise2vst": "noise2vst", "adapt zs-n2n": "zs-n2n"}
INDEPENDENT = {
    "noise2noise": {},
    "noise2void spacing=4": {"spacing": 4},
    "noise2void spacing=8": {"spacing": 8},
    "noise2self": {},
    "noise2fast": {},
    "neighbor2neighbor": {},
}
# The noise op of each kind, its level, its options, and the methods that fit it.
KINDS = {
    "gaussian 25/255": (
        ("gaussian", 25.0, "1/255", {}),
        INDEPENDENT | {"recorrupted_gaussian": {}, "sure": {}, "unsure": {}},
    ),
    "poisson 30": (
        ("poisson", 30.0, "1", {}),
        INDEPENDENT | {"recorrupted_poisson": {}, "poisson_sure": {}},
    ),
    "gaussian 25/255 along rows": (
        ("correlated_gaussian", 25.0, "1/255", {"kernel": ((1.0, 1.0, 1.0),)}),
        {
            "noise2noise": {},
            "noise2void spacing=8": {"spacing": 8},
            "noise2void spacing=8 span=2": {"spacing": 8, "span": 2},
            "neighbor2neighbor": {},
        },
    ),
}


def config_of(arguments, noise, method, options):
    """The config of one training."""
    config = default_config()
    config.name = "selfsupervised"
    config.model.name = arguments.model
    config.data.name = "folder"
    config.data.path = f"{arguments.data}/bsds500"
    config.data.channels = arguments.channels
    config.data.crop = (arguments.crop, arguments.crop)
    config.data.options.train = ("train", "test")
    config.data.options.validation = "val"
    config.data.options.test = "../bsd68" if arguments.channels == 1 else "../cbsd68"
    config.data.options.exclude = "../cbsd68"
    config.noise.name, config.noise.level, config.noise.unit = noise[:3]
    config.noise.options = noise[3]
    config.target.name, config.target.options = method, options
    config.loss = "mse"
    config.optimizer.learning_rate = 1e-3
    config.optimizer.warmup = 0.01
    config.optimizer.clip_norm = 0.5
    config.train.batch_size, config.train.steps = arguments.batch, arguments.steps
    config.train.ema_decay = 0.99
    config.validation.limit = 1
    config.validation.every = arguments.steps
    return config


def trained(experiment):
    """Trains; returns the denoiser."""
    done = run(experiment, show="bar")
    if done.stop is not None:
        raise done.stop
    variables, apply = jax.device_put(done.state.variables), jax.jit(experiment.model.apply)
    return lambda x, level: apply(variables, x, level)


def adapted(method):
    """The denoiser that adapts to each image."""

    def apply(x, level):
        del level
        return np.stack([zoo.adapt(one, method=method)(one) for one in np.asarray(x)])

    return apply


def psnr(config, label, limit):
    """Trains or adapts, and scores on the first `limit` test images, in dB."""
    experiment = build(config)
    one_image = ONE_IMAGE.get(label)
    return mean_merit(
        adapted(one_image) if one_image else trained(experiment),
        experiment.sources["test"],
        levels=experiment.levels,
        limit=limit,
    )


def main():
    """Measures what is missing, writes each row as it comes, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--data", type=Path, required=True, help="the folder with bsds500/, cbsd68/ and bsd68/")
    add("--channels", type=int, choices=(1, 3), default=1)
    add("--model", default="unet-tiny")
    add("--steps", type=int, default=3000)
    add("--batch", type=int, default=16)
    add("--crop", type=int, default=64)
    add("--images", type=int, default=68, help="of the test set")
    add("--noise", choices=KINDS, action="append", help="only this kind; may be repeated")
    add("--method", action="append", help="only this method, and clean targets; may be repeated")
    add("--out", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / f"selfsupervised_{arguments.model}_{arguments.channels}channels.csv"
    rows = list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []
    settings = {
        "channels": arguments.channels,
        "model": arguments.model,
        "steps": arguments.steps,
        "batch": arguments.batch,
        "crop": arguments.crop,
        "images": arguments.images,
    }
    settings = {name: str(value) for name, value in settings.items()}
    for kind in arguments.noise or KINDS:
        noise, methods = KINDS[kind]
        named = arguments.method or methods
        for label in ("clean", *methods, *ONE_IMAGE):
            if label != "clean" and label not in named:
                continue
            own = {"noise": kind, "method": label, **settings}
            if label in ONE_IMAGE:
                own |= dict.fromkeys(OF_TRAINING, "")
            if any(own.items() <= row.items() for row in rows):
                continue
            method = label.split()[0] if label in methods else ""
            try:
                config = config_of(arguments, noise, method, methods.get(label, {}))
                found = psnr(config, label, arguments.images)
            except ZooError as error:
                parser.error(str(error))
            rows.append(own | {"psnr": f"{found:.3f}", "gap": ""})
            write(path, rows)
    print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS))
    for row in rows:
        print("| " + " | ".join(row[column] for column in COLUMNS) + " |")
    print(f"written to {path}")


def write(path, rows):
    """Writes all rows, each with its distance from clean targets."""
    for row in rows:
        same = [
            float(other["psnr"])
            for other in rows
            if other["method"] == "clean"
            and all(other[c] == row[c] for c in ("noise", "channels", "images"))
            and all(row[c] in ("", other[c]) for c in OF_TRAINING)
        ]
        row["gap"] = f"{float(row['psnr']) - np.mean(same):+.2f}" if same else ""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()

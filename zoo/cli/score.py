"""`zoo score`: the literature's tables, with every choice named."""

import argparse
import sys
from pathlib import Path

from zoo import compilation, files, memory
from zoo.evaluate import benchmark
from zoo.evaluate.protocol import METRICS, PUBLISHED, Protocol, choices_of

_DESCRIPTION = """Score denoisers on folders of pictures, at levels of Gaussian noise, beside
classical methods on the same noisy pixels. The defaults are the protocol of KAIR, DPIR, SwinIR and
Restormer; every choice stands at the head of the table, and beside a figure whose published one is
known stand that and the difference."""

_EXAMPLES = """examples:
  zoo score dncnn-gray=dncnn_25.pth --data set12 bsd68 --sigma 25
  zoo score 'dncnn-gray=dncnn_{sigma}.pth' ffdnet-gray=ffdnet_gray.mat --data bsd68
  zoo score runs/unet/weights.safetensors --data photos --noise jax --baselines nlm wavelet tv
  zoo score nafnet-w32=nafnet.pth --data polyu --pairs '*_real.JPG' '*_mean.JPG'
  zoo score --data set12 --baselines all

MODEL is NAME=FILE, a model of `zoo models` and its published weights (.pth, .pt, .tar, .mat,
.safetensors), or a .safetensors file of this zoo. {sigma} in FILE stands for the level. A model
takes part in the sets of its own number of channels. The baseline bm3d takes part if you have
installed it (PyPI: bm3d, for non-commercial use only)."""

_CHOICES = {
    "noise": "whose random numbers; jax's are drawn on the device",
    "noisy": "what is done to noisy pixels; float is nothing",
    "output": "what is done to an output before it is scored; round also clips",
    "channels": "what is compared: all together, or luma",
    "data_range": "of PSNR and SSIM: 255, or that of each clean picture",
    "level": "what models that take a noise level are told",
    "shapes": "exact compiles once a size, padded mirrors pictures to few sizes, auto is exact for "
    "sets of up to four",
}


def add_to(commands) -> None:
    """Adds the command to argparse's sub-commands."""
    parser = commands.add_parser(
        "score",
        help="score models on data sets, as the literature does",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("models", nargs="*", metavar="MODEL", help="NAME=FILE, or a .safetensors file of this zoo")
    add(
        "--data",
        nargs="+",
        metavar="FOLDER",
        required=True,
        help="folders of clean pictures; of one with a sub-folder `test` only that",
    )
    add(
        "--pairs",
        nargs=2,
        metavar=("NOISY", "CLEAN"),
        help="patterns by which the folders' own noisy files and their clean ones are told; no "
        "noise is added then",
    )
    add("--sigma", nargs="+", type=float, default=[15, 25, 50], help="of 255 (15 25 50)")
    add("--pictures", choices=("auto", "gray", "color"), default="auto", help="as the files are")
    add("--limit", type=int, help="only the first so many pictures of each set")
    add("--metrics", nargs="+", default=["psnr", "ssim"], help=" ".join(METRICS))
    add(
        "--baselines",
        nargs="*",
        default=["nlm", "wavelet", "tv"],
        help="nlm wavelet tv median bm3d; `all`; nothing for none (nlm wavelet tv)",
    )
    group = parser.add_argument_group(
        "protocol", "By default that of the published tables; a table's head explains each choice."
    )
    group.add_argument("--seed", type=int, default=PUBLISHED.seed, help="of the noise (0)")
    group.add_argument(
        "--border", type=int, default=PUBLISHED.border, help="pixels that do not count (0)"
    )
    for field, told in _CHOICES.items():
        default = getattr(PUBLISHED, field)
        option = "--" + field.removeprefix("data_")
        group.add_argument(
            option,
            dest=field,
            choices=choices_of(field),
            default=default,
            help=f"{told} ({default})",
        )
    parser.add_argument("--out", type=Path, default=Path("scores"), help="folder for tables and "
        "pictures (scores)")  # fmt: skip
    parser.add_argument("--no-gallery", action="store_true", help="draw no pictures")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Scores, prints the tables, and writes them."""
    compilation.enable()
    memory.keep()
    protocol = Protocol(
        seed=arguments.seed,
        border=arguments.border,
        **{field: getattr(arguments, field) for field in _CHOICES},
    )
    files.make_folder(arguments.out)
    text = benchmark.run(
        arguments.models,
        arguments.data,
        outdir=arguments.out,
        sigmas=arguments.sigma,
        pairs=arguments.pairs,
        pictures=arguments.pictures,
        protocol=protocol,
        metrics=arguments.metrics,
        baselines=arguments.baselines,
        limit=arguments.limit,
        galleries=not arguments.no_gallery,
        progress=_progress if sys.stderr.isatty() else None,
    )
    print(text)
    print(f"written to {arguments.out}")


def _progress(what: str, done: int, count: int) -> None:
    end = "\n" if done == count else ""
    print(f"\r{what}: {done} of {count} ", end=end, file=sys.stderr, flush=True)

"""`zoo score`: tables as in the literature, with every choice of the protocol listed."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from zoo import files, runtime
from zoo.cli import common
from zoo.data.sources.folders import below
from zoo.errors import ZooError
from zoo.evaluate import benchmark
from zoo.evaluate.benchmark_sets import AudioSets, ImageSets, Sets
from zoo.evaluate.contenders import modality as modality_of
from zoo.evaluate.measure import evaluator_class
from zoo.evaluate.protocol import PUBLISHED, AudioProtocol, choices_of
from zoo.modality import AUDIO, IMAGE, Modality, get
from zoo.progress import progress

_DESCRIPTION = """Score denoisers on folders of images with Gaussian noise of several levels, or on
folders of audio files mixed with noise at several SNRs, together with classical methods on the same
noisy pixels or samples. For images the defaults are the protocol of KAIR, DPIR, SwinIR and
Restormer. Every choice is listed at the head of the table; where a published figure is known, it is
shown with the difference."""

_EXAMPLES = """examples of images:
  zoo score dncnn-gray=dncnn_25.pth --data set12 bsd68 --sigma 25
  zoo score unet-gray ffdnet-gray=ffdnet_gray.pth --data bsd68 --sigma 15 25 50
  zoo score 'dncnn-gray=dncnn_{sigma}.pth' ffdnet-gray=ffdnet_gray.mat --data bsd68
  zoo score runs/unet/weights.safetensors --data photos --noise jax --baselines nlm wavelet tv
  zoo score nafnet-w32=nafnet.pth --data polyu --pairs '*_real.JPG' '*_mean.JPG'
  zoo score --data set12 --baselines all

examples of audio:
  zoo score runs/audio_stream/weights.safetensors gtcrn=gtcrn_dns3.tar --data speech --noises noise
  zoo score wiener --data speech --noises noise --snr -5 0 5 --metrics si_sdr pesq
  zoo score gtcrn=gtcrn.tar --data voicebank --pairs noisy_testset_wav clean_testset_wav

MODEL is NAME=FILE, a model of `zoo models` and its weights, published (.pth, .pt, .tar, .mat, .bin,
.onnx, .safetensors) or of this package; FILE, a .safetensors file of this package; or NAME, weights
that come with the package (`zoo weights`) or a model without parameters. All models must be for
images, or all for audio. {sigma} in FILE stands for the level. A model is scored on the image sets
with its number of channels. The baseline bm3d needs the PyPI package bm3d, for non-commercial use
only. Audio files are mixed down to mono and resampled to the rate of the models."""

_CHOICES = {
    "noise": "source of the random numbers; jax draws them on the device",
    "noisy": "processing of the noisy pixels; float leaves them unchanged",
    "output": "processing of an output before it is scored; round also clips",
    "channels": "what is compared: all channels together, or luma",
    "data_range": "range for PSNR and SSIM: 255, or that of each clean image",
    "level": "the level given to models that take one",
    "shapes": "exact compiles once per image size; padded mirrors images to a few sizes; auto is "
    "exact for sets of up to four sizes",
}

# Options of one modality have no default in argparse, so that those which were given are known.
_OPTIONS = {
    "image": {
        **{field: "--" + field.removeprefix("data_") for field in _CHOICES},
        **{name: f"--{name}" for name in ("sigma", "images", "border")},
        "no_gallery": "--no-gallery",
    },
    "audio": {"noises": "--noises", "snr": "--snr"},
}
_USUAL = {
    "image": {"levels": (15, 25, 50), "metrics": ("psnr", "ssim")},
    "audio": {"levels": (-5, 0, 5, 10, 15), "metrics": tuple(one.name for one in AUDIO.choose())},
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command to its parser."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    add = parser.add_argument
    add(
        "models",
        nargs="*",
        metavar="MODEL",
        help="NAME=FILE, a .safetensors file of this package, or the NAME of a classical method",
    )
    add(
        "--data",
        nargs="+",
        metavar="FOLDER",
        required=True,
        help="folders of clean images or audio files; if there is a subfolder `test`, only that",
    )
    add(
        "--pairs",
        nargs=2,
        metavar=("NOISY", "CLEAN"),
        help="noisy and clean files in the folders: for images two patterns of names, for audio "
        "two subfolders; no noise is added then",
    )
    add("--limit", type=int, help="number of files of each set to use, from the first on")
    add(
        "--metrics",
        nargs="+",
        help=f"for images {' '.join(IMAGE.metrics)} (psnr ssim); for audio "
        f"{' '.join(AUDIO.metrics)} ({' '.join(one.name for one in AUDIO.choose())})",
    )
    add(
        "--baselines",
        nargs="*",
        help="for images nlm wavelet tv median bm3d (nlm wavelet tv); for audio spectral-gate "
        "wiener (both); `all`; without a name, none",
    )
    add("--seed", type=int, help="seed of the noise (0)")
    add(
        "-o",
        "--out",
        type=Path,
        default=Path("scores"),
        help="folder for tables, galleries and wav files (scores)",
    )
    group = parser.add_argument_group(
        "images",
        "The defaults are the protocol of the published tables; the head of a table explains each "
        "choice.",
    )
    add = group.add_argument
    add("--sigma", nargs="+", type=float, help="noise levels, in 1/255 (15 25 50)")
    add(
        "--images", choices=("auto", "gray", "color"), help="channels; auto: as in the files (auto)"
    )
    add("--border", type=int, help="width of the border that is not scored, in pixels (0)")
    for field, words in _CHOICES.items():
        default = getattr(PUBLISHED, field)
        flag = _OPTIONS["image"][field]
        add(flag, dest=field, choices=choices_of(field), help=f"{words} ({default})")
    add("--no-gallery", action="store_true", default=None, help="draw no galleries")
    group = parser.add_argument_group("audio")
    add = group.add_argument
    add(
        "--noises",
        metavar="FOLDER",
        help="audio files of noise to mix in; if there is a subfolder `test`, only that",
    )
    add(
        "--snr",
        nargs="+",
        type=float,
        help="signal-to-noise ratios of the mixtures, in dB (-5 0 5 10 15)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Scores, prints the tables, and writes them."""
    runtime.cache_programs()
    runtime.keep_memory()
    modality = _modality(arguments)
    _refuse_others(arguments, modality)
    sets, levels = _sets(arguments, modality)
    usual = _USUAL[modality.name]
    with _folder(arguments.out), progress("scoring") as advance:
        tables = benchmark.run(
            arguments.models,
            arguments.data,
            sets,
            outdir=arguments.out,
            levels=_or(levels, usual["levels"]),
            metrics=_or(arguments.metrics, usual["metrics"]),
            baselines=_or(arguments.baselines, evaluator_class(modality).usual_baselines),
            limit=arguments.limit,
            galleries=not arguments.no_gallery,
            progress=lambda name, done, count: advance(done, count, name),
        )
        print(common.lines(tables))
    print(common.line(f"written to {arguments.out}"))


@contextmanager
def _folder(path: Path) -> Iterator[None]:
    """Makes a folder before hours of work for it, and removes it if it is left empty."""
    new = [folder for folder in (path, *path.parents) if not folder.exists()]
    files.make_folder(path)
    try:
        yield
    finally:
        for folder in new:
            if any(folder.iterdir()):
                break
            folder.rmdir()


def _sets(arguments: argparse.Namespace, modality: Modality) -> tuple[Sets, list]:
    """How the sets of the modality are read, and the levels that were given."""
    fields = ("seed", "border", *_CHOICES)
    given = {n: getattr(arguments, n) for n in fields if getattr(arguments, n) is not None}
    options = {"pairs": arguments.pairs}
    if modality is AUDIO:
        options |= {"noises": arguments.noises, "protocol": AudioProtocol(**given)}
        return AudioSets(**options), arguments.snr
    options |= {"channels": arguments.images or "auto"}
    return ImageSets(**options, protocol=replace(PUBLISHED, **given)), arguments.sigma


def _or(value, default):
    return default if value is None else value


def _modality(arguments: argparse.Namespace) -> Modality:
    """What is to be scored: by the models, the options, or the files themselves."""
    found = modality_of(arguments.models)
    if found:
        return get(found)
    for modality in (AUDIO, IMAGE):
        baselines = {*evaluator_class(modality).baselines}
        if _given(arguments, _OPTIONS[modality.name]) or baselines & {*(arguments.baselines or ())}:
            return modality

    def count(modality: Modality) -> int:
        suffixes = evaluator_class(modality).suffixes
        return sum(len(below(files.expanded(one), suffixes)[0]) for one in arguments.data)

    return max((IMAGE, AUDIO), key=count)


def _refuse_others(arguments: argparse.Namespace, modality: Modality) -> None:
    """Refuses options of another modality than the one scored."""
    for name, options in _OPTIONS.items():
        if name != modality.name and (given := _given(arguments, options)):
            other, scored = get(name).plural, modality.plural
            raise ZooError(
                f"{given[0]} is an option of {other}, and here {scored} are scored; drop it"
            )
    noise = {**_OPTIONS["audio"], **{n: f"--{n}" for n in ("sigma", "noise", "seed")}}
    added = _given(arguments, noise)
    if arguments.pairs and added:
        raise ZooError(f"pairs bring their own noise; drop {added[0]}, or --pairs")


def _given(arguments: argparse.Namespace, options: dict[str, str]) -> list[str]:
    """Those of some options that were given."""
    return [flag for name, flag in options.items() if getattr(arguments, name) is not None]

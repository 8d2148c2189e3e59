"""`zoo score`: the literature's tables, with every choice named."""

import argparse
import dataclasses
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zoo import files, runtime
from zoo.cli import common
from zoo.data import file_kinds
from zoo.data.sources.folders import below
from zoo.errors import ZooError
from zoo.evaluate import benchmark, recordings
from zoo.evaluate.baselines import BASELINES
from zoo.evaluate.contenders import modality
from zoo.evaluate.protocol import METRICS, PUBLISHED, choices_of
from zoo.evaluate.recordings import benchmark as recordings_benchmark

_DESCRIPTION = """Score denoisers on folders of pictures, at levels of Gaussian noise, or of
recordings, mixed with noises at several SNRs, beside classical methods on the same noisy pixels or
samples. For pictures the defaults are the protocol of KAIR, DPIR, SwinIR and Restormer. Every
choice stands at the head of the table, and beside a figure whose published one is known stand that
and the difference."""

_EXAMPLES = """examples of pictures:
  zoo score dncnn-gray=dncnn_25.pth --data set12 bsd68 --sigma 25
  zoo score unet-gray ffdnet-gray=ffdnet_gray.pth --data bsd68 --sigma 15 25 50
  zoo score 'dncnn-gray=dncnn_{sigma}.pth' ffdnet-gray=ffdnet_gray.mat --data bsd68
  zoo score runs/unet/weights.safetensors --data photos --noise jax --baselines nlm wavelet tv
  zoo score nafnet-w32=nafnet.pth --data polyu --pairs '*_real.JPG' '*_mean.JPG'
  zoo score --data set12 --baselines all

examples of recordings:
  zoo score runs/audio_stream/weights.safetensors gtcrn=gtcrn_dns3.tar --data speech --noises noise
  zoo score wiener --data speech --noises noise --snr -5 0 5 --metrics si_sdr pesq
  zoo score gtcrn=gtcrn.tar --data voicebank --pairs noisy_testset_wav clean_testset_wav

MODEL is NAME=FILE, a model of `zoo models` and its weights, published (.pth, .pt, .tar, .mat,
.safetensors) or of this zoo; FILE, a .safetensors file of this zoo; or NAME, weights that come
with the zoo (`zoo weights`) or a model without parameters. All denoise pictures, or all
recordings. {sigma} in FILE stands for the level. A model takes part in the sets of pictures of its
own number of channels. The baseline bm3d takes part if you have installed it (PyPI: bm3d, for non-
commercial use only). Recordings are mixed down to mono and resampled to the rate of the models."""

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

# What only one of them knows has no default in argparse: that is how it is told who was asked.
_PICTURES = {
    **{field: "--" + field.removeprefix("data_") for field in _CHOICES},
    **{name: f"--{name}" for name in ("sigma", "pictures", "border")},
    "no_gallery": "--no-gallery",
}
_RECORDINGS = {"noises": "--noises", "snr": "--snr"}

_SIGMAS = (15, 25, 50)
_CLASSICAL = ("nlm", "wavelet", "tv")
_SNRS = (-5, 0, 5, 10, 15)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what the command takes to its parser."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    add = parser.add_argument
    add(
        "models",
        nargs="*",
        metavar="MODEL",
        help="NAME=FILE, a .safetensors file of this zoo, or the NAME of a classical method",
    )
    add(
        "--data",
        nargs="+",
        metavar="FOLDER",
        required=True,
        help="folders of clean pictures or recordings; of one with a sub-folder `test` only that",
    )
    add(
        "--pairs",
        nargs=2,
        metavar=("NOISY", "CLEAN"),
        help="how the folders' own noisy files and their clean ones are told: for pictures two "
        "patterns of names, for recordings two sub-folders; no noise is added then",
    )
    add("--limit", type=int, help="only the first so many of each set")
    add(
        "--metrics",
        nargs="+",
        help=f"of pictures {' '.join(METRICS)} (psnr ssim); of recordings "
        f"{' '.join(recordings.METRICS)} (all)",
    )
    add(
        "--baselines",
        nargs="*",
        help="of pictures nlm wavelet tv median bm3d (nlm wavelet tv); of recordings "
        f"{' '.join(recordings.BASELINES)} (both); `all`; nothing for none",
    )
    add("--seed", type=int, help="of the noise (0)")
    add(
        "-o",
        "--out",
        type=Path,
        default=Path("scores"),
        help="folder for tables, pictures and wavs (scores)",
    )
    group = parser.add_argument_group(
        "pictures",
        "By default the protocol of the published tables; a table's head explains each choice.",
    )
    add = group.add_argument
    add("--sigma", nargs="+", type=float, help="of 255 (15 25 50)")
    add("--pictures", choices=("auto", "gray", "color"), help="as the files are (auto)")
    add("--border", type=int, help="pixels that do not count (0)")
    for field, told in _CHOICES.items():
        default = getattr(PUBLISHED, field)
        add(_PICTURES[field], dest=field, choices=choices_of(field), help=f"{told} ({default})")
    add("--no-gallery", action="store_true", default=None, help="draw no pictures")
    group = parser.add_argument_group("recordings")
    add = group.add_argument
    add(
        "--noises",
        metavar="FOLDER",
        help="recordings of noise to mix in; of a folder with a sub-folder `test` only that",
    )
    add("--snr", nargs="+", type=float, help="of the mixtures, in dB (-5 0 5 10 15)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Scores, prints the tables, and writes them."""
    runtime.cache_programs()
    runtime.keep_memory()
    audio = _is_audio(arguments)
    _refuse_others(arguments, audio)
    with _folder(arguments.out):
        print(common.lines((_recordings if audio else _pictures)(arguments)))
    print(common.line(f"written to {arguments.out}"))


@contextmanager
def _folder(path: Path) -> Iterator[None]:
    """Makes a folder before hours of work for it, and takes it away if it is left empty."""
    new = [folder for folder in (path, *path.parents) if not folder.exists()]
    files.make_folder(path)
    try:
        yield
    finally:
        for folder in new:
            if any(folder.iterdir()):
                break
            folder.rmdir()


def _pictures(arguments: argparse.Namespace) -> str:
    choices = {name: getattr(arguments, name) for name in ("seed", "border", *_CHOICES)}
    given = {name: choice for name, choice in choices.items() if choice is not None}
    return benchmark.run(
        arguments.models,
        arguments.data,
        outdir=arguments.out,
        sigmas=_or(arguments.sigma, _SIGMAS),
        pairs=arguments.pairs,
        pictures=_or(arguments.pictures, "auto"),
        protocol=dataclasses.replace(PUBLISHED, **given),
        metrics=_or(arguments.metrics, ("psnr", "ssim")),
        baselines=_or(arguments.baselines, _CLASSICAL),
        limit=arguments.limit,
        galleries=not arguments.no_gallery,
        progress=_progress if sys.stderr.isatty() else None,
    )


def _recordings(arguments: argparse.Namespace) -> str:
    return recordings_benchmark.run(
        arguments.models,
        arguments.data,
        outdir=arguments.out,
        noises=arguments.noises,
        snrs=_or(arguments.snr, _SNRS),
        pairs=arguments.pairs,
        seed=_or(arguments.seed, PUBLISHED.seed),
        metrics=_or(arguments.metrics, recordings.METRICS),
        baselines=_or(arguments.baselines, recordings.BASELINES),
        limit=arguments.limit,
        progress=_progress if sys.stderr.isatty() else None,
    )


def _or(value, default):
    return default if value is None else value


def _is_audio(arguments: argparse.Namespace) -> bool:
    """Whether recordings are to be scored: by the models, the options, or the files themselves."""
    found = modality(arguments.models)
    if found:
        return found == "audio"
    if _given(arguments, _RECORDINGS) or {*(arguments.baselines or ())} & {*recordings.BASELINES}:
        return True
    if _given(arguments, _PICTURES) or {*(arguments.baselines or ())} & {*BASELINES}:
        return False
    counts = [
        sum(len(below(files.expanded(folder), suffixes)[0]) for folder in arguments.data)
        for suffixes in (file_kinds.AUDIO_SUFFIXES, file_kinds.IMAGE_SUFFIXES)
    ]
    return counts[0] > counts[1]


def _refuse_others(arguments: argparse.Namespace, audio: bool) -> None:
    """Refuses options of what is not scored."""
    given = _given(arguments, _PICTURES if audio else _RECORDINGS)
    if given:
        theirs, ours = ("pictures", "recordings") if audio else ("recordings", "pictures")
        raise ZooError(f"{given[0]} is an option of {theirs}, and here {ours} are scored; drop it")
    added = _given(arguments, {**_RECORDINGS, **{n: f"--{n}" for n in ("sigma", "noise", "seed")}})
    if arguments.pairs and added:
        raise ZooError(f"pairs bring their own noise; drop {added[0]}, or --pairs")


def _given(arguments: argparse.Namespace, options: dict[str, str]) -> list[str]:
    """Those of some options that were given."""
    return [told for name, told in options.items() if getattr(arguments, name) is not None]


def _progress(what: str, done: int, count: int) -> None:
    end = "\n" if done == count else ""
    print(f"\r{common.line(what)}: {done} of {count} ", end=end, file=sys.stderr, flush=True)

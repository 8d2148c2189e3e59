"""Puts published weights of a free license into the package, with their source and their notice.

    python tools/ship_published.py stream-b-48k fe_base_48k.bin --pairs VOICEBANK

They are stored in single precision, or where the table says so with their large tensors in half,
which must not move a figure by 0.01. PAIRS has folders `clean` and `noisy` of audio
files of the same names, on which they are scored as `zoo.denoise` has them, resampled there and
back; it needs the packages pesq and pystoi. Afterwards run `python tools/cards.py` and
`python tests/weights/embedded.py`, and read what they change.
"""

import argparse
import dataclasses
import hashlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import jax
import numpy as np

from zoo import denoise, metrics, models, weights
from zoo.data import audio_files
from zoo.errors import ZooError
from zoo.interop.torch import load_torch
from zoo.metrics import perceptual
from zoo.resolve import Resolved
from zoo.weights.weight_files import SHIPPED

_MIT = """Permission is hereby granted, free of charge, to any person obtaining a copy of this \
software and associated documentation files (the "Software"), to deal in the Software without \
restriction, including without limitation the rights to use, copy, modify, merge, publish, \
distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the \
Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or \
substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT \
NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND \
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, \
DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT \
OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE."""

_AUTHOR = "Copyright (c) 2025 AHN Sung Hwan"
_PORTED = "Copyright (c) 2025 fastenhancer-web contributors"
_OF_48K = {
    "options": {"norm": "merged"},
    "trained_on": "VCTK without p232 and p257, AI-Hub speech; DEMAND, WHAM, TUT and DNS noise",
    "terms": "those of each data set",
    "source": "FastEnhancer, github.com/aask1357/fastenhancer, via "
    "github.com/ryyr-ry/fastenhancer-web at 1bfc497df7a5",
    "notice": f"MIT License\n\n{_AUTHOR}\n{_PORTED}\n\n{_MIT}",
}
PUBLISHED = {
    "deepfilternet3": {
        "model": "deepfilternet3",
        "options": {"norm": "merged"},
        "half": True,
        "summary": "speech in noise, 48 kHz, 40 ms latency",
        "trained_on": "DNS4 speech and noise, without the speakers of the VoiceBank test set",
        "terms": "those of each source",
        "source": "DeepFilterNet, github.com/Rikorose/DeepFilterNet, via "
        "github.com/shimondoodkin/deepfilter-rt at f1a1b27",
        "notice": f"MIT License\n\nCopyright (c) 2021 Hendrik Schröter\n\n{_MIT}",
    },
    "stream-t-48k": _OF_48K
    | {
        "model": "stream-t-48k",
        "summary": "speech in noise, 48 kHz, 21 ms latency, for small processors",
    },
    "stream-b-48k": _OF_48K
    | {"model": "stream-b-48k", "summary": "speech in noise, 48 kHz, 21 ms latency"},
    "stream-s-48k": _OF_48K
    | {
        "model": "stream-s-48k",
        "summary": "speech in noise, 48 kHz, 21 ms latency; the default for audio",
    },
    "stream-t-published": {
        "model": "stream-t",
        "options": {"maps": "learned", "norm": "merged"},
        "summary": "speech in noise, 16 kHz, 32 ms latency, by FastEnhancer's authors",
        "trained_on": "not stated",
        "terms": "not stated",
        "source": "FastEnhancer, github.com/aask1357/fastenhancer, via "
        "github.com/kdrkdrkdr/fastenhancer.c.wasm at e69c3bf",
        "notice": f"MIT License\n\n{_AUTHOR}\n\n{_MIT}",
    },
    "ulunas": {
        "model": "ulunas",
        "options": {},
        "summary": "speech in noise, 16 kHz, 32 ms latency",
        "trained_on": "DNS3 speech and noise",
        "terms": "those of each source",
        "source": "UL-UNAS, github.com/Xiaobin-Rong/ul-unas at 00f7c70",
        "notice": f"MIT License\n\nCopyright (c) 2026 Xiaobin Rong\n\n{_MIT}",
    },
}
"""What is published of each, by the name it gets."""

# What half precision may cost of any figure, and the values of a tensor from which it is worth it.
MOST_LOST, LARGE = 0.01, 2**16
SET = "VoiceBank+DEMAND, 25 pairs"
_FIGURES = ("si_sdr", "pesq", "stoi")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=PUBLISHED, help="what `zoo.load` will call them")
    parser.add_argument("file", type=Path, help="as it was published")
    parser.add_argument("--pairs", type=Path, required=True, help="to score them on")
    arguments = parser.parse_args()
    try:
        print(ship(arguments.name, arguments.file, arguments.pairs))
    except ZooError as error:
        sys.exit(f"error: {error}")


def ship(name: str, file: Path, pairs: Path) -> str:
    """Writes the file; returns a line about it."""
    facts = PUBLISHED[name]
    model, options = facts["model"], facts["options"]
    module, spec = models.create_model(model, **options), models.model_spec(model, **options)
    variables = load_torch(model, file, **options)
    count = sum(x.size for x in jax.tree.leaves(variables["params"]))
    found = score(Resolved(module, variables, spec, name), pairs)
    half = facts.get("half", False)
    if half:
        whole, variables = found, jax.tree.map(halved, variables)
        coarse = jax.tree.map(lambda x: x.astype("float32"), variables)
        found = score(Resolved(module, coarse, spec, name), pairs)
        check_same(found["model"], whole["model"])
    record = {key: value for key, value in facts.items() if key != "half"} | {
        "name": name,
        "license": "MIT",
        "sha256": digest(file),
        "command": f"python tools/ship_published.py {name} {file.name} --pairs PAIRS",
        "contract": dataclasses.asdict(spec),
        "noise": {"name": "", "level": None, "options": {}, "unit": "1"},
        "parameters": count,
        "stored": f"float16 from {LARGE:,} values on, else float32" if half else "float32",
        "scores": {"benchmark": {SET: {"real": found}}},
    }
    target = SHIPPED / f"{name}.safetensors"
    weights.save(target, variables, record)
    reached = ", ".join(f"{key} {value:.3f}" for key, value in found["model"].items())
    return f"{target.name}: {count:,} parameters, {target.stat().st_size:,} bytes; {reached}"


def halved(x: jax.Array) -> jax.Array:
    """A tensor as it is stored in half precision."""
    return x.astype("float16") if x.size >= LARGE else x


def check_same(found: dict[str, float], wanted: dict[str, float]) -> None:
    """Raises where a figure moved by more than half precision may cost."""
    if moved := [key for key in wanted if abs(found[key] - wanted[key]) >= MOST_LOST]:
        raise ZooError(f"half precision moves {', '.join(moved)}: {found}, not {wanted}")


def digest(file: Path) -> str | dict[str, str]:
    """The SHA-256 of a published file, or of each where they come in parts."""
    if file.suffix != ".onnx":
        return hashlib.sha256(file.read_bytes()).hexdigest()
    parts = sorted(file.parent.glob(file.name.replace("enc.onnx", "*.onnx")))
    return {part.name: hashlib.sha256(part.read_bytes()).hexdigest() for part in parts}


def score(model: Resolved, pairs: Path) -> dict[str, dict[str, float]]:
    """Means over the pairs, of what the model makes of the noisy files and of these."""
    found = {"model": [], "noisy": []}
    for path in sorted((pairs / "noisy").iterdir()):
        rate = audio_files.info(path).sample_rate
        noisy, clean = (audio_files.read(one) for one in (path, pairs / "clean" / path.name))
        for method, heard in (("model", denoise(noisy, model, sample_rate=rate)), ("noisy", noisy)):
            found[method].append(figures(heard, clean, rate))
    return {
        method: dict(zip(_FIGURES, np.mean(rows, axis=0).tolist(), strict=True))
        for method, rows in found.items()
    }


def figures(heard: np.ndarray, clean: np.ndarray, rate: int) -> tuple[float, ...]:
    """Those of one audio signal, (T, C) floats."""
    si_sdr = float(metrics.si_sdr(heard[None], clean[None])[0])
    return si_sdr, perceptual.pesq(heard, clean, rate), perceptual.stoi(heard, clean, rate)


if __name__ == "__main__":
    main()

"""Mutated files of every kind are read right or refused in one line, in bounded memory and time.

A case follows from its number alone. To look at one again, with its file kept in `fuzz-failures/`:
`ZOO_FUZZ=NUMBER python -m pytest tests/hostile/test_fuzz.py`.
"""

import functools
import io
import json
import multiprocessing
import os
import random
import resource
import signal
import tempfile
import traceback
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from zoo import weights
from zoo.data import audio_files, pixels
from zoo.data.image_files import read_pages
from zoo.errors import ZooError
from zoo.interop.weight_readers import read_state
from zoo.train.config import check, default_config

# Of one case.
SECONDS = 10
BYTES = 3 * 2**30
KEPT = Path("fuzz-failures")


@functools.cache
def seeds():
    """Name of a kind to good bytes; all small, so that a mutation meets what matters."""
    rng = np.random.default_rng(0)
    color = Image.fromarray(rng.integers(0, 256, (20, 24, 3), np.uint8))
    found = {}
    for form in ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF"):
        out = io.BytesIO()
        color.save(out, form)
        found[form] = out.getvalue()
    stack = io.BytesIO()
    color.save(stack, "TIFF", save_all=True, append_images=[color], compression="tiff_lzw")
    found["stack"] = stack.getvalue()
    sound = 0.1 * rng.standard_normal((400, 2))
    for form in ("WAV", "FLAC", "OGG", "AIFF", "AU"):
        out = io.BytesIO()
        soundfile.write(out, sound, 16000, format=form)
        found[form] = out.getvalue()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "w.safetensors")
        options = {"widths": [1], "head": "linear", "size": [4, 4]}
        params = {
            "params": {
                "hidden0": {"kernel": np.ones((16, 1), np.float32), "bias": np.ones(1, np.float32)}
            }
        }
        weights.save(path, params, {"model": "mlp_autoencoder-mnist", "options": options})
        found["weights"] = path.read_bytes()
    torch = Path(__file__).parents[1] / "interop" / "files"
    for name in ("zip", "legacy"):
        found[name] = (torch / f"{name}.pth").read_bytes()
    found["config"] = json.dumps(_plain_keys()).encode()
    return found


def _plain_keys():
    return {
        "train.batch_size": 16,
        "train.steps": 4,
        "seed": 0,
        "noise.level": 25,
        "data.crop": [64, 64],
        "model.options": {"widths": [4, 8]},
        "optimizer.learning_rate": 0.001,
    }


def mutated(data, rng):
    """A few bytes, a length, an end or a stretch otherwise."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at, how = rng.randrange(len(data)), rng.randrange(6)
        if how == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif how == 1:
            data[at : at + 4] = rng.choice(
                (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\x80")
            )
        elif how == 2:
            del data[at + 1 :]
        elif how == 3:
            del data[at : at + rng.randrange(1, 64)]
        elif how == 4:
            data[at:at] = data[at : at + rng.randrange(1, 256)]
        else:
            # Most of what a header says stands at the front.
            data[rng.randrange(min(len(data), 64))] = rng.randrange(256)
        data = data or bytearray(1)
    return bytes(data)


def read(kind, path):
    """What a command does with a file; returns what came out, as something to count."""
    if kind == "config":
        return _configured(path)
    if kind == "weights":
        return weights.load(path)
    if kind in ("zip", "legacy"):
        return read_state(path)
    if kind in ("WAV", "FLAC", "OGG", "AIFF", "AU"):
        return _whole(audio_files.info(path).frames, audio_files.read(path))
    pages = read_pages(path)
    found = [page.image for page in pages]
    assert len(found) == len(pages), "pages are lost"
    for photo in found:
        pixels.check(photo, "a page")
    return found


def _configured(path):
    try:
        reported = json.loads(path.read_bytes())
        reported = reported if isinstance(reported, dict) else {}
    except ValueError:
        reported = {}
    config = default_config()
    for key, value in reported.items():
        try:
            given = tuple(value) if isinstance(value, list) else value
            config.update_from_flattened_dict({key: given})
        except (KeyError, TypeError, ValueError, AttributeError):
            continue  # ml_collections refuses it, and `main.py` says so
    check(config)


def _whole(frames, samples):
    assert len(samples) == frames, "samples are lost"
    return samples


def problem(number):
    """What is wrong with a case, empty for nothing; a failing file is kept."""
    kinds = sorted(seeds())
    kind = kinds[number % len(kinds)]
    data = mutated(seeds()[kind], random.Random(number))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"case.{'safetensors' if kind == 'weights' else kind.lower()}")
        path.write_bytes(data)
        try:
            signal.alarm(SECONDS)
            read(kind, path)
        except ZooError as error:
            reported = str(error)
            if "\n" not in reported and len(reported) < 1000:
                return ""
            fault = f"more than a line: {reported[:300]}"
        except BaseException as error:
            fault = "".join(traceback.format_exception(error))[-1500:]
        else:
            return ""
        finally:
            signal.alarm(0)
    KEPT.mkdir(exist_ok=True)
    kept = KEPT / f"{number}.{path.suffix[1:]}"
    kept.write_bytes(data)
    return f"case {number}, {kind}, kept as {kept}:\n{fault}"


def _limited():
    def late(*_):
        raise TimeoutError(f"not done after {SECONDS} s")

    signal.signal(signal.SIGALRM, late)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, resource.RLIM_INFINITY))


def _range(span):
    return [reported for number in range(*span) if (reported := problem(number))]


def run(first, count):
    """The problems of so many cases, from workers that a crash ends, and not the session."""
    context = multiprocessing.get_context("spawn")
    step = max(1, min(250, count // 2))
    spans = [(at, min(at + step, first + count)) for at in range(first, first + count, step)]
    with context.Pool(min(2, os.cpu_count() or 1), _limited, maxtasksperchild=20) as pool:
        # A worker that dies, or hangs in C, never answers.
        answers = [(span, pool.apply_async(_range, (span,))) for span in spans]
        found = []
        for span, answer in answers:
            try:
                found += answer.get(timeout=180)
            except multiprocessing.TimeoutError:
                found.append(f"a worker died or hung in cases {span[0]} to {span[1] - 1}")
                break
    return found


def test_a_few_mutated_files(monkeypatch, tmp_path):
    """In this process, whose libraries are loaded: some of every kind."""
    if one := os.environ.get("ZOO_FUZZ"):
        assert not problem(int(one))
        return
    monkeypatch.chdir(tmp_path)
    before = signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(TimeoutError()))
    try:
        problems = [reported for number in range(200) if (reported := problem(number))]
    finally:
        signal.signal(signal.SIGALRM, before)
    assert not problems, "\n\n".join(problems)


@pytest.mark.slow
def test_twenty_thousand_mutated_files():
    problems = run(1000, 20_000)
    assert not problems, f"{len(problems)} problems\n" + "\n\n".join(problems[:20])

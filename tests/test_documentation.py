"""README and the pages below `docs/`: each code block runs, each command line is one."""

import functools
import re
from pathlib import Path

import jax
import numpy as np
import pytest
import soundfile
import video_clips
import yaml
from document_blocks import PAGES, ROOT, blocks, commands, name_of, split, text_of
from PIL import Image
from safetensors.numpy import save_file

import zoo
from zoo import cli, weights
from zoo.cli.train import normalized
from zoo.evaluate.baselines import BASELINES
from zoo.models import registry
from zoo.noise import op_contract
from zoo.train.config import load_config

TRAINS = (
    'python3 -m venv .venv && . .venv/bin/activate && pip install -q ".[train]" && zoo train unet'
)
# What makes a block small, by page; a text that has gone from its page fails the test.
SMALLER = {
    "docs/getting-started.md": {
        "skimage.data.astronaut(), skimage": "skimage.data.astronaut()[:32, :32], skimage",
        "skimage.data.coffee()": "skimage.data.coffee()[:24, :32]",
        '"unet-tiny"': '"dncnn-color", depth=2, width=4',
        "steps=500": "steps=1, batch_size=2, crop=8, progress=False",
    },
    "docs/denoise.md": {"zoo.adapt(image)": "zoo.adapt(image, 'small.safetensors')"},
    "docs/models.md": {"ffdnet_gray.pth": "ffdnet_gray.safetensors"},
    "docs/noise.md": {"(4, 64, 64, 3)": "(4, 8, 8, 3)"},
    "docs/extending.md": {
        "(4, 64, 64, 3)": "(4, 8, 8, 3)",
        "widths=(32, 64, 128)": "widths=(2, 4)",
    },
    "docs/noisy-images-only.md": {
        '("camera", "coins")': '("camera",)',
        "[:256, :256, None]": "[:32, :32, None]",
        "in (25, 10)": "in (25,)",
        "zoo.adapt(noisy)": "zoo.adapt(noisy, small_model, variables=drawn)",
        "zoo.adapt(noisy, steps=300)": "zoo.adapt(noisy, small_model, variables=drawn, steps=1)",
        '"unet-small", channels=1': '"dncnn-gray", depth=2, width=4',
        "steps=2000": "steps=1, batch_size=2, crop=8, progress=False",
    },
}
CHEAP = ("docs/noise.md",)
RNG = np.random.default_rng(0)


def values(*shape):
    return RNG.random(shape, np.float32)


def given(page):
    """What the blocks of a page take for granted, such as the reader's own image."""
    match page:
        case "docs/denoise.md":
            image = values(32, 32, 3)
            model = zoo.create_model("ffdnet-color", depth=2, width=4)
            variables = model.init(jax.random.key(0), image[None], 0.1)
            record = {"model": "ffdnet-color", "options": {"depth": 2, "width": 4}}
            weights.save("small.safetensors", variables, record)
            return {"image": image, "other": image, "samples": values(800)}
        case "docs/science-files.md":
            zarr = pytest.importorskip("zarr")
            store = zarr.open_group("big.ome.zarr", mode="w")
            store.create_array("0", data=np.uint16(values(2, 48, 48) * 65535), chunks=(1, 48, 48))
        case "docs/models.md":
            return {"noisy": values(1, 16, 16, 1)}
        case "docs/audio.md":
            model = zoo.create_model("wiener")
            return {"model": model, "variables": {}, "chunk": values(1, 2 * model.hop, 1)}
        case "docs/noisy-images-only.md":
            model = zoo.create_model("ffdnet-gray", depth=2, width=4)
            noisy = jax.numpy.asarray(values(2, 16, 16, 1))
            images = np.uint16(noisy * 65535)
            variables = model.init(jax.random.key(0), noisy, 0.1)
            return {
                "keys": jax.random.split(jax.random.key(0), 2),
                "model": model,
                "variables": variables,
                "noisy_batch": noisy,
                "levels": jax.numpy.full(2, 0.1),
                "noisy_images": images,
                "image": images[0],
                "small_model": model,
                "drawn": variables,
            }
    return {}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The files that the pages name."""
    monkeypatch.chdir(tmp_path)
    for name in ("photo.jpg", "photo.png", "photos/a.png", "scans/a.png", "more/a.tif"):
        put(name, lambda path: Image.fromarray(np.uint8(values(32, 32, 3) * 255)).save(path))
    for name in ("stack.tif", "scan.tif", "cells.tif"):
        put(name, lambda path: Image.fromarray(np.uint16(values(32, 32) * 4095)).save(path))
    for name in ("talk.wav", "tape.wav", "street.wav", "talks/a.wav", "noisy.flac"):
        put(name, lambda path: soundfile.write(path, values(32_000) - 0.5, 16_000))
    put("interview.wav", lambda path: soundfile.write(path, values(16_000, 2) - 0.5, 16_000))
    for name in ("clip.mp4", "clip.mkv", "clips/a.mp4"):
        options = {"codec": "libx264", "form": "yuv420p", "sound": "aac"}
        put(name, lambda path, o=options: video_clips.write(path, video_clips.scene(), **o))
    ffdnet = {}
    for n in range(15):
        shape = (4 if n == 14 else 64, 5 if n == 0 else 64, 3, 3)
        ffdnet[f"model.{2 * n}.weight"] = values(*shape) / 100
        ffdnet[f"model.{2 * n}.bias"] = values(shape[0])
    save_file(ffdnet, "ffdnet_gray.safetensors")
    return tmp_path


@pytest.fixture
def registries():
    """Forgets what a page registers."""
    changed = (registry._CARDS, op_contract.OPS)
    before = [dict(one) for one in changed]
    yield
    for one, kept in zip(changed, before, strict=True):
        for name in {*one} - {*kept}:
            del one[name]


def put(name, write):
    path = Path(name)
    path.parent.mkdir(exist_ok=True, parents=True)
    write(path)


def pages_with(language):
    return [
        pytest.param(page, marks=[] if name_of(page) in CHEAP else pytest.mark.matrix)
        for page in PAGES
        if blocks(page, language)
    ]


@pytest.mark.parametrize("page", pages_with("python"), ids=name_of)
@pytest.mark.usefixtures("folder", "registries")
def test_python_blocks_run(page):
    """In their order, with what came before, as a reader would run them."""
    names, smaller = given(name_of(page)), SMALLER.get(name_of(page), {})
    found = "\n".join(blocks(page, "python"))
    assert [text for text in smaller if text not in found] == []
    for text, replacement in smaller.items():
        found = found.replace(text, replacement)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        exec(compile(found, page, "exec"), names)


def checked(words):
    """Raises where a command of a page is none."""
    match words:
        case ["zoo", "train", *rest]:
            parsed = parse("train", *rest)
            (spec,) = parsed.spec
            name = spec.partition(":")[0]
            if not name.startswith("my_") and name != "CONFIG":
                load_config(spec, parsed.set)
        case ["zoo", "score", *rest]:
            for model in parse("score", *rest).models:
                known(model)
        case ["zoo", command, *rest]:
            parsed = parse(command, *rest)
            if command == "denoise" and parsed.model:
                known(parsed.model)
        case ["python", "-m", *rest]:
            paths = [word for word in rest if word.startswith("tests/")]
            assert all((ROOT / path).exists() for path in paths), paths
        case ["python", "main.py", *rest]:
            checked(["zoo", "train", *rest])
        case ["python", script, *rest]:
            options = {word.partition("=")[0] for word in rest if word.startswith("--")}
            assert options <= options_of(ROOT / script), (script, options)


def parse(command, *arguments):
    argv = [command, *arguments]
    argv = normalized(argv) if command == "train" else argv
    parsed = cli._parser(argv).parse_args(argv)
    if command == "train" and parsed.config:
        parsed.spec = [parsed.config]
    return parsed


def known(model):
    name = model.partition("=")[0]
    names = {*zoo.list_models(), *zoo.list_weights(), *BASELINES}
    assert name in names or name.endswith(".safetensors"), name


@functools.cache
def options_of(script):
    """Each `--option` that a script states, in its own text or in that of its package."""
    packages = [script.parent / name for name in ("harness", "accelerated", "peers")]
    files = [script, *(file for package in packages for file in package.glob("*.py"))]
    return {option for file in files for option in re.findall(r'"(--[\w-]+)"', file.read_text())}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_parse(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    for words in commands(page):
        try:
            checked(words)
        except (Exception, SystemExit) as error:
            pytest.fail(f"{' '.join(words)}: {error or type(error)}")
    foreign = set(re.findall(r"^```(\w*)", text_of(page), re.MULTILINE)) - {"", "bash", "python"}
    assert not foreign, "blocks of other languages are run by no test"


def runs(words):
    """Whether a command is one that takes seconds on a small file."""
    match words:
        case ["zoo", "denoise", "-", *_]:
            return False
        case ["zoo", "denoise" | "noise" | "info" | "models" | "weights", *rest]:
            return not {"NAME", "--from-run", "--adapt", "--adapted"} & set(rest)
    return False


@pytest.mark.matrix
@pytest.mark.parametrize(
    "page", ["README.md", "docs/getting-started.md", "docs/denoise.md", "docs/noise.md"]
)
def test_commands_on_files_run(page, folder, capsys):
    """In their order, in a folder with the files that they name."""
    options = {"depth": 2, "width": 4}
    model = zoo.create_model("dncnn-color", **options)
    variables = model.init(jax.random.key(0), values(1, 16, 16, 3))
    record = {"model": "dncnn-color", "options": options}
    put("runs/unet/weights.safetensors", lambda path: weights.save(path, variables, record))
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        for _, *argv in filter(runs, commands(ROOT / page)):
            again = ["--overwrite"] if argv[0] in ("denoise", "noise") else []
            assert cli.main([*argv, *again]) == 0, (argv, capsys.readouterr().err)
    outputs = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    for named in re.findall(r"# writes (\S+\.\w+)", text_of(ROOT / page)):
        assert named in outputs


def test_the_readme_is_short_and_keeps_the_line_that_trains():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 120
    assert f"```bash\n{TRAINS}\n```" in text


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"])
def test_links_lead_to_files(name):
    """Those of the site are checked where it is built."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / name).read_text())
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_one_version_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == zoo.__version__
    assert f"\n## {zoo.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_a_wrong_command_is_found():
    for line in (
        "zoo denoise --sigmoid 3 a.png",
        "zoo train unet --noise.lvel=3",
        "zoo trian unet",
    ):
        with pytest.raises((SystemExit, zoo.ZooError)):
            checked(split(line)[0])
    with pytest.raises(AssertionError):
        checked(["python", "benchmarks/noise.py", "--no-such-option"])
    assert split("A=1 zoo info - < a > b | cat && zoo models") == [
        ["zoo", "info", "-"],
        ["cat"],
        ["zoo", "models"],
    ]

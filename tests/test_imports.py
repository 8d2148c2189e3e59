"""The layers of CONTRIBUTING.md: who imports whom, and who needs which library."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = {
    *("tensorflow", "tensorflow_datasets", "grain", "matplotlib", "ml_collections", "orbax"),
    *("safetensors", "h5py", "imagecodecs", "skimage"),
    *("soundfile", "soxr", "pesq", "pystoi"),
}


def floors():
    """Room to floor, as the table in CONTRIBUTING.md has it; rooms are dotted module names."""
    found = {}
    for line in (ROOT / "CONTRIBUTING.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) > 3 and cells[1].isdigit():
            for room in cells[2].split(","):
                path = room.strip(" `").removesuffix("/").removesuffix(".py")
                found[path.replace("/", ".")] = int(cells[1])
    return found


def room_of(module, rooms):
    """The room a dotted name lives in: the longest that is a prefix of it; None outside."""
    fitting = [room for room in rooms if f"{module}.".startswith(f"{room}.")]
    return max(fitting, key=len, default=None)


def modules():
    for path in [ROOT / "main.py", *ROOT.glob("benchmarks/**/*.py"), *ROOT.glob("zoo/**/*.py")]:
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield path, ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path):
    """The dotted names a file imports, those inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides where it leads"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_the_table_names_the_house():
    rooms = floors()
    assert rooms["zoo.errors"] == 0
    assert rooms["main"] == max(rooms.values())
    homeless = [module for _, module in modules() if module != "zoo" and not room_of(module, rooms)]
    assert not homeless
    for room in rooms:
        path = ROOT / room.replace(".", "/")
        assert path.is_dir() or path.with_suffix(".py").is_file() or room == "benchmarks", room


def test_a_room_imports_only_from_the_floors_below():
    rooms, wrong = floors(), []
    for path, module in modules():
        here = room_of(module, rooms)
        for name in imported(path):
            there = room_of(name, rooms)
            if here and there and here != there and rooms[there] >= rooms[here]:
                wrong.append(f"{module} imports {name}")
    assert not wrong


def test_the_test_would_notice():
    rooms = floors()
    assert room_of("zoo.train.step", rooms) == "zoo.train"
    assert room_of("zoo.weights.load", rooms) == "zoo.weights"
    assert room_of("zoo.weightsy", rooms) is None
    assert rooms["zoo.train"] > rooms["zoo.evaluate"] > rooms["zoo.models"] > rooms["zoo.data"]


@pytest.mark.parametrize(
    "module",
    [
        "zoo",
        "zoo.noise, zoo.models, zoo.losses, zoo.metrics, zoo.spectral, zoo.train.step",
        "zoo.inference",
    ],
)
def test_the_pure_parts_need_no_heavy_library(module):
    code = f"import sys, {module}; print(*{{name.split('.')[0] for name in sys.modules}})"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not HEAVY & set(done.stdout.split())


@pytest.mark.parametrize(
    ("start", "absent"),
    [
        ("import zoo", {"jax", "flax", "numpy"}),
        ("from zoo import cli; cli.main(['--help'])", {"jax", "flax", "numpy"}),
        *(
            (f"from zoo import cli; cli.main(['{name}', '--help'])", {"jax", "flax"})
            for name in ("denoise", "noise", "info")
        ),
    ],
)
def test_nothing_waits_for_jax_that_does_not_need_it(start, absent):
    code = f"import atexit, sys\natexit.register(lambda: print(*sys.modules))\n{start}"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not absent & set(done.stdout.split())


def test_public_names_are_there_at_their_first_use():
    import zoo

    assert {*zoo.__all__} <= {*dir(zoo)}
    assert all(getattr(zoo, name) is not None for name in zoo.__all__)
    with pytest.raises(AttributeError, match="module 'zoo' has no attribute 'nose'"):
        zoo.nose


def test_continuous_integration_names_files_that_exist():
    """It runs them after many minutes."""
    text = (ROOT / ".ci" / "run").read_text()
    paths = re.findall(r"(?:tests|tools|configs)/[\w/]+\.py", text)
    assert len(paths) > 10
    assert [path for path in paths if not (ROOT / path).exists()] == []

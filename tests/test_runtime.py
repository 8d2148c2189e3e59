"""The cache of compiled programs (its folder, its results, damage to it), and memory kept."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest

from zoo import runtime

ROOT = Path(__file__).parents[1]

# Trains a little network for three steps; prints the folder, hits, misses and what came of it.
TRAIN = """
from zoo import runtime
folder = runtime.cache_programs()
import hashlib, jax, jax.numpy as jnp
counts = {"cache_hits": 0, "cache_misses": 0}
def count(event, **_):
    name = event.rsplit("/", 1)[-1]
    counts[name] = counts.get(name, 0) + 1
jax.monitoring.register_event_listener(count)
def network(params, x):
    for kernel in params:
        x = jax.lax.conv_general_dilated(
            jax.nn.gelu(x), kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
    return x
@jax.jit
def step(params, key):
    x = jax.random.normal(key, (4, 16, 16, 3))
    loss = lambda p: jnp.mean(jnp.square(network(p, x) - 0.5))
    return jax.tree.map(lambda p, g: p - 0.1 * g, params, jax.grad(loss)(params))
shapes = [(3, 3, 3, 8), (3, 3, 8, 3)]
params = [0.1 * jax.random.normal(jax.random.key(i), shape) for i, shape in enumerate(shapes)]
for i in range(3):
    params = step(params, jax.random.key(i))
leaves = b"".join(jax.device_get(x).tobytes() for x in params)
print(folder, counts["cache_hits"], counts["cache_misses"], hashlib.sha256(leaves).hexdigest())
"""

TWICE = """
import resource, sys
from zoo import runtime
if sys.argv[1] == "keep":
    assert runtime.keep_memory()
import numpy as np

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(2**24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(faults())
"""


def environment(**more):
    """This session's, with the cache not switched off, and no more devices than one.

    Fast tests compile with few optimizations here too; the slow one runs as users do.
    """
    few = "JAX_DISABLE_MOST_OPTIMIZATIONS"
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "XLA_")) or k == few}
    return {**kept, "JAX_PLATFORMS": "cpu", **more}


def train(code=TRAIN, **more):
    command = [sys.executable, "-W", "default::UserWarning", "-c", code]
    done = subprocess.run(
        command, env=environment(**more), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    folder, hits, misses, digest = done.stdout.split()
    return folder, int(hits), int(misses), digest


def entries(cache):
    return sorted(cache.rglob("*-cache"))


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    cache = tmp_path_factory.mktemp("filled")
    return cache, train(XDG_CACHE_HOME=str(cache))


@pytest.mark.matrix
def test_what_comes_from_the_cache_trains_bit_for_bit_the_same(filled):
    cache, (folder, hits, misses, digest) = filled
    assert Path(folder).is_relative_to(cache / "denoising-zoo")
    assert hits == 0
    assert misses >= 2
    before = entries(cache)
    assert len(before) == misses
    _, again, missed, same = train(XDG_CACHE_HOME=str(cache))
    assert (again, missed, same) == (misses, 0, digest)
    assert entries(cache) == before
    other = cache / "other"
    off = train(XDG_CACHE_HOME=str(other), JAX_ENABLE_COMPILATION_CACHE="false")
    assert (off[0], off[-1]) == ("None", digest)
    assert not other.exists()


def copied(filled, tmp_path):
    cache = tmp_path / "cache"
    shutil.copytree(filled[0], cache)
    return cache


@pytest.mark.matrix
def test_damaged_entries_are_compiled_again_silently_and_removed(filled, tmp_path):
    cache = copied(filled, tmp_path)
    for i, path in enumerate(entries(cache)):
        data = path.read_bytes()
        middle = len(data) // 2
        halved, scrambled = data[:middle], data[:middle] + bytes(64) + data[middle + 64 :]
        path.write_bytes([halved, b"", scrambled][i % 3])
    _, hits, misses, digest = train(XDG_CACHE_HOME=str(cache))
    assert (hits, misses, digest) == (0, *filled[1][2:])
    assert train(XDG_CACHE_HOME=str(cache))[1] == misses


@pytest.mark.matrix
def test_damage_that_happens_while_the_process_runs_is_silent_too(filled, tmp_path):
    cache = copied(filled, tmp_path)
    spoil = f"""
from pathlib import Path
for path in Path({str(cache)!r}).rglob("*-cache"):
    path.write_bytes(path.read_bytes()[:100])"""
    code = TRAIN.replace("\nimport hashlib,", f"{spoil}\nimport hashlib,", 1)
    *_, digest = train(code, XDG_CACHE_HOME=str(cache))
    assert digest == filled[1][3]


@pytest.mark.matrix
def test_two_processes_at_once(filled, tmp_path):
    command = [sys.executable, "-c", TRAIN]
    together = [
        subprocess.Popen(
            command,
            env=environment(XDG_CACHE_HOME=str(tmp_path)),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in together:
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        assert not errors
        assert output.split()[-1] == filled[1][3]
    assert train(XDG_CACHE_HOME=str(tmp_path))[1:] == (filled[1][2], 0, filled[1][3])


@pytest.fixture
def enabled(monkeypatch):
    """Switches the cache on in this process, as in one whose environment is the one given.

    Nothing is compiled meanwhile, and after the test JAX is as it was.
    """
    names = ("jax_enable_compilation_cache", "jax_compilation_cache_dir")
    names += ("jax_persistent_cache_min_compile_time_secs",)
    before = {name: getattr(jax.config, name) for name in names}

    def enable(**named):
        jax.config.update("jax_enable_compilation_cache", True)
        jax.config.update("jax_compilation_cache_dir", None)
        for name, value in named.items():
            monkeypatch.setenv(name, value)
        folder = runtime.cache_programs()
        configured = jax.config.jax_compilation_cache_dir
        assert configured == (None if folder is None else str(folder))
        return folder

    yield enable
    for name, value in before.items():
        jax.config.update(name, value)


def test_the_home_is_used_where_xdg_names_nothing_or_no_absolute_path(enabled, tmp_path):
    for named in ("", "relative/path"):
        folder = enabled(HOME=str(tmp_path), XDG_CACHE_HOME=named)
        assert folder.is_relative_to(tmp_path / ".cache" / "denoising-zoo")


def test_no_folder_no_cache(enabled, tmp_path):
    file = tmp_path / "file"
    file.touch()
    assert enabled(XDG_CACHE_HOME=str(file)) is None
    assert enabled(XDG_CACHE_HOME="", HOME=str(file)) is None


def test_a_folder_that_others_may_write_is_not_trusted(enabled, tmp_path):
    folder = enabled(XDG_CACHE_HOME=str(tmp_path))
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    assert enabled(XDG_CACHE_HOME=str(tmp_path)) is None


def printed(code, **more):
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, env=environment(**more), cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def test_a_folder_configured_in_jax_takes_precedence(tmp_path):
    ours, theirs = str(tmp_path / "ours"), str(tmp_path / "theirs")
    code = "from zoo import runtime; print(runtime.cache_programs()); import jax; "
    code += "print(jax.config.jax_compilation_cache_dir)"
    found = printed(code, XDG_CACHE_HOME=ours, JAX_COMPILATION_CACHE_DIR=theirs)
    assert found == ["None", theirs]
    assert not Path(ours).exists()


def test_importing_zoo_changes_nothing(tmp_path):
    code = "import zoo, zoo.train.loop, jax; print(jax.config.jax_compilation_cache_dir)"
    assert printed(code, XDG_CACHE_HOME=str(tmp_path)) == ["None"]
    assert not list(tmp_path.iterdir())


def test_above_the_limit_what_was_not_used_for_longest_goes(tmp_path):
    now = time.time()
    for age in range(8):
        path = tmp_path / f"jit_{age}-cache"
        path.write_bytes(bytes(100))
        os.utime(path, (now - 1000 * age, now - 1e6))
    (tmp_path / "other").write_bytes(bytes(10**4))
    runtime._drop_oldest(tmp_path, 800)
    assert len(entries(tmp_path)) == 8
    runtime._drop_oldest(tmp_path, 700)
    assert {p.name for p in entries(tmp_path)} == {f"jit_{age}-cache" for age in range(5)}
    assert (tmp_path / "other").exists()


@pytest.mark.slow
def test_a_run_of_main_is_bit_for_bit_the_same_from_the_cache(tmp_path):
    from safetensors.numpy import load_file

    flags = [
        "--config=configs/unet.py",
        "--config.model.name=unet-tiny",
        "--config.data.crop=(16,16)",
        "--config.train.steps=8",
        "--config.log.every=4",
        "--config.validation.limit=1",
        "--config.eval.limit=1",
        "--config.eval.baselines=()",
    ]
    settings = {
        "cold": {"XDG_CACHE_HOME": str(tmp_path)},
        "warm": {"XDG_CACHE_HOME": str(tmp_path)},
        "without": {"JAX_ENABLE_COMPILATION_CACHE": "false"},
    }
    found = {}
    for kind, more in settings.items():
        workdir = tmp_path / kind
        command = [sys.executable, "main.py", *flags, f"--workdir={workdir}"]
        subprocess.run(
            command, cwd=ROOT, env=environment(**more), check=True, capture_output=True, timeout=300
        )
        lines = (workdir / "metrics.jsonl").read_text().splitlines()
        # All but the time it took.
        metrics = [json.loads(line) | {"seconds": None} for line in lines]
        weights = load_file(workdir / "weights.safetensors")
        found[kind] = metrics, {name: value.tobytes() for name, value in weights.items()}
        if kind == "cold":
            compiled = entries(tmp_path)
    assert entries(tmp_path) == compiled != []
    for kind in ("warm", "without"):
        assert found[kind][0] == found["cold"][0]
        assert all(found[kind][1][name] == value for name, value in found["cold"][1].items())


def test_this_session_keeps_out_of_the_home():
    assert runtime.cache_programs() is None


@pytest.mark.skipif(sys.platform != "linux", reason="other systems' C libraries are left alone")
def test_a_block_taken_again_is_not_cleared_again():
    def faults(how):
        command = [sys.executable, "-c", TWICE, how]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert faults("keep") < 100 < faults("leave")

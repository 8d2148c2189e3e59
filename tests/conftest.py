"""The strictest session JAX offers, on two fake devices; CI runs some of it on eight."""

import os

os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Nothing a test starts may write to the home, nor find there what an earlier session compiled.
os.environ.setdefault("JAX_ENABLE_COMPILATION_CACHE", "false")
# A test compiles for longer than it computes. CI runs the slow ones fully optimized.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "true")

import gc
import shutil
import sys
from pathlib import Path

import jax
import pytest

# The processes that tests start would each compile the package's sources.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# Tracing makes millions of small objects; to look through them as often as Python does by default
# takes a tenth of the session.
gc.set_threshold(20_000, 20, 50)

# A compiled program has tens of memory mappings. Linux allows a process 65,530, and XLA's compiler
# ends it there by a segmentation fault.
_MOST_MAPPINGS = 30_000


@pytest.fixture(scope="module", autouse=True)
def few_programs():
    """Drops the compiled programs of the modules before, once they are many."""
    yield
    mappings = Path("/proc/self/maps")
    if mappings.exists() and mappings.read_bytes().count(b"\n") > _MOST_MAPPINGS:
        jax.clear_caches()


@pytest.fixture(scope="session")
def zoo_data() -> Path:
    """The folder of real data named by ZOO_DATA; the test is skipped without it."""
    folder = os.environ.get("ZOO_DATA")
    if not folder:
        pytest.skip("set ZOO_DATA to the folder with the real data sets to run this test")
    return Path(folder)


@pytest.fixture(scope="session")
def programs(tmp_path_factory) -> Path:
    """A folder that all workers share, where processes keep their compiled programs."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "programs"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def browser():
    """The system's Chromium, driven by Playwright; the test is skipped where one is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip("there is no chromium here; install it to open the pages in it")
    # As root, which continuous integration often is, Chromium runs only without its sandbox.
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=flags)
        yield browser
        browser.close()


def pytest_ignore_collect(collection_path, config):
    """Leaves out folders of `tools` alone where that marker is: to import them takes seconds."""
    folders = [Path(__file__).with_name(name) for name in ("benchmarks", "tools")]
    return True if "not tools" in config.option.markexpr and collection_path in folders else None


def pytest_collection_modifyitems(items):
    """What takes longest comes first: at the end of the order one worker would wait for it."""
    items.sort(key=lambda item: item.path.name != "test_resume.py")

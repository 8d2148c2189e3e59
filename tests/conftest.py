"""The strictest session JAX offers, on eight fake devices."""

import os

os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=8")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Nothing a test starts may write to the home, nor find there what an earlier session compiled.
os.environ.setdefault("JAX_ENABLE_COMPILATION_CACHE", "false")

from pathlib import Path

import jax
import pytest

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="session")
def zoo_data() -> Path:
    """The folder of real data named by ZOO_DATA; the test is skipped without it."""
    folder = os.environ.get("ZOO_DATA")
    if not folder:
        pytest.skip("set ZOO_DATA to the folder with the real data sets to run this test")
    return Path(folder)

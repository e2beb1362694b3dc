"""What all tests share, those in docstrings included."""

import gc
from pathlib import Path

import jax
import pytest

ROOT = Path(__file__).parent
MANY = 30_000
"""Memory mappings; Linux allows a process 65,530, and XLA crashes when there are no more."""


def pytest_configure(config):
    """Share compiled functions among the processes of a run, and keep them for the next one."""
    jax.config.update("jax_compilation_cache_dir", str(ROOT / ".jax_cache"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


@pytest.fixture(autouse=True, scope="module")
def forget_compiled_functions():
    """Drop compiled functions, each of which holds some memory mappings, when there are many."""
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and len(maps.read_text().splitlines()) > MANY:
        jax.clear_caches()
        gc.collect()

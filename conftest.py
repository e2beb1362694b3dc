"""What all tests share, those in docstrings included."""

import gc
from pathlib import Path

import jax
import pytest

MANY = 30_000
"""Memory mappings; Linux allows a process 65,530, and XLA crashes when there are no more."""


@pytest.fixture(autouse=True, scope="module")
def forget_compiled_functions():
    """Drop compiled functions, each of which holds some memory mappings, when there are many."""
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and len(maps.read_text().splitlines()) > MANY:
        jax.clear_caches()
        gc.collect()

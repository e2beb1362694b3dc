"""What all tests share, those in docstrings included."""

import gc
import os
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent
QUICKLY = "--xla_backend_optimization_level=0"
"""Most of the time of the tests is compilation, and what they compile runs on little data: without optimisation it takes a
third less. The slow tests compile as users do."""
QUICKER = "--xla_cpu_use_fusion_emitters=false"
"""Quicker still, up to version 0.10 of JAX; later ones do not know the flag, and end the process."""
COARSE = 64
"""Data of up to so many people, lanes and trials are padded to the next power of two, so that tests share what is compiled.
The slow tests, and those of the layout, round sizes as users do."""
MANY = 45_000
"""Memory mappings; Linux allows a process 65,530, and XLA crashes when there are no more."""
OFTEN = 10
"""Number of tests of a file after which memory mappings are counted."""
DONE = pytest.StashKey[int]()


# Pages of the browser whose doctests cannot be looked for without Streamlit, which an extra brings.
collect_ignore = (
    []
    if find_spec("streamlit")
    else [f"src/pyem/cli/browser/{name}.py" for name in ("data_page", "fit_page", "page", "results_page", "state")]
)


def pytest_configure(config):
    """Compile quickly, share compiled functions among the processes of a run, and keep them for the next one."""
    quickly = "slow" not in config.option.markexpr.replace("not slow", "")
    if quickly:
        # Before JAX is first used, and for the processes that tests start.
        known = tuple(map(int, version("jaxlib").split(".")[:2])) < (0, 11)
        os.environ["XLA_FLAGS"] = f"{QUICKLY} {QUICKER if known else ''} {os.environ.get('XLA_FLAGS', '')}"
    import jax

    jax.config.update("jax_compilation_cache_dir", str(ROOT / ".jax_cache"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    if quickly:
        from pyem.engine import layout

        layout.COARSE = COARSE
    # What is traced makes many objects that live long; to look at them all again and again takes longer than to keep some.
    gc.set_threshold(50_000, 20, 20)


def pytest_collection_finish():
    """What is there before the first test stays to the end."""
    gc.collect()
    gc.freeze()


def pytest_runtest_teardown(item, nextitem):
    """Drop compiled functions, each of which holds some memory mappings, when there are many.

    To count them takes milliseconds, so that it is done after each file and after some tests of a long one.
    """
    done = item.session.stash[DONE] = item.session.stash.get(DONE, 0) + 1
    if done % OFTEN and nextitem is not None and nextitem.path == item.path:
        return
    maps = Path("/proc/self/maps")
    import jax

    if maps.exists() and len(maps.read_text().splitlines()) > MANY:
        jax.clear_caches()
        gc.collect()

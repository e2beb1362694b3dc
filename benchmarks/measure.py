"""Timing in this process and in fresh ones."""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def best(function: Callable[[], object], repeats: int = 5) -> float:
    """Shortest of several warm runs, in seconds."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def fresh(code: str, **environment: str) -> dict:
    """Run `code` in a new process without any compilation cache; it prints a JSON object on its last line."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "PYEM_"))}
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=kept | {"PYTHONPATH": paths} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.strip().splitlines()[-1])


def median_fresh(code: str, key: str, repeats: int = 5, **environment: str) -> float:
    """Median of one number of several fresh runs."""
    return statistics.median(fresh(code, **environment)[key] for _ in range(repeats))


def peak_memory() -> float:
    """Largest resident memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def machine() -> str:
    """Processor, cores, and versions."""
    import jax

    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"{model}, {cores} cores, Python {platform.python_version()}, JAX {jax.__version__} on {jax.default_backend()}"
    )


def row(work: str, measured: str, aim: str) -> None:
    """One line of a Markdown table."""
    print(f"| {work} | {measured} | {aim} |", flush=True)


def real_people() -> Any:
    """The probabilistic selection task of Pedersen and Frank (2020) as a `Dataset`; None if it is not beside the checkout."""
    import pyem

    path = ROOT.parent / "shared" / "data" / "pst_pedersen2020.csv"
    if not path.exists():
        return None
    columns = {"choice": "response", "reward": "feedback"}
    return pyem.Dataset.read(path, subject="subj_idx", block="split_by", columns=columns)


def shown(values: list[float], digits: int = 3) -> str:
    """Numbers in one cell."""
    return ", ".join(f"{value:.{digits}f}" for value in values)

"""People integrated out exactly: time beside the Laplace approximation, warm and in fresh processes, and memory.

Processor time of warm fits is the least of several, which alternate. The table of costs in docs/exact.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pyem
from benchmarks.measure import fresh, row

ROUNDS = 7
SIZES: dict[str, tuple[str, dict[str, Any], tuple[str, str, str]]] = {
    "40 x 96 x 2": ("rw1a1b", {"subjects": 40, "blocks": 4, "trials": 24}, ("", ".15", ".6")),
    "100 x 96 x 2": ("rw1a1b", {"subjects": 100, "blocks": 4, "trials": 24}, ("", "4 times Laplace", "")),
    "97 x 100 x 3": ("rw_forget", {"subjects": 97, "blocks": 4, "trials": 25, "missed": 0.05}, ("", "", "1.5")),
    "40 x 240 x 5": ("rw4a1b", {"subjects": 40, "blocks": 4, "trials": 60}, ("", "", "10")),
}
COLD = """
import json, time, warnings
import pyem
warnings.simplefilter("ignore", pyem.FitWarning)
model = pyem.models.get("{model}")
data = pyem.simulate(model, key=1, **{design})
wall, clock = time.perf_counter(), time.process_time()
pyem.fit_bayes(model, data, key=1)
print(json.dumps({{"wall": time.perf_counter() - wall, "clock": time.process_time() - clock}}))
"""
LARGE = """
import json, time, warnings
import pyem
from benchmarks.measure import peak_memory
warnings.simplefilter("ignore", pyem.FitWarning)
model = pyem.models.get("rw1a1b")
data = pyem.simulate(model, key=1, subjects=20_000, blocks=4, trials=24)
out = {}
for run in ("cold", "warm"):
    wall, clock = time.perf_counter(), time.process_time()
    pyem.fit_em(model, data, integrate="exact")
    out[run] = [time.perf_counter() - wall, time.process_time() - clock]
print(json.dumps(out | {"GiB": peak_memory() / 1024}))
"""


def fits(name: str, design: dict[str, Any]) -> dict[str, Callable[[], object]]:
    """Fits of one data set."""
    model = pyem.models.get(name)
    data = pyem.simulate(model, key=1, **design)
    return {
        "EM, Laplace": lambda: pyem.fit_em(model, data),
        "EM, exact": lambda: pyem.fit_em(model, data, integrate="exact"),
        "fit_bayes": lambda: pyem.fit_bayes(model, data, key=1),
    }


def least(every: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Least processor time of each, of runs that alternate, once compiled."""
    times: dict[str, list[float]] = {title: [] for title in every}
    for k in range(ROUNDS + 1):
        for title, run in every.items():
            clock = time.process_time()
            run()
            if k:
                times[title].append(time.process_time() - clock)
    return {title: min(some) for title, some in times.items()}


def main() -> None:
    """All rows."""
    for size, (name, design, aims) in SIZES.items():
        found = least(fits(name, design))
        for (title, seconds), aim in zip(found.items(), aims, strict=True):
            row(f"{size} ({name}): {title}, processor seconds, warm", f"{seconds:.2f}", aim)
    for size, aim in (("100 x 96 x 2", "4"), ("97 x 100 x 3", "6")):
        name, design, _ = SIZES[size]
        run = fresh(COLD.format(model=name, design=design))
        row(
            f"{size}: first fit_bayes of a process, seconds (processor)", f"{run['wall']:.1f} ({run['clock']:.1f})", aim
        )
    run = fresh(LARGE)
    times = "; ".join(f"{run[k][0]:.1f} ({run[k][1]:.1f}) {k}" for k in ("cold", "warm"))
    row("20,000 x 96 x 2: EM, exact, seconds (processor); memory", f"{times}; {run['GiB']:.2f} GiB", "20; 1.5 GiB")


if __name__ == "__main__":
    main()

"""The core: engine, hierarchical EM, import, command line."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import pyem
from benchmarks.measure import ROOT, best, fresh, median_fresh, row
from pyem.engine.evaluate import value_grad_hess

C_LOOP = r"""
#include <math.h>
void log_lik(const int *choice, const double *reward, const double *x, double *out, int subjects, int trials) {
  for (int s = 0; s < subjects; s++) {
    double beta = 20 / (1 + exp(-x[2 * s])), alpha = 1 / (1 + exp(-x[2 * s + 1]));
    double q[2] = {0.5, 0.5}, total = 0;
    for (int t = 0; t < trials; t++) {
      int c = choice[s * trials + t];
      double gap = beta * (q[1 - c] - q[c]);
      total -= log1p(exp(gap));
      q[c] += alpha * (reward[s * trials + t] - q[c]);
    }
    out[s] = total;
  }
}
"""

README = """
import json, time
start = time.perf_counter()
import pyem
model = pyem.models.get("rw1a1b")
data = pyem.simulate(model, subjects=100, blocks=4, trials=24, key=1)
before = time.perf_counter()
fit = pyem.fit_em(model, data)
fit.group_table()
end = time.perf_counter()
warm = []
for _ in range(20):
    t = time.perf_counter()
    pyem.fit_em(model, data)
    warm.append(time.perf_counter() - t)
print(json.dumps({"total": end - start, "fit": end - before, "warm": min(warm)}))
"""

IMPORT = "import json, time; t = time.perf_counter(); import {}; print(json.dumps({{'s': time.perf_counter() - t}}))"

LARGE = """
import json, time
import numpy as np
import pyem
from benchmarks.measure import peak_memory
model = pyem.models.get("rw1a1b")
data = pyem.simulate(model, subjects={subjects}, trials=96, key=0)
fit = lambda: pyem.fit_em(model, data, tol=1e-6, standard_errors=False)
t = time.perf_counter(); fit(); cold = time.perf_counter() - t
t = time.perf_counter(); done = fit(); warm = time.perf_counter() - t
t = time.perf_counter(); pyem.fit_em(model, data, tol=1e-6); errors = time.perf_counter() - t
print(json.dumps({{"cold": cold, "warm": warm, "errors": errors, "MiB": peak_memory(), "n": len(done.trace["change"])}}))
"""


def c_seconds(data: pyem.Dataset, x: np.ndarray) -> tuple[float, np.ndarray]:
    """Seconds of one pass of a bare C loop for the value alone, on one core, and its values."""
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "loop.c"), Path(folder, "loop.so")
        source.write_text(C_LOOP)
        flags = ["-O3", "-march=native", "-ffast-math", "-shared", "-fPIC"]
        subprocess.run(["cc", *flags, "-o", library, source, "-lm"], check=True)
        loop = ctypes.CDLL(str(library)).log_lik
        choice = np.ascontiguousarray(data.fields["choice"].T, np.int32)
        reward = np.ascontiguousarray(data.fields["reward"].T, float)
        x, out = np.ascontiguousarray(x, float), np.empty(len(x))
        pointers = [a.ctypes.data_as(ctypes.c_void_p) for a in (choice, reward, x, out)]
        return best(lambda: loop(*pointers, *map(ctypes.c_int, choice.shape))), out


def engine(subjects: int = 20_000) -> None:
    """Nanoseconds a trial of value, gradient and Hessian, beside the C loop."""
    model = pyem.models.get("rw1a1b")
    data = pyem.simulate(model, subjects=subjects, trials=96, key=0)
    c, values = c_seconds(data, data.truth)
    ours = best(lambda: value_grad_hess(model, data, data.truth))
    assert np.allclose(values, value_grad_hess(model, data, data.truth)[0])
    a, b = (1e9 * seconds / data.n_trials for seconds in (ours, c))
    work = f"value + gradient + Hessian, {subjects:,} people x 96, ns a trial"
    row(work, f"{a:.1f}; C loop, value alone, one core {b:.1f}: ratio {a / b:.1f}", "<= 40; <= 20x")


def readme() -> None:
    """The README example in a fresh process."""
    runs = [fresh(README) for _ in range(3)]
    total, fit, warm = (sorted(run[key] for run in runs)[1] for key in ("total", "fit", "warm"))
    row("README example, cold, s (of which the fit)", f"{total:.2f} ({fit:.2f})", "<= 4 (<= 2.5)")
    row("README example, warm fit, ms", f"{1e3 * warm:.0f}", "<= 30")


def imports() -> None:
    """`import pyem` beside `import jax`."""
    jax, ours = (median_fresh(IMPORT.format(name), "s", 7) for name in ("jax", "pyem"))
    row("import pyem / import jax", f"{ours:.2f} s / {jax:.2f} s = {ours / jax:.2f}", "<= 1.2")


def command_line() -> None:
    """`pyem fit` on the README example, the compilation cache empty and then warm."""
    model = pyem.models.get("rw1a1b")
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder, "data.csv")
        pyem.simulate(model, subjects=100, blocks=4, trials=24, key=1).to_frame().to_csv(table, index=False)
        command = [sys.executable, "-m", "pyem", "fit", table, "--model", "rw1a1b", "--subject", "subject"]
        command += ["--block", "block", "--column", "choice=choice", "--column", "reward=reward"]
        command += ["--out", Path(folder, "out"), "--force"]
        times = []
        for _ in range(4):
            start = time.perf_counter()
            env = {"PYEM_CACHE_DIR": str(Path(folder, "cache")), "PYTHONPATH": str(ROOT / "src"), "PATH": ""}
            subprocess.run(command, check=True, capture_output=True, env=env)
            times.append(time.perf_counter() - start)
    row(
        "`pyem fit`, README example, s: cache empty, warm", f"{times[0]:.2f}, {sorted(times[1:])[1]:.2f}", "warm <= 2.5"
    )


def large(subjects: int = 20_000) -> None:
    """`fit_em` of many people, in a fresh process for its memory."""
    run = fresh(LARGE.format(subjects=subjects))
    work = f"fit_em, {subjects:,} people x 96, to 1e-6, s warm (with standard errors; cold)"
    measured = (
        f"{run['warm']:.2f} ({run['errors']:.2f}; {run['cold']:.2f}), {run['MiB']:.0f} MiB, {run['n']} iterations"
    )
    row(work, measured, "<= 3 s, <= 1 GiB" if subjects == 20_000 else "")


def iterations() -> None:
    """EM iterations to 1e-6, accelerated and plain."""
    model = pyem.models.get("rw1a1b")
    data = pyem.simulate(model, subjects=100, blocks=4, trials=24, key=1)
    counts = [
        int(pyem.fit_em(model, data, tol=1e-6, accelerate=accelerate, standard_errors=False).trace["evaluated"])
        for accelerate in (True, False)
    ]
    row("EM iterations to 1e-6, accelerated / plain", f"{counts[0]} / {counts[1]}", "at most half")


def main() -> None:
    """All rows; the largest only where there is a GPU."""
    import jax

    imports()
    readme()
    command_line()
    engine()
    large()
    iterations()
    if jax.default_backend() != "cpu":
        engine(1_000_000)
        large(1_000_000)


if __name__ == "__main__":
    main()

"""Response times: the density with its derivatives, a hierarchical diffusion model, and learning that decides by diffusion."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.measure import ROOT, best, fresh, row
from pyem.model.times import wiener_series as series

FIT = """
import json, time, warnings
import pyem
warnings.simplefilter("ignore", pyem.FitWarning)
{data}
run = lambda: pyem.fit_em(model, data)
out = {{}}
for name in ("cold", "warm"):
    wall, cpu = time.perf_counter(), time.process_time()
    fit = run()
    out[name] = time.perf_counter() - wall
    out[name + " cpu"] = time.process_time() - cpu
out["converged"] = bool(fit.converged)
out["mean"] = dict(zip(fit.model.names, fit.params.mean(0).round(3).tolist()))
out["log_lik"] = float(fit.log_lik.sum())
print(json.dumps(out))
"""
CONFLICT = """
columns = {{"choice": "response", "rt": "rt", "stim": "stim"}}
data = pyem.Dataset.read("{path}", subject="subj_idx", columns=columns, codes={{"stim": ["LL", "WL", "WW"]}})
model = pyem.fix(pyem.models.get("ddm"), z=0.5)
"""
SELECTION = """
columns = {{"choice": "response", "reward": "feedback", "rt": "rt"}}
data = pyem.Dataset.read("{path}", subject="subj_idx", block="split_by", trial="trial", columns=columns)
model = pyem.fix(pyem.with_decision(pyem.models.get("{rule}"), "ddm"), z=0.5)
"""


def density() -> None:
    """Value and gradient by four parameters, a hundred thousand trials at a time."""
    n = 100_000
    rng = np.random.default_rng(1)
    ranges = np.array([[0.05, 2.5], [-3, 3], [0.7, 2.5], [0.2, 0.8]])
    with jax.enable_x64(True):
        at = jnp.asarray(rng.uniform(ranges[:, :1], ranges[:, 1:], (4, n)))
        value = jax.jit(lambda at: series.log_density(*at))
        both = jax.jit(jax.value_and_grad(lambda at: series.log_density(*at).sum()))
        alone, whole = (best(lambda f=f: jax.block_until_ready(f(at))) / n * 1e9 for f in (value, both))
    row("density, value", f"{alone:.0f} ns a trial", "")
    row("density, value and gradient", f"{whole:.0f} ns a trial", "300 ns")


def fits() -> None:
    """Hierarchical EM on the published data sets."""
    folder = ROOT.parent / "shared" / "data"
    conflict, selection = folder / "ddm_cavanagh2011.csv", folder / "pst_pedersen2020.csv"
    if not conflict.exists():
        row("published data sets", "the data are not beside this checkout", "")
        return
    made = CONFLICT.format(path=conflict)
    cases = {"ddm": made, "ddm, v ~ stim": made + 'model = pyem.regress(model, "v ~ C(stim)")\n'}
    cases |= {f"{rule} with ddm": SELECTION.format(path=selection, rule=rule) for rule in ("rw1a1b", "rw2a1b")}
    for name, code in cases.items():
        out = fresh(FIT.format(data=code))
        times = "; ".join(f"{out[w]:.1f} s {w} ({out[w + ' cpu']:.1f} s of processors)" for w in ("cold", "warm"))
        told = f"{times}; converged {out['converged']}; log-likelihood {out['log_lik']:.1f}; means {out['mean']}"
        row(f"fit_em: {name}", told, "8 s cold, 1 s warm" if name.startswith("ddm") else "")


def main() -> None:
    """All of it."""
    density()
    fits()

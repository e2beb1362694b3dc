"""A script of pybefit's with its imports changed: ten agents of pymdp's fitting example, from import to posterior."""

from __future__ import annotations

import importlib.util

from benchmarks.measure import fresh, row

START = """
import json, time, warnings
warnings.simplefilter("ignore")
start, busy = time.perf_counter(), time.process_time()
import jax, jax.numpy as jnp, numpy as np
from numpyro.infer import Predictive
from pymdp.agent import Agent
from pymdp.envs import TMaze
from pyem.compat import pybefit
from benchmarks.measure import peak_memory

def lap(start, busy):
    return {"s": time.perf_counter() - start, "cpu": time.process_time() - busy, "MiB": peak_memory()}

out = {"import": lap(start, busy)}
start, busy = time.perf_counter(), time.process_time()
task = TMaze(reward_probability=0.8, cue_validity=1.0, dependent_outcomes=True)

def transform(z):
    n = len(z)
    every = lambda a: jnp.broadcast_to(a, (n, *a.shape))
    won, lost = (lambda r: (r, 1 - r))(0.5 + 0.5 * jax.nn.sigmoid(z[:, 0]))
    none, sure = jnp.zeros(n), jnp.ones(n)
    nothing = jnp.stack([jnp.stack([sure, sure], -1), jnp.zeros((n, 2)), jnp.zeros((n, 2))], 1)
    left = jnp.stack([jnp.stack(pair, -1) for pair in ((none, none), (won, lost), (lost, won))], 1)
    A = [every(a) for a in task.A]
    A[1] = jnp.stack([nothing, left, left[..., ::-1], nothing, nothing], axis=-2)
    C = [jnp.zeros((n, 5)), jnp.broadcast_to(1.2 * jnp.array([0.0, 1.0, -1.0]), (n, 3)), jnp.zeros((n, 3))]
    D = [every(jnp.eye(5)[0]), every(jnp.full(2, 0.5))]
    return Agent(A, [every(b) for b in task.B], C=C, D=D, policy_len=2, A_dependencies=task.A_dependencies,
        B_dependencies=task.B_dependencies, batch_size=n, action_selection="stochastic")

size = {"task": task, "num_blocks": 100, "num_trials": 5, "num_agents": 10}
prior = pybefit.Normal(1, 10)
model = pybefit.NumpyroModel(prior, transform, pybefit.pymdp_likelihood, opts={"likelihood": size})
samples = Predictive(model, num_samples=1)(jax.random.PRNGKey(101))
measurements = {"outcomes": [o[0] for o in samples["outcomes"]], "multiactions": samples["multiactions"][0]}
out["play"] = lap(start, busy)
start, busy = time.perf_counter(), time.process_time()
"""
END = """
out["fit"] = lap(start, busy)
print(json.dumps(out))
"""
QUIET = '"progress_bar": False'
FITS = {
    "`run_nuts`, 400 + 100": (
        f"""pybefit.run_nuts(model, measurements, opts={{"num_warmup": 400, "num_samples": 100,
            "sampler_kwargs": {{"kernel": {{}}, "mcmc": {{{QUIET}}}}}}})"""
    ),
    "`run_svi`, 1,000 steps of 10 particles": (
        f"""pybefit.run_svi(model, pybefit.NumpyroGuide(pybefit.NormalPosterior(1, 10)), measurements,
            opts={{"iter_steps": 1000, "svi_kwargs": {{{QUIET}}}}})"""
    ),
}
AGREE = """
import pyem
from numpyro.diagnostics import effective_sample_size
agents, data = model.model, model.data(measurements)
exact = pyem.fit_grid(agents, data, group=None, mean=0.0, sd=1.0)
sd = np.sqrt(exact.cov[:, 0, 0])
how = {"num_warmup": 400, "num_samples": 1000, "sampler_kwargs": {"kernel": {}, "mcmc": {"progress_bar": False}}}
routes = {"`pybefit.run_nuts`": np.asarray(pybefit.run_nuts(model, measurements, opts=how)[0]["z"])[None, ..., 0]}
alone = {"group": None, "mean": 0.0, "sd": 1.0}
routes["`fit_nuts`"] = pyem.fit_nuts(agents, data, **alone, chains=2, draws=500, key=1).posterior["x"][..., 0]
routes["`fit_bayes`"] = pyem.fit_bayes(agents, data, **alone, key=1).posterior["x"][..., 0]
out = {}
for name, z in routes.items():
    z = np.asarray(z, float).reshape(len(z), -1, 10)
    # Draws of fit_bayes are no worse than independent ones.
    ess = effective_sample_size(z) if "nuts" in name else np.full(10, z.shape[0] * z.shape[1])
    gap = (z.mean((0, 1)) - exact.params[:, 0]) / sd
    widths = np.abs(z.std((0, 1)) / sd - 1)
    out[name] = {"gap": float(abs(gap).max()), "errors": float(abs(gap * np.sqrt(ess)).max()), "widths": float(widths.max())}
print(json.dumps(out))
"""


def main() -> None:
    """Print the rows of the table."""
    if importlib.util.find_spec("pymdp") is None:
        row("pymdp is not installed", "skipped", "")
        return
    for name, code in FITS.items():
        done = fresh(START + code + END)
        for part, work in (("import", "import"), ("play", "set-up and playing"), ("fit", name)):
            said = done[part]
            row(work, f"{said['s']:.0f} s ({said['cpu']:.0f} of processors), {said['MiB'] / 1024:.2f} GiB so far", "")
    agreements = fresh(START + AGREE)
    for name, found in agreements.items():
        row(
            f"{name} beside exact quadrature",
            f"means within {found['gap']:.2f} sd ({found['errors']:.1f} Monte-Carlo errors), sds within "
            f"{100 * found['widths']:.0f} %",
            "",
        )


if __name__ == "__main__":
    main()

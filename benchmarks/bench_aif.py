"""Active inference: the T-maze of pymdp's fitting example, from simulation to posterior, beside pymdp's own driver."""

from __future__ import annotations

import importlib.util

from benchmarks.measure import fresh, row

START = """
import json, time, warnings
warnings.simplefilter("ignore")
start = time.perf_counter()
import numpy as np
import pyem
from benchmarks.measure import best, peak_memory
model = pyem.models.get("aif_tmaze")
data = pyem.simulate(model, subjects=10, blocks=100, trials=5, key=101)
simulated = time.perf_counter() - start
"""
END = """
total = time.perf_counter() - start
r = float(np.corrcoef(data.true_params[:, 0], fit.params[:, 0])[0, 1])
print(json.dumps({"simulated": simulated, "total": total, "MiB": peak_memory(), "r": r}))
"""
FITS = {
    "EM": ("fit = pyem.fit_em(model, data)", "<= 6 s"),
    "exact quadrature": ("fit = pyem.fit_grid(model, data, group=None, mean=0, sd=1)", ""),
    "NUTS, 400 + 100": (
        "fit = pyem.fit_nuts(model, data, group=None, warmup=400, draws=100, chains=1, key=0)",
        "<= 25 s, <= 1.2 GiB",
    ),
    "SVI, 1,000 steps of 10 particles": (
        "fit = pyem.fit_svi(model, data, group=None, max_iter=1000, particles=10, key=0)",
        "<= 25 s, <= 1.2 GiB",
    ),
}

DENSITY = """
import jax
from pyem.engine import differentiable as density
def value_and_grad(model, data):
    with jax.enable_x64(True):
        people = density.people(model, data)
        function = jax.jit(jax.value_and_grad(lambda x: density.log_lik(model, people, x).sum()))
        x = jax.numpy.asarray(data.truth.T)
        value, grad = function(x)
        return best(lambda: jax.block_until_ready(function(x)), 50), np.asarray(value), np.asarray(grad)
"""

KERNEL = (
    DENSITY
    + """
seconds, value, _ = value_and_grad(model, data)
print(json.dumps({"ms": 1e3 * seconds}))
"""
)

PYMDP = (
    DENSITY
    + """
import jax.numpy as jnp
from jax import nn
from pymdp.agent import Agent
from pyem.aif import TMaze, from_pymdp
from pyem.aif.maze import MAZE_DEPENDENCIES, maze_outcomes
task = TMaze()
def transform(z):
    n = z.shape[0]
    every = lambda a: jnp.broadcast_to(jnp.asarray(a, z.dtype), (n, *np.shape(a)))
    outcomes = jax.vmap(maze_outcomes)(0.5 + 0.5 * nn.sigmoid(z[:, 0]))
    return Agent([every(np.eye(5)), outcomes, every(task.A[2])], [every(b) for b in task.B],
        C=[jnp.zeros((n, 5)), every(1.2 * np.array([0.0, 1.0, -1.0])), jnp.zeros((n, 3))], D=[every(d) for d in task.D],
        policy_len=2, A_dependencies=[list(d) for d in MAZE_DEPENDENCIES], B_dependencies=[[0], [1]], batch_size=n,
        action_selection="stochastic")
out = {}
for kernel in ("own", "pymdp"):
    seconds, value, grad = value_and_grad(from_pymdp(transform, task, kernel=kernel), data)
    out[kernel] = 1e3 * seconds
blocks = lambda name: jnp.asarray(data.fields[name].reshape(5, 10, 100).transpose(2, 0, 1))  # (block, step, agent)
trials = {"outcomes": [blocks(o)[..., None] for o in ("o0", "o1", "o2")],
    "actions": jnp.stack([blocks("action"), jnp.zeros_like(blocks("action"))], -1)}
def theirs(z):
    # As pymdp.likelihoods does, which calls a method that this version of Agent lacks.
    agent = transform(z)
    def step(prior, xs):
        qs = agent.infer_states(xs["outcomes"], prior)
        q_pi, _ = agent.infer_policies(qs)
        log_p = jnp.log(jnp.take_along_axis(agent.multiaction_probabilities(q_pi), xs["actions"][:, :1], 1))
        return agent.update_empirical_prior(xs["actions"], qs), log_p.sum()
    return jax.lax.scan(lambda _, block: (None, jax.lax.scan(step, agent.D, block)[1].sum()), None, trials)[1].sum()
function = jax.jit(jax.value_and_grad(theirs))
z = jnp.asarray(data.truth, jnp.float32)
start = time.perf_counter()
their_value, their_grad = jax.block_until_ready(function(z))
out["driver_cold"] = time.perf_counter() - start
out["driver"] = 1e3 * best(lambda: jax.block_until_ready(function(z)), 10)
out["gap"] = float(abs(their_value - value))
print(json.dumps(out))
"""
)


def main() -> None:
    """Print the rows of the table."""
    for name, (code, aim) in FITS.items():
        done = fresh(START + code + END)
        measured = f"{done['total']:.1f} s (simulation {done['simulated']:.1f} s), {done['MiB'] / 1024:.2f} GiB"
        measured += f", r {done['r']:.2f}"
        row(f"10 agents x 100 blocks x 5 trials, import to posterior, cold: {name}", measured, aim)
    row("value and gradient, the general kernel, warm", f"{fresh(START + KERNEL)['ms']:.2f} ms", "<= 2 ms")
    if importlib.util.find_spec("pymdp") is None:
        row("pymdp is not installed", "skipped", "")
        return
    done = fresh(START + PYMDP)
    row("from_pymdp, this library's kernel, warm", f"{done['own']:.2f} ms", "<= 2 ms")
    row("from_pymdp, pymdp's own functions, warm", f"{done['pymdp']:.2f} ms", "<= 15 ms")
    row(
        "pymdp's own driver, single precision, warm",
        f"{done['driver']:.1f} ms ({done['driver_cold']:.1f} s to compile; differs by {done['gap']:.1e} nats)",
        "",
    )

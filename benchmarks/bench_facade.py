"""The pyEM interface: its README example, the SciPy engine beside the plain algorithm, integrated BIC, identification."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.measure import best, fresh, median_fresh, row
from pyem import EMModel
from pyem.core.priors import GaussianPrior
from pyem.models.rl import rw1a1b_fit, rw1a1b_sim
from pyem.utils.math import calc_fval, norm2alpha, norm2beta

README = """
import json, time
start = time.perf_counter()
import numpy as np
from scipy.stats import truncnorm, beta as beta_dist
from pyem import EMModel
from pyem.utils.math import norm2beta, norm2alpha
from pyem.models.rl import rw1a1b_model
np.random.seed(1)
beta_rv = truncnorm(0.75, 10, loc=0, scale=2).rvs(100)
a_lo, a_hi = beta_dist.cdf([0.05, 0.95], 1.1, 1.1)
alpha_rv = beta_dist.ppf(a_lo + np.random.rand(100) * (a_hi - a_lo), 1.1, 1.1)
sim = rw1a1b_model.sim(np.column_stack((beta_rv, alpha_rv)), nblocks=4, ntrials=24)
all_data = [[c, r] for c, r in zip(sim["choices"], sim["rewards"])]
model = EMModel(all_data, rw1a1b_model.fit, ["beta", "alpha"], [norm2beta, norm2alpha])
before = time.perf_counter()
result = model.fit(verbose=0)
fitted = time.perf_counter()
model.get_outfit()
end = time.perf_counter()
warm = []
for _ in range(20):
    t = time.perf_counter()
    model.fit(verbose=0)
    warm.append(time.perf_counter() - t)
print(json.dumps({"total": end - start, "fit": fitted - before, "warm": min(warm), "converged": result.convergence}))
"""

IDENTIFY = """
import json, time
start = time.perf_counter()
from pyem import EMModel
from pyem.core.compare import ModelComparison
from pyem.models.rl import rw1a1b_model, rw2a1b_model
from pyem.utils.math import norm2alpha, norm2beta
one = EMModel(None, rw1a1b_model.fit, ["beta", "alpha"], [norm2beta, norm2alpha], rw1a1b_model.sim)
two = EMModel(None, rw2a1b_model.fit, ["beta", "p", "n"], [norm2beta, norm2alpha, norm2alpha], rw2a1b_model.sim)
frame = ModelComparison([one, two], ["RW1", "RW2"]).identify(
    ["choices", "rewards"], nrounds=3, nsubjects=50, sim_kwargs={"nblocks": 4, "ntrials": 24}, seed=1
)
print(json.dumps({"total": time.perf_counter() - start}))
"""


def loop_fit(params: Any, choices: Any, rewards: Any, prior: Any = None, output: str = "npl") -> Any:
    """rw1a1b as a loop over trials in NumPy, as a user writes it."""
    beta, alpha = norm2beta(params[0]), norm2alpha(params[1])
    nll = 0.0
    for block in range(choices.shape[0]):
        value = np.array([0.5, 0.5])
        for trial in range(choices.shape[1]):
            c = 0 if choices[block, trial] == "A" else 1
            weights = np.exp(beta * value)
            nll -= np.log(weights[c] / weights.sum())
            value[c] += alpha * (rewards[block, trial] - value[c])
    return calc_fval(nll, params, prior=prior, output=output)


def plain_em(fit: Callable[..., Any], all_data: list[Any], n: int, *, restarts: int = 2, max_iter: int = 200) -> dict:
    """The documented algorithm as it is: random starts at every E-step, forward differences, BFGS's inverse Hessian."""
    from scipy.optimize import minimize

    rng = np.random.default_rng(0)
    prior, last, iterations = GaussianPrior(np.zeros(n) + 0.1, np.full(n, 100.0)), np.inf, 0
    while iterations < max_iter:
        iterations += 1
        objective = lambda x, data, prior=prior: fit(x, *data, prior=prior)  # noqa: E731
        modes, inverses, values = [], [], []
        for data in all_data:
            runs = []
            for _ in range(1 + restarts):
                start = prior.mu + 0.1 * rng.standard_normal(n) * np.sqrt(prior.sigma)
                runs.append(minimize(objective, start, (data,), method="BFGS", options={"eps": 1e-4}))
                if runs[-1].success:
                    break
            found = min(runs, key=lambda run: run.fun)
            modes.append(found.x)
            inverses.append(np.diag(found.hess_inv))
            values.append(found.fun)
        m, total = np.array(modes), float(np.sum(values))
        mean = m.mean(0)
        variance = (m**2 + np.array(inverses)).mean(0) - mean**2
        prior = GaussianPrior(mean, np.maximum(variance, 1e-8))
        if abs(total - last) < 1e-3:
            break
        last = total
    return {"iterations": iterations, "mu": prior.mu, "sigma": prior.sigma}


def main() -> None:
    """Print the rows."""
    _readme()
    _any_function()
    _integrated_bic()
    total = median_fresh(IDENTIFY, "total", 3)
    row("`identify`, 2 models, 3 rounds, 50 people, cold", f"{total:.1f} s", "<= 10 s")


def _readme() -> None:
    runs = [fresh(README) for _ in range(3)]
    pick = lambda key: sorted(run[key] for run in runs)[1]  # noqa: E731
    row("README example through `EMModel.fit`, cold", f"{pick('total'):.2f} s (fit {pick('fit'):.2f} s)", "<= 4 s")
    row("the same, warm fit", f"{1e3 * pick('warm'):.0f} ms", "<= 60 ms")


def _people(n: int, seed: int = 1) -> list[list[Any]]:
    rng = np.random.default_rng(seed)
    params = np.column_stack([rng.uniform(2, 8, n), rng.uniform(0.1, 0.9, n)])
    sim = rw1a1b_sim(params, nblocks=4, ntrials=24, seed=seed)
    return [[c, r] for c, r in zip(sim["choices"], sim["rewards"], strict=True)]


def _any_function() -> None:
    data = _people(20)
    start = time.perf_counter()
    ours = EMModel(data, loop_fit, ["beta", "alpha"]).fit(verbose=0)
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    plain = plain_em(loop_fit, data, 2)
    slow = time.perf_counter() - start
    start = time.perf_counter()
    exact = EMModel(data, rw1a1b_fit, ["beta", "alpha"]).fit(verbose=0)
    warm = best(lambda: EMModel(data, rw1a1b_fit, ["beta", "alpha"]).fit(verbose=0))
    row(
        "any Python function (NumPy loop, 20 people) beside the plain documented algorithm",
        f"{seconds:.2f} s beside {slow:.1f} s ({plain['iterations']} iterations): {slow / seconds:.0f} times faster",
        ">= 4 times",
    )
    row("the same people by the JAX engine, warm", f"{1e3 * warm:.0f} ms: {slow / warm:.0f} times faster", "")
    off = lambda fit: np.abs(fit - exact.posterior_mu).max()  # noqa: E731
    row(
        "distance of the group mean from the exact fixed point",
        f"SciPy engine {off(ours.posterior_mu):.1e}, plain algorithm {off(plain['mu']):.1e}",
        "<= 1e-3",
    )


def _integrated_bic() -> None:
    model = EMModel(_people(100), rw1a1b_fit, ["beta", "alpha"], [norm2beta, norm2alpha])
    model.fit(verbose=0)
    seconds = best(lambda: model.compute_integrated_bic(nsamples=2000), 3)
    row("`compute_integrated_bic(nsamples=2000)`, 100 people, warm", f"{seconds:.2f} s", "<= 1 s")


if __name__ == "__main__":
    main()

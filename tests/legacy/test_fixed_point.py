"""Our EM ends where the documented algorithm does when its Hessians are exact, for all ten models."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from pyem import EMModel
from tests.legacy.plain import plain_em

S = 24
RNG = np.random.default_rng(7)


def _between(low, high, *, n=S):
    return RNG.uniform(low, high, n)


def _weights(*means):
    return [RNG.normal(mean, 0.6, S) for mean in means]


BETA, RATE = (2.0, 9.0), (0.1, 0.9)
CASES = {
    # name: natural parameters, settings of the simulation, its entries that the fit function takes
    "rw1a1b": ([_between(*BETA), _between(*RATE)], {"nblocks": 4, "ntrials": 30}, ["choices", "rewards"]),
    "rw2a1b": (
        [_between(*BETA), *(_between(*RATE) for _ in "pn")],
        {"nblocks": 6, "ntrials": 40},
        ["choices", "rewards"],
    ),
    "rw3a1b": (
        [_between(*BETA), *(_between(0.1, 0.6) for _ in "son")],
        {"nblocks": 6, "ntrials": 40},
        ["choices", "rewards"],
    ),
    "rw4a1b": (
        [_between(*BETA), *(_between(0.1, 0.6) for _ in "spop")],
        # Its likelihood has a kink wherever a prediction error changes its sign. People whose mode lies on one have no Hessian
        # there, and the plain algorithm then jumps from side to side for ever; among these people there are none.
        {"nblocks": 12, "ntrials": 40, "seed": 7},
        ["choices", "outcomes_self", "outcomes_other", "option_pairs"],
    ),
    "bayes": ([_between(0.4, 0.9)], {"nblocks": 6, "ntrials": 12}, ["choices", "observations"]),
    "glm": (_weights(0.5, -1.0, 0.3), {"ntrials": 60}, None),
    "glm_decay": ([*_weights(0.5, -1.0, 0.8), _between(0.3, 0.8)], {"ntrials": 80}, None),
    "glm_ar": ([*_weights(0.5, -1.0, 0.3), _between(0.1, 0.6)], {"ntrials": 80}, None),
    "logit": (_weights(0.3, -1.0, 0.5), {"ntrials": 120}, None),
    "logit_decay": ([*_weights(0.3, -1.0, 1.0), _between(0.3, 0.8)], {"ntrials": 200}, None),
}
QUICK = ("rw1a1b",)


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CASES]
)
def test_the_fixed_point_is_that_of_the_documented_algorithm(name):
    family = "rl" if name.startswith("rw") else name if name == "bayes" else "glm"
    module = importlib.import_module(f"pyem.models.{family}")
    sim, fit = getattr(module, f"{name}_sim"), getattr(module, f"{name}_fit")
    columns, settings, inputs = CASES[name]
    params = np.column_stack(columns)
    people = sim(params, **{"seed": 3, **settings})
    fields = people if inputs is None else [people[key] for key in inputs]
    all_data = [list(one) for one in zip(*fields, strict=True)]

    model = EMModel(all_data, fit, [f"p{k}" for k in range(params.shape[1])])
    result = model.fit(verbose=0)
    mu, var, x, npl = plain_em(*fit.layout(all_data, params.shape[1]))

    assert result.convergence
    np.testing.assert_allclose(result.posterior_mu, mu, atol=1e-4)
    np.testing.assert_allclose(result.posterior_sigma, var, atol=1e-4)
    np.testing.assert_allclose(result.m.T, x, atol=1e-3)
    np.testing.assert_allclose(result.NPL, npl, atol=1e-3)

"""The steps of pyEM's notebooks, with its registry of parameters, at their sizes."""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from pyem import EMModel
from pyem.models import ddm, discounting, glm, pt, rl_mb, rl_mf, sdt
from pyem.models.bayes import bayes_model
from pyem.utils.plotting import plot_scatter

matplotlib.use("Agg")
sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
from params import build_params

pytestmark = pytest.mark.slow

PT = [f"pt_{name}" for name in ("alpha", "beta", "lambda", "gamma", "mu")]
SDT, DDM = ["dprime", "criterion"], ["v_coef", "a", "t0", "z"]
TWO_STEP = ["choices1", "states2", "choices2", "rewards"]
SEARCH = {
    "optim_method": "Nelder-Mead",
    "optim_options": {"maxiter": 500, "xatol": 1e-3, "fatol": 1e-3},
    "max_restarts": 4,
}

RECOVERIES = {
    # model, parameters, people, entries of the simulation, its settings, settings of the fit, least correlation
    "rw1a1b": (rl_mf.rw1a1b_model, ["beta", "alpha"], 100, ["choices", "rewards"], (6, 24), {}, 0.6),
    "rw3a1b": (
        rl_mf.rw3a1b_model,
        ["beta", "alpha_self", "alpha_other", "alpha_noone"],
        100,
        ["choices", "rewards"],
        (9, 16),
        {},
        0.4,
    ),
    "rw4a1b": (
        rl_mf.rw4a1b_model,
        ["beta", "alpha_self_pos", "alpha_self_neg", "alpha_other_pos", "alpha_other_neg"],
        50,
        ["choices", "outcomes_self", "outcomes_other", "option_pairs"],
        (12, 20),
        {},
        0.3,
    ),
    "sarsa_lambda": (
        rl_mb.sarsa_lambda_model,
        ["beta1", "beta2", "alpha1", "alpha2", "lambda", "r"],
        100,
        TWO_STEP,
        200,
        {},
        0.1,
    ),
    "model_based": (rl_mb.model_based_model, ["beta1", "beta2", "alpha2", "r"], 100, TWO_STEP, 200, {}, 0.3),
    "hybrid_mbmf": (
        rl_mb.hybrid_mbmf_model,
        ["beta1", "beta2", "alpha1", "alpha2", "lambda", "omega", "r"],
        100,
        TWO_STEP,
        200,
        {},
        0.0,
    ),
    "bayes": (bayes_model, ["lambda1"], 50, ["choices", "observations"], (6, 15), {}, 0.6),
    "pt": (
        pt.pt_model,
        PT,
        100,
        ["gamble", "probs", "certain", "choice"],
        200,
        {"seed": 1, "mstep_maxit": 300, "njobs": 10},
        0.4,
    ),
    "sdt": (sdt.sdt_model, SDT, 80, ["is_old", "resp_old"], 200, {}, 0.9),
    "ddm4": (ddm.ddm4_model, DDM, 70, ["rt", "choice", "value_high", "value_low"], 150, SEARCH, 0.7),
    "ddm4_lotto": (ddm.ddm4_lotto_model, DDM, 70, ["rt", "choice", "ev_risky", "safe"], 150, SEARCH, 0.7),
}


@pytest.mark.parametrize("id", RECOVERIES)
def test_a_recovery(id, capsys):
    import matplotlib.pyplot as plt

    model, names, n, inputs, size, settings, least = RECOVERIES[id]
    print(model.id, model.desc, model.spec)
    rng = np.random.default_rng(7)
    names, xform, true = build_params(names, n, rng)
    em = EMModel(None, model.fit, names, xform, model.sim)
    chance = {"rng": rng} if id.startswith("ddm") else {"seed": 7}
    trials = {"ntrials": size} if isinstance(size, int) else {"nblocks": size[0], "ntrials": size[1]}
    out = em.recover(true, inputs, fit_kwargs={"verbose": 0, **settings}, **trials, **chance)
    figure = em.plot_recovery(out, show=False)
    assert len(figure.axes) == len(names)
    plt.close(figure)
    assert out["fit_result"].m.shape == (len(names), n)
    assert np.isfinite(out["fit_result"].NPL).all()
    assert (out["correlation"] > least).all(), out["correlation"]
    assert "recover()" in capsys.readouterr().out


DISCOUNTING = {
    "sd_hyp_wk": ("social_dists", ["w_other", "k"], [(0.3, 1.5), (0.02, 0.5)]),
    "sd_hyp_k": ("social_dists", ["k"], [(0.02, 0.5)]),
    "sd_par_k": ("social_dists", ["k"], [(0.001, 0.05)]),
    "sd_lin_k": ("social_dists", ["k"], [(0.2, 3.0)]),
    "td_hyp_k": ("delays", ["k"], [(0.01, 0.3)]),
    "prd_hyp_k": ("probs", ["k"], [(0.2, 3.0)]),
    "ed_par_k": ("effort_levels", ["k"], [(0.3, 3.0)]),
    "ped_par_k": ("effort_levels", ["k"], [(0.3, 3.0)]),
    "ped_par_2k": ("effort_levels", ["k_self", "k_other"], [(0.3, 3.0), (0.5, 4.0)]),
}


@pytest.mark.parametrize("id", DISCOUNTING)
def test_a_discounting_notebook(id, capsys):
    from pyem.utils.math import norm2beta

    block, names, ranges = DISCOUNTING[id]
    rng = np.random.default_rng(3)
    true = np.column_stack([rng.uniform(*ends, 100) for ends in ranges])
    model = getattr(discounting, f"{id}_model")
    sim = model.sim(true, payouts=None, seed=5, **{block: None})
    columns = ["choices", "payouts", block, *(["beneficiary"] if id.startswith("ped") else [])]
    all_data = list(zip(*(sim[name] for name in columns), strict=True))
    em = EMModel(all_data, model.fit, names, [norm2beta] * len(names), model.sim)
    result = em.fit(verbose=1)
    assert "iteration 1" in capsys.readouterr().out
    assert result.convergence
    out = em.outfit
    rows = out["delta_V"].reshape(-1)
    assert len(rows) == out["delta_V"].size == np.prod(sim["choices"].shape)
    assert np.repeat(out[block], 9, axis=1).reshape(-1).shape == rows.shape
    if id.startswith("sd"):
        assert out["U_other"].reshape(-1).shape == out["p_prosocial"].reshape(-1).shape == rows.shape
    found = em.subject_params()
    assert all(np.corrcoef(found[:, k], true[:, k])[0, 1] > 0.8 for k in range(len(names)))


@pytest.mark.parametrize("id", ["glm", "logit", "glm_ar"])
def test_a_regression_notebook(id):
    import matplotlib.pyplot as plt

    names = ["b0", "b1", "b2", *(["phi"] if id == "glm_ar" else [])]
    names, xform, true = build_params(names, 80, np.random.default_rng(1))
    X, Y = getattr(glm, f"{id}_sim")(true, ntrials=100)
    assert X.shape == (80, 100, 3)
    em = EMModel([[x, y] for x, y in zip(X, Y, strict=True)], getattr(glm, f"{id}_fit"), names, xform)
    em.fit(verbose=0)
    estimated = em.outfit["params"]
    ax = plot_scatter(true[:, 1], "true", estimated[:, 1], "estimated")
    r = np.corrcoef(true[:, 1], estimated[:, 1])[0, 1]
    assert r > 0.9
    assert ax.texts[0].get_text() == f"Pearson r = {r:.2f}"
    plt.close("all")


def test_a_cloud_and_paths_of_the_diffusion_model():
    params = np.array([[1.5, 1.6, 0.3, 0.5]])
    cloud = ddm.ddm4_sim(params, ntrials=20_000, rng=np.random.default_rng(1))
    paths = ddm.ddm4_sim_paths(params[0], ntrials=25, rng=np.random.default_rng(1))
    assert np.nanmin(cloud["rt"]) > 0.3
    assert len(paths["t"]) == 25

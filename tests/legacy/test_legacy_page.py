"""What scripts of the older pyEM rely on: import paths, and the recipe of its page."""

from __future__ import annotations

import dataclasses
import importlib

import numpy as np
import pandas as pd
import pytest

from pyem.core.priors import GaussianPrior
from pyem.fitting import EMfit, expectation_step, minimize_negLL
from pyem.math import calc_fval, norm2alpha, norm2beta
from pyem.models.rl import rw1a1b_fit, rw1a1b_sim

S, B, T = 16, 2, 40

PATHS = {
    "pyem": "EMModel FitResult compare em optim posterior priors",
    "pyem.api": "EMModel FitResult EMfit GaussianPrior Prior",
    "pyem.core.em": "EMfit EMConfig Prior",
    "pyem.core.optim": "OptimConfig single_subject_minimize Prior",
    "pyem.core.posterior": "parameter_recovery RecoveryResult",
    "pyem.core.modelspec": "ModelSpec",
    "pyem.core.priors": "GaussianPrior default_prior UniformPrior LaplacePrior StudentTPrior CauchyPrior IndependentPrior "
    "Prior",
    "pyem.core.groupdist": "make_group GaussianGroup LaplaceGroup StudentTGroup CauchyGroup",
    "pyem.core.compare": "ModelComparison compare_models ComparisonRow",
    "pyem.utils.math": "softmax norm2alpha alpha2norm norm2beta beta2norm calc_fval",
    "pyem.utils.stats": "calc_LME calc_BICint pseudo_r2_from_nll",
    "pyem.utils.plotting": "plot_scatter plot_choices",
    "pyem.models.rl": " ".join(f"rw{k}a1b_{what}" for k in (1, 2, 3, 4) for what in ("sim", "fit", "model")),
    "pyem.models.bayes": "bayes_sim bayes_fit bayes_model",
    "pyem.models.glm": " ".join(
        f"{name}_{what}"
        for name in ("glm", "glm_decay", "glm_ar", "logit", "logit_decay")
        for what in ("sim", "fit", "model")
    ),
    "pyem.models.rl_mf": "gen_rnd_blocks rw1a1b_id rw4a1b_desc",
    "pyem.models.ddm": "wfpt_logpdf wfpt_sv_logpdf _marginal_logpdf _wfpt_logf _EPS_VAR a_xform t0_xform sv_xform "
    "st_xform sz_xform A_CAP T0_CAP T0_SHIFT SV_CAP ST_CAP SZ_CAP ddm4_sim_paths ddm7_sim ddm7_lotto_model",
    "pyem.models.discounting": "DEFAULT_SOCIAL_DISTS DEFAULT_DELAYS DEFAULT_PROBS DEFAULT_EFFORT_LEVELS PED_EFFORT_LEVELS "
    "PED_BENEFICIARY TASK1_PAYOUTS TD_PAYOUTS PRD_PAYOUTS ED_PAYOUTS PED_PAYOUTS CHOICE_LABELS CHOICE_MAP CHOICE_LABELS_TD "
    "CHOICE_MAP_PRD CHOICE_LABELS_ED BENEFICIARY_LABELS indifference",
    "pyem.models.pt": "pt_weight pt_value",
    "pyem.fitting": "EMfit minimize_negLL expectation_step",
    "pyem.math": "norm2alpha norm2beta calc_fval softmax",
    "pyem.plotting": "plot_scatter plot_choices",
    "pyem.classes": "EMModel",
}


@pytest.mark.parametrize("path", PATHS)
def test_everything_is_where_scripts_look_for_it(path):
    module = importlib.import_module(path)
    missing = [name for name in PATHS[path].split() if not hasattr(module, name)]
    assert missing == []


def test_modules_at_the_top_level_are_modules():
    from pyem import compare, em, optim, posterior, priors

    assert [module.__name__ for module in (compare, em, optim, posterior, priors)] == [
        f"pyem.compat.{name}" for name in ("compare", "em", "optim", "posterior", "priors")
    ]


def test_a_model_spec_is_a_plain_frozen_record():
    from pyem.core.modelspec import ModelSpec

    assert [field.name for field in dataclasses.fields(ModelSpec)] == ["id", "spec", "desc", "params", "sim", "fit"]


# -- the recipe of the page ---------------------------------------------------------------------------------------------


def fit(params, choices, rewards, prior=None, output="npl"):
    """An objective function written as the page says."""
    lr, inv_tmp = norm2alpha(params[0]), norm2beta(params[1])
    if lr < 0 or lr > 1:
        return 10000000
    if inv_tmp < 0.00001 or inv_tmp > 20:
        return 10000000
    likelihoods = []
    for block in range(choices.shape[0]):
        ev = [0.5, 0.5]
        for trial in range(choices.shape[1]):
            c = 0 if choices[block, trial] == "A" else 1
            p = np.exp(inv_tmp * np.array(ev))
            likelihoods.append((p / p.sum())[c])
            ev[c] += lr * (rewards[block, trial] - ev[c])
    negll = -np.nansum(np.log(likelihoods))
    if (output == "npl") or (output == "nll"):
        return calc_fval(negll, params, prior=prior, output=output)
    return {"params": [lr, inv_tmp], "choice_probs": likelihoods, "nll": negll}


def fit_frame(params, data, prior=None, output="npl"):
    """The same with a DataFrame for each subject, and the prior by position."""
    choices = data["choice"].to_numpy().reshape(B, T)
    return fit(params, choices, data["reward"].to_numpy().reshape(B, T), prior, output)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(3)
    # With few trials of people of two kinds, EM has several fixed points; which of them is found is not what is tested here.
    params = np.column_stack([rng.uniform(2, 9, S), rng.uniform(0.1, 0.9, S)])
    sim = rw1a1b_sim(params, nblocks=B, ntrials=T, seed=2)
    return [[c, r] for c, r in zip(sim["choices"], sim["rewards"], strict=True)]


def test_the_recipe_with_lists_of_arrays(data):
    out = EMfit(data, fit, ["lr", "inv_tmp"], verbose=0)
    assert list(out) == ["m", "inv_h", "posterior", "NPL", "NLPrior", "NLL", "convergence"]
    assert out["m"].shape == (2, S)
    assert out["convergence"] is True
    # Our own function has the parameters in the other order.
    ours = EMfit(data, rw1a1b_fit, ["beta", "alpha"], verbose=0)
    np.testing.assert_allclose(out["posterior"]["mu"], ours["posterior"]["mu"][::-1], atol=1e-3)
    np.testing.assert_allclose(out["posterior"]["sigma"], ours["posterior"]["sigma"][::-1], atol=1e-3)


def test_the_recipe_with_data_frames(data):
    frames = [pd.DataFrame({"choice": c.ravel(), "reward": r.ravel()}) for c, r in data]
    out = EMfit(frames, fit_frame, ["lr", "inv_tmp"], verbose=0)
    lists = EMfit(data, fit, ["lr", "inv_tmp"], verbose=0)
    np.testing.assert_allclose(out["m"], lists["m"], atol=1e-6)


def test_a_dict_prior_by_position_or_name(data):
    prior = GaussianPrior([0.0, 0.0], [2.0, 3.0])
    as_dict = {"mu": prior.mu, "sigma": prior.sigma, "logpdf": prior.logpdf}
    x = [0.2, -0.4]
    expected = fit(x, *data[0], output="nll") - prior.logpdf(x)
    assert fit(x, *data[0], as_dict, "npl") == pytest.approx(expected)
    assert fit(x, *data[0], prior=as_dict) == pytest.approx(expected)
    assert rw1a1b_fit(x, *data[0], prior=as_dict) == pytest.approx(
        rw1a1b_fit(x, *data[0], output="nll") - prior.logpdf(x)
    )
    start = EMfit(data, rw1a1b_fit, ["beta", "alpha"], verbose=0, prior=as_dict)
    assert start["convergence"] is True


def test_steps_of_one_subject(data):
    prior = {"mu": np.zeros(2), "sigma": np.ones(2), "logpdf": GaussianPrior([0.0, 0.0], [1.0, 1.0]).logpdf}
    x, inv_h, npl, nl_prior = expectation_step(fit, data[0], prior, 2)
    assert npl == pytest.approx(fit(x, *data[0], prior=prior), abs=1e-6)
    assert nl_prior == pytest.approx(-prior["logpdf"](x))
    moved = [fit(x + 0.01 * np.array(d), *data[0], prior=prior) for d in ((1, 0), (-1, 0), (0, 1), (0, -1))]
    assert min(moved) > npl
    assert np.linalg.eigvalsh(inv_h).min() > 0
    best = minimize_negLL(fit, data[0], 2)
    assert best.fval <= fit(x, *data[0], output="nll") + 1e-9

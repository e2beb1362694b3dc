"""Real data and numbers that others published or that an independent implementation gave."""

import functools
import warnings
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import pyem
from pyem.engine.evaluate import log_lik

DATA = Path(__file__).parents[3] / "shared" / "data"
pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not DATA.exists(), reason="the published data sets are not beside this checkout"),
]


@pytest.fixture(scope="module")
def selection_task():
    return pyem.Dataset.read(
        DATA / "pst_pedersen2020.csv",
        subject="subj_idx",
        block="split_by",
        columns={"choice": "response", "reward": "feedback"},
    )


def _exponential_beta(model):
    import dataclasses

    beta = dataclasses.replace(model.parameters[0], transform=pyem.Positive(), mean=1.0)
    return dataclasses.replace(model, name="rw1a1b_exp", parameters=(beta, *model.parameters[1:]))


RW = pyem.models.get("rw1a1b")
RW_EXP = _exponential_beta(RW)


@pytest.mark.parametrize(
    ("model", "expected"),
    [(RW, (124.35942160, 454.52748851, 581.59081261)), (RW_EXP, (98.17151092, 232.32927413, 189.05114856))],
    ids=["logistic", "exp"],
)
def test_likelihood_at_zero(selection_task, model, expected):
    value = dict(zip(selection_task.subjects, log_lik(model, selection_task, np.zeros((28, 2))), strict=True))
    np.testing.assert_allclose([-value[person] for person in ("42", "50", "56")], expected, atol=1e-7)


@pytest.mark.parametrize(
    ("model", "mean", "variance", "evidence"),
    [
        (RW, (-1.40927605, -1.8221055), (0.82863947, 0.77519925), -2991.788901),
        (RW_EXP, (1.37083458, -1.91728166), (0.53677903, 0.97091486), -2989.363049),
    ],
    ids=["logistic", "exp"],
)
def test_em_fixed_point(selection_task, model, mean, variance, evidence):
    fit = pyem.fit_em(model, selection_task)
    assert fit.converged
    np.testing.assert_allclose(fit.population.coef[0], mean, atol=1e-5)
    np.testing.assert_allclose(np.diag(fit.population.cov), variance, atol=1e-5)
    assert fit.log_evidence.sum() == pytest.approx(evidence, abs=1e-5)
    if model is RW:
        assert -(fit.log_lik + fit.log_prior).sum() == pytest.approx(2983.877386, abs=1e-5)
        assert -fit.log_lik.sum() == pytest.approx(2919.053727, abs=1e-5)


def test_rescorla_wagner_of_binary_inputs():
    """TAPAS gives alpha .2403 and zeta 6.1816; its optimiser stops a little short of the mode of the same posterior."""
    inputs = pd.read_csv(DATA / "hgf_binary_inputs.csv").iloc[:, 0].to_numpy(float)
    actions = pd.read_csv(DATA / "hgf_binary_actions.csv").iloc[:, 0].to_numpy()

    def policy(p, belief, trial):
        return pyem.Categorical(p.zeta * jnp.stack([jnp.log1p(-belief), jnp.log(belief)]))

    def update(p, belief, trial):
        error = trial.input - belief
        return belief + p.alpha * error, {"prediction_error": error}

    model = pyem.Model(
        "rw_binary",
        (pyem.Parameter("alpha", pyem.Interval(0, 1)), pyem.Parameter("zeta", pyem.Positive())),
        policy,
        init=lambda p: jnp.array(0.5),
        update=update,
        options=2,
        outcomes=("input",),
    )
    data = pyem.Dataset.from_arrays({"choice": actions[None, None], "input": inputs[None, None]})
    # The priors of TAPAS: logit(alpha) ~ N(0, 1), log(zeta) ~ N(log 48, 1).
    mean = np.array([0.0, np.log(48.0)])
    fit = pyem.fit_map(model, data, mean=mean, sd=1.0)
    assert fit.params[0, 0] == pytest.approx(0.2403, abs=5e-5)
    assert fit.params[0, 1] == pytest.approx(6.1816, rel=1e-3)
    published = model.unconstrained(np.array([[0.2403, 6.1816]]))
    joint = log_lik(model, data, published) - 0.5 * ((published - mean) ** 2).sum()
    ours = fit.log_lik - 0.5 * ((fit.x - mean) ** 2).sum()
    assert 0 <= ours[0] - joint[0] < 1e-4


def memory(frame):
    return pyem.Dataset.from_frame(
        frame,
        subject="subject",
        block="block",
        trial="trial",
        columns={name: name for name in ("stimulus", "set_size", "choice", "correct")},
        codes={"stimulus": range(1, 7), "choice": range(1, 4)},
    )


def test_working_memory_at_the_published_maximum_of_one_person():
    frame = pd.read_csv(DATA / "rlwm_collins2024_exp5.csv")
    data = memory(frame[frame["subject"] == frame["subject"].iloc[0]])
    model = pyem.fix(pyem.models.get("rlwm", capacity=4), bias_rl=0.0, bias_wm=0.0)
    found = dict(alpha=0.048344, stick=0.003925, rho=0.981712, forget=0.147441, epsilon=0.017794)
    value = pyem.log_lik(model, data, [[found[name] for name in model.names]])
    # The parameters are given to six digits, the value to four.
    np.testing.assert_allclose(value, -262.3149, atol=1e-4)


LEARNER = functools.partial(pyem.models.get, "rlwm", capacity=(2, 3, 4, 5))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "published"),
    [
        (pyem.fix(LEARNER(), bias_rl=0.0, bias_wm=0.0), -7306.4459),
        (pyem.fix(LEARNER(), bias_rl=0.0), -6970.2544),
        (pyem.fix(LEARNER(), bias_rl=0.0, bias_wm=1.0), -7002.9562),
        (pyem.tie(LEARNER(error_reward=1.0), bias_rl="bias_wm"), -6929.8572),
        (pyem.fix(LEARNER(error_reward=None), bias_rl=1.0, bias_wm=1.0), -6941.3475),
    ],
    ids=["memory of successes", "of errors, free", "of errors", "habit", "error's reward free"],
)
def test_working_memory_of_everybody_is_fitted_as_well_as_published(model, published):
    data = memory(pd.read_csv(DATA / "rlwm_collins2024_exp5.csv"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pyem.FitWarning)
        fit = pyem.fit_mle(model, data)
    assert fit.log_lik.sum() > published - 1e-3
    if published == -7306.4459:
        assert (fit.log_lik[:3] > np.array([-262.3149, -220.3725, -327.1309]) - 1e-3).all()

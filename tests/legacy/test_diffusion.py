"""The diffusion model in the form of pyEM: its density against a long series, its functions and its notebook's steps."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from pyem import EMModel
from pyem.models import ddm
from pyem.models.ddm import _EPS_VAR, _marginal_logpdf, _wfpt_logf
from pyem.utils.math import norm2alpha
from tests.legacy.plain_models import wfpt

PLACES = [(t, v, a, w) for t in (0.05, 0.4, 1.7) for v in (-1.5, 0.0, 2.0) for a in (0.8, 2.5) for w in (0.3, 0.5)]
TIMES = np.linspace(0.0, 12.0, 24_001)[1:]


def test_the_density_is_that_of_a_long_series():
    expected = np.log([wfpt(*place) for place in PLACES])
    np.testing.assert_allclose(ddm.wfpt_logpdf(*np.array(PLACES).T), expected, atol=1e-8)
    t, v, a, w = PLACES[5]
    one = ddm.wfpt_logpdf(t, v, a, w)
    assert type(one) is float
    assert one == pytest.approx(np.log(wfpt(t, v, a, w)), abs=1e-8)
    assert ddm.wfpt_logpdf(0.0, v, a, w) == ddm.wfpt_logpdf(-1.0, v, a, w) == -np.inf
    scaled = np.array([place[0] / place[2] ** 2 for place in PLACES])
    starts = np.array([place[3] for place in PLACES])
    expected = np.log([wfpt(t, 0.0, 1.0, w) for t, w in zip(scaled, starts, strict=True)])
    np.testing.assert_allclose(_wfpt_logf(scaled, starts, err=1e-12), expected, atol=1e-8)


def test_both_bounds_together_integrate_to_1():
    for v, a, z in ((0.7, 1.6, 0.4), (-1.2, 1.1, 0.5)):
        lower = np.exp(ddm.wfpt_logpdf(TIMES, v, a, z))
        upper = np.exp(ddm.wfpt_logpdf(TIMES, -v, a, 1 - z))
        assert np.trapezoid(lower + upper, TIMES) == pytest.approx(1.0, abs=1e-6)


def test_a_drift_that_varies_is_integrated():
    t, v, a, z, sv = 0.6, 0.8, 1.4, 0.45, 0.9
    found = ddm.wfpt_sv_logpdf(t, v, a, z, sv)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    mean = np.sum(weights / weights.sum() * [wfpt(t, v + sv * x, a, z) for x in nodes])
    assert found == pytest.approx(np.log(mean), abs=1e-8)
    # The closed form of the page.
    closed = (
        _wfpt_logf(t / a**2, z)
        - 2 * np.log(a)
        - 0.5 * np.log(1 + sv**2 * t)
        + (a**2 * z**2 * sv**2 - 2 * a * z * v - v**2 * t) / (2 * (1 + sv**2 * t))
    )
    assert found == pytest.approx(closed, abs=1e-10)
    assert ddm.wfpt_sv_logpdf(t, v, a, z) == ddm.wfpt_logpdf(t, v, a, z)


def test_widths_between_trials_are_averaged():
    v, a, z, t0 = 0.8, 1.4, 0.45, 0.3
    plain = ddm.wfpt_logpdf(0.5, v, a, z)
    assert _marginal_logpdf(0.8, v, a, z, t0, 0.0, 0.0, _EPS_VAR / 2) == pytest.approx(plain, abs=1e-12)
    nodes, weights = np.polynomial.legendre.leggauss(11)
    each = [
        w1 * w2 / 4 * np.exp(ddm.wfpt_sv_logpdf(0.8 - (t0 + 0.1 * x1), v, a, z + 0.15 * x2, 0.5))
        for x1, w1 in zip(nodes, weights, strict=True)
        for x2, w2 in zip(nodes, weights, strict=True)
    ]
    found = _marginal_logpdf(np.array([0.8, 0.9]), v, a, z, t0, 0.5, 0.2, 0.3)
    assert found[0] == pytest.approx(np.log(sum(each)), abs=1e-10)
    # Half of the non-decision times are beyond this response: they add nothing.
    early = _marginal_logpdf(0.3, v, a, z, t0, 0.0, 0.2, 0.0)
    left = [w / 2 * np.exp(ddm.wfpt_logpdf(-0.1 * x, v, a, z)) for x, w in zip(nodes, weights, strict=True) if x < 0]
    assert early == pytest.approx(np.log(sum(left)), abs=1e-10)


def test_ranges_of_the_parameters():
    x = np.array([-1.0, 0.0, 3.0])
    np.testing.assert_allclose(ddm.a_xform(x), 4 / (1 + np.exp(-x)))
    np.testing.assert_allclose(ddm.t0_xform(x), 0.5 / (1 + np.exp(-(x - 2.2))))
    caps = [xform(700.0) for xform in (ddm.a_xform, ddm.t0_xform, ddm.sv_xform, ddm.st_xform, ddm.sz_xform)]
    assert caps == [ddm.A_CAP, ddm.T0_CAP, ddm.SV_CAP, ddm.ST_CAP, ddm.SZ_CAP] == [4.0, 0.5, 2.5, 0.4, 0.9]


# -- the models -------------------------------------------------------------------------------------------------------

S, T = 12, 60
RNG = np.random.default_rng(3)
PARAMS = np.column_stack(
    [RNG.normal(1.5, 0.6, S), RNG.uniform(1, 2.5, S), RNG.uniform(0.15, 0.4, S), RNG.uniform(0.35, 0.65, S)]
)
XFORM = [lambda x: x, ddm.a_xform, ddm.t0_xform, norm2alpha]


@pytest.fixture(scope="module")
def sim():
    return ddm.ddm4_sim(PARAMS, ntrials=T, rng=np.random.default_rng(2), nblocks=1)


def unconstrained(v_coef, a, t0, z):
    logit = lambda p: np.log(p / (1 - p))  # noqa: E731
    return np.array([v_coef, logit(a / 4), logit(t0 / 0.5) + 2.2, logit(z)])


def data_of(sim, s):
    return [sim[name][s] for name in ("rt", "choice", "value_high", "value_low")]


def test_the_fit_function_is_the_density_of_each_trial(sim):
    assert {name: np.shape(value) for name, value in sim.items()} == {
        "params": (S, 4),
        **dict.fromkeys(("rt", "choice", "value_high", "value_low", "v"), (S, T)),
    }
    v_coef, a, t0, z = PARAMS[1]
    rt, choice, high, low = data_of(sim, 1)
    v = v_coef * (high - low)
    np.testing.assert_allclose(sim["v"][1], v)
    expected = [
        np.log(wfpt(t - t0, -d if c else d, a, 1 - z if c else z)) for t, c, d in zip(rt, choice, v, strict=True)
    ]
    x = unconstrained(v_coef, a, t0, z)
    out = ddm.ddm4_fit(x, rt, choice, high, low, output="all")
    assert list(out) == ["params", "rt", "choice", "value_high", "value_low", "v", "logdens", "nll"]
    np.testing.assert_allclose(out["logdens"], expected, atol=1e-8)
    np.testing.assert_allclose(out["params"], PARAMS[1], rtol=1e-9)
    assert out["nll"] == pytest.approx(-np.sum(expected), abs=1e-7)
    assert ddm.ddm4_fit(x, rt, choice, high, low, output="nll") == pytest.approx(out["nll"], abs=1e-9)


def test_what_cannot_be_is_a_large_number_or_a_dict(sim):
    data = data_of(sim, 1)
    late = unconstrained(1.0, 1.5, 0.499, 0.5)
    fast = data[0] <= 0.499
    assert 0 < fast.sum() < T
    assert ddm.ddm4_fit(late, *data) == ddm.ddm4_fit(late, *data, output="nll") == 1e7
    out = ddm.ddm4_fit(late, *data, output="all")
    np.testing.assert_array_equal(out["logdens"] == -1e3, fast)
    assert out["nll"] == pytest.approx(-out["logdens"].sum())
    assert ddm.ddm4_fit(np.array([21.0, 0.0, 0.0, 0.0]), *data) == 1e7


def test_missing_times_count_by_the_choice_and_time_outs_not_at_all(sim):
    rt, choice, high, low = (part.astype(float) for part in data_of(sim, 1))
    x = unconstrained(*PARAMS[1])
    whole = ddm.ddm4_fit(x, rt, choice, high, low, output="all")
    rt[3], rt[4], choice[4] = np.nan, np.nan, -1
    out = ddm.ddm4_fit(x, rt, choice, high, low, output="all")
    v_coef, a, _, z = PARAMS[1]
    v = v_coef * (high - low)[3]
    lower = (np.exp(-2 * v * a) - np.exp(-2 * v * a * z)) / (np.exp(-2 * v * a) - 1)
    alone = np.log(1 - lower if choice[3] else lower)
    assert out["logdens"][3] == pytest.approx(alone, abs=1e-9)
    assert np.isnan(out["logdens"][4])
    assert out["nll"] == pytest.approx(whole["nll"] + whole["logdens"][3] + whole["logdens"][4] - alone, abs=1e-7)


def test_simulated_times_have_the_distribution():
    one = ddm.ddm4_lotto_sim(np.tile([1.0, 1.5, 0.3, 0.4], (1, 1)), ntrials=4000, rng=np.random.default_rng(1))
    assert (one["choice"] == (one["choice"] == 1)).all()
    v, rt = one["v"][0], one["rt"][0]
    # Each time's place in its own distribution is uniform: mean and variance within four standard errors.
    upper = 1 - (np.exp(-2 * v * 1.5) - np.exp(-2 * v * 1.5 * 0.4)) / (np.exp(-2 * v * 1.5) - 1)
    assert (one["choice"][0] - upper).mean() == pytest.approx(0, abs=4 * 0.5 / np.sqrt(4000))
    # Wald's identity: the mean of decision times is what drift makes of the mean distance.
    distance = np.where(one["choice"][0] == 1, 0.6 * 1.5, -0.4 * 1.5)
    noise = distance - v * (rt - 0.3)
    assert noise.mean() == pytest.approx(0, abs=4 * noise.std() / np.sqrt(4000))
    late = ddm.ddm4_lotto_sim([[0.1, 3.5, 0.3, 0.5]], ntrials=4000, max_time=1.0, seed=2)
    np.testing.assert_array_equal(np.isnan(late["rt"]), late["choice"] == -1)
    assert 0 < np.isnan(late["rt"]).mean() < 1


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ([1.0, 4.5, 0.3, 0.5], r"a \(boundary\) out of bounds \(0, 4.0\]"),
        ([1.0, 1.5, 0.6, 0.5], "t0 out of bounds"),
        ([1.0, 1.5, 0.3, 1.0], r"z \(bias\) must be in \(0, 1\)"),
        ([1.0, 1.5], r"params must have shape \(nsubjects, 4\): \[v_coef, a, t0, z\]"),
    ],
)
def test_simulations_refuse_what_is_out_of_bounds(params, words):
    with pytest.raises(ValueError, match=words):
        ddm.ddm4_sim([params], ntrials=3)


def test_paths_lead_from_the_start_to_a_bound():
    paths = ddm.ddm4_sim_paths(np.array([1.0, 1.5, 0.3, 0.4]), rng=np.random.default_rng(1))
    keys = "params t x choice crossed rt v v_draw value_high value_low t0_draw z_draw"
    assert set(paths) == set(keys.split())
    assert len(paths["x"]) == 25
    for t, x, choice, crossed, rt in zip(*(paths[k] for k in ("t", "x", "choice", "crossed", "rt")), strict=True):
        assert t[0] == 0.3
        assert x[0] == pytest.approx(0.6)
        assert ((x[1:-1] > 0) & (x[1:-1] < 1.5)).all()
        assert t[-1] == rt
        if crossed:
            assert x[-1] == (1.5 if choice else 0.0)
        else:
            assert choice == -1
    assert paths["crossed"].any()


def test_what_the_notebook_prints():
    assert ddm.ddm4_spec["task"] == "high_vs_low_value"
    assert ddm.ddm4_lotto_spec["task"] == "safe_vs_risky_gamble"
    assert set(ddm.ddm4_spec["boundaries"]) == {"upper", "lower"}
    assert list(inspect.signature(ddm.ddm4_lotto_fit).parameters)[:5] == ["params", "rt", "choice", "ev_risky", "safe"]
    for function in (ddm.ddm7_sim, ddm.ddm7_fit, ddm.ddm7_lotto_sim_paths, ddm.ddm7_lotto_model.fit):
        with pytest.raises(NotImplementedError, match="variability"):
            function([1.0])


@pytest.mark.slow
def test_people_are_fitted(sim):
    model = EMModel([data_of(sim, s) for s in range(S)], ddm.ddm4_fit, ["v_coef", "a", "t0", "z"], XFORM)
    result = model.fit(
        verbose=0,
        optim_method="Nelder-Mead",
        optim_options={"maxiter": 20, "xatol": 1e-3, "fatol": 1e-3},
        max_restarts=4,
    )
    assert result.convergence
    found = model.subject_params()
    assert np.corrcoef(found[:, 1], PARAMS[:, 1])[0, 1] > 0.8
    assert np.corrcoef(found[:, 2], PARAMS[:, 2])[0, 1] > 0.8
    np.testing.assert_allclose(model.outfit["nll"], result.NLL, atol=1e-8)

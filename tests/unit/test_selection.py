"""Evidence against exact integrals, criteria by hand, comparisons, and random-effects selection against closed forms."""

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import pyem
from pyem import Dataset, Group, Model, Normal, Parameter
from pyem.engine.evaluate import log_lik_draws
from pyem.engine.importance import log_evidence
from pyem.errors import FitWarning
from pyem.numerics.dirichlet import exceedance
from pyem.selection import aic, bic, compare_fits, integrated_bic, lme, pseudo_r2, random_effects_bms

BOTH = pyem.models.get("rw1a1b")
ONE = pyem.fix(BOTH, alpha=0.3)
SD = 1.3


@pytest.fixture(scope="module")
def data():
    return pyem.simulate(BOTH, subjects=12, blocks=2, trials=25, missed=0.05, key=2)


@pytest.fixture(scope="module")
def fit(data):
    return pyem.fit_em(BOTH, data)


@pytest.fixture(scope="module")
def other(data):
    return pyem.fit_em(ONE, data)


@pytest.fixture(scope="module")
def maximum(data):
    with pytest.warns(FitWarning):
        return pyem.fit_mle(BOTH, data)


# -- evidence against exact integrals -----------------------------------------------------------------------------------

QUANTILE = {
    "gaussian": stats.norm.ppf,
    "student_t": lambda u: stats.t.ppf(u, 4),
    "laplace": lambda u: stats.laplace.ppf(u, scale=math.sqrt(0.5)),
    "cauchy": stats.cauchy.ppf,
}


def exact(model, data, family, mean, sd, nodes):
    """The integral over the prior's distribution function, by Gauss-Legendre quadrature: it suits all tails."""
    u, weight = np.polynomial.legendre.leggauss(nodes)
    z, log_weight = QUANTILE[family]((u + 1) / 2), np.log(weight / 2)
    if len(mean) == 1:
        points = z[:, None]
    else:
        points = np.stack(np.meshgrid(z, z, indexing="ij"), axis=-1).reshape(-1, 2)
        log_weight = np.add.outer(log_weight, log_weight).ravel()
    x = np.repeat((mean + sd * points)[:, None], data.n_subjects, axis=1)
    return np.logaddexp.reduce(log_lik_draws(model, data, x) + log_weight[:, None], axis=0)


def sampled(model, data, group, mean, sd, x, spread, draws, key):
    n = data.n_subjects
    return log_evidence(model, data, x, spread, group, np.tile(mean, (n, 1)), np.diag(sd**2), draws=draws, key=key)


@pytest.mark.parametrize("family", list(QUANTILE))
@pytest.mark.parametrize(("model", "nodes"), [(ONE, 200), (BOTH, 80)], ids=["P=1", "P=2"])
def test_importance_sampling_is_exact_within_its_own_error(data, family, model, nodes):
    mean, sd = np.array([-1.2, -0.4])[: model.n_params], np.array([0.9, 1.1])[: model.n_params]
    reference = exact(model, data, family, mean, sd, nodes)
    point = pyem.fit_map(model, data, mean=mean, sd=sd)
    found = sampled(model, data, Group(family, df=4), mean, sd, point.x, point.cov, 1000, 7)
    z = (found.log_evidence - reference) / found.se
    assert np.abs(z).max() < 4
    # The error is neither claimed too small nor too large: the sum of squares is chi-squared, here at 1e-4 in each tail.
    assert stats.chi2.ppf(1e-4, len(z)) < (z**2).sum() < stats.chi2.isf(1e-4, len(z))
    if family == "gaussian":
        # Of this prior, the proposal is the Laplace approximation: it must be a good one.
        assert found.se.max() < 0.03
        assert (found.ess > 500).all()


def test_a_bad_proposal_costs_precision_but_not_the_truth(data):
    mean, sd = np.array([-1.2, -0.4]), np.array([0.9, 1.1])
    reference = exact(BOTH, data, "gaussian", mean, sd, 80)
    point = pyem.fit_map(BOTH, data, mean=mean, sd=sd)
    off = sampled(BOTH, data, Group(), mean, sd, point.x + 8, point.cov, 4000, 3)
    unknown = sampled(BOTH, data, Group(), mean, sd, point.x, np.full_like(point.cov, np.nan), 4000, 3)
    good = sampled(BOTH, data, Group(), mean, sd, point.x, point.cov, 4000, 3)
    for found in (off, unknown):
        assert (np.abs(found.log_evidence - reference) < 4.5 * found.se).all()
    assert (off.se > good.se).all()


@pytest.mark.parametrize("family", ["gaussian", "student_t"])
def test_priors_with_correlations_are_integrated(data, family):
    mean, cov = np.array([-1.0, -0.3]), np.array([[0.8, 0.5], [0.5, 1.2]])
    # The trapezoid rule on a grid that reaches far, with small steps in the middle.
    v = np.linspace(-5, 5, 141)
    points = mean + np.stack(np.meshgrid(np.sinh(v), np.sinh(v), indexing="ij"), axis=-1).reshape(-1, 2)
    log_cell = np.log(np.multiply.outer(np.cosh(v), np.cosh(v))).ravel() + 2 * math.log(v[1] - v[0])
    prior = stats.multivariate_normal(mean, cov) if family == "gaussian" else stats.multivariate_t(mean, cov, df=4)
    log_lik = log_lik_draws(BOTH, data, np.repeat(points[:, None], data.n_subjects, axis=1))
    reference = np.logaddexp.reduce(log_lik + (prior.logpdf(points) + log_cell)[:, None], axis=0)
    point = pyem.fit_map(BOTH, data, mean=mean, sd=np.sqrt(np.diag(cov)))
    group = Group(family, covariance="full", df=4)
    means = np.tile(mean, (12, 1))
    found = log_evidence(BOTH, data, point.x, point.cov, group, means, cov, draws=1000, key=1)
    assert (np.abs(found.log_evidence - reference) < 4.5 * found.se).all()
    assert found.se.max() < 0.1


@pytest.mark.filterwarnings("ignore::pyem.FitWarning")
def test_every_parameter_of_the_group_counts(fit):
    full = pyem.fit_em(fit.model, fit.data, group=Group(covariance="full"), max_iter=3, standard_errors=False)
    assert lme(fit).n_group == 4
    assert lme(full).n_group == 5


def test_the_number_of_blocks_of_draws_does_not_matter(data, fit, monkeypatch):
    whole = integrated_bic(fit, draws=960, key=1)
    monkeypatch.setattr("pyem.engine.importance.WORKING_SET", 200 * fit.x.size)
    parts = integrated_bic(fit, draws=960, key=1)
    assert parts.draws == whole.draws == 960
    assert abs(parts.value - whole.value) < 4 * math.hypot(parts.se, whole.se)
    assert parts.value != whole.value
    assert 0.7 < parts.se / whole.se < 1.4


def test_integrated_bic_adds_up(data, fit):
    found = integrated_bic(fit, draws=500, key=1)
    n = int(data.n_responses(BOTH).sum())
    assert n < data.n_trials
    assert found.n_responses == n
    assert found.value == pytest.approx(-2 * found.log_evidence.sum() + 4 * math.log(n), abs=1e-9)
    assert found.se == pytest.approx(2 * math.sqrt((found.log_evidence_se**2).sum()), abs=1e-12)
    assert integrated_bic(fit, draws=500, key=1).value == found.value
    assert integrated_bic(fit, draws=500, key=2).value != found.value


def test_a_given_prior_costs_nothing(data):
    point = pyem.fit_map(BOTH, data, mean=[-1.0, 0.0], sd=[0.5, 0.7])
    found = integrated_bic(point, draws=1000, key=0)
    assert found.n_group == 0
    reference = exact(BOTH, data, "gaussian", np.array([-1.0, 0.0]), np.array([0.5, 0.7]), 80)
    assert abs(found.value + 2 * reference.sum()) < 4 * found.se
    evidence = lme(point)
    assert evidence.value == evidence.total == pytest.approx(point.log_evidence.sum())


def test_few_effective_draws_are_said(fit):
    with pytest.warns(FitWarning, match="less than 20 of 16 draws are effective for 12 subjects"):
        integrated_bic(fit, draws=16, key=0)
    with pytest.raises(ValueError, match="draws=15; at least 16 are needed"):
        integrated_bic(fit, draws=15, key=0)


LEVEL = Model(
    "level",
    (Parameter("level"),),
    lambda p, state, trial: Normal(p.level, jnp.asarray(SD)),
    responses=("y",),
)


@pytest.fixture(scope="module")
def levels():
    rng = np.random.default_rng(4)
    return Dataset.from_arrays({"y": rng.normal(0.5, 0.8, (20, 1, 1)) + SD * rng.normal(size=(20, 1, 12))})


def test_linear_gaussian_evidence_is_the_closed_form(levels):
    fit = pyem.fit_em(LEVEL, levels)
    mean, variance = fit.population.coef[0, 0], fit.population.cov[0, 0]
    marginal = stats.multivariate_normal(np.full(12, mean), SD**2 * np.eye(12) + variance)
    closed = marginal.logpdf(levels.fields["y"].T)
    np.testing.assert_allclose(lme(fit).subject, closed, atol=1e-8)
    assert lme(fit).total == pytest.approx(closed.sum(), abs=1e-8)
    assert lme(fit).value == pytest.approx(closed.sum() - math.log(20), abs=1e-8)
    found = integrated_bic(fit, draws=1000, key=0)
    assert (np.abs(found.log_evidence - closed) < 4 * found.log_evidence_se).all()
    assert abs(found.value - (-2 * closed.sum() + 2 * math.log(240))) < 4 * found.se


def test_what_has_no_evidence_says_so(maximum, data):
    with pytest.raises(ValueError, match="a fit by mle has no prior and so no evidence; use fit_em or fit_map"):
        lme(maximum)
    with pytest.raises(ValueError, match="this fit by mle keeps no prior density"):
        integrated_bic(maximum, key=0)
    natural = pyem.fit_map(BOTH, data, log_prior=lambda p: -p.beta / 5)
    with pytest.raises(ValueError, match="fit_map with mean and sd"):
        integrated_bic(natural, key=0)


def test_lme_names_subjects_without_a_regular_mode(fit):
    status = fit.status.copy()
    status[3] = pyem.Status.FLAT
    with pytest.warns(FitWarning, match=r"1 of 12 subjects without a regular mode \(3\); use integrated_bic"):
        lme(dataclasses.replace(fit, status=status))


# -- information criteria -----------------------------------------------------------------------------------------------


def by_hand(data, params):
    """Log-likelihood and number of responses of each subject, by a loop."""
    log_lik, n = np.zeros(data.n_subjects), np.zeros(data.n_subjects, int)
    for lane, s in enumerate(data.lane_subject):
        q, (beta, alpha) = [0.5, 0.5], params[s]
        for t in range(data.valid.shape[0]):
            if not data.present["choice"][t, lane]:
                continue
            c = int(data.fields["choice"][t, lane])
            log_lik[s] += beta * q[c] - math.log(math.exp(beta * q[0]) + math.exp(beta * q[1]))
            n[s] += 1
            q[c] += alpha * (data.fields["reward"][t, lane] - q[c])
    return log_lik, n


def test_aic_and_bic_by_hand(maximum, data):
    log_lik, n = by_hand(data, maximum.params)
    assert n.min() < 50
    np.testing.assert_allclose(aic(maximum).subject, 4 - 2 * log_lik, atol=1e-8)
    np.testing.assert_allclose(bic(maximum).subject, 2 * np.log(n) - 2 * log_lik, atol=1e-8)
    assert aic(maximum).total == pytest.approx((4 - 2 * log_lik).sum(), abs=1e-7)
    assert bic(maximum).total == pytest.approx((2 * np.log(n) - 2 * log_lik).sum(), abs=1e-7)


def test_pseudo_r2_by_hand(fit, data):
    log_lik, n = by_hand(data, fit.params)
    found = pseudo_r2(fit)
    np.testing.assert_allclose(found.subject, 1 + log_lik / (n * math.log(2)), atol=1e-9)
    assert found.median == np.median(found.subject)
    assert found.pooled == pytest.approx(1 + log_lik.sum() / (n.sum() * math.log(2)), abs=1e-9)


def test_chance_has_no_r2(levels):
    random = pyem.fix(pyem.models.get("rw1a1b", options=3), beta=0.0)
    data = pyem.simulate(random, subjects=3, trials=20, key=0)
    np.testing.assert_allclose(pseudo_r2(pyem.fit_map(random, data)).subject, 0, atol=1e-12)
    with pytest.raises(ValueError, match="model 'level' has no options"):
        pseudo_r2(pyem.fit_map(LEVEL, levels))


# -- comparison ---------------------------------------------------------------------------------------------------------


def test_comparison_is_sorted_and_adds_up(fit, other):
    table = compare_fits({"two": fit, "one": other}, draws=500, key=3)
    values = {"two": integrated_bic(fit, draws=500, key=3), "one": integrated_bic(other, draws=500, key=3)}
    order = sorted(values, key=lambda name: values[name].value)
    assert list(table.index) == order
    assert table.attrs["by"] == "integrated_bic"
    assert "Huys" in table.attrs["method"]
    best, worst = (values[name] for name in order)
    row = table.loc[order[1]]
    assert row.difference == pytest.approx(worst.value - best.value)
    gaps = -2 * (worst.log_evidence - best.log_evidence)
    assert row.difference_se == pytest.approx(math.sqrt(12) * np.std(gaps, ddof=1))
    assert row.weight == pytest.approx(1 / (1 + math.exp((worst.value - best.value) / 2)))
    assert table.weight.sum() == pytest.approx(1)
    assert table.difference.iloc[0] == table.difference_se.iloc[0] == 0
    assert table.loc["two", "n_group"] == 4
    assert table.loc["one", "n_params"] == 1
    assert table.loc["two", "integrated_bic_se"] == pytest.approx(values["two"].se)


def test_lme_sorts_the_largest_first(fit, other):
    table = compare_fits({"two": fit, "one": other}, by="lme", draws=0)
    assert table.lme.is_monotonic_decreasing
    assert table.difference.iloc[1] == pytest.approx(abs(lme(fit).value - lme(other).value))
    assert table.weight.iloc[1] == pytest.approx(1 / (1 + math.exp(table.difference.iloc[1])))
    assert table.integrated_bic.isna().all()
    assert compare_fits({"two": fit, "one": other}, draws=0).attrs["by"] == "lme"


def test_fits_without_a_criterion_have_none(fit, maximum):
    both = {"em": fit, "mle": maximum}
    with pytest.raises(ValueError, match=r"no criterion suits all of these fits \('em' by em, 'mle' by mle\)"):
        compare_fits(both, draws=0)
    with pytest.raises(ValueError, match="no integrated_bic for mle"):
        compare_fits(both, by="integrated_bic", draws=100)
    table = compare_fits(both, by="bic", draws=100)
    assert table.loc["mle", ["lme", "integrated_bic", "integrated_bic_se"]].isna().all()
    assert table.loc["em", ["lme", "integrated_bic"]].notna().all()
    assert compare_fits({"mle": maximum}).attrs["by"] == "bic"


def test_fits_of_different_data_are_refused(data, fit, other):
    fewer = pyem.fit_map(BOTH, data.select(range(11)))
    with pytest.raises(
        ValueError, match=r"different data.* 'fewer': 11 subjects, \d+ trials with choice than for 'all': 12 subjects"
    ):
        compare_fits({"all": fit, "other": other, "fewer": fewer})
    choice = data.fields["choice"].copy()
    choice[0, 0] = 1 - choice[0, 0]
    changed = dataclasses.replace(data, fields={**data.fields, "choice": choice})
    with pytest.raises(ValueError, match="fit both models to the same Dataset"):
        compare_fits({"all": fit, "changed": dataclasses.replace(fit, data=changed)})


def test_names_may_be_numbers(fit, other):
    numbered, named = compare_fits({2: fit, 1: other}, by="bic"), compare_fits({"2": fit, "1": other}, by="bic")  # type: ignore[dict-item]
    assert [str(name) for name in numbered.index] == named.index.tolist()
    np.testing.assert_array_equal(numbered["difference_se"], named["difference_se"])


def test_what_is_not_a_comparison_is_refused(fit):
    with pytest.raises(ValueError, match="expected fits by name"):
        compare_fits([fit])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected fits by name"):
        compare_fits({})
    with pytest.raises(
        ValueError, match="by='dic'; choose one of log_marginal_likelihood, integrated_bic, lme, aic, bic, loo, waic"
    ):
        compare_fits({"one": fit}, by="dic")


# -- random-effects selection -------------------------------------------------------------------------------------------


def test_exceedance_of_two_is_a_beta_probability():
    for a, b in [(1.0, 1.0), (3.0, 1.5), (80.0, 95.0), (0.4, 2.0), (1500.0, 1400.0)]:
        np.testing.assert_allclose(exceedance([a, b])[0], stats.beta.sf(0.5, a, b), atol=1e-12)


def test_exceedance_of_many_agrees_with_draws():
    alpha = np.array([4.0, 6.0, 2.0, 5.5])
    draws = np.random.default_rng(0).dirichlet(alpha, 200_000).argmax(1)
    counts = np.bincount(draws, minlength=4) / len(draws)
    found = exceedance(alpha)
    assert (np.abs(found - counts) < 4.5 * np.sqrt(found * (1 - found) / len(draws))).all()
    np.testing.assert_allclose(exceedance(alpha[::-1]), found[::-1], atol=1e-12)
    np.testing.assert_allclose(exceedance(np.full(3, 2.5)), 1 / 3, atol=1e-12)


def test_decisive_evidence_only_counts_people():
    # Nobody's model is in doubt: the posterior is Dirichlet(1 + counts), and evidence and risk are known.
    counts = np.array([9, 3, 2])
    best = np.repeat([0, 1, 2], counts)
    table = np.full((14, 3), -400.0)
    table[np.arange(14), best] = -3.0
    found = random_effects_bms(table)
    np.testing.assert_allclose(found.alpha, 1 + counts, atol=1e-9)
    log_beta = lambda a: sum(math.lgamma(v) for v in a) - math.lgamma(sum(a))  # noqa: E731
    log_evidence = -42 + log_beta([10, 4, 3]) - log_beta([1, 1, 1])
    assert found.log_evidence == pytest.approx(log_evidence, abs=1e-9)
    assert found.log_evidence_null == pytest.approx(-42 - 14 * math.log(3), abs=1e-9)
    risk = 1 / (1 + math.exp(log_evidence + 42 + 14 * math.log(3)))
    assert found.omnibus_risk == pytest.approx(risk, abs=1e-12)
    np.testing.assert_allclose(found.frequency, np.array([10, 4, 3]) / 17, atol=1e-9)
    np.testing.assert_allclose(found.protected_exceedance, exceedance([10, 4, 3]) * (1 - risk) + risk / 3, atol=1e-9)
    np.testing.assert_allclose(found.attribution[np.arange(14), best], 1)


def test_evidence_that_says_nothing_changes_nothing():
    found = random_effects_bms(np.zeros((10, 4)))
    np.testing.assert_allclose(found.frequency, 0.25, atol=1e-9)
    np.testing.assert_allclose(found.protected_exceedance, 0.25, atol=1e-9)
    assert found.omnibus_risk > 0.5


def test_the_bound_is_below_and_near_the_exact_evidence():
    table = np.random.default_rng(5).normal(0, 2, (15, 2))
    # The marginal likelihood of the frequency is a polynomial of degree 15: quadrature with 12 nodes is exact.
    node, weight = np.polynomial.legendre.leggauss(12)
    r = (node + 1) / 2
    like = np.log(r[:, None] * np.exp(table[:, 0]) + (1 - r[:, None]) * np.exp(table[:, 1])).sum(1)
    evidence = np.log((weight / 2 * np.exp(like)).sum())
    found = random_effects_bms(table)
    assert evidence - 0.5 < found.log_evidence < evidence
    shifted = random_effects_bms(table + np.arange(15)[:, None])
    np.testing.assert_allclose(shifted.alpha, found.alpha, atol=1e-8)
    swapped = random_effects_bms(table[:, ::-1])
    np.testing.assert_allclose(swapped.protected_exceedance, found.protected_exceedance[::-1], atol=1e-8)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([[1.0], [2.0]], r"shape \(2, 1\)"),
        ([1.0, 2.0], r"shape \(2,\)"),
        ([[1.0, np.nan]], "1 values that are not finite"),
    ],
)
def test_evidence_that_is_no_table_is_refused(table, message):
    with pytest.raises(ValueError, match=message):
        random_effects_bms(table)


def test_a_prior_must_be_positive():
    with pytest.raises(ValueError, match="prior=0; it must be above 0"):
        random_effects_bms([[0.0, 1.0]], prior=0)

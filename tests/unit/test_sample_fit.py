"""What can be done with draws: files, ArviZ, cross-validation by trial, block and subject, comparison, predictive checks."""

import dataclasses
import warnings

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

import pyem
from pyem.engine import integrals as integration
from pyem.engine import pointwise as pointwise_values
from pyem.engine.evaluate import trial_values
from pyem.model.distribution import Normal
from pyem.numerics.pareto import pareto_smoothed

SUBJECTS, BLOCKS, DRAWS = 12, 2, 300


@pytest.fixture(scope="module")
def data():
    return pyem.simulate(pyem.models.get("rw1a1b"), subjects=SUBJECTS, blocks=BLOCKS, trials=20, key=5, missed=0.05)


@pytest.fixture(scope="module")
def fit(data):
    return sampled(data, 2)


@pytest.fixture(scope="module")
def other(data):
    """Other draws of the same posterior."""
    return sampled(data, 3)


def sampled(data, key):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pyem.FitWarning)
        return pyem.fit_nuts(pyem.models.get("rw1a1b"), data, draws=DRAWS // 2, warmup=150, chains=2, key=key)


@pytest.fixture(scope="module")
def pointwise(fit):
    """Log-likelihood (draw, trial, lane), draw by draw."""
    flat = fit.posterior["x"].reshape(-1, *fit.posterior["x"].shape[2:])
    return np.stack([trial_values(fit.model, fit.data, x)["log_lik"] for x in flat])


# -- cross-validation -----------------------------------------------------------------------------------------------------


def test_waic_by_trial_and_block_is_its_definition(fit, data, pointwise):
    counts = data.present["choice"]
    for unit, values in (("trial", pointwise[:, counts]), ("block", np.where(counts, pointwise, 0).sum(1))):
        found = pyem.waic(fit, unit=unit)
        lppd = logsumexp(values, axis=0) - np.log(len(values))
        assert found.elpd == pytest.approx((lppd - values.var(0, ddof=1)).sum(), rel=1e-9)
        assert found.p == pytest.approx(values.var(0, ddof=1).sum(), rel=1e-9)
        assert found.se == pytest.approx(
            np.sqrt(values.shape[1]) * (lppd - values.var(0, ddof=1)).std(ddof=1), rel=1e-9
        )
        assert f"by {unit}" in str(found)
        assert len(found.table()) == values.shape[1]


def arviz_smoothed(log_ratios):
    """Smoothed log weights and Pareto k of log importance ratios (unit, draw), by either generation of ArviZ.

    The later one begins its tails elsewhere, and so has other k; it is not asked for them.
    """
    import arviz

    if arviz.__version__.startswith("0."):
        return arviz.psislw(log_ratios)
    from arviz_stats.base import array_stats

    return array_stats.psislw(-log_ratios, axis=-1)[0], None


def test_loo_is_that_of_arviz(fit, data, pointwise):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = np.where(data.present["choice"], pointwise, 0).sum(1)
        theirs, k = arviz_smoothed(-values.T.copy())
        ours, our_k = pareto_smoothed(-values)
        np.testing.assert_allclose(logsumexp(ours + values, axis=0), logsumexp(theirs + values.T, axis=1), atol=0.05)
        if k is not None:
            # Where draws tie with the largest that is not in the tail, ArviZ takes a shorter tail.
            ordered, tail = np.sort(-values, axis=0), int(np.ceil(min(0.2 * DRAWS, 3 * np.sqrt(DRAWS))))
            alone = ordered[-tail - 1] < ordered[-tail]
            assert alone.sum() > 20
            np.testing.assert_allclose(our_k[alone], k[alone], atol=0.05)
        found = pyem.loo(fit, unit="block")
    np.testing.assert_allclose(found.pointwise, logsumexp(ours + values, axis=0), rtol=1e-9)
    np.testing.assert_allclose(found.by_subject, found.pointwise.reshape(SUBJECTS, BLOCKS).sum(1))


def test_pointwise_values_are_made_in_chunks(fit, monkeypatch):
    whole = pyem.waic(fit)
    monkeypatch.setattr(pointwise_values, "IN_MEMORY", DRAWS * 40 * 5)
    chunks = pointwise_values.chunks_of(fit.model, fit.data, fit.flat["x"], "trial")
    sizes = [values.shape[1] for values, _, _ in chunks]
    assert len(sizes) == 3
    np.testing.assert_allclose(pyem.waic(fit).pointwise, whole.pointwise, rtol=1e-10)


def test_influential_units_are_told_of(fit):
    x = fit.posterior["x"].copy()
    # A single draw that knows better than all others.
    x[0, 0, 3] += 4.0
    with pytest.warns(pyem.FitWarning, match="blocks influence the posterior too much"):
        pyem.loo(dataclasses.replace(fit, posterior=fit.posterior | {"x": np.where(x > 3, -8.0, x)}), unit="block")


NOISE = 0.5


@pytest.mark.parametrize("spread", [1.0, 0.2, 0.02, 1e-4])
def test_subjects_are_integrated_out(spread):
    """Against the closed form of a Gaussian group, also where people hardly differ."""
    policy = lambda p, state, trial: Normal(p.level, NOISE)  # noqa: E731
    model = pyem.Model("level", (pyem.Parameter("level"),), policy, responses=("y",))
    rng = np.random.default_rng(0)
    y = rng.normal(size=(8, 1, 5)) * NOISE + rng.normal(size=(8, 1, 1)) * 0.3
    data = pyem.Dataset.from_arrays({"y": y})
    precision = 5 / NOISE**2
    gaussian = (np.full((8, 1, 1), precision), precision * y.mean((1, 2))[:, None])
    mean, sd = 0.3 * rng.normal(size=30), spread * np.exp(0.5 * rng.normal(size=30))
    draws = integration.GroupDraws(mean[:, None, None], sd[:, None], np.ones((30, 1, 1)))
    around = (y.mean((1, 2))[:, None], np.full((8, 1, 1), 1 / precision))
    found, x = integration.integrated(
        model, data, pyem.Group(), np.ones((8, 1)), draws, gaussian, around, n=512, rng=np.random.default_rng(1)
    )
    cov = lambda s: NOISE**2 * np.eye(5) + s**2  # noqa: E731
    exact = np.array(
        [stats.multivariate_normal(np.full(5, m), cov(s)).logpdf(y[:, 0]) for m, s in zip(mean, sd, strict=True)]
    )
    # Monte-Carlo errors of 512 points, or 96 of a narrow group's own: 240 values within 5 of them.
    assert np.abs(found - exact).max() < 0.5
    assert abs((found - exact).mean()) < 0.03
    weight = sd[:, None] ** 2 / (sd[:, None] ** 2 + 1 / precision)
    middle = weight * y.mean((1, 2)) + (1 - weight) * mean[:, None]
    z = (x[..., 0] - middle) / np.sqrt(weight / precision)
    assert abs(z.mean()) < 4 / np.sqrt(240)
    assert 0.85 < z.std() < 1.15


def test_loo_by_subject_is_stable(fit):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pyem.FitWarning)
        one, two = (pyem.loo(fit, unit="subject", key=key) for key in (0, 1))
    assert one.elpd == pytest.approx(two.elpd, abs=1.5)
    assert one.pointwise.shape == (SUBJECTS,)
    assert pyem.waic(fit, unit="subject").elpd == pytest.approx(one.elpd, abs=3)


def test_comparison_says_its_unit(fit, other):
    table = pyem.compare_fits({"one": fit, "two": other}, by="waic", unit="block")
    assert table.attrs["unit"] == "block"
    assert "WAIC, blocks left out" in table.attrs["method"]
    assert (table.n_units == SUBJECTS * BLOCKS).all()
    assert table.difference.iloc[0] == 0
    assert table.difference.iloc[1] == pytest.approx(
        abs(pyem.waic(fit, unit="block").elpd - pyem.waic(other, unit="block").elpd)
    )
    assert table.weight.sum() == pytest.approx(1)


def test_what_cannot_be_compared(fit, other, data):
    em = pyem.fit_em(fit.model, data, max_iter=200)
    with pytest.raises(ValueError, match="fits with and without draws"):
        pyem.compare_fits({"one": fit, "two": em})
    with pytest.raises(ValueError, match="choose 'loo', 'waic' or 'bridge'"):
        pyem.compare_fits({"one": fit, "two": other}, by="bic")
    with pytest.raises(ValueError, match="by='loo' needs draws"):
        pyem.compare_fits({"one": em}, by="loo")
    with pytest.raises(ValueError, match="unit='people'"):
        pyem.loo(fit, unit="people")
    with pytest.raises(ValueError, match="a fit by em has no draws"):
        pyem.loo(em)


# -- files and ArviZ ------------------------------------------------------------------------------------------------------


def test_files_hold_everything(fit, tmp_path):
    again = pyem.load(fit.save(tmp_path / "fit.nc"))
    assert again.model == fit.model
    assert again.group == fit.group
    for name, values in (fit.posterior | fit.stats).items():
        np.testing.assert_array_equal((again.posterior | again.stats)[name], values)
    assert again.summary() == fit.summary()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import arviz

        opened = arviz.from_netcdf(tmp_path / "fit.nc")
    assert opened.sample_stats.diverging.dtype == bool
    np.testing.assert_array_equal(opened.posterior["group_sd"], fit.posterior["sd"])


def test_arviz_has_all_groups(fit, data, pointwise):
    found = fit.to_arviz(prior=20, posterior_predictive=10)
    groups = {
        "posterior",
        "prior",
        "posterior_predictive",
        "log_likelihood",
        "sample_stats",
        "observed_data",
        "constant_data",
    }
    assert all(name in found for name in groups)
    assert found.posterior.alpha.dims == ("chain", "draw", "subject")
    assert found.posterior.x.dims == ("chain", "draw", "subject", "parameter")
    assert found.posterior.parameter.values.tolist() == ["beta", "alpha"]
    np.testing.assert_array_equal(found.posterior.alpha, fit.natural[..., 1])
    lane, row = np.nonzero(data.present["choice"].T)
    np.testing.assert_allclose(
        found.log_likelihood.choice.values.reshape(DRAWS, -1), pointwise[:, row, lane], rtol=1e-9, atol=1e-12
    )
    assert found.prior.group_mean.shape == (1, 20, 2)
    assert found.posterior_predictive.choice.shape == (1, 10, len(lane))
    by_subject = fit.to_arviz(log_likelihood="subject", prior=0, posterior_predictive=0)
    np.testing.assert_allclose(
        by_subject.log_likelihood.choice.sum("subject"), found.log_likelihood.choice.sum("obs"), rtol=1e-9
    )


# -- predictive checks ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def predicted(fit):
    return pyem.posterior_predictive(fit, draws=100, key=1)


def test_one_step_ahead_has_the_probabilities_of_the_fit(fit, predicted, data):
    assert predicted.one_step
    here = data.present["choice"]
    simulated = predicted.responses["choice"].mean(0)[here]
    frame = fit.latents(draws=100, key=0)
    expected = np.zeros(here.shape)
    lane, row = np.nonzero(data.valid.T)
    expected[row, lane] = frame.p1
    # 464 trials with 100 simulations each: their mean has a standard error of 0.0023 or less.
    assert abs(simulated.mean() - expected[here].mean()) < 0.012
    assert np.corrcoef(simulated, expected[here])[0, 1] > 0.9


def test_check_of_the_model_that_made_the_data(predicted):
    check = pyem.predictive_check(predicted)
    assert list(check.group.index) == ["choice", "stay", "win_stay", "lose_shift"]
    assert check.group.p.between(0.005, 0.995).all()
    assert set(check.curves.block) == {0, 1}
    assert (check.curves.low <= check.curves["mean"]).all()
    assert (check.curves["mean"] <= check.curves.high).all()
    assert len(check.people) == 4 * SUBJECTS
    assert "one step ahead" in check.summary()
    assert len(check.plot().axes) == 2 + 4


def test_statistics_are_counted_as_told(predicted, data):
    check = pyem.predictive_check(
        predicted, option=1, statistics={"second": lambda r, c: np.where(c.responded, r == 1, np.nan)}
    )
    observed = np.where(data.present["choice"], data.fields["choice"] == 1, np.nan)
    expected = [np.nanmean(observed[:, data.lane_subject == s]) for s in range(SUBJECTS)]
    np.testing.assert_allclose(check.people.observed, expected, rtol=1e-6)
    rate = [np.nanmean(np.where(data.present["choice"], part == 1, np.nan)) for part in predicted.responses["choice"]]
    assert check.group.loc["second", "mean"] == pytest.approx(np.mean(rate), abs=0.01)


def test_wrong_behaviour_is_surprising(fit, data):
    """People who always repeat themselves, whatever they earn, by a fit that does not know it."""
    same = dict(data.fields) | {"choice": np.zeros_like(data.fields["choice"])}
    people = dataclasses.replace(data, fields=same)
    check = pyem.predictive_check(pyem.posterior_predictive(dataclasses.replace(fit, data=people), draws=100, key=1))
    assert check.group.loc["stay", "p"] < 0.02
    assert len(check.surprising()) >= SUBJECTS


def test_a_task_is_played(fit):
    played = pyem.posterior_predictive(fit, draws=50, key=1, task=fit.model.task)
    assert not played.one_step
    assert set(played.outcomes) == {"reward"}
    assert "by playing the task" in pyem.predictive_check(played).summary()


def test_prior_predictive_is_wider(fit, data):
    prior = pyem.prior_predictive(fit.model, data, draws=100, key=1)
    assert prior.source == "prior"
    assert prior.x.std() > pyem.posterior_predictive(fit, draws=100, key=1).x.std()
    alone = pyem.prior_predictive(fit.model, data, group=None, draws=10, key=1)
    assert alone.params.shape == (10, SUBJECTS, 2)


def test_what_cannot_be_predicted(fit, predicted):
    with pytest.raises(ValueError, match="draws=0"):
        pyem.posterior_predictive(fit, draws=0, key=1)
    with pytest.raises(ValueError, match="give a task or the payoffs"):
        pyem.posterior_predictive(fit, draws=5, key=1, task=fit.model.task, payoffs={"reward": "reward"})
    with pytest.raises(ValueError, match="no field 'money'"):
        pyem.posterior_predictive(fit, draws=5, key=1, payoffs={"reward": "money"})
    with pytest.raises(ValueError, match="no option 'left'"):
        pyem.predictive_check(predicted, option="left")

"""NUTS against a fine grid, against closed forms, against EM, and its own calibration; the result it returns."""

import contextlib
import threading
import time
import warnings

import jax
import numpy as np
import numpyro.distributions as dist
import pytest

import pyem
from pyem.infer import nuts, setup
from pyem.infer.checkpoint import Kept
from pyem.infer.good_coordinates import args_from_points
from pyem.infer.progress import progress_bar
from pyem.model.distribution import Normal
from pyem.numerics.jit import TRACES
from tests.oracle.notebook import notebook_data, notebook_grid, notebook_model

PRIORS = {"alpha": dist.Beta(1, 1), "beta": dist.HalfNormal(10)}


def error_of_mean(draws):
    """Monte-Carlo standard error of the mean of draws (chain, draw)."""
    return draws.std() / np.sqrt(pyem.numerics.diagnostics.ess(draws, "mean"))


# -- one person: the notebook --------------------------------------------------------------


@pytest.fixture(scope="module")
def notebook():
    return pyem.fit_nuts(notebook_model(), notebook_data(), group=None, priors=PRIORS, draws=600, warmup=300, key=1)


@pytest.mark.slow
def test_notebook_posterior_is_that_of_a_fine_grid(notebook):
    exact = notebook_grid()
    for k, name in enumerate(notebook.model.names):
        draws = notebook.natural[:, :, 0, k]
        assert abs(draws.mean() - exact[name]["mean"]) < 3 * error_of_mean(draws)
        error_of_sd = error_of_mean((draws - draws.mean()) ** 2) / (2 * draws.std())
        assert abs(draws.std() - exact[name]["sd"]) < 3 * error_of_sd
    assert notebook.converged
    assert notebook.stats["diverging"].sum() == 0


def test_fit_of_one_person_has_tables(notebook):
    table = notebook.table()
    assert list(table.columns[:4]) == ["beta", "beta_sd", "beta_low", "beta_high"]
    assert (table.beta_low < table.beta).all()
    assert table.status.tolist() == ["ok"]
    with pytest.raises(ValueError, match="there is no group"):
        notebook.group_table()
    assert "rw1a1b" in notebook.summary()
    assert notebook.population is None


# -- a closed form --------------------------------------------------------------

NOISE = 0.5


def _gaussian(p, state, trial):
    return Normal(p.level, NOISE)


def test_linear_gaussian_people_have_their_closed_form():
    model = pyem.Model("level", (pyem.Parameter("level", mean=1.0, sd=2.0),), _gaussian, responses=("y",))
    y = np.random.default_rng(0).normal(size=(6, 1, 10)) + np.arange(6)[:, None, None]
    data = pyem.Dataset.from_arrays({"y": y})
    fit = pyem.fit_nuts(model, data, group=None, draws=500, warmup=200, chains=2, key=0)
    precision = 10 / NOISE**2 + 1 / 4
    exact = (y.sum((1, 2)) / NOISE**2 + 1 / 4) / precision
    for s in range(6):
        draws = fit.posterior["x"][:, :, s, 0]
        assert abs(draws.mean() - exact[s]) < 4 * error_of_mean(draws)
    np.testing.assert_allclose(fit.posterior["x"].std((0, 1))[:, 0], precision**-0.5, rtol=0.12)


# -- a group --------------------------------------------------------------


@pytest.fixture(scope="module")
def model():
    return pyem.models.get("rw1a1b")


@pytest.fixture(scope="module")
def data(model):
    return pyem.simulate(model, subjects=20, blocks=2, trials=20, key=5, missed=0.05)


@pytest.fixture(scope="module")
def group_fit(model, data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pyem.FitWarning)
        return pyem.fit_nuts(model, data, draws=300, warmup=200, chains=2, key=2)


SHORT = {"draws": 20, "warmup": 30, "chains": 2}


@pytest.fixture(scope="module")
def short(model, data):
    with pytest.warns(pyem.FitWarning, match="raise"):
        return pyem.fit_nuts(model, data, key=2, **SHORT)


def test_group_table(group_fit, model):
    table = group_fit.group_table()
    assert list(table.index) == [("mean", "beta"), ("mean", "alpha"), ("sd", "beta"), ("sd", "alpha")]
    natural = table.loc["mean", ["natural_low", "natural", "natural_high"]].to_numpy(float)
    assert (np.diff(natural, axis=1) > 0).all()
    draws = group_fit.posterior["coef"][..., 0, 1]
    assert table.loc[("mean", "alpha"), "estimate"] == pytest.approx(draws.mean())
    assert table.loc[("mean", "alpha"), "se"] == pytest.approx(draws.std())
    assert (table.ess_bulk > 20).all()
    assert group_fit.population.coef[0, 1] == pytest.approx(draws.mean())


def test_people_are_shrunk_to_the_group(group_fit, model, data):
    alone = pyem.fit_map(model, data, mean=model.typical[0], sd=3 * model.typical[1])
    assert group_fit.x.std(0).max() < alone.x.std(0).max()
    assert group_fit.cov.shape == (20, 2, 2)
    assert (np.linalg.eigvalsh(group_fit.cov) > 0).all()


def test_latents_have_uncertainty(group_fit, data):
    frame = group_fit.latents(draws=10, key=0)
    assert len(frame) == data.n_trials
    first = frame.groupby(["subject", "block"]).head(1)
    assert (first.value0_sd < 1e-12).all()
    assert (frame.value0_sd.groupby(frame.trial).mean().iloc[5:] > 0).all()
    np.testing.assert_allclose(np.exp(frame.log_prob), frame.probability)
    assert frame.probability.isna().sum() == (~data.present["choice"]).sum()


def test_diagnostics_name_every_parameter(group_fit):
    table = group_fit.diagnostics()
    assert len(table) == 4 + 20 * 2
    assert "alpha[3]" in table.index
    assert "sd of beta" in table.index


def test_draws_are_reproducible_and_progress_is_told_of_all_iterations(short, model, data, monkeypatch):
    told = []

    @contextlib.contextmanager
    def record(show, label, total):
        told.append((show, label, total))
        yield lambda n, news: told.append((n, news["stage"]))

    monkeypatch.setattr(nuts, "progress_bar", record)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pyem.FitWarning)
        again = pyem.fit_nuts(model, data, key=2, progress=True, **SHORT)
    assert told[0] == (True, f"NUTS {model.name}", 2 * 50)
    assert sum(n for n, _ in told[1:]) == 2 * 50
    assert sum(n for n, stage in told[1:] if stage == "draws") == 2 * 20
    np.testing.assert_array_equal(again.posterior["x"], short.posterior["x"])
    one, other = short.draws(5, key=0), again.draws(5, key=0)
    assert one.x.shape == one.params.shape == (5, 20, 2)
    for name in ("coef", "sd"):
        np.testing.assert_array_equal(one.group[name], other.group[name])
    np.testing.assert_array_equal(one.x, other.x)


def test_a_chain_that_fails_stops_the_others(short, model, data, tmp_path, monkeypatch):
    """A full disk, or Ctrl-C: nobody waits for the other chains to come to their ends."""
    failed, written = threading.Event(), []

    def write(kept, known):
        if kept.path.stem.endswith("1"):
            failed.set()
            raise OSError("no space left on device")
        assert failed.wait(60)
        time.sleep(0.2)
        written.append(known["done"])

    monkeypatch.setattr(Kept, "write", write)
    options = {"draws": 500, "warmup": 30, "chains": 2, "key": 3, "checkpoint": tmp_path / "kept"}
    with pytest.raises(OSError, match="no space left"):
        pyem.fit_nuts(model, data, start=short, **options)
    # Of the eleven stages of the other chain.
    assert written == [1] or written == [1, 2]


def test_another_data_set_of_the_same_shape_compiles_nothing(short, model):
    before = TRACES[model.name, "nuts_advance"]
    other = pyem.simulate(model, subjects=20, blocks=2, trials=20, key=6, missed=0.05)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pyem.FitWarning)
        pyem.fit_nuts(model, other, key=3, **SHORT)
    assert TRACES[model.name, "nuts_advance"] == before


@pytest.mark.slow
def test_program_does_not_grow_with_people(model):
    def size(subjects):
        data = pyem.simulate(model, subjects=subjects, blocks=2, trials=20, key=1)
        spec, args = setup.prepare(model, data, pyem.Group(), None, None, None, None, "standardized")
        with jax.enable_x64(True):
            position = spec.start(args, jax.random.key(0))
            program = jax.make_jaxpr(jax.grad(lambda z: spec.log_density(args, z)))(position)
        return str(program).count(" = ")

    assert size(5) == size(50)


# -- what goes wrong --------------------------------------------------------------


def test_short_chains_are_told_of(short):
    assert not short.converged
    assert "PROBLEM" in short.summary()


def test_problems_are_told_in_words(group_fit):
    import dataclasses

    bad = dict(group_fit.posterior)
    bad["sd"] = bad["sd"] + np.array([0.0, 2.0])[:, None, None]
    stats = dict(group_fit.stats)
    stats["diverging"] = np.ones_like(stats["diverging"])
    stats["energy"] = np.cumsum(np.ones_like(stats["energy"]), axis=1)
    text = " ".join(dataclasses.replace(group_fit, posterior=bad, stats=stats).problems())
    for words in ("600 of 600 draws diverged", "raise target_accept", "chains disagree", "sd of", "E-BFMI"):
        assert words in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"draws": 0}, "draws=0"),
        ({"warmup": 5}, "warmup=5"),
        ({"draws": 10.5}, "draws=10.5; a whole number"),
        ({"group": "gaussian"}, "a pyem.Group is expected"),
        ({"priors": [1]}, "a mapping is expected"),
        ({"priors": {"sd": {"alfa": dist.HalfNormal(1)}}}, "names 'alfa'"),
        ({"target_accept": 1.0}, "target_accept=1.0"),
        ({"parametrization": "funnel"}, "parametrization='funnel'"),
        ({"chain_method": "sequential"}, "chain_method='sequential'"),
        ({"priors": {"alpha": dist.Beta(1, 1)}}, "group=None"),
    ],
)
def test_options_that_cannot_be(model, data, options, message):
    with pytest.raises(ValueError, match=message):
        pyem.fit_nuts(model, data, key=0, **options)


def test_group_of_one_is_refused(model, data):
    with pytest.raises(ValueError, match="pass group=None"):
        pyem.fit_nuts(model, data.select([0]), key=0)


@pytest.mark.parametrize("group", [pytest.param(None, marks=pytest.mark.slow), pyem.Group()])
def test_likelihoods_that_are_never_finite_are_told_of(model, data, group):
    import dataclasses

    policy = lambda p, q, trial: pyem.Categorical(p.beta * q + np.nan)  # noqa: E731
    with pytest.raises(ValueError, match="no finite log-likelihood"):
        pyem.fit_nuts(dataclasses.replace(model, name="nan", policy=policy, recipe=()), data, group=group, key=0)


@pytest.mark.slow
def test_a_single_trial_is_the_prior_nearly(model):
    one = pyem.simulate(model, subjects=3, trials=1, key=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pyem.FitWarning)
        fit = pyem.fit_nuts(model, one, group=None, draws=400, warmup=200, chains=2, key=0)
    # The first choice is between equal values: the posterior is the typical population.
    np.testing.assert_allclose(fit.x, np.tile(model.typical[0], (3, 1)), atol=0.35)
    np.testing.assert_allclose(
        np.sqrt(np.diagonal(fit.cov, axis1=1, axis2=2)), np.tile(model.typical[1], (3, 1)), rtol=0.25
    )


def test_start_must_be_of_the_same_fit(model, data):
    other = pyem.fit_em(model, pyem.simulate(model, subjects=20, trials=20, key=9), max_iter=3, standard_errors=False)
    with pytest.raises(ValueError, match="start must be"):
        pyem.fit_nuts(model, data, key=0, start=other)


def test_progress_goes_to_the_error_stream(capsys, monkeypatch):
    # As in a terminal, where the bar is drawn.
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    news = {"stage": "warm-up", "steps": 7.0, "accept": 0.81, "divergent": 0}
    with progress_bar(True, "NUTS of a test", 40) as report:
        report(20, news)
        report(20, news | {"stage": "draws", "divergent": 3})
    said = capsys.readouterr()
    assert said.out == ""
    assert "NUTS of a test: draws, 7 steps, acceptance 0.81, 3 divergent" in said.err
    assert "100%" in said.err or "━" in said.err


# -- slow: agreement with other coordinates and other methods --------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{"parametrization": "noncentered"}, {"parametrization": "centered"}, {"chain_method": "vectorized"}]
)
def test_same_posterior_in_other_coordinates(model, data, options):
    def moments(fit):
        draws = np.concatenate(
            [fit.posterior["coef"][:, :, 0], fit.posterior["sd"], fit.posterior["x"][:, :, 3]], axis=2
        )
        return draws.mean((0, 1)), np.array([error_of_mean(draws[..., k]) for k in range(draws.shape[2])])

    one, error_one = moments(pyem.fit_nuts(model, data, draws=1500, warmup=700, key=4))
    other, error_other = moments(pyem.fit_nuts(model, data, draws=1500, warmup=700, key=5, **options))
    # Six comparisons at 4 standard errors: a false alarm in 1 of 2600 runs.
    assert (np.abs(one - other) < 4 * np.hypot(error_one, error_other)).all()


@pytest.mark.slow
def test_covariates_correlations_and_heavy_tails(model):
    rng = np.random.default_rng(0)
    age = rng.normal(size=80)
    x = rng.multivariate_normal([0, 0], [[0.6, 0.35], [0.35, 0.6]], 80) + model.typical[0]
    x[:, 1] += 0.9 * age
    data = pyem.simulate(model, model.natural(x), blocks=2, trials=60, key=1, covariates={"age": age})
    group = pyem.Group("student_t", covariance="full", covariates={"age": ["alpha"]})
    # The largest Rhat of the 160 values of people with heavy tails is 1.010 by chance in 4 x 1000 draws.
    fit = pyem.fit_nuts(model, data, group=group, key=2, draws=2000)
    table = fit.group_table()
    assert fit.converged, fit.problems()
    for row, truth in (("mean", model.typical[0][1]), ("effect of age", 0.9)):
        assert table.loc[(row, "alpha"), "low"] < truth < table.loc[(row, "alpha"), "high"]
    assert table.loc[("effect of age", "alpha"), "above_0"] > 0.99
    assert table.loc[("correlation", "beta, alpha"), "above_0"] > 0.9


@pytest.mark.slow
def test_many_people_three_parameters():
    model = pyem.models.get("rw_forget")
    data = pyem.simulate(model, subjects=97, blocks=4, trials=25, key=1, missed=0.05)
    fit = pyem.fit_nuts(model, data, key=0)
    assert fit.stats["diverging"].sum() == 0
    assert fit.diagnostics().rhat.max() < 1.01
    assert fit.converged, fit.problems()
    assert ((data.truth - fit.x) / np.sqrt(np.diagonal(fit.cov, axis1=1, axis2=2))).std() < 1.2


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.filterwarnings("ignore::pyem.FitWarning")
def test_real_group_agrees_with_em(pedersen):
    model = pyem.models.get("rw1a1b")
    em = pyem.fit_em(model, pedersen)
    fit = pyem.fit_nuts(model, pedersen, draws=2000, key=0, start=em)
    # One person has two modes and may mix slowly; the group must not.
    assert fit.group_table().rhat.max() < 1.01
    assert fit.group_table().ess_bulk.min() > 400
    assert fit.stats["diverging"].sum() == 0
    gap = np.abs(fit.posterior["coef"][:, :, 0].mean((0, 1)) - em.population.coef[0])
    assert (gap < fit.posterior["coef"][:, :, 0].std((0, 1))).all()


@pytest.mark.slow
def test_simulation_based_calibration(model):
    """Ranks of the truth among posterior draws are uniform when the truth is drawn from the prior.

    Four group parameters and the two of person 0, a chi-square test of 100 ranks in 10 bins for each, each at 0.1/6 %: a false
    alarm in one of 1000 runs.

    Talts, S., Betancourt, M., Simpson, D., Vehtari, A., & Gelman, A. (2018). Validating Bayesian inference algorithms with
    simulation-based calibration. https://doi.org/10.48550/arXiv.1804.06788
    """
    from scipy import stats

    from pyem.simulation.predictive import _known, prior_draws

    n_fits, n_bins, n_ranks = 100, 10, 99
    shape = pyem.simulate(model, subjects=20, trials=40, key=0)
    truth = prior_draws(model, shape, pyem.Group(), _known(model, shape, pyem.Group(), None), n_fits, 7)
    ranks = []
    for k in range(n_fits):
        x = np.clip(truth["x"][k], -12, 12)
        data = pyem.simulate(model, model.natural(x), trials=40, key=1000 + k)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pyem.FitWarning)
            fit = pyem.fit_nuts(model, data, draws=1000, warmup=500, chains=2, key=k)
        true = np.concatenate([truth["coef"][k, 0], truth["sd"][k], x[0]])
        parts = [fit.posterior["coef"][:, :, 0], fit.posterior["sd"], fit.posterior["x"][:, :, 0]]
        draws = np.concatenate(parts, axis=2).reshape(2000, -1)
        # Thinned to nearly independent draws, that the ranks be uniform.
        some = draws[np.linspace(0, 1999, n_ranks).astype(int)]
        ranks.append((some < true).sum(0))
    counts = np.stack(
        [np.bincount(np.array(ranks)[:, j] * n_bins // (n_ranks + 1), minlength=n_bins) for j in range(6)]
    )
    p = stats.chisquare(counts, axis=1).pvalue
    assert (p > 0.001 / 6).all(), (p, counts)


def test_coordinates_come_from_the_groups_posterior_where_points_tell_it(model, data, group_fit):
    spec, args = setup.prepare(model, data, pyem.Group(), None, None, None, None, "standardized")
    draws = np.concatenate([group_fit.flat["coef"][:, 0], np.log(group_fit.flat["sd"])], axis=1)
    center, scale = np.asarray(args.center), np.asarray(args.scale)
    assert (np.abs(center - draws.mean(0)) < 0.5 * draws.std(0)).all()
    np.testing.assert_allclose(np.log(scale / draws.std(0)), 0, atol=0.5)
    population = group_fit.population
    for group in (pyem.Group("student_t"), pyem.Group(sd={"beta": 1.0})):
        assert args_from_points(spec.model, data, group, None, population, "standardized") is None

"""Regressions against closed forms, other optimisers, and the truth of simulations."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, special, stats

import pyem
from pyem import Dataset, models
from pyem.engine import evaluate as engine
from pyem.errors import DataError, ModelError

SUBJECTS, TRIALS, K = 4, 60, 3


def ols(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Least-squares weights, then the maximum-likelihood residual sd."""
    b = np.linalg.solve(X.T @ X, X.T @ y)
    return np.append(b, np.sqrt(np.mean((y - X @ b) ** 2)))


@pytest.fixture(scope="module")
def design() -> np.ndarray:
    """(subject, trial, predictor), the first a column of ones."""
    return np.concatenate(
        [np.ones((SUBJECTS, TRIALS, 1)), np.random.default_rng(1).normal(size=(SUBJECTS, TRIALS, K - 1))], axis=2
    )


def dataset(X: np.ndarray, Y: np.ndarray) -> Dataset:
    return Dataset.from_arrays({"predictors": X[:, None], "y": Y[:, None]})


def gaussian_y(design: np.ndarray, seed: int = 2) -> np.ndarray:
    rng = np.random.default_rng(seed)
    b = rng.normal(size=(SUBJECTS, 1, K))
    return (design * b).sum(2) + 0.7 * rng.normal(size=design.shape[:2])


# -- closed forms -------------------------------------------------------------------------------------------------------


def test_gaussian_maximum_likelihood_is_least_squares(design):
    Y = gaussian_y(design)
    fit = pyem.fit_mle(models.get("glm"), dataset(design, Y))
    expected = np.array([ols(X, y) for X, y in zip(design, Y, strict=True)])
    np.testing.assert_allclose(fit.params, expected, rtol=1e-8, atol=1e-8)
    # Variance of the weights: sigma^2 (X'X)^-1.
    cov = expected[0, -1] ** 2 * np.linalg.inv(design[0].T @ design[0])
    np.testing.assert_allclose(fit.cov[0, :K, :K], cov, rtol=1e-6, atol=1e-10)


def test_missing_rows_are_left_out(design):
    Y, X = gaussian_y(design), design.copy()
    rng = np.random.default_rng(3)
    Y[rng.random(Y.shape) < 0.2] = np.nan
    X[rng.random(Y.shape) < 0.1, 1] = np.nan
    fit = pyem.fit_mle(models.get("glm"), dataset(X, Y))
    for s in range(SUBJECTS):
        whole = ~np.isnan(Y[s]) & ~np.isnan(X[s]).any(1)
        np.testing.assert_allclose(fit.params[s], ols(X[s, whole], Y[s, whole]), rtol=1e-8, atol=1e-8)
        assert fit.data.n_responses(fit.model)[s] == whole.sum() < TRIALS


def maximum(score, start: np.ndarray) -> np.ndarray:
    """Where a gradient is zero, by SciPy."""
    found = optimize.root(score, start, tol=1e-12)
    assert found.success
    return found.x


@pytest.mark.parametrize(("name", "mean"), [("logit", special.expit), ("poisson", np.exp)])
def test_binomial_and_poisson_maximum_likelihood(design, name, mean):
    rng = np.random.default_rng(4)
    b = rng.normal(0, 0.5, size=(SUBJECTS, 1, K))
    rate = mean((design * b).sum(2))
    Y = rng.poisson(rate) if name == "poisson" else rng.binomial(1, rate)
    fit = pyem.fit_mle(models.get(name), dataset(design, Y))
    for s in range(SUBJECTS):
        X, y = design[s], Y[s]
        expected = maximum(lambda b, X=X, y=y: X.T @ (y - mean(X @ b)), np.zeros(K))
        np.testing.assert_allclose(fit.params[s], expected, rtol=1e-8, atol=1e-8)
        density = stats.poisson(mean(X @ expected)) if name == "poisson" else stats.bernoulli(mean(X @ expected))
        np.testing.assert_allclose(fit.log_lik[s], density.logpmf(y).sum(), rtol=1e-10)


def test_autoregression_is_least_squares_on_the_last_y():
    people = pyem.simulate(models.get("glm_ar"), [[0.5, -1.0, 0.3, 0.4, 0.8]] * SUBJECTS, key=5, blocks=2, trials=40)
    fit = pyem.fit_mle(models.get("glm_ar"), people)
    X = people.fields["predictors"]
    last = np.concatenate([np.zeros((1, people.n_lanes)), people.fields["y"][:-1]])
    for s in range(SUBJECTS):
        lanes = np.flatnonzero(people.lane_subject == s)
        rows = np.concatenate([np.column_stack([X[..., lane], last[:, lane]]) for lane in lanes])
        y = np.concatenate([people.fields["y"][:, lane] for lane in lanes])
        np.testing.assert_allclose(fit.params[s], ols(rows, y), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize(("decay", "lags"), [("onestep", 1), ("twostep", 2)])
def test_decay_with_known_gamma_is_least_squares_on_the_sum_of_rows_of_the_block(decay, lags):
    model = models.get("glm_decay", predictors=2, decay=decay)
    people = pyem.simulate(model, [[0.5, -1.0, 0.6, 0.8]] * 3, key=6, blocks=2, trials=30)
    fit = pyem.fit_mle(pyem.fix(model, gamma=0.6), people)
    X = people.fields["predictors"]
    lingering = X.copy()
    for lag in range(1, lags + 1):
        lingering[lag:] += 0.6**lag * X[:-lag]
    for s in range(3):
        lanes = people.lane_subject == s
        rows = np.moveaxis(lingering[..., lanes], 2, 0).reshape(-1, 2)
        np.testing.assert_allclose(fit.params[s], ols(rows, people.fields["y"][:, lanes].T.ravel()), rtol=1e-8)


# -- what is missing before a trial -------------------------------------------------------------------------------------


def test_trials_whose_history_is_missing_count_nothing():
    X, Y = np.ones((1, 8, 1)), np.zeros((1, 8))
    X[0, 2, 0], Y[0, 5] = np.nan, np.nan
    data = dataset(X, Y)
    counted = {
        name: np.flatnonzero(data.masks(models.get(name, predictors=1))[0]["y"][:, 0]).tolist()
        for name in ("glm", "glm_decay", "glm_ar")
    }
    assert counted == {"glm": [0, 1, 3, 4, 6, 7], "glm_decay": [0, 1, 6, 7], "glm_ar": [0, 1, 3, 4, 7]}
    onestep = models.get("glm_decay", predictors=1, decay="onestep")
    assert data.n_responses(onestep).tolist() == [5]


def test_a_missed_response_does_not_make_neighbours_of_the_trials_around_it(design):
    model = models.get("glm_decay")
    x = np.tile([0.5, -0.4, 0.3, 0.2, -0.1], (SUBJECTS, 1))
    Y = gaussian_y(design)
    whole = engine.trial_values(model, dataset(design, Y), x)["log_lik"]
    Y[:, 10] = np.nan
    missed = engine.trial_values(model, dataset(design, Y), x)["log_lik"]
    expected = whole.copy()
    expected[10] = 0
    np.testing.assert_array_equal(missed, expected)


def test_a_simulation_with_missed_trials_knows_what_counts():
    model = models.get("glm_ar")
    people = pyem.simulate(model, subjects=5, trials=30, key=7, missed=0.3)
    assert (people.n_responses(model) < people.present["y"].sum(0)).all()
    np.testing.assert_allclose(engine.log_lik(model, people, people.truth), people.log_lik, rtol=1e-12)


# -- tables -------------------------------------------------------------------------------------------------------------


def table() -> pd.DataFrame:
    rng = np.random.default_rng(8)
    frame = pd.DataFrame({"who": np.repeat(["a", "b"], 40), "one": 1, "age": rng.normal(size=80)})
    return frame.assign(score=2 + 3 * frame.age + rng.normal(size=80))


def test_columns_of_a_table_are_predictors():
    frame = table()
    data = Dataset.from_frame(frame, subject="who", columns={"y": "score", "predictors": ["one", "age"]})
    fit = pyem.fit_mle(models.get("glm", predictors=["one", "age"]), data)
    assert fit.model.names == ("one", "age", "sigma")
    assert list(fit.table().columns[:3]) == ["one", "age", "sigma"]
    for s, who in enumerate("ab"):
        part = frame[frame.who == who]
        expected = ols(part[["one", "age"]].to_numpy(float), part.score.to_numpy())
        np.testing.assert_allclose(fit.params[s], expected, rtol=1e-8, atol=1e-8)
    by_number = pyem.fit_mle(models.get("glm", predictors=2), data)
    np.testing.assert_allclose(by_number.params, fit.params, rtol=1e-12)


def test_one_predictor_needs_no_list():
    frame = table()
    data = Dataset.from_frame(frame, subject="who", columns={"y": "score", "predictors": "age"})
    fit = pyem.fit_mle(models.get("glm", predictors=1), data)
    part = frame[frame.who == "a"]
    np.testing.assert_allclose(fit.params[0], ols(part[["age"]].to_numpy(), part.score.to_numpy()), rtol=1e-8)


def test_answers_with_empty_cells_or_text(design):
    Y = (gaussian_y(design) > 0).astype(float)
    Y[:, 3] = np.nan
    rows = [
        {"who": s, "y": Y[s, t], "answer": {0: "no", 1: "yes"}.get(Y[s, t]), "x0": 1.0, "x1": design[s, t, 1]}
        for s in range(SUBJECTS)
        for t in range(TRIALS)
    ]
    columns = {"predictors": ["x0", "x1"]}
    numbers = Dataset.from_frame(pd.DataFrame(rows), subject="who", columns={"y": "y", **columns})
    worth = {"y": {"no": 0, "yes": 1}}
    text = Dataset.from_frame(pd.DataFrame(rows), subject="who", columns={"y": "answer", **columns}, values=worth)
    model = models.get("logit", predictors=2)
    fits = [pyem.fit_mle(model, data) for data in (numbers, text)]
    np.testing.assert_array_equal(fits[0].x, fits[1].x)
    assert (numbers.n_responses(model) == TRIALS - 1).all()


def test_a_wrong_number_of_columns_says_so(design):
    with pytest.raises(ModelError, match="the data have 3 columns of predictors, but the model has 2 weights"):
        pyem.fit_mle(models.get("glm", predictors=2), dataset(design, gaussian_y(design)))
    with pytest.raises(ModelError, match=r"2 weights \(level, slope\); make the model with predictors=3"):
        pyem.fit_mle(models.get("glm_decay", predictors=["level", "slope"]), dataset(design, gaussian_y(design)))


def test_answers_that_are_no_codes_are_refused(design):
    Y = gaussian_y(design)
    with pytest.raises(DataError, match="column 'y' has numbers, but model 'logit' needs codes of 2 options"):
        pyem.fit_mle(models.get("logit"), dataset(design, Y))
    with pytest.raises(DataError, match=r"column 'y' has code -1 .* has 2 options"):
        pyem.fit_mle(models.get("logit"), dataset(design, np.sign(Y).astype(int)))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("glm", {"family": "gamma"}, "family='gamma'; choose one of gaussian, binomial, poisson"),
        ("glm", {"predictors": 0}, "a regression needs at least one"),
        ("glm", {"predictors": []}, "predictors is empty"),
        ("glm", {"predictors": ["x", "sigma"]}, "parameters of the same name"),
        ("glm_decay", {"decay": "threestep"}, "choose 'onestep' or 'twostep'"),
    ],
)
def test_wrong_options(name, options, message):
    with pytest.raises(ValueError, match=message):
        models.get(name, **options)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"updates": "never"}, "choose 'responded', 'shown' or 'always'"), ({"lagged": (("z", 1),)}, "its columns are")],
)
def test_wrong_declarations_of_a_model(change, message):
    with pytest.raises(ValueError, match=message):
        pyem.Model(
            "m", (pyem.Parameter("a"),), lambda p, state, trial: pyem.Normal(p.a, 1.0), responses=("y",), **change
        )


# -- simulations --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_recovery_of_a_group():
    model = models.get("logit")
    rng = np.random.default_rng(9)
    truth = np.array([0.4, -0.8, 1.2]) + 0.5 * rng.normal(size=(120, 3))
    people = pyem.simulate(model, truth, key=9, trials=80)
    fit = pyem.fit_em(model, people)
    means = fit.group_table().loc["mean"]
    # Around the mean of these people; at the false-alarm rate of 1e-3 for all three.
    z = (means["estimate"] - truth.mean(0)) / means["se"]
    assert (np.abs(z) < stats.norm.isf(1e-3 / 6)).all()
    assert all(np.corrcoef(fit.params[:, j], truth[:, j])[0, 1] > 0.75 for j in range(3))
    np.testing.assert_allclose(fit.group_table().loc["sd"]["estimate"], truth.std(0), rtol=0.35)


def test_latents_are_the_expected_response(design):
    fit = pyem.fit_mle(models.get("glm"), dataset(design, gaussian_y(design)))
    predicted = fit.latents()["predicted"].to_numpy().reshape(SUBJECTS, TRIALS)
    np.testing.assert_allclose(predicted, np.einsum("stk,sk->st", design, fit.params[:, :K]), rtol=1e-12)


def test_lapses_and_stickiness_of_any_response_column():
    base = models.get("logit", predictors=1)
    model = pyem.with_stickiness(pyem.with_lapse(base))
    data = dataset(np.ones((1, 5, 1)), np.array([[1, 1, np.nan, 0, 1]]))
    b, lapse, stickiness = 0.3, 0.1, 0.7
    last, expected = None, 0.0
    for y in (1, 1, None, 0, 1):
        p1 = (1 - lapse) * special.expit(b) + lapse / 2
        # The last choice gets more weight; a missed trial leaves it what it was.
        bonus = 0.0 if last is None else stickiness if last == 1 else -stickiness
        p1 = special.expit(special.logit(p1) + bonus)
        if y is not None:
            expected += np.log(p1 if y else 1 - p1)
            last = y
    x = model.unconstrained(np.array([[b, lapse, stickiness]]))
    np.testing.assert_allclose(engine.log_lik(model, data, x), expected, rtol=1e-12)

"""The contract of a criterion, for every criterion and every kind of fit; and the fits that some criteria once got wrong."""

from __future__ import annotations

import dataclasses
import functools
import math
import re
import warnings
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import numpyro.distributions
import pandas as pd
import pytest

import pyem
from pyem import Categorical, Dataset, Interval, Model, Normal, Parameter, Real
from pyem.errors import FitWarning, UndefinedCriterion
from pyem.numerics.pareto import pareto_smoothed
from pyem.plot.numbers import comparison_numbers
from pyem.selection import CRITERIA, Criterion, Score, Settings, register, unregister
from pyem.selection.groups import groups_differ

MODEL = pyem.models.get("rw1a1b")
SMALL = {"draws": 40, "warmup": 60, "chains": 2, "key": 1}
KINDS = {
    "mle": pyem.fit_mle,
    "map": pyem.fit_map,
    "map with a log prior": functools.partial(pyem.fit_map, log_prior=lambda p: -p.beta / 5),
    "em": pyem.fit_em,
    "grid": functools.partial(pyem.fit_grid, group=None, accuracy=1e-6),
    "grid with a group": functools.partial(pyem.fit_grid, group=pyem.Group(), accuracy=1e-6),
    "grid with a log prior": functools.partial(
        pyem.fit_grid, group=None, log_prior=lambda p: -p.beta / 5, accuracy=1e-6
    ),
    "nuts": functools.partial(pyem.fit_nuts, **SMALL),
    "nuts alone": functools.partial(pyem.fit_nuts, group=None, **SMALL),
    "svi": functools.partial(pyem.fit_svi, draws=80, key=1),
    "em, exact": functools.partial(pyem.fit_em, integrate="exact"),
    "bayes": functools.partial(pyem.fit_bayes, draws=80),
    "bayes alone": functools.partial(pyem.fit_bayes, group=None, draws=80),
}
HAVE = {
    "mle": {"aic", "bic"},
    "map with a log prior": {"lme", "aic", "bic"},
    "nuts": {"loo", "waic", "bridge"},
    "nuts alone": {"loo", "waic", "bridge"},
    "svi": {"loo", "waic"},
    "bayes": {"log_marginal_likelihood", "loo", "waic", "bridge"},
    "bayes alone": {"log_marginal_likelihood", "loo", "waic", "bridge"},
}
"""What fits can be sorted by; those not named have all criteria of point estimates."""
POINT = {"lme", "integrated_bic", "aic", "bic"}


@pytest.fixture(scope="module")
def data():
    return pyem.simulate(MODEL, subjects=6, blocks=2, trials=20, key=2)


@pytest.fixture(scope="module")
def fits(data):
    @functools.cache
    def made(kind):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FitWarning)
            return KINDS[kind](MODEL, data)

    return made


# -- the contract -------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::pyem.FitWarning")
@pytest.mark.parametrize("name", list(CRITERIA))
@pytest.mark.parametrize("kind", list(KINDS))
def test_a_criterion_has_a_score_or_says_what_to_use(fits, kind, name):
    fit, criterion = fits(kind), CRITERIA[name]
    defined = name == "pseudo_r2" or name in HAVE.get(kind, POINT)
    for unit in criterion.units if len(criterion.units) > 1 and defined else ("trial",):
        settings = Settings(draws=64, unit=unit)
        if not defined:
            with pytest.raises(UndefinedCriterion) as caught:
                criterion.evaluate(fit, settings)
            # What can be used is what the table above says that it has.
            named = str(caught.value).rpartition("; choose ")[2]
            assert set(re.findall(r"'(\w+)'", named)) == HAVE.get(kind, POINT)
            continue
        score = criterion.evaluate(fit, settings)
        assert score.subject.shape == (6,)
        assert np.isfinite(score.subject).all()
        weight = np.ones(6) if score.weight is None else score.weight
        assert score.total == pytest.approx((weight * score.subject).sum() + score.price, rel=1e-12)
        assert math.isfinite(score.error)
        assert score.error >= 0
        if score.pointwise is not None:
            assert score.pointwise.sum() == pytest.approx(score.total, rel=1e-9)
        assert set(score.shown) <= set(criterion.columns)
        assert criterion.said(unit).endswith(f"{criterion.best} is best")


@pytest.mark.parametrize("name", list(CRITERIA))
def test_scores_in_nats_go_up_with_the_evidence(name):
    criterion = CRITERIA[name]
    assert criterion.nats is None or criterion.nats * criterion.sign > 0


def test_a_criterion_that_contradicts_itself_is_refused():
    with pytest.raises(ValueError, match="nats is above 0 where the largest is best"):
        Criterion("odd", "Odd", CRITERIA["aic"].score, "smallest", 1.0)
    with pytest.raises(ValueError, match="choose 'largest' or 'smallest'"):
        Criterion("odd", "Odd", CRITERIA["aic"].score, "best", 1.0)  # type: ignore[arg-type]


def test_draws_have_a_prior_but_no_evidence(fits):
    with pytest.raises(UndefinedCriterion, match="draws from the posterior, which do not tell the evidence") as caught:
        pyem.lme(fits("nuts"))
    assert "no prior" not in str(caught.value)
    assert "choose 'loo', 'waic' or 'bridge'" in str(caught.value)
    for function in (pyem.integrated_bic, pyem.aic, pyem.bic):
        with pytest.raises(UndefinedCriterion, match="a fit by nuts has draws"):
            function(fits("nuts"))


# -- fits on a grid -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["grid", "grid with a group", "grid with a log prior"])
def test_a_grid_is_integrated_exactly(fits, kind):
    fit = fits(kind)
    found = pyem.integrated_bic(fit)
    n_group = 4 if kind == "grid with a group" else 0
    assert found.se == 0
    assert found.draws == 0
    assert found.n_group == n_group
    np.testing.assert_array_equal(found.log_evidence, fit.log_evidence)
    assert found.value == pytest.approx(-2 * fit.log_evidence.sum() + n_group * math.log(240), rel=1e-12)
    assert pyem.lme(fit).value == pytest.approx(fit.log_evidence.sum() - n_group / 2 * math.log(6), rel=1e-12)


def test_importance_sampling_agrees_with_the_grid(fits, data):
    point = pyem.integrated_bic(pyem.fit_map(MODEL, data), draws=1000, key=0)
    assert abs(point.value - pyem.integrated_bic(fits("grid")).value) < 4 * point.se


def test_grids_are_compared(fits, data):
    simple = pyem.fit_grid(pyem.fix(MODEL, alpha=0.3), data, group=None)
    table = pyem.compare_fits({"two": fits("grid"), "one": simple})
    assert table.attrs["by"] == "integrated_bic"
    assert (table.integrated_bic_se == 0).all()
    assert table.loc["two", "lme"] == pytest.approx(-0.5 * table.loc["two", "integrated_bic"])
    mixed = pyem.compare_fits({"grid": fits("grid"), "map": fits("map")}, draws=100)
    assert abs(mixed.lme["grid"] - mixed.lme["map"]) < 2


# -- comparisons --------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::pyem.FitWarning")
def test_columns_of_comparisons(fits):
    start = ["difference", "difference_se", "weight", "method", "n_params", "n_group", "log_lik"]
    table = pyem.compare_fits({"em": fits("em")}, draws=64)
    middle = ["lme", "integrated_bic", "integrated_bic_se", "aic", "bic", "pseudo_r2"]
    assert list(table.columns) == [*start, *middle]
    table = pyem.compare_fits({"nuts": fits("nuts"), "svi": fits("svi")}, unit="block")
    middle = ["unit", "n_units", "elpd", "se", "p", "deviance", "k_above_0.7"]
    assert list(table.columns) == [*start, *middle]
    assert table.attrs["by"] == "loo"
    assert "k_above_0.7" not in pyem.compare_fits({"svi": fits("svi")}, by="waic").columns


@pytest.mark.filterwarnings("ignore::pyem.FitWarning")
def test_a_narrow_terminal_shows_the_difference(fits):
    table = pyem.compare_fits({"map": fits("map"), "em": fits("em")}, by="lme", draws=0)
    with pd.option_context("display.width", 80, "display.max_columns", 0):
        printed = str(table)
    assert max(map(len, printed.splitlines())) <= 80
    assert {"difference", "difference_se"} <= set(printed.split())


def test_models_are_compared_under_the_same_group(fits, data):
    def fitted(model, **group):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FitWarning)
            return pyem.fit_em(model, data, group=pyem.Group(**group), max_iter=3, standard_errors=False)

    simple = pyem.fix(MODEL, alpha=0.3)
    one, other = fitted(MODEL), fitted(simple, family="student_t")
    with pytest.warns(
        FitWarning, match=r"'one': gaussian, diagonal covariance; 'other': student_t.*under the same group"
    ):
        pyem.compare_fits({"one": one, "other": other}, by="lme", draws=0)
    assert groups_differ({"one": one, "other": fitted(simple)}) is None
    # The same model under two groups is compared for the sake of the groups.
    assert groups_differ({"one": one, "other": fitted(MODEL, family="student_t")}) is None
    assert groups_differ({"em": one, "map": fits("map")}) is None


def test_a_covariate_may_shift_what_one_model_only_has(data):
    shifted = dataclasses.replace(data, covariates={"age": np.arange(6.0)})

    def fitted(model, on):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FitWarning)
            group = pyem.Group(covariates={"age": on})
            return pyem.fit_em(model, shifted, group=group, max_iter=2, standard_errors=False)

    two = pyem.models.get("rw2a1b")
    one = fitted(MODEL, ["alpha"])
    assert groups_differ({"one": one, "two": fitted(two, ["alpha_pos", "alpha_neg"])}) is None
    assert "'two': gaussian, diagonal covariance, age on all parameters" in str(
        groups_differ({"one": one, "two": fitted(two, [])})
    )


def test_a_population_that_was_given_costs_nothing(fits, data):
    population = fits("grid with a group").population
    given = pyem.fit_grid(MODEL, data, group=population, accuracy=1e-6)
    assert pyem.lme(given).n_group == 0
    assert pyem.lme(fits("grid with a group")).n_group == 4


def test_a_single_person_has_an_error_across_trials(data):
    one = data.select([0])
    pair = {"nuts": MODEL, "simple": pyem.fix(MODEL, alpha=0.3)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        fitted = {name: pyem.fit_nuts(model, one, group=None, **SMALL) for name, model in pair.items()}
        table = pyem.compare_fits(fitted, by="waic")
    assert table.difference_se.iloc[1] > 0


def test_what_only_describes_does_not_decide(fits):
    with pytest.raises(ValueError, match="by='pseudo_r2' describes a fit and cannot decide between models"):
        pyem.compare_fits({"em": fits("em")}, by="pseudo_r2")


def test_one_person_is_no_plural(data):
    one, two = (pyem.fit_map(MODEL, data.select(who)) for who in ([0], [0, 1]))
    with pytest.raises(
        ValueError, match="'two': 2 subjects, 80 trials with choice than for 'one': 1 subject, 40 trials"
    ):
        pyem.compare_fits({"one": one, "two": two})


# -- chance -------------------------------------------------------------------------------------------------------------

RNG = np.random.default_rng(3)
SHAPE = (4, 2, 30)
BETA = Parameter("beta", Interval(0, 20))


def chosen(n, shape=SHAPE):
    return RNG.integers(n, size=shape)


def r2_by_chance(policy, columns, **keywords):
    """Pseudo-R2 of a model whose beta is 0, so that it is at chance."""
    # A model without any free parameter cannot be fitted.
    model = Model("at chance", (BETA, Parameter("idle")), policy, **{"options": 2, **keywords})
    return pyem.pseudo_r2(pyem.fit_mle(pyem.fix(model, beta=0.0), Dataset.from_arrays(columns), starts=1))


VALUES = jnp.array([0.2, 0.8, 0.5])


def two_choices(p, state, trial):
    return {"choice": Categorical(p.beta * VALUES[:2]), "second": Categorical(p.beta * VALUES)}


def choice_and_rating(p, state, trial):
    return {"choice": Categorical(p.beta * VALUES[:2]), "rating": Normal(0.3, 1.0)}


def choice_and_yes(p, state, trial):
    return {"choice": Categorical(p.beta * VALUES[:2]), "yes": numpyro.distributions.Bernoulli(logits=jnp.asarray(0.7))}


def some_on_offer(p, state, trial):
    return Categorical(jnp.where(jnp.arange(3) == trial.absent, -jnp.inf, p.beta * VALUES))


def some_by_probability(p, state, trial):
    weight = jnp.where(jnp.arange(3) == trial.absent, 0.0, jnp.exp(p.beta * VALUES))
    return numpyro.distributions.Categorical(probs=weight / weight.sum())


ABSENT = chosen(3)
PRESENT = (ABSENT + RNG.integers(1, 3, SHAPE)) % 3
MISSED = np.where(RNG.random(SHAPE) < 0.2, np.nan, chosen(3))
OFFERED = {"options": 3, "inputs": ("absent",), "input_codes": (("absent", 3),)}


@pytest.mark.parametrize(
    ("policy", "columns", "keywords"),
    [
        (two_choices, {"choice": chosen(2), "second": chosen(3)}, {"responses": ("choice", "second")}),
        (two_choices, {"choice": chosen(2), "second": MISSED}, {"responses": ("choice", "second")}),
        (
            choice_and_rating,
            {"choice": chosen(2), "rating": RNG.normal(size=SHAPE)},
            {"responses": ("choice", "rating")},
        ),
        (choice_and_yes, {"choice": chosen(2), "yes": chosen(2)}, {"responses": ("choice", "yes")}),
        (some_on_offer, {"choice": PRESENT, "absent": ABSENT}, OFFERED),
        (some_by_probability, {"choice": PRESENT, "absent": ABSENT}, OFFERED),
    ],
    ids=["two choices", "one missed", "a number", "a yes or no", "not on offer", "probability 0"],
)
@pytest.mark.filterwarnings("ignore::pyem.FitWarning")
def test_a_model_at_chance_has_no_r2(policy, columns, keywords):
    found = r2_by_chance(policy, columns, **keywords)
    np.testing.assert_allclose(found.subject, 0, atol=1e-12)
    assert found.pooled == pytest.approx(0, abs=1e-12)


@pytest.mark.filterwarnings("ignore::pyem.FitWarning")
def test_r2_of_what_is_on_offer_by_hand():
    model = Model("offered", (BETA,), some_on_offer, **OFFERED)
    fit = pyem.fit_map(model, Dataset.from_arrays({"choice": PRESENT, "absent": ABSENT}))
    np.testing.assert_allclose(pyem.pseudo_r2(fit).subject, 1 + fit.log_lik / (60 * math.log(2)), atol=1e-12)


@pytest.mark.filterwarnings("ignore::pyem.FitWarning")
def test_who_never_has_a_choice_is_neither_at_chance_nor_certain():
    def only_one(p, state, trial):
        return Categorical(jnp.where((jnp.arange(2) == 1) & (trial.alone == 1), -jnp.inf, p.beta * VALUES[:2]))

    alone = np.zeros(SHAPE, int)
    alone[0] = 1
    columns = {"choice": np.where(alone == 1, 0, chosen(2)), "alone": alone}
    found = r2_by_chance(only_one, columns, inputs=("alone",))
    assert np.isnan(found.subject[0])
    np.testing.assert_allclose(found.subject[1:], 0, atol=1e-12)
    assert found.pooled == pytest.approx(0, abs=1e-12)
    assert found.median == pytest.approx(0, abs=1e-12)


def test_a_yes_or_no_alone_has_no_chance_level_and_says_so():
    policy = lambda p, state, trial: numpyro.distributions.Bernoulli(logits=p.b * trial.x)  # noqa: E731
    model = Model("yes", (Parameter("b", Real(), mean=0.3),), policy, responses=("y",), inputs=("x",))
    fit = pyem.fit_map(model, Dataset.from_arrays({"y": chosen(2), "x": RNG.normal(size=SHAPE)}))
    with pytest.raises(UndefinedCriterion, match=r"written as Categorical\(logits="):
        pyem.pseudo_r2(fit)
    assert math.isnan(pyem.compare_fits({"yes": fit}, draws=64).loc["yes", "pseudo_r2"])


# -- Pareto k -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0.0, 1e-16, 1e-14])
def test_likelihoods_that_are_constant_up_to_rounding(size):
    log_lik = -70 * (1 + size * np.random.default_rng(0).integers(-2, 3, size=(400, 5)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        weight, k = pareto_smoothed(-log_lik)
    assert not np.isnan(k).any()
    assert not (k > 0.7).any()
    np.testing.assert_allclose(weight, -math.log(400), atol=1e-9)


def test_draws_that_repeat_themselves_have_a_k():
    """As of a chain that stood still: most of the tail is equal to its lower end."""
    log_ratio = np.where(np.random.default_rng(0).random((500, 3)) < 0.02, 1.0, 0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        weight, k = pareto_smoothed(log_ratio)
    assert np.isfinite(k).all()
    assert np.isfinite(weight).all()


def test_a_draw_without_weight_does_not_hide_a_heavy_tail():
    """As where one draw is impossible for one person: the others' weights are no more alike than before."""
    log_ratio = 3 * np.random.default_rng(0).standard_exponential((1000, 3))
    _, before = pareto_smoothed(log_ratio)
    with_zero = log_ratio.copy()
    least = log_ratio[:, 1].argmin()
    with_zero[least, 1] = -np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        weight, k = pareto_smoothed(with_zero)
    assert (before > 0.7).all()
    np.testing.assert_allclose(k, before)
    assert weight[least, 1] == -np.inf
    assert not np.isnan(weight).any()


# -- a criterion of one's own -------------------------------------------------------------------------------------------

ROOT = Path(__file__).parents[2]


def example_of(heading):
    """The first Python block below a heading of CONTRIBUTING.md."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return re.search(r"```python\n(.*?)```", text.split(f"## {heading}\n")[1], re.DOTALL).group(1)  # type: ignore[union-attr]


@pytest.fixture
def aicc():
    scope: dict = {}
    exec(example_of("Add a criterion"), scope)
    yield CRITERIA["aicc"]
    unregister("aicc")


@pytest.mark.filterwarnings("ignore::pyem.FitWarning")
def test_the_criterion_of_the_guide_is_taken_everywhere(aicc, fits, data, tmp_path):
    fit, simple = fits("mle"), pyem.fit_mle(pyem.fix(MODEL, alpha=0.3), data)
    expected = sum(4 - 2 * value + 12 / (40 - 3) for value in fit.log_lik)
    table = pyem.compare_fits({"two": fit, "one": simple}, by="aicc")
    assert table.aicc["two"] == pytest.approx(expected, rel=1e-12)
    assert table.attrs["by"] == "aicc"
    assert table.aicc.is_monotonic_increasing
    assert "aicc" in pyem.compare_fits({"em": fits("em")}, draws=64).columns

    study = pyem.confusion(
        [MODEL, pyem.fix(MODEL, alpha=0.3)], key=1, rounds=1, by="aicc", subjects=4, fit=pyem.fit_mle
    )
    assert study.by == "aicc"
    assert "AICc above the best" in [label for label, *_ in comparison_numbers(table)["measures"]]

    with pytest.raises(UndefinedCriterion, match="no aicc for nuts: by='aicc' needs point estimates"):
        pyem.compare_fits({"nuts": fits("nuts")}, by="aicc")

    from typer.testing import CliRunner

    from pyem.cli.commands import app

    paths = [str(one.save(tmp_path / f"{name}.nc")) for name, one in (("one", fit), ("two", simple))]
    done = CliRunner().invoke(app, ["compare", *paths, "--by", "aicc"])
    assert done.exit_code == 0, done.output
    assert "AICc" in done.output


def test_a_score_shows_its_total():
    assert repr(Score(np.array([1.0, 2.0]), price=0.5)) == "Score(total=3.5)"
    assert repr(Score(np.array([1.0, 2.0]), error=0.01)) == "Score(total=3.0, error=0.01)"


def test_a_criterion_is_forgotten():
    one = register(Criterion("zero", "Zero", lambda fit, settings: Score(np.zeros(len(fit.x))), "largest", 1.0))
    assert CRITERIA["zero"] is one
    unregister("zero")
    assert "zero" not in CRITERIA

"""The same words in every verb: names and meaning of arguments, older names, settings that repeat a fit."""

import inspect
import warnings
from typing import Any

import jax
import numpy as np
import numpyro.distributions as dist
import pytest

import pyem
from pyem import Group
from pyem.errors import renamed, warn
from pyem.population.priors import rebuilt

SMALL = {"draws": 20, "warmup": 40, "chains": 1}
VERBS = {
    "mle": (pyem.fit_mle, {}),
    "map": (pyem.fit_map, {}),
    "em": (pyem.fit_em, {}),
    "grid": (pyem.fit_grid, {"accuracy": 1e-4}),
    "nuts": (pyem.fit_nuts, SMALL),
    "svi": (pyem.fit_svi, {"max_iter": 100, "correct": False, "draws": 50}),
    "bayes": (pyem.fit_bayes, {"draws": 50}),
}
WITH_GROUP = ("em", "grid", "nuts", "svi", "bayes")
ALONE = ("grid", "nuts", "svi", "bayes")
GIVEN = ("map", "grid", "nuts", "svi", "bayes")
"""Verbs that take priors of people on their own."""
BETA = {"alpha": dist.Beta(3.0, 2.0)}


@pytest.fixture(scope="module")
def model():
    return pyem.fix(pyem.models.get("rw1a1b"), beta=4.0)


@pytest.fixture(scope="module")
def data(model):
    return pyem.simulate(model, subjects=6, trials=30, key=3)


@pytest.fixture(scope="module")
def exact(model, data):
    """Everybody on their own under the typical population, and under other priors, by quadrature."""
    return {
        key: pyem.fit_grid(model, data, group=None, priors=given).x for key, given in ((None, None), ("beta", BETA))
    }


def quietly(verb, *args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pyem.FitWarning)
        return verb(*args, **options)


def arguments(name):
    return inspect.signature(VERBS[name][0]).parameters


# -- names ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VERBS)
def test_arguments_after_the_data_are_given_by_name_and_have_defaults(name):
    first, second, *rest = arguments(name).values()
    assert (first.name, second.name) == ("model", "data")
    assert all(argument.kind is argument.KEYWORD_ONLY and argument.default is not argument.empty for argument in rest)
    assert arguments(name)["progress"].default is None


@pytest.mark.parametrize("name", WITH_GROUP)
def test_the_group_is_gaussian_unless_another_is_given(name):
    assert arguments(name)["group"].default == Group()


@pytest.mark.parametrize("name", [name for name in VERBS if name != "grid"])
def test_chance_that_is_a_device_has_a_key_of_zero(name):
    assert arguments(name)["key"].default == 0


def test_chance_that_is_the_result_asks_for_a_key():
    for verb in (pyem.simulate, pyem.posterior_predictive, pyem.prior_predictive, pyem.recovery, pyem.confusion):
        assert inspect.signature(verb).parameters["key"].default is inspect.Parameter.empty


@pytest.mark.parametrize("name", VERBS)
def test_words_that_went_are_in_no_signature(name):
    assert "max_steps" not in arguments(name)
    assert ("tol" in arguments(name)) == (name == "em")


@pytest.mark.parametrize("name", ["mle", "map", "em"])
def test_point_fits_take_starts(name):
    assert arguments(name)["start"].default is None
    assert arguments(name)["starts"].default == (5 if name == "mle" else 1)


@pytest.mark.parametrize("name", [*VERBS, "hbi"])
def test_words_of_other_verbs_are_taken_or_answered_with_what_there_is_instead(name, model, data):
    verb = VERBS[name][0] if name in VERBS else pyem.fit_hbi
    lacking = {"group", "priors", "mean", "sd", "log_prior", "common"} - set(inspect.signature(verb).parameters)
    remedies = {"mle": "fit_map|fit_em", "map": "fit_em", "hbi": "concentration=|fit_em"}
    for word in lacking:
        words = remedies.get(name, r"group=pyem.Group\(common|priors=")
        with pytest.raises(TypeError, match=f"fit_{name} takes no {word}=: .*({words})"):
            verb(model, data, **{word: [1.0]})


def test_people_on_their_own_are_no_group_in_every_verb(model, data):
    for verb in (pyem.fit_mle, pyem.fit_map):
        fit = quietly(verb, model, data, group=None)
        assert (fit.population, "group" in fit.settings) == (None, False)


# -- what cannot be meant -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VERBS)
def test_a_model_without_a_free_parameter_is_refused_in_words(name, model, data):
    fixed = pyem.fix(model, alpha=0.3)
    with pytest.raises(pyem.ModelError, match=r"no free parameter.*pyem.log_lik"):
        VERBS[name][0](fixed, data)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("em", {"tol": float("nan")}),
        ("em", {"tol": -1.0}),
        ("em", {"tol": "small"}),
        ("grid", {"accuracy": float("nan")}),
        ("svi", {"learning_rate": float("inf")}),
        ("mle", {"starts": 10**8}),
        ("map", {"starts": 0}),
    ],
)
def test_numbers_that_cannot_be_meant_are_refused(name, options, model, data):
    ((word, value),) = options.items()
    with pytest.raises(ValueError, match=f"{word}={value!r}".replace("+", r"\+")):
        VERBS[name][0](model, data, **options)


def test_degrees_of_freedom_are_finite():
    for df in (0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="degrees of freedom"):
            Group("student_t", df=df)


# -- meaning --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", VERBS)
def test_settings_repeat_the_fit(name, model, data):
    verb, options = VERBS[name]
    fit = quietly(verb, model, data, **options)
    assert set(fit.settings) == set(arguments(name)) - {"model", "data", "progress", "checkpoint", "cluster"}
    again = quietly(verb, model, data, **fit.settings)
    np.testing.assert_array_equal(again.x, fit.x)
    assert again.settings.keys() == fit.settings.keys()


def test_several_models_at_once_speak_as_one_does(model, data):
    first, second, *rest = inspect.signature(pyem.fit_hbi).parameters.values()
    assert (first.name, second.name) == ("models", "data")
    assert all(argument.kind is argument.KEYWORD_ONLY and argument.default is not argument.empty for argument in rest)
    defaults = {argument.name: argument.default for argument in rest}
    assert (defaults["start"], defaults["starts"], defaults["key"], defaults["progress"]) == (None, 1, 0, None)
    models = {"learning": model, "bias": pyem.models.get("bias")}
    fit = quietly(pyem.fit_hbi, models, data, null=False)
    assert set(fit.settings) == set(defaults) - {"progress"}
    again = quietly(pyem.fit_hbi, models, data, **fit.settings)
    np.testing.assert_array_equal(again.responsibilities, fit.responsibilities)


@pytest.mark.parametrize("name", ALONE)
def test_without_a_group_people_are_on_their_own(name, model, data, exact):
    verb, options = VERBS[name]
    fit = quietly(verb, model, data, group=None, **options)
    assert fit.population is None
    np.testing.assert_allclose(fit.x[2], exact[None][2], atol=1e-6 if name == "grid" else 1.2)


@pytest.mark.parametrize("name", GIVEN)
def test_priors_are_of_natural_parameters_where_people_are_on_their_own(name, model, data, exact):
    verb, options = VERBS[name]
    alone = {} if name == "map" else {"group": None}
    fit = quietly(verb, model, data, priors=BETA, **alone, **options)
    np.testing.assert_allclose(fit.x, exact["beta"], atol=1e-3 if name == "grid" else 1.2)
    assert fit.settings["priors"] is BETA


def test_a_natural_prior_moves_the_mode_as_its_density_says(model, data):
    by_name = pyem.fit_map(model, data, priors=BETA)
    by_hand = pyem.fit_map(model, data, log_prior=lambda p: dist.Beta(3.0, 2.0).log_prob(p.alpha))
    np.testing.assert_allclose(by_name.x, by_hand.x, atol=1e-7)
    np.testing.assert_allclose(by_name.log_prior, by_hand.log_prior, atol=1e-9)


def test_exact_posteriors_under_a_natural_prior_are_those_of_its_density(model, data):
    by_name = pyem.fit_grid(model, data, group=None, priors=BETA)
    by_hand = pyem.fit_grid(model, data, group=None, log_prior=lambda p: dist.Beta(3.0, 2.0).log_prob(p.alpha))
    np.testing.assert_allclose(by_name.log_evidence, by_hand.log_evidence, atol=1e-9)


@pytest.mark.parametrize("name", GIVEN)
def test_mean_and_sd_are_a_gaussian_on_the_unconstrained_scale(name, model, data):
    verb, options = VERBS[name]
    alone = {} if name == "map" else {"group": None}
    narrow = quietly(verb, model, data, mean=0.7, sd=0.01, **alone, **options)
    np.testing.assert_allclose(narrow.x, 0.7, atol=0.05)


def test_a_saved_fit_of_people_on_their_own_keeps_its_gaussian(model, data, tmp_path):
    fit = quietly(pyem.fit_nuts, model, data, group=None, mean=0.7, sd=0.2, **SMALL)
    again = pyem.load(fit.save(tmp_path / "fit.nc"), model)
    assert again.priors == fit.priors
    assert again.priors["alpha"][1]["loc"] == pytest.approx(0.7)
    made: Any = rebuilt(model, again.priors)
    np.testing.assert_allclose(np.concatenate(made.typical), [0.7, 0.2])


@pytest.mark.parametrize("name", ["map", "mle"])
def test_a_saved_fit_keeps_its_settings(name, model, data, tmp_path):
    options = {"priors": BETA} if name == "map" else {"key": jax.random.key(3)}
    fit = quietly(VERBS[name][0], model, data, start=np.full((6, 1), 0.4), **options)
    again = pyem.load(fit.save(tmp_path / "fit.nc"), model)
    repeated = quietly(VERBS[name][0], model, again.data, **again.settings)
    np.testing.assert_array_equal(repeated.x, fit.x)


def test_a_function_among_the_settings_is_told_of_in_the_file(model, data, tmp_path):
    fit = pyem.fit_map(model, data, log_prior=lambda p: -p.alpha)
    again = pyem.load(fit.save(tmp_path / "fit.nc"), model)
    assert "function" in repr(again.settings["log_prior"])


# -- starts ---------------------------------------------------------------------------------------------------------------


def square(p, state, trial):
    return pyem.Normal(p.level**2, 0.5)


MIRROR = pyem.Model("mirror", (pyem.Parameter("level", mean=0.5),), square, responses=("y",))


@pytest.fixture(scope="module")
def mirrored():
    y = np.array([1.5, 1.2, 1.8])[:, None, None] ** 2 + 0.5 * np.random.default_rng(1).normal(size=(3, 1, 40))
    return pyem.Dataset.from_arrays({"y": y}, subjects=["ann", "bob", "cat"])


@pytest.mark.parametrize("verb", [pyem.fit_mle, pyem.fit_map, pyem.fit_em])
def test_a_search_starts_where_it_is_told(verb, mirrored):
    right = quietly(verb, MIRROR, mirrored, start=np.full((3, 1), 1.0), starts=1)
    assert (right.x > 0).all()
    if verb is not pyem.fit_em:
        left = quietly(verb, MIRROR, mirrored, start=np.full((3, 1), -1.0), starts=1)
        np.testing.assert_allclose(left.x, -right.x, atol=0.2)
        assert (quietly(verb, MIRROR, mirrored, start=left, starts=1).x < 0).all()


def test_starts_that_disagree_name_the_people(mirrored):
    with pytest.warns(pyem.FitWarning, match=r"2 starts disagree for \d of 3 subjects \('(ann|bob|cat)'"):
        fit = pyem.fit_map(MIRROR, mirrored, start=np.full((3, 1), 0.3), starts=2, key=2)
    assert fit.trace["start_values"].shape == (2, 3)
    alone = pyem.fit_map(MIRROR, mirrored, start=np.full((3, 1), 0.3))
    assert (fit.log_evidence >= alone.log_evidence - 1e-9).all()


def test_starts_of_em_keep_the_largest_evidence(model, data):
    one = quietly(pyem.fit_em, model, data)
    several = quietly(pyem.fit_em, model, data, starts=3, key=1)
    assert several.log_evidence.sum() >= one.log_evidence.sum() - 1e-6


@pytest.mark.parametrize("verb", [pyem.fit_mle, pyem.fit_map, pyem.fit_em])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": np.zeros(3)}, r"start has shape \(3,\); natural values of 6 subjects and 1 parameters \(alpha\)"),
        ({"start": np.full((6, 1), 1.5)}, "alpha = 1.5 is outside"),
        ({"starts": 0}, "starts=0; at least 1 is needed"),
        ({"max_iter": 0}, "max_iter=0; at least"),
    ],
)
def test_starts_that_cannot_be(verb, model, data, options, message):
    with pytest.raises(ValueError, match=message):
        verb(model, data, **options)


def test_a_start_of_other_parameters_is_refused(model, data):
    other = quietly(pyem.fit_map, pyem.models.get("rw1a1b"), data)
    with pytest.raises(ValueError, match="give a fit of the same parameters and subjects"):
        pyem.fit_map(model, data, start=other)


# -- what cannot be -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", [pyem.fit_em, pyem.fit_grid])
def test_a_group_has_no_natural_priors(verb, model, data):
    with pytest.raises(ValueError, match="priors has 'alpha', but a group has mean, effect, sd, correlation"):
        verb(model, data, priors=BETA)


@pytest.mark.parametrize("verb", [pyem.fit_nuts, pyem.fit_svi])
def test_mean_and_sd_are_not_of_a_group(verb, model, data):
    with pytest.raises(ValueError, match="pass group=None with them"):
        verb(model, data, mean=0.0)


@pytest.mark.parametrize("name", GIVEN)
def test_a_mean_of_another_size_is_told_of(name, model, data):
    alone = {} if name == "map" else {"group": None}
    with pytest.raises(ValueError, match=r"mean has shape \(2,\); one number, or one for each of alpha"):
        VERBS[name][0](model, data, mean=[0.0, 1.0], **alone)


def test_two_priors_are_one_too_many(model, data):
    with pytest.raises(ValueError, match="give either log_prior, or priors"):
        pyem.fit_map(model, data, log_prior=lambda p: 0.0, priors=BETA)
    with pytest.raises(ValueError, match="a mapping is expected"):
        pyem.fit_map(model, data, priors=[dist.Beta(1.0, 1.0)])


# -- older names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "old", "new", "value"),
    [
        ("mle", "max_steps", "max_iter", 50),
        ("map", "max_steps", "max_iter", 50),
        ("svi", "max_steps", "max_iter", 100),
        ("grid", "tol", "accuracy", 1e-4),
    ],
)
def test_older_names_warn_and_work(name, old, new, value, model, data):
    verb, options = VERBS[name]
    options = {key: option for key, option in options.items() if key != new}
    with pytest.warns(DeprecationWarning, match=f"{old}= is now called {new}=") as caught:
        fit = quietly_but_for_names(verb, model, data, **{old: value}, **options)
    assert fit.settings[new] == value
    assert caught[0].filename == __file__
    with pytest.raises(TypeError, match=f"{old}= and {new}=, which are the same"):
        verb(model, data, **{old: value, new: value})


def quietly_but_for_names(verb, *args, **options):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=pyem.FitWarning)
        return verb(*args, **options)


def test_a_prior_without_a_group_still_means_people_on_their_own(model, data):
    with pytest.warns(DeprecationWarning, match="is for group=None"):
        fit = pyem.fit_grid(model, data, mean=0.0, sd=1.0)
    np.testing.assert_array_equal(fit.x, pyem.fit_grid(model, data, group=None, mean=0.0, sd=1.0).x)


def test_no_group_of_em_still_is_the_default_one(model, data):
    with pytest.warns(DeprecationWarning, match="whom fit_map and fit_mle fit"):
        fit = quietly_but_for_names(pyem.fit_em, model, data, group=None)
    assert fit.population.group == Group()


def test_renaming_keeps_name_docstring_and_signature():
    @renamed(old="new")
    def f(*, new=1):
        """Say it."""
        return new

    assert (f.__name__, f.__doc__) == ("f", "Say it.")
    assert list(inspect.signature(f).parameters) == ["new"]
    assert f(new=2) == 2
    with pytest.warns(DeprecationWarning, match="write new="):
        assert f(**{"old": 3}) == 3


def test_warnings_point_to_the_line_outside_the_library():
    with pytest.warns(pyem.FitWarning) as caught:
        warn("look")
    assert caught[0].filename == __file__

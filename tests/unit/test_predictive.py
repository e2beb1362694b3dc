"""Predictive draws and checks of responses of every kind, and which option they show."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import pyem
from pyem import Categorical, Dataset, Model, Normal, Parameter, Poisson
from pyem.plot.numbers import choice_curve_numbers
from pyem.results.options import shown_option

RW = pyem.models.get("rw1a1b")
RNG = np.random.default_rng(0)


def both(p, state, trial):
    return {"choice": Categorical(jnp.stack([0.0, p.bias])), "confidence": Normal(0.7, 0.05), "count": Poisson(300.0)}


MIXED = Model("mixed", (Parameter("bias"),), both, options=2, responses=("choice", "confidence", "count"))


def mixed_data(confidence):
    fields = {
        "choice": RNG.integers(0, 2, (5, 1, 20)),
        "confidence": confidence,
        "count": RNG.poisson(300, (5, 1, 20)),
    }
    return Dataset.from_arrays(fields)


@pytest.fixture(scope="module")
def mixed():
    return pyem.fit_map(MIXED, mixed_data(RNG.normal(0.7, 0.05, (5, 1, 20))))


def test_only_options_are_small_numbers(mixed):
    drawn = pyem.posterior_predictive(mixed, draws=10, key=0).responses
    assert drawn["choice"].dtype == np.int8
    assert drawn["confidence"].mean() == pytest.approx(0.7, abs=0.01)
    assert drawn["confidence"].std() == pytest.approx(0.05, abs=0.01)
    assert drawn["count"].mean() == pytest.approx(300, abs=3)


class Rated:
    """Asks for nothing and pays the rating itself."""

    def init(self, key):
        return ()

    def present(self, state, key):
        return {}

    def respond(self, state, trial, key):
        return state, {"shown": trial.rating}


def test_a_played_response_is_not_rounded_to_whole_numbers():
    policy = lambda p, state, trial: Normal(p.level, 0.01)  # noqa: E731
    update = lambda p, state, trial: (state, {})  # noqa: E731
    model = Model(
        "rated",
        (Parameter("level", mean=0.4, sd=0.01),),
        policy,
        lambda p: jnp.zeros(()),
        update,
        responses=("rating",),
        outcomes=("shown",),
    )
    whole = {"rating": RNG.integers(0, 2, (3, 1, 10)), "shown": np.zeros((3, 1, 10))}
    data = Dataset.from_arrays(whole)
    played = pyem.prior_predictive(
        model, data, group=None, priors={"level": dist.Normal(0.4, 0.01)}, draws=5, key=1, task=Rated()
    )
    np.testing.assert_allclose(played.outcomes["shown"], played.responses["rating"])
    assert played.outcomes["shown"].mean() == pytest.approx(0.4, abs=0.02)


# -- vectors --------------------------------------------------------------------------------------------------------------


def pair(p, state, trial):
    return dist.Normal(jnp.stack([p.level, -p.level]) + trial.shift, 0.5).to_event(1)


PAIR = Model("pair", (Parameter("level"),), pair, responses=("y",), inputs=("shift",))


@pytest.fixture(scope="module")
def vectors():
    shift = RNG.normal(size=(6, 1, 15, 2))
    y = shift + np.array([1.0, -1.0]) + 0.5 * RNG.normal(size=(6, 1, 15, 2))
    present = RNG.uniform(size=(6, 1, 15)) > 0.1
    frame = Dataset.from_arrays({"y": y, "shift": shift}).to_frame()
    frame.loc[~present.ravel(), ["y0", "y1"]] = np.nan
    return pyem.fit_map(
        PAIR, Dataset.from_frame(frame, subject="subject", columns={"y": ["y0", "y1"], "shift": ["shift0", "shift1"]})
    )


def test_vectors_are_columns_of_latents(vectors):
    frame, table = vectors.latents(), vectors.data.to_frame()
    for name in ("y0", "y1", "shift0", "shift1"):
        np.testing.assert_array_equal(frame[name], table[name])
    assert frame["y0"].isna().sum() == frame["log_prob"].isna().sum() > 0


def test_each_place_of_a_vector_is_checked(vectors):
    predicted = pyem.posterior_predictive(vectors, draws=60, key=1)
    check = pyem.predictive_check(predicted)
    assert list(check.group.index) == ["value0", "change0", "value1", "change1"]
    values, here = vectors.data.fields["y"], vectors.data.present["y"]
    for k in range(2):
        observed = np.array([values[:, k][:, [s]][here[:, [s]]].mean() for s in range(6)])
        mine = check.people[check.people.statistic == f"value{k}"]
        np.testing.assert_allclose(mine.observed, observed, rtol=1e-6)
        drawn = predicted.responses["y"][:, :, k].mean()
        assert check.group.loc[f"value{k}", "mean"] == pytest.approx(drawn, abs=0.05)
    assert check.group.p.between(0.001, 0.999).all()
    assert len(check.plot().axes) == 1 + 4


@pytest.mark.parametrize("check", [pyem.predictive_check, pyem.response_time_check])
def test_a_fit_in_place_of_draws_is_refused_with_the_remedy(check):
    with pytest.raises(TypeError, match=rf"{check.__name__}\(pyem.posterior_predictive\(fit, key=0\)\)"):
        check("a fit")


def test_predictions_of_vectors_are_exported(vectors):
    found = vectors.to_arviz(draws=4, posterior_predictive=3)
    n = int(vectors.data.present["y"].sum())
    assert found.posterior_predictive.y.dims == ("chain", "draw", "obs", "y_dim_0")
    assert found.posterior_predictive.y.shape == (1, 3, n, 2)
    assert found.observed_data.y.shape == (n, 2)


# -- the option that is shown ---------------------------------------------------------------------------------------------


def choices(choice, reward):
    return Dataset.from_arrays({"choice": np.array(choice)[:, None], "reward": np.array(reward)[:, None]})


RARE_BUT_PAID = choices([[0, 0, 0, 1], [0, 0, 1, 0]], [[0.0, 0, 0, 1], [0, 1, 1, 0]])


def test_figures_and_checks_show_the_same_option():
    fit = pyem.fit_map(RW, RARE_BUT_PAID)
    shown = shown_option(RW, RARE_BUT_PAID)
    assert (shown.code, shown.why) == (1, "the best on average")
    assert choice_curve_numbers(fit)["y_label"] == "proportion choosing option 1\n(the best on average)"
    check = pyem.predictive_check(pyem.posterior_predictive(fit, draws=20, key=0))
    assert check.what == "proportion of choices of 1"
    assert check.group.loc["choice", "observed"] == pytest.approx(0.25)


def test_without_an_outcome_the_most_frequent_option_is_shown():
    bias = pyem.models.get("bias")
    data = Dataset.from_arrays({"choice": np.array([[[1, 1, 0]], [[1, 0, 1]]])})
    assert shown_option(bias, data)[:] == (1, "1", "chosen most often")
    fit = pyem.fit_map(bias, data)
    assert "option 1\n(chosen most often)" in choice_curve_numbers(fit)["y_label"]
    assert pyem.predictive_check(pyem.posterior_predictive(fit, draws=20, key=0)).what == "proportion of choices of 1"


def test_trials_without_a_response_do_not_decide():
    data = choices([[0, 0, 1, 1]], [[0.2, 0.4, 0.1, 0.9]])
    missed = dict(data.present) | {"choice": np.array([[True], [True], [True], [False]])}
    assert shown_option(RW, dataclasses.replace(data, present=missed)).code == 0


def test_an_option_is_asked_for_by_its_label_or_its_text():
    assert shown_option(RW, RARE_BUT_PAID, 0) == shown_option(RW, RARE_BUT_PAID, "0") == (0, "0", "")
    with pytest.raises(ValueError, match="there is no option '7'; the options are 0, 1"):
        shown_option(RW, RARE_BUT_PAID, 7)
    with pytest.raises(ValueError, match="has no options to choose among"):
        shown_option(PAIR, RARE_BUT_PAID)

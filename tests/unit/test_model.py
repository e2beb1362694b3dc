"""Models out of models, against loops written by hand; and what a `Model`, `Parameter` and `Record` refuse."""

from __future__ import annotations

import dataclasses
import math
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pyem
from pyem import Categorical, Interval, Model, Normal, Parameter, Positive, fix, models, tie, with_lapse
from pyem import with_stickiness as sticky
from pyem.engine import evaluate as engine
from pyem.model.record import Record
from tests.contract.people import draw_people, draw_x, named, oracle, to_dataset, totals, with_missing
from tests.oracle.case import log_softmax
from tests.oracle.cases import CASES

EXACT = {"rtol": 1e-10, "atol": 1e-10}
PEOPLE = with_missing(draw_people(CASES["rw2a1b"], 30), ("choice", "reward"), 30, share=0.2)
"""Two options and one reward: data of rw1a1b and rw2a1b."""


def log_lik(model, x):
    return engine.log_lik(model, to_dataset(PEOPLE, model), x)


# -- fix and tie --------------------------------------------------------------------------------------------------------


def test_a_fixed_parameter_has_its_value():
    model = fix(models.get("rw2a1b"), alpha_neg=0.2)
    assert model.names == ("beta", "alpha_pos")
    x = draw_x(model, 5, 31)
    full = [
        [CASES["rw2a1b"].log_lik(named(model, row) | {"alpha_neg": 0.2}, block) for block in person]
        for row, person in zip(x, PEOPLE, strict=True)
    ]
    np.testing.assert_allclose(log_lik(model, x), totals(full), **EXACT)


def test_parameters_fixed_at_the_ends_of_their_range():
    model = fix(models.get("rw1a1b"), alpha=1.0)
    x = draw_x(model, 5, 32)
    full = [
        [CASES["rw1a1b"].log_lik(named(model, row) | {"alpha": 1.0}, block) for block in person]
        for row, person in zip(x, PEOPLE, strict=True)
    ]
    np.testing.assert_allclose(log_lik(model, x), totals(full), **EXACT)


def test_tied_learning_rates_are_one():
    model, single = tie(models.get("rw2a1b"), alpha_neg="alpha_pos"), models.get("rw1a1b")
    assert model.names == ("beta", "alpha_pos")
    x = draw_x(model, 5, 33)
    np.testing.assert_allclose(log_lik(model, x), totals(oracle(CASES["rw1a1b"], single, PEOPLE, x)), **EXACT)


def record(model, *x):
    with jax.enable_x64(True):
        return {name: float(value) for name, value in model.record(jnp.asarray(x)).items()}


def test_chains_of_ties_and_fixed_values():
    model = models.get("rw3a1b")
    chain = tie(tie(model, alpha_other="alpha_noone"), alpha_noone="alpha_self")
    values = record(chain, 0.0, 1.0)
    assert (
        values["alpha_self"] == values["alpha_other"] == values["alpha_noone"] == pytest.approx(1 / (1 + math.exp(-1)))
    )
    held = fix(tie(model, alpha_other="alpha_self"), alpha_self=0.3)
    assert held.names == ("beta", "alpha_noone")
    ends = {"reward_low": 0.0, "reward_high": 1.0}
    assert record(held, 0.0, 0.0) == {"beta": 10.0, "alpha_noone": 0.5, "alpha_self": 0.3, "alpha_other": 0.3, **ends}


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_value_outside_the_range_cannot_be_fixed(value):
    with pytest.raises(ValueError, match=r"alpha=.* is outside the range \(0.*, 1.*\) of model 'rw1a1b'"):
        fix(models.get("rw1a1b"), alpha=value)


CHANGES = [lambda m: fix(m, gamma=0.1), lambda m: tie(m, gamma="alpha"), lambda m: tie(m, alpha="gamma")]


@pytest.mark.parametrize("change", CHANGES, ids=["fix", "tie", "tie to"])
def test_only_free_parameters_can_be_fixed_or_tied(change):
    with pytest.raises(ValueError, match="'rw1a1b' has no free parameter 'gamma'; it has beta, alpha"):
        change(models.get("rw1a1b"))


def test_a_fixed_parameter_is_no_longer_free():
    with pytest.raises(ValueError, match="no free parameter 'alpha'; it has beta"):
        fix(fix(models.get("rw1a1b"), alpha=0.1), alpha=0.2)


def test_no_column_has_the_name_of_a_mask():
    with pytest.raises(
        ValueError, match="'masked' has a column 'seen', but a trial has responded, learn, seen, counted of its own"
    ):
        pyem.Model("masked", (), policy=lambda p, q, trial: None, inputs=("seen",))


def test_a_vector_cannot_be_fixed():
    with pytest.raises(ValueError, match="'b' of model 'glm' has several values"):
        fix(models.get("glm"), b=0.5)


def test_parameters_of_different_ranges_cannot_be_tied():
    with pytest.raises(ValueError, match=r"cannot tie 'alpha' to 'beta'.*same range"):
        tie(models.get("rw1a1b"), alpha="beta")


def test_a_parameter_cannot_be_tied_to_one_that_is_tied_in_the_same_breath():
    with pytest.raises(ValueError, match="itself tied"):
        tie(models.get("rw2a1b"), alpha_neg="alpha_pos", alpha_pos="alpha_neg")
    with pytest.raises(ValueError, match="itself tied"):
        tie(models.get("rw1a1b"), alpha="alpha")


def counts(names):
    """How often each compiled function was traced for models of these names."""
    return {key: n for key, n in engine.TRACES.items() if key[0] in names}


def test_other_fixed_values_compile_nothing_anew(monkeypatch):
    monkeypatch.setattr("pyem.engine.layout.COARSE", 0)
    base = dataclasses.replace(models.get("rw2a1b", scale="none"), name="held")
    data = to_dataset(PEOPLE, base)
    held = [
        fix(with_lapse(fix(base, alpha_pos=alpha)), lapse=lapse)
        for alpha, lapse in ((0.3, 0.1), (0.1, 0.0), (1.0, 0.5))
    ]
    assert len({*held}) == 3
    for model in held:
        x = draw_x(model, 5, 41)
        value, grad, hess = engine.value_grad_hess(model, data, x)
        full = np.column_stack([model.natural(x)[:, 0], np.full(5, model.fixed[0][1]), model.natural(x)[:, 1]])
        free = with_lapse(base)
        expected = pyem.log_lik(free, data, np.column_stack([full, np.full(5, model.fixed[1][1])]))
        np.testing.assert_allclose(value, expected, **EXACT)
        np.testing.assert_allclose(engine.log_lik(model, data, x), expected, **EXACT)
        np.testing.assert_allclose(engine.trial_values(model, data, x)["log_lik"].sum(), expected.sum(), **EXACT)
        assert np.isfinite(grad).all()
        assert np.isfinite(hess).all()
        fit = pyem.fit_map(model, data)
        np.testing.assert_allclose(engine.log_lik(model, data, fit.x), fit.log_lik, **EXACT)
        pyem.fit_map(model, data, log_prior=flat)
        played = pyem.simulate(model, subjects=2, trials=5, key=1)
        np.testing.assert_allclose(played.log_lik, engine.log_lik(model, played, played.truth), **EXACT)
    names = {"held[alpha_pos]+lapse[lapse]", *(model.name for model in held)}
    traced = counts(names)
    assert {key[0] for key in traced} == {"held[alpha_pos]+lapse[lapse]"}
    assert {function: n for (_, function), n in traced.items()} == {
        "derivatives": 1,
        "log_lik": 2,
        "rollout": 1,
        "modes": 1,
        "log_lik_draws": 1,
        "general_modes": 1,
    }


def flat(p):
    return 0.0


def test_a_model_is_split_and_joined():
    model = fix(tie(models.get("rw2a1b"), alpha_neg="alpha_pos"), beta=3.0)
    bare, values = model.split_values()
    again = bare.join_values(values)
    assert (again.fixed, again.tied, again.names) == (model.fixed, model.tied, model.names)
    assert bare == fix(tie(models.get("rw2a1b"), alpha_neg="alpha_pos"), beta=4.5).split_values()[0]
    assert bare != fix(models.get("rw2a1b"), beta=3.0).split_values()[0]
    wide, (free, values) = models.get("rw1a1b", reward_range=(0, 100)), models.get("rw1a1b").split_values()
    assert free == wide.split_values()[0]
    assert (
        free.join_values(wide.split_values()[1]).reward_range == (0.0, 100.0) != free.join_values(values).reward_range
    )


# -- lapse and stickiness -----------------------------------------------------------------------------------------------


def by_hand(p, block):
    """rw1a1b of two options with lapses and stickiness."""
    value, last, total = [0.5, 0.5], None, 0.0
    for trial in block:
        choice, reward = trial["choice"], trial["reward"]
        if choice is None:
            continue
        weight = [p["beta"] * v + (p.get("stickiness", 0.0) if k == last else 0.0) for k, v in enumerate(value)]
        lapse = p.get("lapse", 0.0)
        total += math.log((1 - lapse) * math.exp(log_softmax(weight)[choice]) + lapse / 2)
        if reward is not None:
            value[choice] += p["alpha"] * (reward - value[choice])
            last = choice
    return total


@pytest.mark.parametrize(
    ("change", "added"),
    [
        (with_lapse, ("lapse",)),
        (sticky, ("stickiness",)),
        (lambda model: with_lapse(sticky(model)), ("stickiness", "lapse")),
    ],
    ids=["lapse", "stickiness", "both"],
)
def test_lapses_and_stickiness(change, added):
    model = change(models.get("rw1a1b"))
    assert model.names == ("beta", "alpha", *added)
    x = draw_x(model, 5, 34)
    expected = [
        sum(by_hand(named(model, row), block) for block in person) for row, person in zip(x, PEOPLE, strict=True)
    ]
    np.testing.assert_allclose(log_lik(model, x), expected, **EXACT)


def test_no_lapse_and_no_stickiness_is_the_model_itself():
    model = models.get("rw1a1b")
    x = draw_x(model, 5, 35)
    plain = fix(sticky(with_lapse(model)), lapse=0.0, stickiness=0.0)
    np.testing.assert_allclose(log_lik(plain, x), log_lik(model, x), **EXACT)


def test_certain_lapses_are_a_coin():
    model = fix(with_lapse(models.get("rw1a1b")), lapse=1.0)
    data = to_dataset(PEOPLE, model)
    np.testing.assert_allclose(log_lik(model, draw_x(model, 5, 36)), -data.n_responses(model) * math.log(2), **EXACT)


@pytest.mark.parametrize("lapse", [0.0, 1.0])
def test_derivatives_are_finite_where_a_fixed_lapse_has_no_logarithm(lapse):
    model = fix(with_lapse(models.get("rw1a1b")), lapse=lapse)
    _, grad, hess = engine.value_grad_hess(model, to_dataset(PEOPLE, model), draw_x(model, 5, 40))
    assert np.isfinite(hess).all()
    assert (grad != 0).any() == (lapse == 0.0)


def offered(p, state, trial):
    return Categorical(jnp.where(jnp.arange(3) == trial.absent, -jnp.inf, jnp.array([0.0, 1.0, 2.0]) * p.b))


OFFERED = Model(
    "offered", (Parameter("b", mean=1.0),), offered, options=3, inputs=("absent",), input_codes=(("absent", 4),)
)
"""Three options of which one is not on offer; all are where `absent` is 3."""


@pytest.mark.parametrize("lapse", [0.0, 0.3, 1.0])
def test_a_lapse_picks_among_the_options_on_offer(lapse):
    rng = np.random.default_rng(38)
    absent = rng.integers(0, 4, (4, 1, 30))
    choice = np.where(absent < 3, (absent + rng.integers(1, 3, absent.shape)) % 3, rng.integers(0, 3, absent.shape))
    data = pyem.Dataset.from_arrays({"choice": choice, "absent": absent})
    model, b = fix(with_lapse(OFFERED), lapse=lapse), np.array([0.0, 0.5, 1.0, 1.5])
    value, grad, hess = engine.value_grad_hess(model, data, b[:, None])
    for s, weight in enumerate(b):
        share = np.exp(np.arange(3) * weight) * (np.arange(3) != absent[s, 0, :, None])
        there = share > 0
        share = (1 - lapse) * share / share.sum(1, keepdims=True) + lapse * there / there.sum(1, keepdims=True)
        np.testing.assert_allclose(value[s], np.log(share[np.arange(30), choice[s, 0]]).sum(), rtol=1e-12)
    assert np.isfinite(grad).all()
    assert np.isfinite(hess).all()
    assert (grad == 0).all() == (lapse == 1.0)
    chosen = pyem.simulate(
        model, [[0.0]], key=1, trials=200, task=pyem.task.Design(shown={"absent": np.ones((1, 1, 200))})
    )
    assert set(np.unique(chosen.fields["choice"])) == {0, 2}


def test_stickiness_of_a_model_that_learns_nothing():
    model = sticky(models.get("bias"))
    people = draw_people(CASES["bias"], 37)
    x = draw_x(model, 5, 37)
    expected = []
    for row, person in zip(x, people, strict=True):
        p, total = named(model, row), 0.0
        for block in person:
            last = None
            for trial in block:
                weight = [math.log(p["bias"]), math.log(1 - p["bias"])]
                weight = [w + (p["stickiness"] if k == last else 0.0) for k, w in enumerate(weight)]
                last = trial["choice"]
                total += log_softmax(weight)[last]
        expected.append(total)
    np.testing.assert_allclose(engine.log_lik(model, to_dataset(people, model), x), expected, **EXACT)


def test_lapses_need_a_choice_among_options():
    model = with_lapse(models.get("glm"))
    data = to_dataset(draw_people(CASES["glm"], 38), model)
    with pytest.raises(pyem.ModelError, match="expected a categorical distribution"):
        pyem.fit_map(model, data)


def test_stickiness_needs_the_number_of_options():
    with pytest.raises(ValueError, match="make 'glm' with options="):
        sticky(models.get("glm"))


@pytest.mark.parametrize("change", [with_lapse, sticky])
def test_models_without_a_policy_have_none_to_change(change):
    model = Model("whole", (Parameter("mu"),), log_likelihood=lambda p, trials: 0.0)
    with pytest.raises(ValueError, match=f"{change.__name__} changes a policy, but model 'whole' is defined by"):
        change(model)


def test_a_change_cannot_be_made_twice():
    with pytest.raises(ValueError, match="parameters of the same name"):
        with_lapse(with_lapse(models.get("rw1a1b")))


# -- models as keys -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda model: fix(model, alpha_pos=0.1),
        lambda model: tie(model, alpha_neg="alpha_pos"),
        with_lapse,
        sticky,
        lambda model: fix(with_lapse(sticky(model)), lapse=0.05),
    ],
    ids=["fix", "tie", "lapse", "stickiness", "all"],
)
def test_models_made_alike_are_equal(make):
    one, other = make(models.get("rw2a1b")), make(pickle.loads(pickle.dumps(models.get("rw2a1b"))))
    assert one is not other
    assert one == other == pickle.loads(pickle.dumps(one))
    assert hash(one) == hash(other)
    assert one != models.get("rw2a1b")
    assert len({one, other, models.get("rw2a1b")}) == 2


def test_models_made_differently_are_not_equal():
    model = models.get("rw1a1b")
    assert fix(model, alpha=0.1) != fix(model, alpha=0.2)
    assert models.get("rw1a1b", start=0.0) != model
    assert models.get("rw1a1b", options=3) != model


def test_a_model_made_twice_is_traced_once():
    def make():
        return dataclasses.replace(fix(with_lapse(models.get("rw1a1b")), alpha=0.25), name="made twice")

    for model in (make(), make()):
        log_lik(model, draw_x(model, 5, 39))
    assert engine.TRACES["made twice", "log_lik"] == 1


# -- the registry -------------------------------------------------------------------------------------------------------


def test_an_unknown_model_is_refused_with_a_suggestion():
    with pytest.raises(ValueError, match="there is no model 'rw1ab'; did you mean 'rw1a1b'"):
        models.get("rw1ab")


def test_an_unknown_option_of_a_model_is_refused():
    with pytest.raises(ValueError, match=r"model 'bias' cannot be made with \{'options': 4\}"):
        models.get("bias", options=4)


# -- Model, Parameter, Record -------------------------------------------------------------------------------------------


def coin(p, state, trial):
    return Categorical(jnp.zeros(2))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "needs either policy= or log_likelihood=, and not both"),
        ({"policy": coin, "log_likelihood": coin}, "needs either policy= or log_likelihood=, and not both"),
        ({"policy": coin, "update": coin}, r"has update= but no init=; give init=lambda p:"),
        ({"policy": coin, "updates": "sometimes"}, "choose 'responded', 'shown' or 'always'"),
        ({"policy": coin, "lagged": (("y", 1),)}, r"has lagged=\['y'\], but its columns are choice"),
    ],
)
def test_a_model_that_makes_no_sense_is_refused(settings, message):
    with pytest.raises(ValueError, match=f"model 'odd' .*{message}"):
        Model("odd", (Parameter("a"),), **settings)


def test_two_parameters_cannot_have_one_name():
    with pytest.raises(ValueError, match="model 'twins' has parameters of the same name: a, a"):
        Model("twins", (Parameter("a"), Parameter("a", Positive())), policy=coin)
    with pytest.raises(ValueError, match="parameters of the same name: b0, b1, b1"):
        Model("twins", (Parameter("b", size=2), Parameter("b1")), policy=coin)


def test_vectors_and_numbers_share_the_unconstrained_vector():
    parameters = (
        Parameter("b", size=2, mean=1.0),
        Parameter("s", Positive(), mean=-1.0, sd=2.0),
        Parameter("a", Interval()),
    )
    model = Model("mixed", parameters, policy=lambda p, s, t: Normal(p.b.sum(), p.s), responses=("y",))
    assert model.names == ("b0", "b1", "s", "a")
    assert model.n_params == 4
    np.testing.assert_array_equal(model.typical, [[1, 1, -1, 0], [1, 1, 2, 1]])
    x = np.array([[0.3, -0.4, 0.0, 0.0], [1.0, 2.0, 1.0, -1.0]])
    natural = np.array([[0.3, -0.4, 1.0, 0.5], [1.0, 2.0, np.e, 1 / (1 + np.e)]])
    np.testing.assert_allclose(model.natural(x), natural, rtol=1e-14)
    np.testing.assert_allclose(model.unconstrained(natural), x, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(model.log_det(x)[:, :3], [[0, 0, 0], [0, 0, 1]], atol=1e-15)
    with jax.enable_x64(True):
        p = model.record(jnp.asarray(x.T))
    np.testing.assert_allclose(p.b, natural[:, :2].T)
    np.testing.assert_allclose(p.s, natural[:, 2])


def test_unconstrained_names_the_value_that_is_out_of_range():
    with pytest.raises(ValueError, match=r"alpha = 1.2 is outside the open range \(0.*, 1.*\) of model 'rw1a1b'"):
        models.get("rw1a1b").unconstrained([[3.0, 0.5], [3.0, 1.2]])


# -- the log-likelihood at natural parameters ---------------------------------------------------------------------------


def test_the_log_likelihood_of_who_learns_nothing_at_all_or_all_at_once():
    model = models.get("rw1a1b", scale="none")
    data = to_dataset(PEOPLE, model)
    chance = -data.n_responses(model) * math.log(2)
    np.testing.assert_allclose(pyem.log_lik(model, data, [0.0, 0.3]), chance, rtol=1e-14)
    np.testing.assert_allclose(pyem.log_lik(model, data, [20.0, 0.0]), chance, rtol=1e-14)
    params = np.array([[0.0, 1.0], [20.0, 1.0], [3.0, 0.0], [2.0, 0.4], [20.0, 0.5]])
    full = [
        [CASES["rw1a1b"].log_lik({"beta": row[0], "alpha": row[1]}, block) for block in person]
        for row, person in zip(params, PEOPLE, strict=True)
    ]
    np.testing.assert_allclose(pyem.log_lik(model, data, params), totals(full), **EXACT)
    held = fix(model, alpha=1.0)
    np.testing.assert_allclose(pyem.log_lik(held, data, [4.0]), pyem.log_lik(model, data, [4.0, 1.0]), **EXACT)


def test_what_is_impossible_has_no_probability():
    model = with_lapse(models.get("wsls"))
    data = pyem.Dataset.from_arrays({"choice": [[[0, 0, 1]], [[0, 0, 0]]], "reward": [[[1, 1, 0]], [[1, 1, 0]]]})
    assert pyem.log_lik(models.get("wsls"), data, [0.0]).tolist() == [-np.inf, math.log(0.5)]
    assert pyem.log_lik(models.get("bias"), data, [1.0]).tolist() == [-np.inf, 0.0]
    np.testing.assert_allclose(pyem.log_lik(model, data, [0.1, 1.0]), np.log([1 / 8, 1 / 8]), rtol=1e-14)


def test_natural_vectors_of_thresholds_may_be_equal_but_not_fall():
    def rated(p, state, trial):
        below = jax.nn.sigmoid(jnp.concatenate([jnp.array([-jnp.inf]), p.cut, jnp.array([jnp.inf])]))
        return Categorical(jnp.log(jnp.diff(below)))

    model = Model("rated", (Parameter("cut", pyem.Ordered(), size=2),), rated, options=3)
    data = pyem.Dataset.from_arrays({"choice": [[[0, 2]], [[1, 0]]]})
    np.testing.assert_allclose(pyem.log_lik(model, data, [0.0, 0.0]), [2 * math.log(0.5), -np.inf], rtol=1e-14)
    with pytest.raises(ValueError, match="the values of cut must not decrease in model 'rated'; sort them"):
        pyem.log_lik(model, data, [0.1, 0.0])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ([5.0, 1.5], r"alpha = 1.5 is not a finite number in the range \[0, 1\] of model 'rw1a1b'"),
        ([[5.0, 0.5]] * 4 + [[np.nan, 0.5]], "beta = nan is not a finite number"),
        ([[5.0, 0.5]] * 4, r"params has shape \(4, 2\); expected \(5 subjects, 2 parameters\), or \(2,\).*beta, alpha"),
        ([5.0], r"params has shape \(1,\)"),
    ],
)
def test_natural_parameters_that_cannot_be_are_refused(params, message):
    with pytest.raises(ValueError, match=message):
        pyem.log_lik(models.get("rw1a1b"), to_dataset(PEOPLE, models.get("rw1a1b")), params)


def test_a_wrong_number_of_values_is_named():
    with pytest.raises(ValueError, match="model 'rw1a1b' has 2 parameters, but was given 3 values"):
        models.get("rw1a1b").natural(np.zeros((4, 3)))


def test_a_record_says_what_it_has():
    trial = Record(choice=1, reward=0.5)
    assert (trial.choice, trial["reward"], len(trial), list(trial)) == (1, 0.5, 2, ["choice", "reward"])
    assert dict(trial.with_values(reward=1.0, cue=3)) == {"choice": 1, "reward": 1.0, "cue": 3}
    with pytest.raises(AttributeError, match="the model asks for 'outcome', but there are only choice, reward"):
        _ = trial.outcome
    assert jax.tree.map(lambda value: value + 1, trial).reward == 1.5

"""The reinforcement-learning models in the form of pyEM against loops over trials."""

from __future__ import annotations

import copy
import inspect
import pickle

import numpy as np
import pytest

from pyem.core.modelspec import ModelSpec
from pyem.core.priors import GaussianPrior
from pyem.models import rl, rl_mf
from pyem.utils.math import alpha2norm, beta2norm

S, B, T = 6, 6, 20
RNG = np.random.default_rng(5)
N_RATES = {"rw1a1b": 1, "rw2a1b": 2, "rw3a1b": 3, "rw4a1b": 4}
INPUTS = {
    "rw1a1b": ["choices", "rewards"],
    "rw2a1b": ["choices", "rewards"],
    "rw3a1b": ["choices", "rewards"],
    "rw4a1b": ["choices", "outcomes_self", "outcomes_other", "option_pairs"],
}
PARAMS = {
    name: np.column_stack([RNG.uniform(1, 8, S), *RNG.uniform(0.05, 0.95, (n, S))]) for name, n in N_RATES.items()
}


@pytest.fixture(scope="module")
def people():
    return {name: getattr(rl, f"{name}_sim")(PARAMS[name], nblocks=B, ntrials=T, seed=8) for name in N_RATES}


def data_of(people, name, s):
    return [people[name][key][s] for key in INPUTS[name]]


def unconstrained(params):
    return np.concatenate([[beta2norm(params[0])], alpha2norm(params[1:])])


def loop(name, params, *data):
    """Negative log-likelihood, values and prediction errors by a loop over trials."""
    beta, rates = params[0], params[1:]
    choices = data[0]
    n_options = 4 if name == "rw4a1b" else 2
    values = np.full(
        (*choices.shape[:1], choices.shape[1] + 1, n_options), 0.5 if name in ("rw1a1b", "rw2a1b") else 0.0
    )
    nll = 0.0
    for b in range(choices.shape[0]):
        for t in range(choices.shape[1]):
            value = values[b, t].copy()
            options = list("AB") if n_options == 2 else list(data[3][b, t])
            index = ["ABCD".index(option) for option in options]
            weights = np.exp(beta * value[index])
            c = "ABCD".index(choices[b, t])
            nll -= np.log(weights[index.index(c)] / weights.sum())
            if name == "rw1a1b":
                step = rates[0] * (data[1][b, t] - value[c])
            elif name == "rw2a1b":
                error = data[1][b, t] - value[c]
                step = (rates[0] if error >= 0 else rates[1]) * error
            elif name == "rw3a1b":
                paid = [data[1][f"rewards_{who}"][b, t, c] for who in ("self", "other", "noone")]
                step = sum(rate * (reward - value[c]) for rate, reward in zip(rates, paid, strict=True))
            else:
                errors = [data[k][b, t] - value[c] for k in (1, 2)]
                step = sum(rates[2 * k + (errors[k] < 0)] * errors[k] for k in (0, 1))
            value[c] += step
            values[b, t + 1] = value
    return nll, values


@pytest.mark.parametrize("name", N_RATES)
def test_the_fit_function_is_a_loop_over_trials(people, name):
    fit = getattr(rl, f"{name}_fit")
    for s in range(S):
        data = data_of(people, name, s)
        nll, values = loop(name, PARAMS[name][s], *data)
        x = unconstrained(PARAMS[name][s])
        assert fit(x, *data, output="nll") == pytest.approx(nll, rel=1e-10)
        out = fit(x, *data, output="all")
        assert out["nll"] == pytest.approx(nll, rel=1e-10)
        np.testing.assert_allclose(out["EV"], values, atol=1e-10)
        np.testing.assert_allclose(out["params"], PARAMS[name][s], rtol=1e-9)


@pytest.mark.parametrize("name", N_RATES)
def test_the_simulation_reports_what_the_fit_function_says_of_it(people, name):
    sim = people[name]
    out = getattr(rl, f"{name}_fit")(unconstrained(PARAMS[name][2]), *data_of(people, name, 2), output="all")
    assert sim["nll"].shape == (S, B, T)
    errors = [key for key in sim if key.lower().startswith("pe_") or key == "PE"]
    assert errors == [key for key in out if key.lower().startswith("pe_") or key == "PE"]
    for key in ("EV", "ch_prob", "choices_A", *errors):
        np.testing.assert_allclose(sim[key][2], out[key], atol=1e-10, err_msg=key)
    np.testing.assert_array_equal(sim["choices_A"], sim["choices"] == "A")
    np.testing.assert_allclose(sim["ch_prob"].sum(-1), 1)
    np.testing.assert_allclose(sim["nll"][2].sum(), out["nll"])


def test_shapes_of_the_simulation(people):
    sim = people["rw1a1b"]
    assert sim["choices"].dtype == object
    assert set(np.unique(sim["choices"])) == {"A", "B"}
    assert sim["choices"].shape == sim["rewards"].shape == sim["PE"].shape == (S, B, T)
    assert sim["EV"].shape == (S, B, T + 1, 2)
    np.testing.assert_array_equal(sim["params"], PARAMS["rw1a1b"])
    three = people["rw3a1b"]["rewards"]
    assert len(three) == S
    assert three[0]["rewards_other"].shape == (B, T, 2)
    np.testing.assert_array_equal(three[2]["rewards_self"], people["rw3a1b"]["rewards_self"])
    assert people["rw3a1b"]["rewards_noone"].shape == (B, T, 2)
    out = rl.rw3a1b_fit(unconstrained(PARAMS["rw3a1b"][0]), *data_of(people, "rw3a1b", 0), output="all")
    assert {"params", "choices", "EV", "ch_prob", "rewards_self", "PE_noone", "rewards"} <= set(out)
    assert out["BIC"] == pytest.approx(2 * out["nll"] + 4 * np.log(B * T))


def test_reports_of_pairs(people):
    sim = people["rw4a1b"]
    assert sim["option_pairs"].shape == (S, B, T, 2)
    assert sim["EV"].shape == (S, B, T + 1, 4)
    assert sim["ch_prob"].shape == (S, B, T, 4)
    assert sim["outcomes_self"].dtype.kind == "i"
    shown = (sim["option_pairs"][..., None] == np.array(list("ABCD"), object)).any(-2)
    assert (sim["ch_prob"][~shown] == 0).all()
    chosen = np.vectorize("ABCD".index)(sim["choices"])
    before = np.take_along_axis(sim["EV"][:, :, :-1], chosen[..., None], axis=-1)[..., 0]
    for who in ("self", "other"):
        error = sim[f"outcomes_{who}"] - before
        np.testing.assert_allclose(sim[f"pe_{who}"], error, atol=1e-12)
        np.testing.assert_allclose(sim[f"pe_{who}_pos"], np.maximum(error, 0), atol=1e-12)
        np.testing.assert_allclose(sim[f"pe_{who}_neg"], np.minimum(error, 0), atol=1e-12)
    out = rl.rw4a1b_fit(unconstrained(PARAMS["rw4a1b"][0]), *data_of(people, "rw4a1b", 0), output="all")
    np.testing.assert_array_equal(out["choices"], chosen[0])
    with pytest.raises(AssertionError, match="multiple of the 6 pairs"):
        rl.rw4a1b_sim(PARAMS["rw4a1b"], nblocks=4)


def test_defaults_of_simulations_and_random_orders():
    given = {name: inspect.signature(getattr(rl, f"{name}_sim")).parameters for name in N_RATES}
    sizes = {name: (of["nblocks"].default, of["ntrials"].default) for name, of in given.items()}
    assert sizes == {"rw1a1b": (3, 24), "rw2a1b": (3, 24), "rw3a1b": (9, 16), "rw4a1b": (12, 20)}
    orders = list(rl_mf.gen_rnd_blocks(["x", "y", "z"], nblocks=2, nsubjects=5, rng=np.random.default_rng(1)))
    assert len(orders) == 5
    assert all(
        isinstance(order, tuple) and sorted(order[:3]) == sorted(order[3:]) == ["x", "y", "z"] for order in orders
    )
    assert len(set(orders)) > 1
    assert rl_mf.rw1a1b_fit is rl.rw1a1b_fit
    assert (rl_mf.rw1a1b_id, rl_mf.rw1a1b_desc) == (rl.rw1a1b_model.id, rl.rw1a1b_model.desc)


def test_rewards_come_with_the_documented_probabilities():
    sim = rl.rw1a1b_sim(np.tile([0.1, 0.5], (200, 1)), nblocks=4, ntrials=40, seed=1)
    for option, p in (("A", 0.8), ("B", 0.2)):
        rewards = sim["rewards"][sim["choices"] == option]
        # Four standard errors: wrong about once in 16,000 seeds, and the seed is fixed.
        assert rewards.mean() == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / len(rewards)))


def test_twenty_trials_of_rw4a1b_have_exact_numbers_of_outcomes(people):
    # Where one option was chosen throughout, all of its twenty cards have been seen.
    sim = rl.rw4a1b_sim(np.tile([20.0, 0.2, 0.2, 0.2, 0.2], (300, 1)), nblocks=6, ntrials=20, seed=2)
    seen = 0
    for s, b in np.argwhere((sim["choices"] == sim["choices"][:, :, :1]).all(2)):
        option = sim["choices"][s, b, 0]
        for who, good in (("self", option in "AB"), ("other", option in "AC")):
            counts = [(sim[f"outcomes_{who}"][s, b] == v).sum() for v in (1, 0, -1)]
            assert counts == ([15, 3, 2] if good else [2, 3, 15])
            seen += 1
    assert seen > 20
    assert all(len({tuple(pair) for pair in pairs[:, 0]}) == 6 for pairs in sim["option_pairs"])


def test_given_outcomes_are_what_is_paid():
    outcomes = RNG.normal(size=(B, T, 2))
    sim = rl.rw1a1b_sim(PARAMS["rw1a1b"], nblocks=B, ntrials=T, outcomes=outcomes, seed=1)
    expected = np.where(sim["choices"] == "A", outcomes[..., 0], outcomes[..., 1])
    np.testing.assert_array_equal(sim["rewards"], expected)
    three = RNG.integers(0, 2, size=(B, T, 2, 3))
    sim = rl.rw3a1b_sim(PARAMS["rw3a1b"], nblocks=B, ntrials=T, outcomes=three, seed=1)
    np.testing.assert_array_equal(sim["rewards"][1]["rewards_other"], three[..., 1])


def test_other_ways_to_give_the_same_data(people):
    x = unconstrained(PARAMS["rw3a1b"][0])
    choices, rewards = data_of(people, "rw3a1b", 0)
    whole = rl.rw3a1b_fit(x, choices, rewards, output="nll")
    assert rl.rw3a1b_fit(x, choices, tuple(rewards.values()), output="nll") == whole
    x = unconstrained(PARAMS["rw4a1b"][0])
    choices, self_, other, pairs = data_of(people, "rw4a1b", 0)
    whole = rl.rw4a1b_fit(x, choices, self_, other, pairs, output="nll")
    index = np.vectorize("ABCD".index)
    assert rl.rw4a1b_fit(x, index(choices), self_, other, index(pairs), output="nll") == whole
    assert rl.rw4a1b_fit(x, choices, self_, other, pairs[:, 0], output="nll") == whole


def test_a_missed_trial_counts_nothing_and_teaches_nothing(people):
    choices, rewards = data_of(people, "rw1a1b", 0)
    missed = choices.copy()
    missed[1, 4] = None
    x = unconstrained(PARAMS["rw1a1b"][0])
    nll, _ = loop("rw1a1b", PARAMS["rw1a1b"][0], np.delete(choices[1:2], 4, axis=1), np.delete(rewards[1:2], 4, axis=1))
    assert rl.rw1a1b_fit(x, missed[1:2], rewards[1:2], output="nll") == pytest.approx(nll, rel=1e-10)
    assert np.isnan(rl.rw1a1b_fit(x, missed, rewards, output="all")["PE"][1, 4])


def test_outputs_of_a_fit_function(people):
    data = data_of(people, "rw1a1b", 1)
    x, prior = np.array([0.1, -0.3]), GaussianPrior([0.0, 0.0], [1.0, 4.0])
    nll = rl.rw1a1b_fit(x, *data, output="nll")
    assert rl.rw1a1b_fit(x, *data) == nll
    assert rl.rw1a1b_fit(x, *data, prior=prior) == pytest.approx(nll - prior.logpdf(x))
    assert rl.rw1a1b_fit(x, *data, {"logpdf": prior.logpdf}, "npl") == pytest.approx(nll - prior.logpdf(x))
    assert rl.rw1a1b_fit(list(x), choices=data[0], rewards=data[1], output="nll") == nll
    assert rl.rw1a1b_fit(x, *data, prior=prior, output="loglik") == nll
    with pytest.raises(TypeError):
        rl.rw1a1b_fit(x, *data, priors=prior)
    with pytest.raises(ValueError, match="rw1a1b_fit has 2 parameters"):
        rl.rw1a1b_fit([0.0, 0.0, 0.0], *data)


def test_changed_data_are_not_mistaken_for_those_before(people):
    choices, rewards = (np.array(part) for part in data_of(people, "rw1a1b", 1))
    before = rl.rw1a1b_fit([0.0, 0.0], choices, rewards, output="nll")
    rewards[0, 0] = 1 - rewards[0, 0]
    assert rl.rw1a1b_fit([0.0, 0.0], choices, rewards, output="nll") != before


@pytest.mark.parametrize("params", [[[21.0, 0.5]], [[1e-6, 0.5]], [[5.0, 1.2]], [[5.0, -0.1]], [[5.0, np.nan]]])
def test_simulations_refuse_parameters_outside_their_range(params):
    name = "Beta" if params[0][1] == 0.5 else "Alpha"
    with pytest.raises(ValueError, match=f"{name} values out of bounds"):
        rl.rw1a1b_sim(np.array(params), nblocks=B, ntrials=T)
    if name == "Alpha":
        with pytest.raises(ValueError, match="Alpha_neg values out of bounds"):
            rl.rw2a1b_sim([[5.0, 0.5, params[0][1]]])


def test_simulations_take_parameters_on_a_bound():
    sim = rl.rw1a1b_sim(np.array([[5.0, 1.0], [1e-5, 0.0]]), nblocks=1, ntrials=T, seed=0)
    chosen = sim["choices"][0, 0] == "A"
    last = sim["rewards"][0, 0][chosen][-1]
    assert sim["EV"][0, 0, -1, 0] == pytest.approx(last)
    np.testing.assert_allclose(sim["ch_prob"][1], 0.5, atol=1e-5)


def test_bad_data_are_refused_by_name(people):
    choices, rewards = data_of(people, "rw1a1b", 0)
    strange = choices.copy()
    strange[0, 0] = "C"
    with pytest.raises(ValueError, match="choices has 'C'"):
        rl.rw1a1b_fit([0.0, 0.0], strange, rewards)
    with pytest.raises(ValueError, match="different shapes"):
        rl.rw1a1b_fit([0.0, 0.0], choices, rewards[:, :-1])
    choices, self_, other, pairs = data_of(people, "rw4a1b", 0)
    wrong = pairs.copy()
    wrong[0] = [o for o in "ABCD" if o != choices[0, 0]][:2]
    with pytest.raises(ValueError, match="in block 0, trial"):
        rl.rw4a1b_fit(np.zeros(5), choices, self_, other, wrong)


def test_seeds_make_simulations_reproducible():
    sim = lambda seed: rl.rw1a1b_sim(PARAMS["rw1a1b"], nblocks=B, ntrials=T, seed=seed)["choices"]  # noqa: E731
    np.testing.assert_array_equal(sim(3), sim(3))
    assert (sim(3) != sim(4)).any()
    drawn = []
    for _ in range(2):
        np.random.seed(11)  # noqa: NPY002 - how scripts of pyEM are made reproducible
        drawn.append(sim(None))
    np.testing.assert_array_equal(*drawn)


@pytest.mark.parametrize("name", N_RATES)
def test_the_spec_bundles_what_the_module_exports(name):
    spec = getattr(rl, f"{name}_model")
    assert isinstance(spec, ModelSpec)
    assert spec.id == name
    assert spec.fit is getattr(rl, f"{name}_fit")
    assert spec.sim is getattr(rl, f"{name}_sim")
    assert spec.fit.__name__ == f"{name}_fit"
    assert pickle.loads(pickle.dumps(spec.fit)) is spec.fit
    assert copy.deepcopy(spec.sim) is spec.sim
    with pytest.raises(AttributeError):
        spec.id = "other"

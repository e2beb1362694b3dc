"""Modifiers that name a response, ranges of parameters, cues, sensitivity, and what the tables of tasks need."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import pyem
from pyem import models
from pyem.engine import evaluate as engine
from pyem.engine.scale import scaled
from pyem.errors import DataError
from pyem.infer.starts import spread_points
from pyem.models.balloon import pump_by_pump
from pyem.models.registry import MODULES
from pyem.results.archive import Packer
from pyem.results.identity import follow, identity, recover
from tests.contract.people import draw_people, draw_x, to_dataset
from tests.oracle.cases import CASES


def data_of(name: str, model: pyem.Model) -> pyem.Dataset:
    return to_dataset(draw_people(CASES[name], 21), model)


# -- modifiers that name the response -----------------------------------------------------------------------------------


def test_a_lapse_of_the_second_stage_mixes_that_stage_only():
    base = models.get("two_step")
    model = pyem.with_lapse(base, response="choice2")
    assert model.names == (*base.names, "lapse_choice2")
    data, x = data_of("two_step", model), draw_x(base, 5, 21)
    share = 0.3
    both = np.column_stack([x, np.full(5, np.log(share / (1 - share)))])
    without_second = dataclasses.replace(
        data, present=data.present | {"choice2": np.zeros_like(data.present["choice2"])}, notes=()
    )
    # Without a second choice nothing is learned, and the first stage is what it was.
    first = engine.log_lik(model, without_second, both)
    np.testing.assert_allclose(first, engine.log_lik(base, without_second, x), rtol=1e-12)
    one_trial = to_dataset([[[block[0]] for block in person] for person in draw_people(CASES["two_step"], 21)], model)
    plain, mixed = engine.log_lik(base, one_trial, x), engine.log_lik(model, one_trial, both)
    # Before anything is learned, both are a choice at random.
    np.testing.assert_allclose(mixed, plain, rtol=1e-12)
    assert not np.allclose(engine.log_lik(model, data, both), engine.log_lik(base, data, x))


def test_modifiers_of_two_responses_can_be_combined_and_are_made_again():
    model = pyem.with_stickiness(pyem.with_lapse(models.get("two_step"), response="choice1"), response="choice2")
    assert model.names[-2:] == ("lapse_choice1", "stickiness_choice2")
    assert follow(model.recipe) == model
    simulated = pyem.simulate(model, key=3, subjects=5, blocks=2, trials=12)
    np.testing.assert_allclose(engine.log_lik(model, simulated, simulated.truth), simulated.log_lik, rtol=1e-10)


def test_stickiness_of_a_response_repeats_that_response():
    model = pyem.with_stickiness(pyem.fix(models.get("two_step"), beta2=1e-9), response="choice2")
    x = np.tile(model.typical[0], (5, 1))
    x[:, -1] = 50.0
    data = pyem.simulate(model, model.natural(x), key=4, blocks=2, trials=12)
    second = data.fields["choice2"]
    assert (second[1:] == second[:-1]).all()
    assert not (data.fields["choice1"][1:] == data.fields["choice1"][:-1]).all()


def test_a_side_bias_is_added_to_the_second_option():
    model = pyem.with_side_bias(models.get("bias"))
    data = data_of("bias", model)
    x = np.column_stack([np.full(5, -0.4), np.full(5, 0.7)])
    same = engine.log_lik(models.get("bias"), data, np.full((5, 1), -0.4 - 0.7))
    np.testing.assert_allclose(engine.log_lik(model, data, x), same, rtol=1e-12)


def test_forgetting_as_a_modifier_is_the_model_that_forgets():
    model, known = pyem.with_forgetting(models.get("rw1a1b")), models.get("rw_forget")
    data, x = data_of("rw_forget", known), draw_x(known, 5, 21)
    np.testing.assert_allclose(engine.log_lik(model, data, x), engine.log_lik(known, data, x), rtol=1e-12)
    other = pyem.with_eligibility(models.get("rwck"), values="kernel")
    assert follow(other.recipe) == other


def test_eligibility_reaches_back_as_a_plain_loop_says():
    model = pyem.with_eligibility(models.get("rw1a1b"))
    blocks = draw_people(CASES["rw1a1b"], 21)
    x = np.column_stack([draw_x(models.get("rw1a1b"), 5, 21), np.full(5, 0.4)])
    found = engine.log_lik(model, to_dataset(blocks, model), x)
    for person, (beta, alpha, left) in enumerate(model.natural(x)):
        total = 0.0
        for block in blocks[person]:
            q, trace = np.full(2, 0.5), np.zeros(2)
            for trial in block:
                c, reward = trial["choice"], trial["reward"]
                if c is None or np.isnan(c):
                    continue
                c = int(c)
                total += beta * q[c] - np.log(np.exp(beta * q).sum())
                if reward is None or np.isnan(reward):
                    continue
                trace *= left
                trace[c] = 1.0
                q = q + alpha * (reward - q[c]) * trace
        assert found[person] == pytest.approx(total, rel=1e-10)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: pyem.with_forgetting(models.get("rwck")), "say which by values="),
        (lambda: pyem.with_forgetting(models.get("go_nogo_rw")), "has none"),
        (lambda: pyem.with_eligibility(models.get("rw4a1b")), "has none"),
        (lambda: pyem.with_eligibility(models.get("rwck"), values="v"), "those are"),
        (lambda: pyem.with_forgetting(pyem.with_forgetting(models.get("rw1a1b"))), "of use once"),
        (lambda: pyem.with_lapse(models.get("two_step")), "say which one"),
        (lambda: pyem.with_lapse(models.get("two_step"), response="choice"), "has no response 'choice'"),
        (lambda: pyem.with_stickiness(models.get("glm")), "number of options"),
        (lambda: pyem.with_side_bias(models.get("rw1a1b", options=3)), "two options"),
        (lambda: pyem.with_cues(models.get("bias")), "keeps nothing"),
        (lambda: pyem.with_cues(models.get("go_nogo_rw")), "none of the model's own"),
    ],
)
def test_errors_of_modifiers_say_what_to_do(make, says):
    with pytest.raises(ValueError, match=says):
        make()


# -- cues ---------------------------------------------------------------------------------------------------------------


def test_each_cue_is_learned_apart():
    base = models.get("rw1a1b")
    model = pyem.with_cues(base, 2)
    assert follow(model.recipe) == model
    data = pyem.simulate(model, key=5, subjects=5, blocks=2, trials=12)
    assert (np.bincount(data.fields["cue"].ravel().astype(int)) == 60).all()
    np.testing.assert_allclose(engine.log_lik(model, data, data.truth), data.log_lik, rtol=1e-10)
    frame = data.to_frame()
    frame["part"] = frame["block"] * 2 + frame["cue"]
    columns = {"choice": "choice", "reward": "reward"}
    apart = pyem.Dataset.from_frame(frame, subject="subject", block="part", trial="trial", columns=columns)
    np.testing.assert_allclose(engine.log_lik(base, apart, data.truth), data.log_lik, rtol=1e-10)


def test_cues_of_a_model_whose_updates_may_diverge():
    model = pyem.with_cues(models.get("hgf"), 2)
    data = pyem.simulate(model, key=8, subjects=5, blocks=2, trials=12)
    np.testing.assert_allclose(engine.log_lik(model, data, data.truth), data.log_lik, rtol=1e-10)


# -- ranges -------------------------------------------------------------------------------------------------------------


def test_a_range_is_changed_where_a_model_is_made_and_people_stay_who_they_are():
    base, model = models.get("rw1a1b"), models.get("rw1a1b", beta=(0, 50), alpha="probit")
    assert [parameter.transform for parameter in model.parameters] == [pyem.Interval(0, 50), pyem.Probit(0, 1)]
    assert follow(model.recipe) == model
    np.testing.assert_allclose(model.natural(model.typical[0]), base.natural(base.typical[0]), rtol=1e-12)
    data, params = data_of("rw1a1b", base), base.natural(draw_x(base, 5, 22))
    np.testing.assert_allclose(pyem.log_lik(model, data, params), pyem.log_lik(base, data, params), rtol=1e-10)


def test_typical_values_from_the_data_follow_into_another_range():
    base, model = models.get("dd_hyperbolic"), models.get("dd_hyperbolic", tau=(0, 100))
    data = data_of("dd_hyperbolic", base)
    found, wanted = (one.natural(one.typical[0]) for one in (scaled(model, data), scaled(base, data)))
    np.testing.assert_allclose(found, wanted, rtol=1e-10)


def test_a_probit_maps_there_and_back():
    transform, x = pyem.Probit(-1, 3), np.linspace(-5, 5, 11)
    np.testing.assert_allclose(transform.inv(transform(x)), x, rtol=1e-8)
    slopes = (transform(x + 1e-6) - transform(x - 1e-6)) / 2e-6
    np.testing.assert_allclose(np.exp(transform.log_det(x)), slopes, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("span", [(5, 1), (0, 1, 2), "cloglog", (-np.inf, 3), ("low", "high"), pyem.Probit(0, 50), 3.0])
def test_a_range_that_is_none_is_an_error(span):
    with pytest.raises(ValueError, match=r"beta=.*(a range is a pair of numbers|choose 'probit' or 'logit')"):
        models.get("rw1a1b", beta=span)


def test_a_probit_keeps_its_function_in_another_range():
    model = pyem.with_range(models.get("rw1a1b", alpha="probit"), alpha=(0, 0.5))
    assert model.parameters[1].transform == pyem.Probit(0, 0.5)


def test_points_in_ranges_without_an_end_are_found_without_a_warning():
    model = models.get("two_step")
    with np.errstate(all="raise"):
        points = spread_points(model, 6, 2, 1)
    assert np.isfinite(points).all()
    stick = model.names.index("stick")
    mean, sd = model.typical
    assert (np.abs(np.array(points)[:, 0, stick] - mean[stick]) < 10 * sd[stick]).all()


def test_an_option_that_does_not_exist_is_told_from_a_parameter():
    with pytest.raises(ValueError, match="there is no option 'gamma'"):
        models.get("rw1a1b", gamma=(0, 1))


# -- sensitivity to rewards ---------------------------------------------------------------------------------------------


def test_a_sensitivity_to_rewards_is_an_inverse_temperature():
    base, model = models.get("rw2a1b"), models.get("rw2a1b", sensitivity=True)
    assert model.names == ("rho", "alpha_pos", "alpha_neg")
    data, params = data_of("rw2a1b", base), base.natural(draw_x(base, 5, 23))
    np.testing.assert_allclose(pyem.log_lik(model, data, params), pyem.log_lik(base, data, params), rtol=1e-12)


# -- simulation in the design of other people ---------------------------------------------------------------------------


def test_people_are_simulated_in_the_design_of_a_two_step_experiment():
    model = models.get("two_step")
    seen = pyem.simulate(model, key=6, subjects=5, blocks=2, trials=12)
    again = pyem.simulate(model, key=7, design=seen)
    common = again.fields["state2"] == again.fields["choice1"]
    assert 0.5 < common.mean() < 0.9
    # A state follows on the first choice of the simulated person, not on that of the design.
    moved = again.fields["choice1"] != seen.fields["choice1"]
    assert moved.any()
    assert common[moved].mean() > 0.5
    np.testing.assert_allclose(engine.log_lik(model, again, again.truth), again.log_lik, rtol=1e-10)


# -- amounts in any unit ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["fictive_mirrored", "ewa", "pearce_hall", "kalman", "hybrid", "volatile_kalman", "orl", "reward_punishment"],
)
def test_the_unit_of_the_outcomes_does_not_matter(name):
    model = models.get(name)
    data, x = data_of(name, model), draw_x(model, 5, 24)
    cents = dataclasses.replace(
        data, fields=data.fields | {column: data.fields[column] * 100.0 for column in model.outcomes}
    )
    found = [pyem.log_lik(model, one, model.natural(x)) for one in (data, cents)]
    np.testing.assert_allclose(found[1], found[0], rtol=1e-9)


# -- options that came later ------------------------------------------------------------------------------------------


def test_files_from_before_an_option_hold_the_model_of_then():
    packer = Packer(lambda *_: None)
    for model in (models.get("ultimatum_delta"), models.get("ultimatum_delta", updated_first=False)):
        assert recover(identity(model, packer), None, "fit.nc") == model
    stored = identity(models.get("ultimatum_delta"), packer) | {"recipe": packer((("ultimatum_delta", ()),))}
    assert recover(stored, None, "fit.nc") == models.get("ultimatum_delta", updated_first=False)


# -- tables of balloons -------------------------------------------------------------------------------------------------


def test_balloons_become_decisions():
    frame = pd.DataFrame({"subject": [1, 1, 2], "pumps": [3, 1, 0], "exploded": [0, 1, 0]})
    rows = pump_by_pump(frame)
    assert rows["choice"].tolist() == [1, 1, 1, 0, 1, 0]
    assert rows["burst"].tolist() == [0, 0, 0, 0, 1, 0]
    assert rows["balloon"].tolist() == [0, 0, 0, 0, 1, 2]
    assert rows["subject"].tolist() == [1, 1, 1, 1, 1, 2]


@pytest.mark.parametrize(("pumps", "exploded"), [(2.5, 0), (-1, 0), (0, 1), (np.nan, 0), (3, 2)])
def test_a_balloon_that_cannot_be_is_an_error(pumps, exploded):
    frame = pd.DataFrame({"pumps": [4, pumps], "exploded": [1, exploded]})
    with pytest.raises(DataError, match="row 1"):
        pump_by_pump(frame)


def test_every_model_of_a_file_is_in_the_registry_and_the_other_way_round():
    for module, names in MODULES.items():
        assert names.split() == list(getattr(models, module).MODELS), module
    files = Path(models.__file__).parent.glob("*.py")
    assert {
        file.stem for file in files if re.search(r"^MODELS\b", file.read_text(encoding="utf-8"), re.MULTILINE)
    } == set(MODULES)
    with pytest.raises(AttributeError, match="has no attribute 'learnings'"):
        getattr(models, "learnings")  # noqa: B009


def test_asking_for_a_model_loads_no_file_of_other_models():
    code = (
        "import sys, pyem; pyem.models.get('rw1a1b'); print(*(name for name in sys.modules if 'pyem.models.' in name))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "pyem.models.learning" in told
    assert {name.rpartition(".")[2] for name in told} & set(MODULES) == {"learning"}

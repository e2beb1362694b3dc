"""Predictive checks of response times, on data and simulations that are written down."""

from __future__ import annotations

import numpy as np
import pytest

import pyem
from pyem.model.times.ez import estimates
from pyem.simulation.predictive import Predicted
from pyem.study.ez_check import ez_note

MODEL = pyem.models.get("ddm")
KINDS = ("quantile_probability", "distribution", "conditional_accuracy", "delta")


def predicted(draws: int = 40, slower: float = 0.0) -> Predicted:
    """Two people with 60 trials in each of two conditions; in the second one all times are .2 s longer, and more are wrong."""
    rng = np.random.default_rng(1)
    load = np.tile(np.repeat([0.0, 1.0], 60)[:, None], (1, 2))

    def play(*size):
        choice = (rng.random((*size, 120, 2)) < 0.9 - 0.2 * load).astype(int)
        return choice, 0.4 + 0.2 * load + rng.gamma(2.0, 0.1, choice.shape)

    choice, rt = play()
    columns = {"choice": choice, "rt": rt, "load": load}
    data = pyem.Dataset.from_arrays({name: values.T[:, None] for name, values in columns.items()})
    drawn, times = play(draws)
    return Predicted(
        MODEL, data, "posterior", True, np.zeros((draws, 2, 4)), {"choice": drawn, "rt": times + slower}, {}
    )


def test_what_is_simulated_from_the_truth_is_within_its_bands_and_what_is_not_is_outside():
    good = pyem.predictive_check(predicted()).response_times(by="load")
    assert (good.outside() < 0.25).all()
    bad = pyem.response_time_check(predicted(slower=0.3), by="load")
    assert bad.outside().quantile_probability > 0.9
    assert bad.outside().delta < 0.5
    assert "% of values outside" in str(bad)


def test_the_tables_are_means_over_people_of_each_persons_numbers():
    one = predicted()
    check = pyem.response_time_check(one, by="load")
    table = check.quantile_probability.set_index(["condition", "response", "quantile"])
    choice, rt, load = (one.data.fields[name] for name in ("choice", "rt", "load"))
    mine = [rt[(load[:, s] == 1) & (choice[:, s] == 1), s] for s in range(2)]
    assert table.loc[("1", "choice 1", 0.7), "observed"] == pytest.approx(np.mean([np.quantile(v, 0.7) for v in mine]))
    assert table.loc[("1", "choice 1", 0.7), "share"] == pytest.approx(np.mean([len(v) / 60 for v in mine]))
    last = check.distribution.groupby(["condition", "response"])["observed"].last()
    assert last.groupby("condition").sum().between(0.97, 1.0).all()
    assert check.delta.observed.mean() == pytest.approx(0.2, abs=0.08)
    assert len(check.conditional_accuracy) == 10
    assert not len(pyem.response_time_check(one).delta)


def test_ez_estimates_far_from_those_of_the_simulations_are_named():
    good, bad = pyem.response_time_check(predicted()), pyem.response_time_check(predicted(slower=0.3), by="load")
    one = good.ez.set_index(["subject", "parameter"])
    choice, rt = (predicted().data.fields[name][:, 1] for name in ("choice", "rt"))
    expected = estimates(choice.mean(), rt.mean(), rt.var(ddof=1))
    np.testing.assert_allclose(one.loc[1, "observed"], expected, rtol=1e-12)
    assert (one.low < one["mean"]).all()
    assert (one["mean"] < one.high).all()
    assert "EZ" not in str(good)
    assert good.outside().ez < 0.5
    assert "EZ estimates far from those of the simulations: 0 (0): t 0." in str(bad)
    assert len(bad.ez) == 12


def test_a_check_tells_the_medians_of_ez_estimates_and_who_is_far_from_what_is_usual():
    rng = np.random.default_rng(2)
    rt = 0.4 + rng.gamma(2.0, 0.1, (3, 1, 80))
    choice = (rng.random((3, 1, 80)) < 0.8).astype(int)
    told = ez_note(MODEL, pyem.Dataset.from_arrays({"choice": choice, "rt": rt}))
    assert told.startswith("EZ-diffusion: medians of people v ")
    assert "far" not in told
    # One very slow response makes a variance that only a decision which takes longer than the mean response has.
    rt[1, 0, 5] = 9.0
    told = ez_note(MODEL, pyem.Dataset.from_arrays({"choice": choice, "rt": rt}))
    assert "look at the times of 1 (t -" in told
    late = pyem.models.get("ddm", deadline=2.0)
    choice[2], rt[2] = 2, 2.0
    assert "nan" not in ez_note(late, pyem.Dataset.from_arrays({"choice": choice, "rt": rt}))
    assert ez_note(pyem.models.get("lba"), pyem.Dataset.from_arrays({"choice": choice, "rt": rt})) == ""


def test_the_figures_are_drawn_and_what_is_wrong_is_said(tmp_path):
    check = pyem.response_time_check(predicted(), by="load")
    for kind in KINDS:
        check.plot(kind).savefig(tmp_path / f"{kind}.png")
        assert (tmp_path / f"{kind}.png").stat().st_size > 5000
    with pytest.raises(ValueError, match="choose 'quantile_probability'"):
        check.plot("delat")
    with pytest.raises(ValueError, match="give by="):
        pyem.response_time_check(predicted()).plot("delta")
    with pytest.raises(ValueError, match=r"by='lod' is no column.*choice, rt, load"):
        pyem.response_time_check(predicted(), by="lod")
    with pytest.raises(ValueError, match="by='rt' has 240 different values"):
        pyem.response_time_check(predicted(), by="rt")
    other = predicted()
    lone = Predicted(pyem.models.get("rw1a1b"), other.data, "posterior", True, other.x, other.responses, {})
    with pytest.raises(ValueError, match="no choices with response times"):
        pyem.response_time_check(lone)

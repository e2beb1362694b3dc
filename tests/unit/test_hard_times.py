"""Non-decision time has no bound of its own: the finite density of an impossible time leads fits back from any start."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import pyem

CHOICE = {"subject": "subject", "columns": {"choice": "choice", "rt": "rt"}}
TIMES = np.linspace(0.06, 0.75, 10)
"""Non-decision times of people, from far below to far above the usual one."""


def _simulated(model, key: int, **more):
    params = pyem.simulate(model, subjects=len(TIMES), trials=5, key=key).true_params.copy()
    params[:, model.names.index("t")] = TIMES
    return pyem.simulate(model, params, trials=100, key=key + 1, **more)


def _both_starts(model, data, truth):
    """Log evidence and people's t of fits from the usual start and from what made the data."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pyem.FitWarning)
        fits = [pyem.fit_em(model, data, start=start) for start in (None, truth)]
    assert all(fit.converged and (fit.table().status == "ok").all() for fit in fits)
    return [fit.table().log_evidence.sum() for fit in fits], fits[0].params[:, model.names.index("t")]


def _fastest(frame) -> np.ndarray:
    return frame.groupby("subject", sort=False).rt.min().to_numpy()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ddm", "shifted_wald", "lnr", "lba"])
def test_usual_starts_find_non_decision_times_that_are_far_away(name):
    model = pyem.models.get(name)
    data = _simulated(model, 3)
    (usual, known), t = _both_starts(model, data, data.true_params)
    # Where A and B are hardly told apart, groups have two maxima; the usual start ends in the higher one.
    assert usual > known - 1e-3
    assert (t < _fastest(data.to_frame())).all()
    assert np.corrcoef(t, TIMES)[0, 1] > 0.95


@pytest.mark.slow
def test_the_range_of_starting_points_of_a_race_that_data_do_not_tell_is_named():
    """Nobody can tell A of the RDM from so few trials: the fit says so, and non-decision times are found all the same."""
    model = pyem.models.get("rdm")
    data = _simulated(model, 3)
    with pytest.warns(pyem.FitWarning) as told:
        fit = pyem.fit_em(model, data)
    said = " ".join(str(one.message) for one in told)
    assert "people do not differ in A" in said
    assert "hardly inform A" in said
    assert (fit.table().status == "ok").all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pyem.FitWarning)
        known = pyem.fit_em(model, data, start=data.true_params)
    assert fit.log_evidence.sum() > known.log_evidence.sum() - 1e-3
    t = fit.params[:, model.names.index("t")]
    assert (t < _fastest(data.to_frame())).all()
    assert np.corrcoef(t, TIMES)[0, 1] > 0.95


@pytest.mark.slow
def test_one_fast_guess_pulls_t_below_it_and_outliers_leave_it_where_it_is():
    model = pyem.models.get("ddm")
    data = _simulated(model, 3)
    frame = data.to_frame()
    people = frame.subject.unique()[1::2]
    for subject in people:
        frame.loc[frame.index[frame.subject == subject][7], "rt"] = 0.05
    guessed = pyem.Dataset.from_frame(frame, **CHOICE)
    (usual, known), t = _both_starts(model, guessed, data.true_params)
    assert abs(usual - known) < 1e-3
    assert (t < _fastest(frame)).all()
    assert (t[1::2] < 0.05).all()
    _, robust = _both_starts(pyem.models.get("ddm", p_outlier=0.05), guessed, data.true_params)
    _, without = _both_starts(model, data, data.true_params)
    assert np.abs(robust - without).max() < 0.05


@pytest.mark.slow
def test_a_deadline_soon_after_t_leaves_it_below_the_fastest_response():
    model = pyem.models.get("ddm", deadline=1.0)
    data = _simulated(model, 5)
    (usual, known), t = _both_starts(model, data, data.true_params)
    frame = data.to_frame()
    assert abs(usual - known) < 1e-3
    assert (t < _fastest(frame[frame.choice != 2])).all()


@pytest.mark.slow
def test_sampling_starts_where_responses_are_possible():
    model = pyem.fix(pyem.models.get("ddm"), z=0.5)
    data = _simulated(model, 3)
    fit = pyem.fit_nuts(model, data, draws=300, warmup=400, chains=2, key=1)
    assert not any("diverge" in text or "finite" in text for text in fit.problems())
    t = fit.params[:, model.names.index("t")]
    assert (t < _fastest(data.to_frame())).all()

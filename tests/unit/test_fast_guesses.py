"""A response that came before anybody can decide is told of, wherever a model would take it for a decision."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import pyem
from pyem.engine.fast_guesses import last_guess
from pyem.engine.validate import dry_run, validate
from pyem.models import get, names
from pyem.plot.reports.lights import of_data
from tests.cli.run import pyem_command

TIMED = [name for name in names() if "rt" in get(name).columns]
RACES = ("ddm", "lba", "rdm", "lnr")
PLAIN = {name: get(name) for name in TIMED if name != "ex_gaussian"}
MADE = {
    "deadline": get("ddm", deadline=2.0),
    "late race": get("lnr", deadline=2.0),
    "bound": get("ddm", bound="angle"),
    "held": pyem.fix(get("ddm"), t=0.2),
    **{f"learning {rule}": pyem.with_decision(get("rw1a1b"), rule) for rule in RACES},
}
WITH_OUTLIERS = {
    "given": get("ddm", p_outlier=0.05),
    "free": get("lba", p_outlier="free"),
    "lapse": pyem.with_lapse(get("rdm")),
    "learning": pyem.with_decision(get("rw1a1b"), "ddm", p_outlier=0.05),
    "no t": get("ex_gaussian"),
}


def table(model, **changes):
    """A table of three people for any of these models, the second of whom slips on the third trial with a decision."""
    rng = np.random.default_rng(2)
    choice, stimulus, reward = rng.integers(0, 2, (3, 72))
    frame = pd.DataFrame({"subject": np.repeat([0, 1, 2], 24), "block": 0, "choice": choice})
    frame = frame.assign(rt=0.3 + rng.gamma(2.0, 0.15, 72), stimulus=stimulus, reward=reward)
    slip = frame.index[(frame.subject == 1) & (frame.choice == 1)][2]
    for name, value in changes.items():
        frame[name] = frame[name].astype(float)
        frame.loc[slip, name] = value
    return frame[["subject", "block", *model.columns]], slip - 24 + 1


def said(model, frame, **options):
    """What is said of a table before a fit."""
    data = pyem.Dataset.from_frame(
        frame, subject="subject", block="block", columns={name: name for name in model.columns}, **options
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        validate(model, data)
    return [str(one.message) for one in caught]


def test_all_models_of_response_times_are_looked_at():
    assert {"ddm", "ddm_stimulus", "ddm_gonogo", "shifted_wald", "lba", "rdm", "lnr"} == set(PLAIN)


@pytest.mark.parametrize("model", [*PLAIN.values(), *MADE.values()], ids=[*PLAIN, *MADE])
def test_a_slip_is_told_of_with_subject_trial_time_and_remedy(model):
    frame, trial = table(model, rt=0.001)
    (text,) = said(model, frame)
    assert f"'rt' has 0.001 for subject 1 on trial {trial} (1 such response of 1 subject in all)" in text
    assert f"model {model.name!r} takes it for a decision" in text
    assert text.endswith("leave the cell of the time empty")
    # Only where choices are responses, too, another origin of single ones can be said.
    assert ("p_outlier=0.05" in text) == bool(model.joint)
    assert not said(model, table(model)[0])
    assert not said(model, table(model, rt=np.nan)[0])


@pytest.mark.parametrize("model", WITH_OUTLIERS.values(), ids=WITH_OUTLIERS)
def test_nothing_is_said_where_a_slip_does_no_harm(model):
    assert not said(model, table(model, rt=0.001)[0])


def test_what_is_not_in_the_likelihood_is_not_told_of():
    model = get("ddm")
    frame, trial = table(model, rt=0.001)
    frame["main"] = 1
    assert said(model, frame, count="main")
    frame.loc[frame.index[frame.subject == 1][trial - 1], "main"] = 0
    assert not said(model, frame, count="main")
    assert not said(model, table(model, rt=0.001, choice=np.nan)[0])
    # The time of no-go is not looked at.
    assert not said(get("ddm_gonogo"), table(get("ddm_gonogo"), rt=0.001, choice=0)[0])


def test_formulas_and_blocks_are_looked_through():
    frame, _ = table(get("ddm"), rt=0.02)
    frame["load"] = np.arange(len(frame)) % 2
    frame["block"] = frame.groupby("subject").cumcount() // 12
    data = pyem.Dataset.from_frame(
        frame, subject="subject", block="block", columns={name: name for name in ("choice", "rt", "load")}
    )
    bound = pyem.regress(get("ddm"), "v ~ load").bind(data)
    with pytest.warns(pyem.FitWarning, match=r"'rt' has 0.02 for subject 1 on trial \d+ of block 0 \(1 such"):
        validate(bound.model, bound.data)


@pytest.mark.parametrize(
    ("times", "longest"),
    [
        ([0.5, 0.4, 0.09, 0.6], 0.09),
        # A second one, and one of several blocks.
        ([0.5, 0.4, 0.001, 0.05, 0.6], 0.05),
        # Nobody stands apart who is fast throughout, and nothing is said of the fastest of possible times.
        ([0.05, 0.07, 0.09, 0.12, 0.2], -np.inf),
        ([0.101, 0.4, 0.5, 0.6], -np.inf),
        # Three of five are no slips.
        ([0.001, 0.002, 0.003, 0.5, 0.6], -np.inf),
        ([0.03], -np.inf),
    ],
)
def test_a_guess_is_soon_and_stands_apart(times, longest):
    assert last_guess(np.array(times)) == longest


@pytest.mark.slow
@pytest.mark.parametrize("name", PLAIN)
def test_nobody_who_decides_is_told_of(name):
    model = PLAIN[name]
    for key in range(2):
        data = pyem.simulate(model, subjects=60, blocks=1, trials=200, key=key)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            validate(model, data)


def test_the_command_line_and_reports_say_it(tmp_path):
    frame, trial = table(get("shifted_wald"), rt=0.001)
    frame.to_csv(tmp_path / "data.csv", index=False)
    words = ("--model", "shifted_wald", "--method", "map", "--no-figures", "--out", tmp_path / "out")
    result = pyem_command("fit", tmp_path / "data.csv", *words)
    assert f"'rt' has 0.001 for subject '1' on trial {trial}" in " ".join(result.stderr.split())
    fit = pyem.load(tmp_path / "out" / "fit.nc")
    assert dry_run(fit.model, fit.data)["rt"].delayed
    (light,) = [one for one in of_data(fit) if one.level == "look"]
    assert light.what.startswith("Column 'rt' has 0.001")
    assert light.remedy.startswith("If it is a guess")

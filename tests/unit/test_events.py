"""Trial-wise regressors in BIDS: what is in the files, and what is refused before any is written."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import pyem
from pyem.results.events import _orthogonal

MODEL = pyem.models.get("rw1a1b")


@pytest.fixture(scope="module")
def fit():
    rng = np.random.default_rng(1)
    rows = [
        {"id": f"sub-{s}", "run": b, "t": t, "choice": rng.integers(2), "reward": rng.integers(2), "at": 5.0 * t + 1}
        for s in ("a_1", "b")
        for b in (3, 1)
        for t in range(12)
    ]
    table = pd.DataFrame(rows).astype({"choice": float})
    table.loc[4, "choice"] = np.nan
    columns = {"choice": "choice", "reward": "reward", "onset": "at"}
    return pyem.fit_mle(MODEL, pyem.Dataset.from_frame(table, subject="id", block="run", trial="t", columns=columns))


def test_a_run_has_its_trials_and_their_latents(fit, tmp_path):
    folder = pyem.to_bids_events(fit, tmp_path / "bids", task="bandit", latents=["prediction_error"], duration=2.5)
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    names = [f"sub-{s}/func/sub-{s}_task-bandit_run-{k}_events.tsv" for s in ("a1", "b") for k in (1, 2)]
    assert files == [*names, "task-bandit_events.json"]
    first = pd.read_csv(folder / files[0], sep="\t")
    latents = fit.latents()
    mine = latents[(latents["subject"] == "sub-a_1") & (latents["block"] == first["block"][0])]
    np.testing.assert_allclose(first["prediction_error"], mine["prediction_error"])
    assert first["onset"].tolist() == [5.0 * t + 1 for t in range(12)]
    assert set(first["duration"]) == {2.5}
    assert "n/a" in (folder / files[0]).read_text() or "n/a" in (folder / files[1]).read_text()
    said = json.loads((folder / "task-bandit_events.json").read_text())
    assert list(said) == list(first)
    assert said["onset"]["Units"] == "s"


def test_columns_can_be_centred_and_orthogonal_within_runs(fit, tmp_path):
    wanted = ["value0", "p0", "prediction_error"]
    folder = pyem.to_bids_events(
        fit,
        tmp_path / "bids",
        task="bandit",
        latents=wanted,
        duration=0,
        orthogonalize=True,
        units={"p0": "probability"},
    )
    run = pd.read_csv(folder / "sub-b/func/sub-b_task-bandit_run-2_events.tsv", sep="\t")[wanted].to_numpy()
    np.testing.assert_allclose(run.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(np.triu(run.T @ run, 1), 0, atol=1e-9)
    assert json.loads((folder / "task-bandit_events.json").read_text())["p0"]["Units"] == "probability"


def test_columns_with_missing_trials_are_orthogonal_once_these_are_filled_with_zeros():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(30, 4)) + rng.normal(size=(30, 1))
    values[rng.random(values.shape) < 0.2] = np.nan
    values -= np.nanmean(values, 0)
    made = _orthogonal(values)
    np.testing.assert_array_equal(np.isnan(made), np.isnan(values))
    np.testing.assert_array_equal(made[:, 0], values[:, 0])
    filled = np.nan_to_num(made)
    np.testing.assert_allclose(filled.sum(0), 0, atol=1e-12)
    np.testing.assert_allclose(np.triu(filled.T @ filled, 1), 0, atol=1e-12)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"duration": "duration"}, "no column 'duration'.*or give duration= a number"),
        ({"onset": "t0"}, "no column 't0'; read them with columns="),
        ({"latents": ["rpe"]}, "there is no 'rpe'"),
        ({"latents": "p0"}, r"give a list, latents=\['p0'\]"),
        ({"duration": -1.0}, "a duration is a number of seconds"),
        ({"task": "two step"}, "letters and digits only"),
    ],
)
def test_what_cannot_be_written_is_refused_before(fit, tmp_path, change, words):
    said = {"task": "bandit", "latents": ["prediction_error"], "duration": 1.0} | change
    with pytest.raises((ValueError, pyem.DataError), match=words):
        pyem.to_bids_events(fit, tmp_path / "bids", **said)
    assert not list(tmp_path.iterdir())


def test_times_that_are_missing_are_named_and_folders_in_use_left_alone(fit, tmp_path):
    present = dict(fit.data.present)
    present["onset"] = present["onset"].copy()
    present["onset"][2, 1] = False
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="not an empty folder"):
        pyem.to_bids_events(fit, tmp_path, task="bandit", duration=1.0)
    import dataclasses

    holed = pyem.fit_mle(MODEL, dataclasses.replace(fit.data, present=present))
    with pytest.raises(
        pyem.DataError, match="'onset' is missing or no time in 1 trials, first in subject sub-a_1, block"
    ):
        pyem.to_bids_events(holed, tmp_path / "bids", task="bandit", duration=1.0)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]

"""Data in partitions on the disk: the same tables, checks, estimates and errors as in memory."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest

import pyem
from pyem import DataError, Dataset, ModelError, PartitionedDataset
from pyem.engine.evaluate import log_lik_draws, value_grad_hess
from pyem.infer.checkpoint import Kept

RW = pyem.models.get("rw1a1b")
ASKED: dict[str, Any] = {
    "subject": "id",
    "block": "part",
    "trial": "t",
    "columns": {"choice": "resp", "reward": "win"},
    "covariates": ["age", "sex"],
}


def table(people: int = 12, blocks: int = 2, trials: int = 12) -> pd.DataFrame:
    """What people played, with missed responses and two covariates."""
    # People differ a lot, so that there is a group to find in so few data.
    alpha = np.random.default_rng(5).permutation(np.linspace(0.05, 0.9, people))
    truth = np.column_stack([np.linspace(2, 8, people), alpha])
    simulated = pyem.simulate(RW, truth, blocks=blocks, trials=trials, missed=0.05, key=3)
    frame = simulated.to_frame()
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "id": "p" + frame.subject.astype(str),
            "part": frame.block,
            "t": frame.trial,
            "resp": frame.choice.map({0: "left", 1: "right"}),
            "win": frame.reward,
            "age": rng.integers(20, 60, people)[frame.subject],
            "sex": np.where(rng.random(people) < 0.5, "f", "m")[frame.subject],
        }
    )


FRAME = table()
"""What all tests read."""


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> PartitionedDataset:
    folder = tmp_path_factory.mktemp("parts")
    FRAME.iloc[:100].to_parquet(folder / "a1.parquet", index=False)
    FRAME.iloc[100:].to_parquet(folder / "a2.parquet", index=False)
    return Dataset.open(folder / "*.parquet", **ASKED, trials_at_once=96)


@pytest.fixture(scope="module")
def whole() -> Dataset:
    return Dataset.from_frame(FRAME, **ASKED)


def check_same(data: PartitionedDataset, whole: Dataset) -> None:
    """The partitions, one after the other, are the data in memory."""
    assert data.subjects.tolist() == whole.subjects.tolist()
    assert data.n_trials == whole.n_trials
    assert data.n_lanes == whole.n_lanes
    assert data.codes == whole.codes
    pd.testing.assert_frame_equal(data.describe(), whole.describe(), check_names=False)
    frames = pd.concat([part.to_frame() for _, part in data.parts()], ignore_index=True)
    pd.testing.assert_frame_equal(
        frames.astype({"block": str}), whole.to_frame().astype({"block": str}), check_dtype=False
    )
    told = [note for note in data.notes if "partitions" not in note and "sorted" not in note]
    assert told == [note for note in whole.notes if "sorted" not in note and "files were read:" not in note]


def test_partitions_are_the_data(opened: PartitionedDataset, whole: Dataset) -> None:
    check_same(opened, whole)
    assert opened.n_partitions == 3
    assert opened.n_responses(RW).tolist() == whole.n_responses(RW).tolist()
    assert "in 3 partitions" in repr(opened)
    assert opened.partition(0).fields["choice"].dtype == np.int8
    assert opened.select([5]).subjects.tolist() == ["p5"]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_rows_in_any_order(tmp_path: Path, ending: str) -> None:
    shuffled = FRAME.sample(frac=1, random_state=2)
    path = tmp_path / f"a.{ending}"
    shuffled.to_csv(path, index=False) if ending == "csv" else shuffled.to_parquet(path, index=False)
    data = Dataset.open(path, **ASKED, trials_at_once=60)
    assert any("sorted by person once" in note for note in data.notes)
    check_same(data, Dataset.from_frame(shuffled, **ASKED))


def test_partitions_are_kept_until_files_change(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    FRAME.to_csv(path, index=False)
    first = Dataset.open(path, **ASKED, cache=tmp_path / "kept")
    assert Dataset.open(path, **ASKED, cache=tmp_path / "kept").folder == first.folder
    assert Dataset.open(path, **{**ASKED, "covariates": ()}, cache=tmp_path / "kept").folder != first.folder
    FRAME.iloc[:-1].to_csv(path, index=False)
    os.utime(path, ns=(1, 1))
    again = Dataset.open(path, **ASKED, cache=tmp_path / "kept")
    assert again.n_trials == first.n_trials - 1
    assert not [name for name in os.listdir(tmp_path / "kept") if name.startswith(".")]


def test_the_whole_table_decides(tmp_path: Path) -> None:
    """What a partition alone would tell otherwise: codes, whole numbers, texts; and gaps that only one of them has."""
    frame = FRAME.assign(
        resp=np.where(FRAME.id == "p11", 2.0, FRAME.resp.map({"left": 1.0, "right": 2.0})),
        cue=FRAME.t.where(FRAME.id != "p3"),
    )
    options = {**ASKED, "columns": {"choice": "resp", "reward": "win", "cue": "cue"}, "codes": {"cue": None}}
    frame.to_parquet(tmp_path / "a.parquet", index=False)
    data = Dataset.open(tmp_path / "a.parquet", **options, trials_at_once=24)
    check_same(data, Dataset.from_frame(frame, **options))
    assert data.codes["choice"] == (1, 2)


def check_like(path: Path, frame: pd.DataFrame, **more: Any) -> PartitionedDataset:
    """Files that are opened give what the table gives in memory, the notes in another order."""
    frame.to_csv(path, index=False)
    data = Dataset.open(path, **{**ASKED, **more}, trials_at_once=30)
    whole = Dataset.read(path, **{**ASKED, **more})
    told = [note for note in data.notes if "partitions" not in note]
    assert sorted(told) == sorted(whole.notes)
    assert data.n_partitions > 1
    check_same(dataclasses.replace(data, notes=whole.notes), whole)
    return data


@pytest.mark.parametrize(
    "asked",
    [
        {"where": "phase == 'main' or not `was practice` and (rt < 2 or t in [1, 2])"},
        {"exclude": ["p3", "p7"]},
        {"where": "rt > 0", "exclude": "p2"},
        {"where": "phase != 'warm up' and id != 'p1'", "covariates": ()},
    ],
)
def test_rows_that_count(tmp_path: Path, asked: dict[str, Any]) -> None:
    rng, n = np.random.default_rng(1), len(FRAME)
    frame = FRAME.assign(
        phase=rng.choice(["main", "warm up", None], n),
        rt=np.where(rng.random(n) < 0.2, np.nan, rng.random(n) * 3),
        **{"was practice": rng.random(n) < 0.2},
    )
    # Of rows that do not count nothing is asked.
    frame.loc[frame.phase == "warm up", "resp"] = "nothing yet" if "phase" in str(asked) else None
    check_like(tmp_path / "a.csv", frame, **asked)


def test_rows_are_joined(tmp_path: Path) -> None:
    chosen, outcome = FRAME.assign(win=np.nan), FRAME.assign(resp=None)
    empty = FRAME.assign(resp=None, win=np.nan).drop(columns=["age", "sex"]).iloc[::7].assign(t=np.nan)
    frame = pd.concat([chosen, outcome, empty]).sort_index(kind="stable")
    data = check_like(tmp_path / "a.csv", frame, join_rows_by="t")
    assert data.n_trials == len(FRAME)
    check_like(
        tmp_path / "b.csv",
        frame.dropna(subset="t"),
        join_rows_by="order",
        trial=None,
        covariates=(),
        where="part == '1'",
    )
    twice = FRAME.assign(win=1 - FRAME.win)
    pd.concat([FRAME, twice]).to_csv(tmp_path / "c.csv", index=False)
    with pytest.raises(DataError, match="has two values in one trial"):
        Dataset.open(tmp_path / "c.csv", **ASKED, join_rows_by="t", trials_at_once=60)


def test_people_in_a_table_of_their_own(tmp_path: Path) -> None:
    people = FRAME[["id", "age"]].drop_duplicates("id").assign(site=list("abcabcabcabc")).sample(frac=1, random_state=1)
    people = pd.concat([people, pd.DataFrame({"id": ["nobody"], "age": [40], "site": ["a"]})])
    people.to_csv(tmp_path / "people.csv", index=False)
    trials = FRAME.drop(columns="age")
    asked = {"covariates": ["age", "sex", "site"], "people": tmp_path / "people.csv", "reference": {"site": "b"}}
    data = check_like(tmp_path / "a.csv", trials, **asked)
    assert list(data.covariates) == ["age", "sex", "site[a]", "site[c]"]
    some = people[~people.id.isin(["p4", "p9"])]
    check_like(tmp_path / "b.csv", trials, **{**asked, "people": some, "unmatched": "drop"})
    check_like(tmp_path / "b.csv", trials, **{**asked, "people": some, "exclude": ["p4", "p9"]})
    with pytest.raises(DataError, match=r"2 subjects with trials have no row.*'p4', 'p9'"):
        Dataset.open(tmp_path / "b.csv", **{**ASKED, **asked, "people": some})


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"where": "age > 200"}, "no row of the table is left"),
        ({"where": "phase == 'main'"}, "has no column 'phase'"),
        ({"where": "age >"}, "cannot be understood"),
        ({"exclude": ["p99"]}, "exclude= names 'p99'"),
        ({"exclude": [f"p{k}" for k in range(12)]}, "no row of the table is left"),
        ({"join_rows_by": "event"}, "has no column 'event'"),
        ({"people": pd.DataFrame({"who": ["p1"]})}, "no column 'id'"),
        ({"sheet": 2}, "does not take sheet="),
    ],
)
def test_what_cannot_be_asked(tmp_path: Path, asked: dict[str, Any], words: str) -> None:
    FRAME.to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(DataError, match=words):
        Dataset.open(tmp_path / "a.csv", **ASKED, **asked)
    assert not list(tmp_path.glob(".pyem-partitions/*"))


def test_numbers_of_people_outgrow_a_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the first people there are so few that one byte counts them; of a partition there are more."""
    frame = pd.DataFrame({"id": [f"s{k}" for k in range(300)], "choice": [0, 1] * 150, "reward": 1})
    frame.to_csv(tmp_path / "a.csv", index=False)
    monkeypatch.setattr("pyem.data.streaming.PIECE", 200)
    options: dict[str, Any] = {"subject": "id", "columns": {"choice": "choice", "reward": "reward"}}
    data = Dataset.open(tmp_path / "a.csv", **options, trials_at_once=150)
    assert [part.n_subjects for _, part in data.parts()] == [150, 150]
    assert data.subjects.tolist() == frame.id.tolist()


def everything() -> pd.DataFrame:
    """A table with words, markers, gaps, forced choices, vectors, options that are shown, and categories of people."""
    rng, n = np.random.default_rng(4), len(FRAME)
    frame = FRAME.assign(
        free=rng.integers(0, 2, n), x1=rng.normal(size=n), x2=rng.integers(0, 5, n), ok=rng.random(n) < 0.5
    )
    frame["win"] = np.where(FRAME.win > 0, "win", "loss")
    frame["resp"] = FRAME.resp.fillna("none")
    frame["left"], frame["right"] = rng.choice(["A", "B", "C"], n), rng.choice(["B", "C", "D"], n)
    frame["group"] = FRAME.id.map({name: "abc"[k % 3] for k, name in enumerate(FRAME.id.unique())})
    frame["age"] = FRAME.age.where((FRAME.t == 1) | (rng.random(n) < 0.5))
    return frame


WAYS: dict[str, dict[str, Any]] = {
    "forced choices, categories": {"count": "free", "covariates": ["age", "group"], "reference": {"group": "c"}},
    "vectors, labels": {"teach": "free", "more": {"x": ["x1", "x2"], "cue": "group", "ok": "ok"}},
    "options that are shown": {"more": {"option_left": "left", "option_right": "right"}},
}


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_all_that_a_table_may_have(tmp_path: Path, name: str, ending: str) -> None:
    frame, how = everything(), dict(WAYS[name])
    columns = {**ASKED["columns"], **how.pop("more", {})}
    told = {"values": {"reward": {"loss": 0, "win": 1}}, "missing": {"choice": "none"}}
    options: dict[str, Any] = {**ASKED, "covariates": [], "columns": columns, **told, **how}
    path = tmp_path / f"a.{ending}"
    frame.to_csv(path, index=False) if ending == "csv" else frame.to_parquet(path, index=False)
    check_same(Dataset.open(path, **options, trials_at_once=96), Dataset.read(path, **options))


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "text among numbers": ({"win": "lots"}, "piece by piece|lots"),
    "nobody": ({"id": None}, "row 1 has no person"),
    "another option": ({"resp": "up"}, "not among the codes"),
    "varies": ({"age": 99}, "varies within a subject"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_errors_are_in_words(tmp_path: Path, name: str) -> None:
    cells, words = BROKEN[name]
    frame = FRAME.astype(object)
    for column, value in cells.items():
        frame.loc[frame.index[-1 if name != "nobody" else 0], column] = value
    frame.to_csv(tmp_path / "a.csv", index=False)
    codes = {"codes": {"choice": ["left", "right"]}} if name == "another option" else {}
    with pytest.raises(DataError, match=words):
        Dataset.open(tmp_path / "a.csv", **ASKED, **codes, trials_at_once=60)
    # Nothing unfinished is left.
    kept = tmp_path / ".pyem-partitions"
    assert not kept.exists() or not list(kept.iterdir())


def two_files(folder: Path, ending: str, second: Any) -> Path:
    """The table in two files, of which the second is changed."""
    for name, part in (("a1", FRAME.iloc[:100]), ("a2", second(FRAME.iloc[100:]))):
        path = folder / f"{name}.{ending}"
        part.to_csv(path, index=False) if ending == "csv" else part.to_parquet(path, index=False)
    return folder / f"*.{ending}"


def hurt(path: Path, change: Any) -> None:
    path.write_bytes(change(path.read_bytes()))


WRONG_FILES: dict[str, tuple[Any, Any, str]] = {
    "empty": (lambda part: part, lambda old: b"", "a2.csv' is empty|file size is 0 bytes"),
    "no rows": (lambda part: part.iloc[:0], None, "a2.* has a header and no rows"),
    "a column less": (lambda part: part.drop(columns="win"), None, "a2.* has no column 'win'"),
    "words for numbers": (
        lambda part: part.assign(win="much"),
        None,
        "'win' has text in .*a2.* and numbers in the files before",
    ),
    "truth for numbers": (
        lambda part: part.assign(win=True),
        None,
        "'win' has true and false in .*a2.* and numbers in",
    ),
    "cut": (lambda part: part, lambda old: old[: len(old) // 2 + 3], "a2.* cannot be read piece by piece"),
    "noise": (
        lambda part: part,
        lambda old: b"PAR1" + bytes(range(256)) * 9,
        "a2.* (is not a text file|cannot be read)",
    ),
    "holes": (
        lambda part: part,
        lambda old: old[:20] + bytes(90) + old[110:],
        "a2.* (is not a text file|cannot be read)",
    ),
}


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("name", WRONG_FILES)
def test_one_of_several_files_is_wrong(tmp_path: Path, name: str, ending: str) -> None:
    second, change, words = WRONG_FILES[name]
    files = two_files(tmp_path, ending, second)
    if change is not None:
        hurt(tmp_path / f"a2.{ending}", change)
    with pytest.raises(DataError, match=words):
        Dataset.open(files, **ASKED, trials_at_once=60)
    assert not list(tmp_path.glob(".pyem-partitions/*"))


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_files_that_differ_in_what_does_not_matter(tmp_path: Path, ending: str) -> None:
    """Columns in another order, and more; numbers with a point; a column without a value; people who go on in the next file."""
    turned = lambda part: part[part.columns[::-1]].assign(more=1, t=part.t.astype(float))  # noqa: E731
    check_same(Dataset.open(two_files(tmp_path, ending, turned), **ASKED), Dataset.from_frame(FRAME, **ASKED))
    nothing = FRAME.assign(win=FRAME.win.where(np.arange(len(FRAME)) < 100))
    files = two_files(tmp_path, ending, lambda part: part.assign(win=np.nan))
    check_same(Dataset.open(files, **ASKED, trials_at_once=60), Dataset.from_frame(nothing, **ASKED))


@pytest.mark.parametrize("name", ["about.json", "people.parquet", "00001/about.json", "00001/field 0.npy", "00001"])
def test_partitions_that_are_damaged(tmp_path: Path, name: str) -> None:
    FRAME.to_csv(tmp_path / "a.csv", index=False)
    data = Dataset.open(tmp_path / "a.csv", **ASKED, trials_at_once=96)
    path = data.folder / name
    if path.is_dir():
        shutil.rmtree(path)
    else:
        hurt(path, lambda old: old[:60])
    with pytest.raises(
        DataError, match=r"not there any more, or damaged .*; remove that folder, and open the files again"
    ):
        Dataset.open(tmp_path / "a.csv", **ASKED, trials_at_once=96).partition(1)
    for text in ("{}", "[]", "null"):
        (data.folder / "about.json").write_text(text)
        with pytest.raises(DataError, match="remove that folder, and open the files again"):
            Dataset.open(tmp_path / "a.csv", **ASKED, trials_at_once=96)
    shutil.rmtree(data.folder)
    assert Dataset.open(tmp_path / "a.csv", **ASKED, trials_at_once=96).partition(1).n_subjects == 4


def test_what_needs_all_trials_is_refused(opened: PartitionedDataset, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="partitions on the disk"):
        pyem.fit_grid(RW, opened)
    with pytest.raises(DataError, match="partitions on the disk"):
        pyem.fit_nuts(RW, opened, key=1)
    with pytest.raises(DataError, match="select those of one at a time"):
        opened.select([0, 11])
    with pytest.raises(DataError, match="whose rows they are"):
        Dataset.open(tmp_path / "a.parquet", subject="id", columns={"choice": "id"})
    with pytest.raises(ValueError, match="trials_at_once=0"):
        Dataset.open(tmp_path / "a.parquet", **ASKED, trials_at_once=0)
    with pytest.raises(DataError, match="no file"):
        Dataset.open(tmp_path / "none.parquet", **ASKED)
    FRAME.to_excel(tmp_path / "a.xlsx", index=False)
    with pytest.raises(DataError, match="neither a plain text file nor Parquet"):
        Dataset.open(tmp_path / "a.xlsx", **ASKED)
    plain = pyem.opaque_model(lambda p, trials: 0.0, RW.parameters)
    with pytest.raises(ModelError, match="plain Python function"):
        pyem.fit_mle(plain, opened)


def close(one: Any, other: Any) -> None:
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-10)


def test_em_is_the_same(opened: PartitionedDataset, whole: Dataset, tmp_path: Path) -> None:
    group = pyem.Group(covariates=["age"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pyem.FitWarning)
        # So few people, so little known of each, need a tighter end for ten digits.
        streamed, memory = (pyem.fit_em(RW, data, group=group, tol=1e-10) for data in (opened, whole))
    assert streamed.converged
    close(streamed.x, memory.x)
    close(streamed.cov, memory.cov)
    close(streamed.log_evidence, memory.log_evidence)
    close(streamed.group_table().estimate, memory.group_table().estimate)
    close(streamed.group_table().se, memory.group_table().se)
    pd.testing.assert_frame_equal(streamed.table(), memory.table())
    folder = pyem.to_parquet(streamed, tmp_path / "results", latents=True)
    pd.testing.assert_frame_equal(
        pd.read_parquet(folder / "people").set_index("subject"), memory.table(), check_dtype=False
    )
    trials = pd.read_parquet(folder / "latents")
    close(trials.log_prob, memory.latents().log_prob)
    assert len(list((folder / "people").iterdir())) == opened.n_partitions
    assert len(pd.read_parquet(folder / "group.parquet")) == len(memory.group_table())
    with pytest.raises(FileExistsError, match="not an empty folder"):
        pyem.to_parquet(streamed, folder)
    for refused, words in {
        streamed.latents: r"pyem.to_parquet\(fit, folder, latents=True\)",
        streamed.to_arviz: "one partition",
        partial(streamed.save, tmp_path / "fit.nc"): r"pyem.to_parquet\(fit, folder\) writes",
        partial(pyem.posterior_predictive, streamed, key=1): "one partition",
    }.items():
        with pytest.raises(DataError, match=words):
            refused()
    assert not (tmp_path / "fit.nc").exists()
    close(pyem.bic(streamed).subject, pyem.bic(memory).subject)
    close(pyem.pseudo_r2(streamed).subject, pyem.pseudo_r2(memory).subject)


@pytest.mark.slow
def test_fits_to_partitions_are_compared(opened: PartitionedDataset, whole: Dataset) -> None:
    """By all that is integrated over people's parameters as well, up to the error of the draws."""
    models = [RW, pyem.models.get("rw2a1b")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pyem.FitWarning)
        tables, integrated = [], []
        for data in (opened, whole):
            fits = {model.name: pyem.fit_em(model, data, tol=1e-10) for model in models}
            tables.append(pyem.compare_fits(fits))
            integrated.append(pyem.integrated_bic(fits["rw1a1b"]))
        assert (tables[0].index == tables[1].index).all()
        close(tables[0].bic, tables[1].bic)
        one, other = integrated
        gap = np.abs(one.log_evidence - other.log_evidence)
        assert (gap < 5 * np.hypot(one.log_evidence_se, other.log_evidence_se)).all()
        bms = pyem.random_effects_bms(fits, key=1)
    assert len(bms.table()) == 2


def test_values_and_derivatives_are_those_of_all_at_once(opened: PartitionedDataset, whole: Dataset) -> None:
    """What exact integration and common parameters are made of."""
    x = np.random.default_rng(1).normal(size=(4, 12, 2))
    for function, at in ((log_lik_draws, x), (value_grad_hess, x[1])):
        one, other = (jax.tree.leaves(function(RW, data, at)) for data in (opened, whole))
        for part, expected in zip(one, other, strict=True):
            close(part, expected)


@pytest.mark.slow
def test_exact_integration_and_common_parameters(opened: PartitionedDataset, whole: Dataset) -> None:
    sd = {"sd": {"alpha": 1.0}}
    fits: dict[str, Any] = {
        "exact": partial(pyem.fit_em, integrate="exact"),
        "to a given error": partial(pyem.fit_em, integrate="exact", accuracy=1e-3, group=pyem.Group(**sd)),
        "common": partial(pyem.fit_em, group=pyem.Group(common="beta", **sd)),
        "common and exact": partial(pyem.fit_em, group=pyem.Group(common="beta", **sd), integrate="exact"),
        "common of MAP": partial(pyem.fit_map, common="alpha"),
        "common of MLE": partial(pyem.fit_mle, common="alpha"),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pyem.FitWarning)
        for name, fit in fits.items():
            streamed, memory = (fit(RW, data) for data in (opened, whole))
            assert isinstance(streamed.data, PartitionedDataset)
            for part in ("x", "cov", "log_lik", "log_evidence"):
                one, other = (np.asarray(getattr(fit, part), float) for fit in (streamed, memory))
                np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-8, err_msg=f"{name}: {part}")
            assert (streamed.status == memory.status).all()


def killed_after(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the next fit end where a killed process does, after it kept where it stands so many times."""
    write, left = Kept.write, [n]

    def then_die(self: Kept, *args: Any) -> None:
        write(self, *args)
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt

    monkeypatch.setattr(Kept, "write", then_die)


def test_em_goes_on_where_it_was_killed(
    opened: PartitionedDataset, whole: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pyem.FitWarning)
        for data, kills in ((opened, (1, 2)), (whole, (3,))):
            fit = partial(pyem.fit_em, RW, data, max_iter=6)
            straight, folder = fit(), tmp_path / str(data.n_trials) / type(data).__name__
            for n in kills:
                with monkeypatch.context() as patch:
                    killed_after(n, patch)
                    with pytest.raises(KeyboardInterrupt):
                        fit(checkpoint=folder)
            for _ in ("goes on", "is there already"):
                again = fit(checkpoint=folder)
                for name in ("x", "cov", "log_lik", "status", "information"):
                    np.testing.assert_array_equal(getattr(again, name), getattr(straight, name))
                np.testing.assert_array_equal(again.trace["vector"], straight.trace["vector"])
            with pytest.raises(ValueError, match="of another fit"):
                pyem.fit_em(RW, data, tol=1e-3, checkpoint=folder)
    with pytest.raises(ValueError, match="with other files"):
        pyem.fit_em(RW, opened, checkpoint=opened.folder)
    with pytest.raises(ValueError, match="leave it out"):
        pyem.fit_em(RW, whole, integrate="exact", checkpoint=tmp_path / "exact")


KILLED = """
import sys, pyem
data = pyem.Dataset.open(sys.argv[1], subject="id", columns={"choice": "resp", "reward": "win"}, trials_at_once=96)
print(pyem.fit_em(pyem.models.get("rw1a1b"), data, tol=1e-10, checkpoint=sys.argv[2]).x.tobytes().hex(), flush=True)
"""


@pytest.mark.slow
def test_em_survives_a_real_kill(tmp_path: Path) -> None:
    path, folder = tmp_path / "a.parquet", tmp_path / "kept"
    FRAME.to_parquet(path, index=False)

    def started() -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, "-c", KILLED, path, folder], stdout=subprocess.PIPE, text=True)

    first = started()
    while first.poll() is None and not (folder / "part-0.pickle").exists():
        time.sleep(0.01)
    first.kill()
    first.communicate()
    out, _ = started().communicate()
    data = Dataset.open(path, subject="id", columns=ASKED["columns"], trials_at_once=96)
    assert out.strip() == pyem.fit_em(RW, data, tol=1e-10).x.tobytes().hex()


@pytest.mark.slow
def test_map_and_mle_are_the_same(opened: PartitionedDataset, whole: Dataset) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pyem.FitWarning)
        for fit in (pyem.fit_map, pyem.fit_mle):
            streamed, memory = (fit(RW, data) for data in (opened, whole))
            use = memory.status == pyem.Status.CONVERGED
            assert (streamed.status == memory.status).all()
            close(streamed.x[use], memory.x[use])
            close(streamed.log_lik, memory.log_lik)
        # Memory for one partition only: the others are mapped and laid out anew each time.
        small = dataclasses.replace(opened, memory=0.0, _kept={})
        close(pyem.fit_map(RW, small).x, pyem.fit_map(RW, whole).x)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nuts", "svi"])
def test_samplers_go_on_where_they_were_killed(
    whole: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The same chains, and the same path of the bound, as if they had never stopped; in the warm-up, too."""
    options: dict[str, Any] = (
        {"draws": 110, "warmup": 120, "chains": 2} if name == "nuts" else {"draws": 50, "correct": False}
    )
    fit = getattr(pyem, f"fit_{name}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pyem.FitWarning)
        start = pyem.fit_em(RW, whole, max_iter=20)
        straight = fit(RW, whole, start=start, key=1, **options)
        for n in (2, 5):
            with monkeypatch.context() as patch:
                killed_after(n, patch)
                with pytest.raises(KeyboardInterrupt):
                    fit(RW, whole, start=start, key=1, checkpoint=tmp_path / name, **options)
        again = fit(RW, whole, start=start, key=1, checkpoint=tmp_path / name, **options)
    assert straight.flat.keys() == again.flat.keys()
    for part, values in straight.flat.items():
        np.testing.assert_array_equal(again.flat[part], values, err_msg=part)

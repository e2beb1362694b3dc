"""Rounds of studies: the same whoever runs them, written as they finish, resumed after a stop."""

import dataclasses
import functools
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpyro.distributions as dist
import pytest

import pyem
from pyem.infer.rounds import Running, in_words, run_rounds

ROUNDS = {f"round-{k}": (k,) for k in range(6)}
SAID = {"key": 1}


def squares(k):
    return {"square": np.array([k * k, 1]), "name": np.array(["one", "two"])}


def of(running, work=squares, rounds=ROUNDS, said=SAID):
    return [int(one["square"][0]) for one in run_rounds("squares", work, rounds, running, said)]


class Futures:
    """A pool that gives futures, as a client of Dask does."""

    def map(self, function, items):
        out = [Future() for _ in items]
        for future, item in zip(out, items, strict=True):
            future.set_result(function(item))
        return out


def test_every_pool_gives_the_same():
    expected = [0, 1, 4, 9, 16, 25]
    assert of(Running()) == expected
    with ThreadPoolExecutor(2) as pool:
        assert of(Running(pool)) == expected
    assert of(Running(Futures())) == expected


def test_a_stopped_study_goes_on_where_it_was(tmp_path):
    calls = []

    def stops(k):
        calls.append(k)
        if k == 3:
            raise KeyboardInterrupt
        return squares(k)

    folder = tmp_path / "study"
    with pytest.raises(KeyboardInterrupt):
        of(Running(folder=folder), stops)
    assert sorted(path.name for path in folder.iterdir()) == ["round-0.npz", "round-1.npz", "round-2.npz", "study.json"]
    kept = (folder / "round-1.npz").stat().st_mtime_ns
    (folder / "round-2.npz").write_bytes((folder / "round-2.npz").read_bytes()[:50])
    calls.clear()
    assert of(Running(folder=folder), lambda k: calls.append(k) or squares(k)) == [0, 1, 4, 9, 16, 25]
    # What was cut short is made again, what was finished is not.
    assert calls == [2, 3, 4, 5]
    assert (folder / "round-1.npz").stat().st_mtime_ns == kept
    more = ROUNDS | {"round-6": (6,)}
    assert of(Running(folder=folder), rounds=more, said=SAID | {"rounds": 7})[-1] == 36


def test_a_pool_writes_rounds_itself(tmp_path):
    class Dies:
        def map(self, function, items):
            for item in items[:4]:
                function(item)
            raise RuntimeError("the cluster is gone")

    with pytest.raises(RuntimeError, match="gone"):
        of(Running(Dies(), tmp_path / "study"))
    assert len(list((tmp_path / "study").glob("*.npz"))) == 4


def test_a_round_that_fails_is_named():
    with pytest.raises(ZeroDivisionError) as caught:
        of(Running(), lambda k: {"square": np.array([1 // (k - 2)])})
    assert caught.value.__notes__ == ["in round 'round-2' of the study"]


def test_folders_of_something_else_are_refused(tmp_path):
    of(Running(folder=tmp_path / "study"))
    with pytest.raises(ValueError, match="the rounds of another study: key is 1 there and 2 here"):
        of(Running(folder=tmp_path / "study"), said={"key": 2})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    with pytest.raises(ValueError, match="other files than the rounds of a study"):
        of(Running(folder=tmp_path / "mine"))
    with pytest.raises(ValueError, match="is a file"):
        of(Running(folder=tmp_path / "mine" / "thesis.tex"))
    (tmp_path / "study" / "study.json").write_text("{")
    with pytest.raises(ValueError, match="is damaged"):
        of(Running(folder=tmp_path / "study"))


@pytest.mark.parametrize("pool", [0, True, "two", 1.5])
def test_pools_that_cannot_be(pool):
    with pytest.raises(ValueError, match="pool="):
        Running(pool)


def test_what_a_study_depends_on_is_said_in_words():
    one = pyem.models.get("rw1a1b")
    said = in_words({"model": one, "fit": functools.partial(pyem.fit_map, sd=2.0), "params": np.eye(2), "n": None})
    assert json.loads(json.dumps(said)) == said
    assert said["fit"] == {"function": "pyem.infer.point.fit_map", "arguments": [], "sd": 2.0}
    assert in_words(one) == in_words(pyem.models.get("rw1a1b"))
    for other in (pyem.fix(one, alpha=0.1), pyem.fix(one, alpha=0.2), dataclasses.replace(one, name="other")):
        assert in_words(other) != in_words(one)
    assert in_words(pyem.fix(one, alpha=0.1)) != in_words(pyem.fix(one, alpha=0.2))


def test_distributions_differ_by_their_numbers_and_by_those_of_their_parts():
    priors = [
        lambda: dist.HalfNormal(0.5),
        lambda: dist.HalfNormal(0.6),
        lambda: dist.Gamma(2.0, 1.0),
        lambda: dist.TruncatedNormal(0.0, 1.0, low=0.0),
        lambda: dist.TruncatedNormal(0.0, 2.0, low=0.0),
        lambda: dist.TransformedDistribution(dist.Normal(0.0, 1.0), dist.transforms.AffineTransform(0.0, 2.0)),
        lambda: dist.TransformedDistribution(dist.Normal(0.0, 1.0), dist.transforms.AffineTransform(0.0, 3.0)),
    ]
    said = [json.dumps(in_words({"sd": prior()})) for prior in priors]
    assert len(set(said)) == len(said)
    assert said == [json.dumps(in_words({"sd": prior()})) for prior in priors]


@pytest.mark.slow
def test_processes_give_what_this_process_gives(tmp_path):
    model = pyem.models.get("rw1a1b")
    asked = {"key": 1, "rounds": 3, "subjects": 5, "blocks": 2, "trials": 20}
    alone = pyem.recovery(model, **asked)
    pooled = pyem.recovery(model, **asked, pool=2, folder=tmp_path / "study")
    np.testing.assert_array_equal(pooled.estimate, alone.estimate)
    again = pyem.recovery(model, **asked, folder=tmp_path / "study")
    np.testing.assert_array_equal(again.estimate, alone.estimate)


STUDIES = {
    "recovery": ("recovery(one", {"key": 1, "rounds": 300, "subjects": 5, "blocks": 2, "trials": 20}, 300, 10),
    "power": (
        "power([one, two]",
        {"key": 1, "rounds": 40, "n": [5], "trials": [10, 12, 14], "by": "lme"},
        3 * 2 * 40,
        4,
    ),
}
"""The call of a study without its closing bracket, its words, how many rounds it has, and how often it is killed."""
KILLED = """
import sys, warnings, numpy as np, pyem
one, two = pyem.models.get("rw1a1b"), pyem.models.get("bias")
if __name__ == "__main__":
    warnings.simplefilter("ignore", pyem.FitWarning)
    *folder, table = sys.argv[1:]
    where = {"pool": 2, "folder": folder[0]} if folder else {}
    found = pyem.CALL, **WORDS, **where)
    found.table().to_csv(table, float_format="%.17g")
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", STUDIES)
def test_a_study_killed_many_times_loses_nothing_and_does_nothing_twice(kind, tmp_path):
    """A study is killed at random moments, mostly with its workers; at the end it is as if it had not been."""
    script, folder, rng = tmp_path / "study.py", tmp_path / "study", np.random.default_rng(1)
    call, words, rounds, times_killed = STUDIES[kind]
    script.write_text(KILLED.replace("CALL", call).replace("WORDS", repr(words)))
    tables = [tmp_path / f"{name}.csv" for name in ("killed", "straight")]
    begin = functools.partial(subprocess.Popen, [sys.executable, script, folder, tables[0]])
    kept: dict[Path, int] = {}
    moments = np.sort(rng.choice(np.arange(1, rounds // 2), times_killed, replace=False))
    for wanted in moments:
        study = begin(start_new_session=True)
        while study.poll() is None and len(list(folder.glob("*-*.npz"))) < wanted:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.05))
        if wanted == moments[-1]:
            # Its workers find out by themselves, and may finish what they have begun.
            study.kill()
        else:
            os.killpg(study.pid, signal.SIGKILL)
        assert study.wait() == -signal.SIGKILL
        # What was finished before is there, and was not made again.
        times = {path: path.stat().st_mtime_ns for path in folder.glob("*-*.npz")}
        assert times.items() >= kept.items()
        kept = times
    assert 0 < len(kept) < rounds
    assert begin().wait() == 0
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert len(list(folder.glob("*.npz"))) == rounds
    assert {path.suffix for path in folder.iterdir()} == {".npz", ".json"}
    subprocess.run([sys.executable, script, tables[1]], check=True)
    assert tables[0].read_text() == tables[1].read_text()


def test_the_study_of_the_contributing_page_does_what_it_says():
    text = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.split("## Add a study\n")[1].split("\n## ")[0]
    scope: dict[str, Any] = {"__name__": "contributing"}
    exec(section.split("```python\n")[1].split("```")[0], scope)
    assert [one["heads"].shape for one in scope["found"]] == [(10,)] * 3

"""EM on a Dask cluster: the same as in memory with any number of workers and partitions, and when a worker is lost."""

from __future__ import annotations

import dataclasses
import os
import pickle
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpyro.distributions as dist
import pandas as pd
import pytest

import pyem
from pyem import DataError, Dataset
from pyem.engine.layout import coarsely
from pyem.infer import on_workers
from pyem.infer.cluster import Cluster, ClusterEStep, Spread
from pyem.infer.em_ways import Search
from pyem.infer.on_workers import Ask
from pyem.infer.standard_errors import information, score_and_information
from pyem.population.population import Population

RW = pyem.models.get("rw1a1b")
COLUMNS = {"choice": "choice", "reward": "reward"}
TRUTH = np.column_stack([np.linspace(2, 8, 12), np.random.default_rng(5).permutation(np.linspace(0.05, 0.9, 12))])
PLAYED = pyem.simulate(RW, TRUTH, blocks=1, trials=60, key=3)


def parts(folder: Path, n: int) -> Any:
    PLAYED.to_frame().to_parquet(folder / "a.parquet", index=False)
    per_part = PLAYED.n_trials // n
    return Dataset.open(
        folder / "a.parquet", subject="subject", trial="trial", columns=COLUMNS, trials_at_once=per_part
    )


FEW = pyem.simulate(RW, TRUTH[2:10], blocks=2, trials=12, key=4).to_frame()
FEW["age"] = np.repeat([30.0, 41, 25, 38, 29, 52, 47, 33], 24)


class Unreliable:
    """Workers in this process, some of which are lost, and others' answers."""

    def __init__(self, n: int, rng: np.random.Generator) -> None:
        self.n, self.rng, self.lost = n, rng, 0

    def names(self) -> list[str]:
        return [f"worker {k}" for k in range(self.n)]

    def answers(self, asked: Any) -> Any:
        return [(str(self.rng.choice(self.names())), self.answer(*words)) for words in asked.values()]

    def answer(self, folder: str, search: str, asks: list[Ask]) -> list[tuple[bool, Any]]:
        if asks[0].begin is None and self.rng.random() < 0.2:
            self.lost += 1
            return [(False, None)] * len(asks)
        if self.rng.random() < 0.2:
            on_workers.answers(folder, search, asks[: len(asks) // 2])
        return on_workers.answers(folder, search, pickle.loads(pickle.dumps(asks)))


def few(folder: Path, people_at_once: int) -> Any:
    FEW.to_parquet(folder / "few.parquet", index=False)
    asked: dict[str, Any] = {"subject": "subject", "block": "block", "trial": "trial", "columns": COLUMNS}
    asked |= {"covariates": ["age"], "trials_at_once": 24 * people_at_once}
    return Dataset.open(folder / "few.parquet", **asked), Dataset.from_frame(
        FEW, **{k: v for k, v in asked.items() if k != "trials_at_once"}
    )


@pytest.mark.parametrize(
    ("group", "priors"),
    [(pyem.Group(covariates=["age"]), {"sd": dist.HalfNormal(2.0)}), (pyem.Group("student_t"), None)],
)
def test_partitions_workers_and_losses_in_random_numbers(tmp_path: Path, group: pyem.Group, priors: Any) -> None:
    rng = np.random.default_rng(len(group.family))
    with coarsely(16):
        for _ in range(2):
            data, whole = few(tmp_path, int(rng.integers(1, 8)))
            workers = Unreliable(int(rng.integers(1, data.n_partitions + 1)), rng)
            search = Search(RW, whole, group, 500, 1e-10, True, False, 0, priors=priors)
            there = dataclasses.replace(search, data=data, cluster=Cluster(workers, RW, data))
            one, other = (each(np.zeros((8, 2)), False, False) for each in (search, there))
            assert other.converged
            assert workers.lost
            for name in ("mode", "cov", "log_lik", "status"):
                a, b = (np.asarray(getattr(run.laplace, name)) for run in (one, other))
                np.testing.assert_allclose(a, b, rtol=0, atol=1e-10, err_msg=name)
            np.testing.assert_allclose(one.population.vector, other.population.vector, rtol=0, atol=1e-10)
            info = information(other.estep, other.population, other.laplace)
            expected = information(one.estep, one.population, one.laplace)
            np.testing.assert_allclose(info, expected, rtol=1e-7, atol=1e-7)


def test_sums_in_another_order_of_parameters(tmp_path: Path) -> None:
    """As steps of correlated groups ask for them; after the next step they are gone."""
    data, whole = few(tmp_path, 3)
    start = Search(RW, whole, pyem.Group(covariance="full", covariates=["age"]), 9, 1e-3, True, True, 0)
    population = dataclasses.replace(
        start.population(np.zeros((8, 2)), False), cov=np.array([[1, 0.6], [0.6, 2]]), penalty=1.0
    )
    with coarsely(16):
        estep = ClusterEStep(Cluster(Unreliable(2, np.random.default_rng(1)), RW, data), np.zeros((8, 2)))
        found = estep.under(population, 1e-16)
        order = np.array([1, 0])
        turned, there = population.reordered(order), found.reordered(order)
        memory = found.whole().reordered(order)
        for one, other in zip(score_and_information(turned, there), score_and_information(turned, memory), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(turned.update(there).vector, turned.update(memory).vector, rtol=0, atol=1e-12)
        np.testing.assert_allclose(
            turned.uninformed(there, np.array([0.1, 0.3])), turned.uninformed(memory, np.array([0.1, 0.3]))
        )
        estep.under(population, 1e-16)
        with pytest.raises(RuntimeError, match="gone after the next one"):
            found.whole()


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed", reason="the extra [dask] is not installed")
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with cluster, distributed.Client(cluster) as client:
        yield client


def fitted(data: Any, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pyem.FitWarning)
        return pyem.fit_em(RW, data, tol=1e-10, **options)


def check_same(one: Any, other: Any) -> None:
    for name in ("x", "cov", "log_lik", "log_evidence"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=0, atol=1e-10, err_msg=name)
    np.testing.assert_allclose(one.group_table().se, other.group_table().se, rtol=0, atol=1e-9)
    assert (one.status == other.status).all()


@pytest.mark.slow
def test_any_number_of_partitions_and_workers(client: Any, tmp_path: Path) -> None:
    """Workers join and leave between one fit and the next."""
    memory = fitted(PLAYED)
    rng = np.random.default_rng(1)
    for n, workers in zip(rng.choice(np.arange(1, 7), 3, replace=False), (1, *rng.permutation([2, 3])), strict=True):
        folder = tmp_path / str(n)
        folder.mkdir()
        client.cluster.scale(int(workers))
        client.wait_for_workers(int(workers))
        check_same(fitted(parts(folder, int(n)), cluster=client), memory)
    client.cluster.scale(2)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 1])
def test_a_worker_that_is_lost(client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    """One of two, or the last one, in whose place another one comes."""
    client.cluster.scale(workers)
    while len(client.scheduler_info(n_workers=-1)["workers"]) != workers:
        time.sleep(0.1)
    data, under, killed = parts(tmp_path, 4), ClusterEStep.under, []

    def after_a_loss(self: ClusterEStep, population: Population, tol: float) -> Spread:
        if self.made == 2 and not killed:
            killed.extend(client.run(os.getpid).values())
            os.kill(killed[0], signal.SIGKILL)
        return under(self, population, tol)

    monkeypatch.setattr(ClusterEStep, "under", after_a_loss)
    memory = fitted(PLAYED)
    check_same(fitted(data, cluster=client, checkpoint=tmp_path / "kept"), memory)
    assert len(killed) == workers
    # Where the last iteration stood, no worker knows any more.
    check_same(fitted(data, cluster=client, checkpoint=tmp_path / "kept"), memory)


def test_what_a_cluster_cannot_do(tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="the extra [dask] is not installed")
    data = parts(tmp_path, 2)
    with pytest.raises(TypeError, match=r"expected a distributed\.Client"):
        pyem.fit_em(RW, data, cluster="localhost:8786")
    with pytest.raises(DataError, match="open the files with"):
        pyem.fit_em(RW, PLAYED, cluster="localhost:8786")
    with pytest.raises(ValueError, match="leave it out"):
        pyem.fit_em(RW, data, cluster="localhost:8786", integrate="exact")


@pytest.mark.slow
def test_the_command_fits_on_a_cluster(client: Any, tmp_path: Path) -> None:
    """Of the rows and the people that count, a file each, with choice and outcome apart, and a table of people."""
    frame = PLAYED.to_frame().assign(phase="main")
    chosen, outcome = frame.assign(reward=np.nan), frame.assign(choice=np.nan)
    practice = frame.iloc[:40].assign(phase="practice", trial=1000 + np.arange(40), reward=7.0)
    rows = pd.concat([chosen, outcome, practice]).sort_index(kind="stable")
    (tmp_path / "data").mkdir()
    for who, some in rows.groupby("subject"):
        file = tmp_path / "data" / f"sub-{who}.csv"
        some.drop(columns="subject").to_csv(file, index=False, sep=";", decimal=",")
    pd.DataFrame({"subject": range(12), "age": np.arange(12) % 5}).to_csv(tmp_path / "people.csv", index=False)
    words = ["fit", str(tmp_path / "data"), "--model", "rw1a1b", "--tol", "1e-9", "--exclude", "3", "--trial", "trial"]
    words += ["--pattern", "sub-{subject}.csv", "--separator", ";", "--decimal", ","]
    words += ["--where", "phase == 'main'", "--join-rows-by", "trial", "--people", str(tmp_path / "people.csv")]
    words += ["--covariate", "age:alpha"]
    there = ["--cluster", client.scheduler.address, "--resume"]
    for out, more in (("there", there), ("here", ["--no-figures"])):
        done = subprocess.run(
            [sys.executable, "-m", "pyem", *words, "--out", str(tmp_path / out), *more], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    there, here = (pd.read_csv(tmp_path / out / "group.csv").select_dtypes("number") for out in ("there", "here"))
    np.testing.assert_allclose(there, here, rtol=0, atol=1e-8)
    people = pd.read_parquet(tmp_path / "there" / "tables" / "people")
    np.testing.assert_allclose(people.alpha, pd.read_csv(tmp_path / "here" / "subjects.csv").alpha, rtol=0, atol=1e-8)
    assert len(pd.read_parquet(tmp_path / "there" / "tables" / "latents")) == PLAYED.n_trials * 11 // 12
    # What was kept for a later run is not needed any more.
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".resume")]

"""EM on a Dask cluster: the same as in memory with any number of workers and partitions, and when a worker is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import pyem
from pyem import DataError, Dataset
from pyem.infer.cluster import ClusterEStep, Spread
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
def test_any_number_of_partitions(client: Any, tmp_path: Path) -> None:
    memory = fitted(PLAYED)
    rng = np.random.default_rng(1)
    for n in (1, *rng.choice(np.arange(2, 7), 2, replace=False)):
        folder = tmp_path / str(n)
        folder.mkdir()
        check_same(fitted(parts(folder, int(n)), cluster=client), memory)


@pytest.mark.slow
def test_a_worker_that_is_lost(client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, under, killed = parts(tmp_path, 4), ClusterEStep.under, []

    def after_a_loss(self: ClusterEStep, population: Population, tol: float) -> Spread:
        if self.made == 2 and not killed:
            killed.append(next(iter(client.run(os.getpid).values())))
            os.kill(killed[0], signal.SIGKILL)
        return under(self, population, tol)

    monkeypatch.setattr(ClusterEStep, "under", after_a_loss)
    memory = fitted(PLAYED)
    check_same(fitted(data, cluster=client, checkpoint=tmp_path / "kept"), memory)
    assert killed
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
    """Of the rows and the people that count, with choice and outcome in rows of their own, and a table of people."""
    frame = PLAYED.to_frame().assign(phase="main")
    chosen, outcome = frame.assign(reward=np.nan), frame.assign(choice=np.nan)
    practice = frame.iloc[:40].assign(phase="practice", trial=1000 + np.arange(40), reward=7.0)
    rows = pd.concat([chosen, outcome, practice]).sort_index(kind="stable")
    rows.to_csv(tmp_path / "a.csv", index=False)
    pd.DataFrame({"subject": range(12), "age": np.arange(12) % 5}).to_csv(tmp_path / "people.csv", index=False)
    words = ["fit", str(tmp_path / "a.csv"), "--model", "rw1a1b", "--tol", "1e-9", "--exclude", "3", "--trial", "trial"]
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

import os

import numpy as np
import pytest

import pyem
from tests.cli.run import DATA_OPTIONS, pyem_command

SUBJECTS = 16


@pytest.fixture(autouse=True, scope="session")
def no_cache():
    """Commands that run in this process must not switch on a cache that other tests would share."""
    before = os.environ.get("PYEM_CACHE_DIR")
    os.environ["PYEM_CACHE_DIR"] = ""
    yield
    if before is None:
        os.environ.pop("PYEM_CACHE_DIR", None)
    else:
        os.environ["PYEM_CACHE_DIR"] = before


@pytest.fixture(scope="session")
def frame():
    """A small experiment with columns of other names than the model's, a covariate, and missed responses."""
    model = pyem.models.get("rw1a1b")
    rng = np.random.default_rng(5)
    # People differ a lot, so that EM has something to find in so few data.
    truth = np.column_stack([np.linspace(2, 12, SUBJECTS), rng.permutation(np.linspace(0.05, 0.9, SUBJECTS))])
    data = pyem.simulate(model, truth, blocks=2, trials=30, key=3, missed=0.05)
    table = data.to_frame().rename(
        columns={"choice": "response", "reward": "feedback", "block": "run", "subject": "id"}
    )
    table["age"] = table["id"].map(dict(enumerate(rng.integers(18, 80, SUBJECTS))))
    return table


@pytest.fixture(scope="session")
def data_file(frame, tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "data.csv"
    frame.to_csv(path, index=False)
    return path


@pytest.fixture(scope="session")
def one(data_file, tmp_path_factory):
    """Results of one model."""
    out = tmp_path_factory.mktemp("one") / "results"
    return out, pyem_command("fit", data_file, "--model", "rw1a1b", *DATA_OPTIONS, "--covariate", "age", "--out", out)


@pytest.fixture(scope="session")
def two(data_file, tmp_path_factory):
    """Results of two models."""
    out = tmp_path_factory.mktemp("two") / "results"
    models = ("--model", "rw1a1b", "--model", "rw2a1b")
    return out, pyem_command(
        "fit", data_file, *models, *DATA_OPTIONS, "--covariate", "age", "--out", out, "--no-figures"
    )

"""What tests of several folders share."""

from pathlib import Path

import pytest

import pyem

DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def pedersen():
    """The probabilistic selection task of Pedersen and Frank (2020): 28 people, three pairs of stimuli."""
    path = DATA / "pst_pedersen2020.csv"
    if not path.exists():
        pytest.skip("the published data sets are not beside this checkout")
    return pyem.Dataset.read(
        path, subject="subj_idx", block="split_by", columns={"choice": "response", "reward": "feedback"}
    )

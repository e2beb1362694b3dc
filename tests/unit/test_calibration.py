"""Do 95 % intervals of a group cover the truth about 95 times in 100?"""

import pytest

import pyem
from benchmarks.calibration import coverage


@pytest.mark.slow
def test_intervals_of_group_means_are_calibrated():
    """200 groups of 40 people. At a true coverage of 95 % a share outside 90-98 % has a probability of about 0.003."""
    table = coverage(pyem.models.get("rw1a1b"), groups=200, subjects=40, blocks=4, trials=60)
    means = table[table["kind"].isin(["mean", "effect of z"])]
    assert len(means) == 3
    assert means["covered"].between(0.90, 0.98).all(), table.to_string()

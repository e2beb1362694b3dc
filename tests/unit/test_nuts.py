"""Sampling against hierarchical EM on the same people."""

import numpy as np

import pyem
from pyem.infer.nuts import fit_nuts


def test_group_means_of_nuts_and_em_agree_within_a_posterior_sd():
    model = pyem.models.get("rw1a1b")
    data = pyem.simulate(model, subjects=30, blocks=4, trials=24, key=1)
    em = pyem.fit_em(model, data).group_table().loc["mean"]
    nuts = fit_nuts(model, data, draws=500, warmup=500, chains=2, key=1)
    table = nuts.group_table().loc["mean"]
    assert (np.abs(table["estimate"] - em["estimate"]) < table["se"]).all()
    assert int(nuts.stats["diverging"].sum()) == 0
    assert (table["rhat"] < 1.02).all()

"""Rhat, effective sample sizes and E-BFMI against ArviZ, and where they must raise an alarm."""

import warnings

import numpy as np
import pytest

from pyem.numerics import diagnostics


def chains(phi, n_draws, seed=0, shift=0.0):
    """First-order autoregressions with heavy-tailed innovations, (4, n_draws, 3)."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_t(4, size=(4, n_draws, 3))
    out = noise.copy()
    for t in range(1, n_draws):
        out[:, t] = phi * out[:, t - 1] + noise[:, t]
    return out + shift * np.arange(4)[:, None, None]


@pytest.mark.parametrize("phi", [0.0, 0.8, -0.5])
@pytest.mark.parametrize("n_draws", [501, 1000])
def test_as_arviz_has_it(phi, n_draws):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import arviz
    draws = chains(phi, n_draws)
    data = arviz.convert_to_dataset({"x": draws})
    np.testing.assert_allclose(diagnostics.rhat(draws), arviz.rhat(data).x.values, rtol=1e-12)
    for kind in ("bulk", "tail", "mean"):
        np.testing.assert_allclose(diagnostics.ess(draws, kind), arviz.ess(data, method=kind).x.values, rtol=1e-10)
    np.testing.assert_allclose(diagnostics.bfmi(draws[..., 0]), arviz.bfmi(draws[..., 0]), rtol=1e-12)


def test_chains_that_disagree_are_seen():
    assert (diagnostics.rhat(chains(0.0, 500)) < 1.01).all()
    assert (diagnostics.rhat(chains(0.0, 500, shift=0.5)) > 1.05).all()
    # The same mean, different spread: only the folded Rhat sees it.
    spread = chains(0.0, 500) * np.array([1.0, 1.0, 1.0, 4.0])[:, None, None]
    assert (diagnostics.rhat(spread) > 1.05).all()


def test_slow_chains_are_worth_less():
    assert (diagnostics.ess(chains(0.9, 1000)) < 600).all()
    assert (diagnostics.ess(chains(0.0, 1000)) > 3000).all()


def test_constant_and_short_chains():
    same = np.ones((4, 100, 2))
    assert np.isnan(diagnostics.rhat(same)).all()
    assert (diagnostics.ess(same) == 400).all()
    assert np.isnan(diagnostics.rhat(np.zeros((4, 3, 2)))).all()
    with pytest.raises(ValueError, match="chain, draw"):
        diagnostics.rhat(np.zeros(5))
    with pytest.raises(ValueError, match="kind='median'"):
        diagnostics.ess(same, "median")


def test_work_is_done_in_chunks(monkeypatch):
    draws = chains(0.5, 200)
    whole = diagnostics.ess(draws)
    monkeypatch.setattr(diagnostics, "CHUNK", 900)
    np.testing.assert_array_equal(diagnostics.ess(draws), whole)

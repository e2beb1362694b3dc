"""Group distributions of the pyEM interface against their formulas written out, and in fits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

from pyem import EMModel
from pyem.core import priors
from pyem.core.groupdist import CauchyGroup, GaussianGroup, LaplaceGroup, StudentTGroup, make_group
from pyem.utils.math import calc_fval

P, S = 2, 9
RNG = np.random.default_rng(3)
M = RNG.standard_t(3, (P, S)) * [[0.5], [2.0]] + [[1.0], [-1.0]]
ROOTS = RNG.normal(size=(S, P, P))
INV_H = np.moveaxis(0.1 * ROOTS @ np.swapaxes(ROOTS, 1, 2), 0, -1)
H = np.array([np.diag(INV_H[:, :, s]) for s in range(S)]).T


def test_a_gaussian_group_is_mean_and_variance():
    mu, var, flag = GaussianGroup().update(M, INV_H)
    np.testing.assert_allclose(mu, [sum(row) / S for row in M])
    np.testing.assert_allclose(
        var, [np.mean([m**2 + h for m, h in zip(M[k], H[k], strict=True)]) - mu[k] ** 2 for k in (0, 1)]
    )
    assert flag == 1
    moments = GaussianGroup().moments((mu, var, flag))
    np.testing.assert_array_equal(moments[1], var)
    assert moments[2] == 1
    bent = INV_H.copy()
    bent[0, 0] = -100.0
    assert GaussianGroup().update(M, bent)[2] == 0
    assert GaussianGroup().moments((mu, var * np.nan, 1))[2] == 0
    assert isinstance(GaussianGroup().make_prior((mu, var, 1)), priors.GaussianPrior)


Z = np.linspace(-9, 9, 20_001)


def distance(c, m, h):
    """Mean expected distance from c, by sums over a fine grid."""
    weights = stats.norm.pdf(Z) / stats.norm.pdf(Z).sum()
    return np.mean([weights @ abs(a + np.sqrt(v) * Z - c) for a, v in zip(m, h, strict=True)])


def test_a_laplace_group_is_least_far_from_people():
    group = make_group("laplace")
    hyper = group.update(M, INV_H)
    for k in range(P):
        best = optimize.minimize_scalar(distance, args=(M[k], H[k]), bracket=(M[k].min(), M[k].max()))
        assert hyper["loc"][k] == pytest.approx(best.x, abs=1e-3)
        assert hyper["scale"][k] == pytest.approx(best.fun, rel=1e-6)
    mu, variance, valid = group.moments(hyper)
    np.testing.assert_array_equal(mu, hyper["loc"])
    np.testing.assert_allclose(variance, 2 * hyper["scale"] ** 2)
    assert valid == 1
    assert group.moments({"loc": [0.0], "scale": [np.nan]})[2] == 0
    prior = group.make_prior(hyper)
    assert prior.logpdf(M[:, 0]) == pytest.approx(stats.laplace(hyper["loc"], hyper["scale"]).logpdf(M[:, 0]).sum())


@pytest.mark.parametrize(("group", "df", "ratio"), [(StudentTGroup(df=5.0), 5.0, 5 / 3), (CauchyGroup(), 1.0, 100.0)])
def test_heavy_tailed_groups_are_reweighted(group, df, ratio):
    hyper = group.update(M, INV_H)
    for k in range(P):
        c = np.median(M[k])
        v = 2.198 * np.median(abs(M[k] - c)) ** 2 + 1e-6
        for _ in range(100):
            w = (df + 1) / (df + ((M[k] - c) ** 2 + H[k]) / v)
            c = sum(w * M[k]) / sum(w)
            v = sum(w * ((M[k] - c) ** 2 + H[k])) / sum(w)
        assert hyper["loc"][k] == pytest.approx(c, rel=1e-9)
        assert hyper["scale"][k] == pytest.approx(np.sqrt(v), rel=1e-9)
    np.testing.assert_allclose(group.moments(hyper)[1], ratio * hyper["scale"] ** 2)
    prior = group.make_prior(hyper)
    assert prior.logpdf(M[:, 1]) == pytest.approx(stats.t(df, hyper["loc"], hyper["scale"]).logpdf(M[:, 1]).sum())


def test_groups_are_made_by_name():
    assert make_group("student_t").df == 8.0
    assert make_group("student_t", df=3.0) == StudentTGroup(3.0)
    assert make_group("cauchy", df=7.0).df == 1.0
    assert make_group("laplace") == LaplaceGroup()
    with pytest.raises(ValueError, match="unknown mstep 'wishart'; choose one of gaussian"):
        make_group("wishart")


# -- in fits ----------------------------------------------------------------------------------------------------------


def mean_fit(params, y, prior=None, output="npl"):
    """Normal data of sd 1 around the first parameter and, of the second half, the sum of all."""
    middle = len(y) // 2
    nll = 0.5 * ((y[:middle] - params[0]) ** 2).sum() + 0.5 * ((y[middle:] - params.sum()) ** 2).sum()
    return {"params": params, "nll": nll} if output == "all" else calc_fval(nll, params, prior=prior, output=output)


def people(n):
    rng = np.random.default_rng(2)
    return [[rng.normal(level, 1.0, 8)] for level in rng.standard_t(2, n)]


@pytest.mark.parametrize("family", ["gaussian", "laplace", "student_t", "cauchy"])
@pytest.mark.parametrize("n_params", [1, 2])
def test_a_converged_group_is_what_its_people_make_of_it(family, n_params):
    names = ["a", "b"][:n_params]
    result = EMModel(people(12), mean_fit, names).fit(verbose=0, mstep=family)
    assert result.convergence
    group = make_group(family)
    mu, variance, valid = group.moments(group.update(result.m, result.inv_h))
    assert valid
    np.testing.assert_allclose(result.posterior_mu, mu, atol=2e-4)
    # Standard deviations do not fall below 1e-4.
    np.testing.assert_allclose(result.posterior_sigma, variance, rtol=2e-3, atol=1e-8)


@pytest.mark.parametrize("family", ["gaussian", "laplace", "student_t", "cauchy"])
def test_one_person_is_a_group(family):
    result = EMModel(people(1), mean_fit, ["a"]).fit(verbose=0, mstep=family, mstep_maxit=5)
    assert np.isfinite([*result.m[0], *result.posterior_mu, *result.NPL]).all()


def test_the_given_prior_stays_until_a_group_is_valid(monkeypatch):
    monkeypatch.setattr(GaussianGroup, "moments", lambda self, hyper: (hyper[0], hyper[1], 0))
    given = priors.UniformPrior([0.3], [0.8])
    result = EMModel(people(6), mean_fit, ["a"]).fit(verbose=0, prior=given, mstep_maxit=4)
    assert ((result.m > 0.3 - 1e-6) & (result.m < 0.8 + 1e-6)).all()
    np.testing.assert_allclose(result.NLPrior, -np.log(2), atol=1e-9)
    far = EMModel(people(6), mean_fit, ["a"]).fit(verbose=0, mstep_maxit=4)
    assert np.isfinite(far.m).all()


def test_the_integrated_bic_is_that_of_the_family_that_was_fitted():
    model = EMModel(people(12), mean_fit, ["a"])
    values = {}
    for family in ("gaussian", "cauchy"):
        model.fit(verbose=0, mstep=family)
        np.random.seed(0)  # noqa: NPY002 - the draws of the integrated BIC
        values[family] = model.compute_integrated_bic(nsamples=4000)
    # With a hundred squared scales for a variance, Gaussian draws would be 10 scales wide.
    assert abs(values["cauchy"] - values["gaussian"]) < 12


def test_a_group_whose_moments_are_never_valid_leaves_the_first_one(monkeypatch):
    rng = np.random.default_rng(5)
    data = [[rng.normal(loc, 1.0, 12)] for loc in (-1.0, 0.5, 2.0)]

    def level(params, y, *, prior=None, output="npl"):
        return calc_fval(0.5 * float(((y - params[0]) ** 2).sum()), params, prior=prior, output=output)

    moments = GaussianGroup.moments
    monkeypatch.setattr(GaussianGroup, "moments", lambda self, hyper: (*moments(self, hyper)[:2], 0))
    prior = priors.GaussianPrior([0.0], [4.0])
    fit = EMModel(all_data=data, fit_func=level, param_names=["b"]).fit(verbose=0, prior=prior, mstep_maxit=4)
    # With the given prior, a mode is the mean of 12 numbers and one of 0 that weighs a quarter.
    np.testing.assert_allclose(fit.m[0], [y.sum() / (12 + 1 / 4) for (y,) in data], atol=1e-5)

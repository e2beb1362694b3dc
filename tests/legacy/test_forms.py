"""Whatever can be called as a fit function is one, however it is written."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from pyem import EMModel
from pyem.core.engines import JaxEngine, ScipyEngine, engine_of
from pyem.utils.math import calc_fval

Y = [[np.random.default_rng(s).normal(s, 1.0, 6)] for s in range(6)]


def options_fit(params, y, prior=None, output="npl", *, plain=True):
    """Normal data of known sd; as a plain float it cannot be traced."""
    nll = 0.5 * ((y - params[0]) ** 2).sum()
    nll = float(nll) if plain else nll
    return {"params": params, "nll": nll} if output == "all" else calc_fval(nll, params, prior=prior, output=output)


class Task:
    """A fit function among others of an object."""

    def __init__(self, plain):
        self.plain = plain

    def __call__(self, params, y, prior=None, output="npl"):
        return options_fit(params, y, prior, output, plain=self.plain)

    def fit(self, params, y, prior=None, output="npl"):
        return self(params, y, prior, output)


def forms(plain):
    call = functools.partial(options_fit, plain=plain)

    def closure(params, y, prior=None, output="npl"):
        return call(params, y, prior, output)

    def any_data(params, *data, prior=None, output="npl"):
        return call(params, *data, prior=prior, output=output)

    def by_name(params, y, **settings):
        return call(params, y, **settings)

    def only_by_name(params, y, *, prior=None, output="npl"):
        return call(params, y, prior, output)

    def no_defaults(params, y, prior, output):
        return call(params, y, prior, output)

    @functools.wraps(options_fit)
    def decorated(*args, **settings):
        return call(*args, **settings)

    return {
        "object": Task(plain),
        "method": Task(plain).fit,
        "partial": call,
        "closure": closure,
        "any_data": any_data,
        "by_name": by_name,
        "only_by_name": only_by_name,
        "no_defaults": no_defaults,
        "decorated": decorated,
        "lambda": lambda params, y, prior=None, output="npl": call(params, y, prior, output),
    }


@pytest.fixture(scope="module")
def reference():
    return EMModel(Y, options_fit, ["mean"]).fit(verbose=0)


@pytest.mark.parametrize("form", forms(plain=True))
def test_a_function_that_is_only_called(form, reference):
    function = forms(plain=True)[form]
    assert isinstance(engine_of(function, Y, 1), ScipyEngine)
    model = EMModel(Y, function, ["mean"])
    result = model.fit(verbose=0)
    np.testing.assert_allclose(result.posterior_mu, reference.posterior_mu, atol=1e-9)
    np.testing.assert_allclose(result.posterior_sigma, reference.posterior_sigma, atol=1e-9)
    np.testing.assert_allclose(model.get_outfit()["nll"], result.NLL, rtol=1e-12)


@pytest.mark.parametrize("form", forms(plain=False))
def test_a_function_that_can_be_traced(form):
    assert isinstance(engine_of(forms(plain=False)[form], Y, 1), JaxEngine)


def test_both_give_the_same_fit(reference):
    traced = EMModel(Y, Task(plain=False), ["mean"]).fit(verbose=0)
    np.testing.assert_allclose(traced.posterior_mu, reference.posterior_mu, atol=1e-4)
    np.testing.assert_allclose(traced.posterior_sigma, reference.posterior_sigma, atol=1e-4)


def test_other_names_for_prior_and_output(reference):
    def renamed(p, y, pr=None, out="npl"):
        return options_fit(p, y, pr, out)

    model = EMModel(Y, renamed, ["mean"])
    result = model.fit(verbose=0)
    np.testing.assert_allclose(result.posterior_mu, reference.posterior_mu, atol=1e-9)
    np.testing.assert_allclose(model.get_outfit()["nll"], result.NLL, rtol=1e-12)
    assert np.isfinite(model.compute_integrated_bic(nsamples=10))

"""The likelihood in programs of one's own: values, gradients, observed sites, and the notebook's posterior."""

import os
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.infer import MCMC, NUTS, Predictive, log_likelihood

import pyem
from pyem.bridge import pymc as bridge
from pyem.bridge.numpyro import Likelihood
from pyem.engine.evaluate import trial_values
from pyem.numerics.diagnostics import ess
from tests.oracle.notebook import negative_log_likelihood, notebook_data, notebook_grid, notebook_model


@pytest.fixture(scope="module")
def likelihood():
    return Likelihood(notebook_model(), notebook_data())


def program(add):
    def run():
        alpha = numpyro.sample("alpha", dist.Beta(1.0, 1.0))
        beta = numpyro.sample("beta", dist.HalfNormal(10.0))
        add(alpha=alpha, beta=beta)

    return run


def is_the_grids_posterior(name, draws):
    """Mean and sd of draws (chain, draw) within 3 Monte-Carlo errors."""
    exact = notebook_grid()[name]
    squares = (draws - draws.mean()) ** 2
    assert abs(draws.mean() - exact["mean"]) < 3 * draws.std() / np.sqrt(ess(draws, "mean"))
    error = squares.std() / np.sqrt(ess(squares, "mean")) / (2 * draws.std())
    assert abs(draws.std() - exact["sd"]) < 3 * error


def test_values_and_gradients_are_natural(likelihood):
    with jax.enable_x64(True):
        value = jax.jit(lambda a, b: likelihood.by_subject(alpha=a, beta=b)[0])
        # The first choice is between equal values.
        expected = -negative_log_likelihood(0.4, 3.0) - np.log(2)
        assert float(value(0.4, 3.0)) == pytest.approx(expected, rel=1e-10)
        slope = float(jax.grad(value)(0.4, 3.0))
        each = np.asarray(jax.jit(lambda a, b: likelihood.by_response(alpha=a, beta=b))(0.4, 3.0))
    finite = -(negative_log_likelihood(0.4 + 1e-6, 3.0) - negative_log_likelihood(0.4 - 1e-6, 3.0)) / 2e-6
    assert slope == pytest.approx(finite, rel=1e-5)
    assert each.shape == (likelihood.n_obs,) == (150,)
    assert float(each.sum()) == pytest.approx(expected, rel=1e-10)


def test_responses_are_in_the_order_of_their_values():
    model = pyem.models.get("rw1a1b")
    data = pyem.simulate(model, subjects=3, blocks=2, trials=10, key=1, missed=0.1)
    likelihood = Likelihood(model, data)
    beta, alpha = model.natural(data.truth).T
    with jax.enable_x64(True):
        each = likelihood.by_response(alpha=jnp.asarray(alpha), beta=jnp.asarray(beta))
    lane, row = np.nonzero(data.present["choice"].T)
    np.testing.assert_allclose(each, trial_values(model, data, data.truth)["log_lik"][row, lane], rtol=1e-9)
    np.testing.assert_array_equal(likelihood.observed, data.fields["choice"][row, lane])
    np.testing.assert_array_equal(likelihood.subject, data.lane_subject[lane])


@pytest.mark.slow
@pytest.mark.parametrize("pointwise", [False, True], ids=["factor", "observed"])
def test_numpyro_has_the_notebooks_posterior(pointwise):
    run = program(pyem.numpyro_model(notebook_model(), notebook_data(), pointwise=pointwise))
    with jax.enable_x64(True):
        kernel = NUTS(run)
        mcmc = MCMC(
            kernel, num_warmup=1000, num_samples=1000, num_chains=4, chain_method="vectorized", progress_bar=False
        )
        mcmc.run(jax.random.key(0))
        draws = mcmc.get_samples(group_by_chain=True)
        for name in ("alpha", "beta"):
            is_the_grids_posterior(name, np.asarray(draws[name]))
        if not pointwise:
            return
        some = {name: values[:, ::100].reshape(-1) for name, values in draws.items()}
        assert log_likelihood(run, some)["choice"].shape == (40, 150)
        simulated = Predictive(run, some)(jax.random.key(1))
        assert set(np.unique(simulated["choice"])) <= {0, 1}
    with warnings.catch_warnings(), jax.enable_x64(True):
        warnings.simplefilter("ignore")
        import arviz

        elpd = arviz.loo(arviz.from_numpyro(mcmc)).elpd_loo
    priors = {"alpha": dist.Beta(1, 1), "beta": dist.HalfNormal(10)}
    ours = pyem.loo(pyem.fit_nuts(notebook_model(), notebook_data(), group=None, priors=priors, key=1))
    assert elpd == pytest.approx(ours.elpd, abs=0.2)


def test_what_does_not_fit(likelihood):
    with pytest.raises(ValueError, match=r"numpyro.enable_x64\(\)"):
        likelihood.by_subject(alpha=0.3, beta=2.0)
    with jax.enable_x64(True):
        does_not_fit(likelihood)


def does_not_fit(likelihood):
    with pytest.raises(ValueError, match="missing: beta"):
        likelihood.by_subject(alpha=0.3)
    with pytest.raises(ValueError, match="unknown: gamma"):
        likelihood.by_subject(alpha=0.3, beta=2.0, gamma=1.0)
    with pytest.raises(ValueError, match="'alpha' has shape"):
        likelihood.by_subject(alpha=np.ones(3), beta=2.0)


# -- PyMC -----------------------------------------------------------------------------------------------------------------


def test_a_forked_process_is_told_that_it_cannot(monkeypatch):
    bridge.require_own_process()
    assert float(bridge._numpy(lambda x: x**2)(np.array(3.0))) == 9.0
    # As in a child: another number than when the module was imported.
    monkeypatch.setattr(bridge.os, "getpid", lambda: -1)
    with pytest.raises(RuntimeError, match=r'cores=1\), with mp_ctx="spawn"'):
        bridge._numpy(lambda x: x**2)(np.array(3.0))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:os.fork|This process")
def test_a_real_child_raises_and_does_not_hang():
    run = bridge._numpy(lambda x: x**2)
    run(np.array(3.0))
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            run(np.array(3.0))
            said = b"ran"
        except RuntimeError as error:
            said = str(error).encode()
        os.write(write, said)
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    assert b"does not work in a forked process" in os.read(read, 1000)


def test_pymc_is_asked_for(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pymc", None)
    with pytest.raises(ImportError, match=r"pip install 'pyem-behavior\[pymc\]'"):
        pyem.pymc_logp(notebook_model(), notebook_data())


@pytest.fixture(scope="module")
def pymc_likelihood():
    pytest.importorskip("pymc", reason="PyMC is an optional extra: pip install 'pyem-behavior[pymc]'")
    return pyem.pymc_logp(notebook_model(), notebook_data())


@pytest.mark.slow
def test_pytensor_has_the_gradient(pymc_likelihood):
    import pytensor
    import pytensor.tensor as pt

    alpha, beta = pt.scalar("alpha"), pt.scalar("beta")
    for value in (pymc_likelihood.by_subject, pymc_likelihood.by_response):
        total = value(alpha=alpha, beta=beta).sum()
        run = pytensor.function([alpha, beta], [total, pytensor.grad(total, alpha)])
        found, slope = run(0.4, 3.0)
        assert found == pytest.approx(-negative_log_likelihood(0.4, 3.0) - np.log(2), rel=1e-10)
        finite = -(negative_log_likelihood(0.4 + 1e-6, 3.0) - negative_log_likelihood(0.4 - 1e-6, 3.0)) / 2e-6
        assert slope == pytest.approx(finite, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["potential", "observed"])
def test_pymc_has_the_notebooks_posterior(pymc_likelihood, form):
    import arviz
    import pymc as pm

    with pm.Model(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        alpha, beta = pm.Beta("alpha", 1, 1), pm.HalfNormal("beta", 10)
        getattr(pymc_likelihood, form)(alpha=alpha, beta=beta)
        trace = pm.sample(draws=1000, tune=1000, chains=4, cores=1, random_seed=1, progressbar=False)
        for name in ("alpha", "beta"):
            is_the_grids_posterior(name, trace.posterior[name].values)
        if form == "observed":
            pm.compute_log_likelihood(trace, progressbar=False)
            assert trace.log_likelihood.choice.shape == (4, 1000, 150)
            assert -53 < arviz.loo(trace).elpd_loo < -47
            drawn = pm.sample_posterior_predictive(trace.isel(draw=slice(0, 5)), random_seed=1, progressbar=False)
            assert set(np.unique(drawn.posterior_predictive.choice)) <= {0, 1}


@pytest.mark.slow
def test_pymc_says_what_is_missing(pymc_likelihood):
    with pytest.raises(ValueError, match="has the parameters beta, alpha"):
        pymc_likelihood.by_subject(alpha=0.3)

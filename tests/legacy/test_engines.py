"""Any function of the pyEM form is fitted: by exact derivatives where JAX can trace it, else by differences."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pyem import EMModel
from pyem.core.engines import JaxEngine, ScipyEngine, engine_of
from pyem.core.priors import GaussianPrior, LaplacePrior
from pyem.engine import evaluate as engine
from pyem.errors import FitWarning
from pyem.infer.differences import Quadratic, Search, find_mode, stencil, step_sizes
from pyem.infer.opaque import OpaqueEStep
from pyem.models.rl import rw1a1b_fit, rw1a1b_sim
from pyem.population.group import Group
from pyem.population.population import populate
from pyem.population.posterior import GaussianPrior as PriorOfEach
from pyem.population.posterior import Status
from pyem.utils.math import calc_fval, norm2alpha
from tests.legacy.writings import codes, jax_fit, loop_fit

S, B, T = 8, 3, 24
NAMES = ["beta", "alpha"]


@pytest.fixture(scope="module")
def data():
    # People who differ, in both parameters: with a variance near 0 in the group there is little to agree on.
    params = np.column_stack([np.geomspace(1.0, 12.0, S), np.tile([0.1, 0.8], S // 2)])
    sim = rw1a1b_sim(params, nblocks=B, ntrials=T, seed=3)
    return [[c, r] for c, r in zip(sim["choices"], sim["rewards"], strict=True)]


@pytest.fixture(scope="module")
def exact(data):
    return EMModel(data, rw1a1b_fit, NAMES).fit(verbose=0)


def same(one, other, tol):
    for name in ("m", "inv_h", "posterior_mu", "posterior_sigma", "NPL", "NLPrior", "NLL"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=tol, rtol=tol, err_msg=name)


# -- which engine -----------------------------------------------------------------------------------------------------


def test_engines_are_chosen_by_what_a_function_is(data):
    coded = [[codes(c), r] for c, r in data]
    assert isinstance(engine_of(rw1a1b_fit, data, 2), JaxEngine)
    assert isinstance(engine_of(jax_fit, coded, 2), JaxEngine)
    assert isinstance(engine_of(loop_fit, data, 2), ScipyEngine)


def gaussian_fit(params, y, prior=None, output="npl"):
    """Sums and squares only: it traces without knowing of JAX."""
    nll = 0.5 * ((y - params[0]) ** 2).sum()
    return {"params": params, "nll": nll} if output == "all" else calc_fval(nll, params, prior=prior, output=output)


def branching_fit(params, y, prior=None, output="npl"):
    mean = params[0] if params[0] > -100 else -100.0
    nll = 0.5 * ((y - mean) ** 2).sum()
    return {"params": params, "nll": nll} if output == "all" else calc_fval(nll, params, prior=prior, output=output)


def swallowing_fit(params, y, prior=None, output="npl"):
    """Tracing gives another value than a plain call does."""
    try:
        mean = float(params[0])
    except Exception:
        mean = 0.0 * params[0]
    nll = 0.5 * ((y - mean) ** 2).sum()
    return calc_fval(nll, params, prior=prior, output=output)


def shrinking_fit(params, y, prior=None, output="npl"):
    """A function that ignores the prior for one of its own."""
    nll = 0.5 * ((y - params[0]) ** 2).sum()
    return nll if output == "nll" else nll + 50.0 * params[0] ** 2


def long_fit(params, y, prior=None, output="npl"):
    nll = 0.0
    for t in range(300):
        nll = nll + 0.5 * (y[t] - params[0]) ** 2
    return calc_fval(nll, params, prior=prior, output=output)


Y = [[np.random.default_rng(s).normal(s, 1.0, 5 + s % 3)] for s in range(6)]


def test_functions_that_cannot_be_traced_or_say_something_else_go_to_the_other_engine():
    assert isinstance(engine_of(gaussian_fit, Y, 1), JaxEngine)
    for function in (branching_fit, swallowing_fit, shrinking_fit):
        assert isinstance(engine_of(function, Y, 1), ScipyEngine), function.__name__
    long = [[np.random.default_rng(s).normal(s, 1.0, 300)] for s in range(3)]
    assert isinstance(engine_of(long_fit, long, 1), ScipyEngine)


def closed_form(all_data):
    """Fixed point of EM for normal data of sd 1: the marginal likelihood's maximum is found by its own iteration."""
    n = np.array([len(y) for (y,) in all_data])
    mean = np.array([y.mean() for (y,) in all_data])
    mu, var = 0.0, 1.0
    for _ in range(20_000):
        post_var = 1 / (n + 1 / var)
        post = post_var * (n * mean + mu / var)
        mu, var = post.mean(), ((post - post.mean()) ** 2 + post_var).mean()
    return mu, var, post, post_var


@pytest.mark.parametrize("function", [gaussian_fit, branching_fit])
def test_people_with_data_of_different_lengths(function):
    mu, var, post, post_var = closed_form(Y)
    result = EMModel(Y, function, ["mean"]).fit(verbose=0)
    assert result.convergence
    np.testing.assert_allclose(result.posterior_mu, mu, atol=2e-4)
    np.testing.assert_allclose(result.posterior_sigma, var, rtol=2e-4)
    np.testing.assert_allclose(result.m[0], post, atol=2e-4)
    np.testing.assert_allclose(result.inv_h[0, 0], post_var, rtol=2e-4)


def test_a_long_traceable_function_is_compiled_but_not_differentiated():
    long = [[np.random.default_rng(s).normal(s, 1.0, 300)] for s in range(3)]
    mu, _, post, _ = closed_form(long)
    result = EMModel(long, long_fit, ["mean"]).fit(verbose=0)
    np.testing.assert_allclose(result.posterior_mu, mu, atol=1e-3)
    np.testing.assert_allclose(result.m[0], post, atol=1e-3)


# -- the same model three times ---------------------------------------------------------------------------------------


def test_a_numpy_loop_gives_the_same_fit(data, exact):
    result = EMModel(data, loop_fit, NAMES).fit(verbose=0)
    assert result.convergence
    same(result, exact, 1e-3)
    np.testing.assert_allclose(result.posterior_mu, exact.posterior_mu, atol=1e-4)


def test_a_jax_function_gives_the_same_fit(data, exact):
    model = EMModel([[codes(c), r] for c, r in data], jax_fit, NAMES)
    result = model.fit(verbose=0)
    assert result.convergence
    same(result, exact, 1e-5)
    assert model.get_outfit()["params"].shape == (S, 2)


def test_scores_are_the_same_by_both_engines(data, exact):
    values = []
    for function in (rw1a1b_fit, loop_fit):
        model = EMModel(data, function, NAMES)
        model._out = {**EMModel(data, rw1a1b_fit, NAMES).EMfit(verbose=0)}
        model._out["posterior"] = {"mu": exact.posterior_mu, "sigma": exact.posterior_sigma}
        np.random.seed(1)  # noqa: NPY002 - the same draws
        values.append(model.compute_integrated_bic(nsamples=20))
    assert values[0] == pytest.approx(values[1], rel=1e-9)


def test_a_prior_of_the_first_e_step_by_differences(data):
    prior = LaplacePrior([-1.0, 0.0], [1.0, 1.0])
    first = EMModel(data[:2], loop_fit, NAMES).fit(verbose=0, mstep_maxit=1, prior=prior)
    for s in range(2):
        value = lambda x, s=s: loop_fit(x, *data[s], output="nll") - prior.logpdf(x)  # noqa: E731
        moved = [value(first.m[:, s] + 0.1 * np.array(d)) for d in ((1, 0), (-1, 0), (0, 1), (0, -1))]
        assert min(moved) > value(first.m[:, s]) - 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("mstep", ["laplace", "student_t"])
def test_heavy_tailed_groups_by_both_engines(data, mstep):
    one, other = (EMModel(data, function, NAMES).fit(verbose=0, mstep=mstep) for function in (rw1a1b_fit, loop_fit))
    same(other, one, 5e-3)


def test_maximum_likelihood_by_both_engines(data):
    one, other = (EMModel(data, function, NAMES).scipy_minimize(seed=0) for function in (rw1a1b_fit, loop_fit))
    inside = (np.abs(one["m"]) < 6).all(0)
    assert inside.sum() >= 4
    np.testing.assert_allclose(other["NPL"], one["NPL"], atol=1e-3)
    np.testing.assert_allclose(other["m"][:, inside], one["m"][:, inside], atol=1e-2)


# -- forms of functions and data --------------------------------------------------------------------------------------


def frame_fit(params, frame, prior=None, output="npl"):
    nll = -stats.norm.logpdf(frame["y"], params[0] + params[1] * frame["x"], 1.0).sum()
    if output == "all":
        return {"params": np.asarray(params), "n": len(frame), "nll": nll}
    return calc_fval(nll, params, prior, output)


def test_a_data_frame_for_each_person():
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(6):
        x = rng.normal(size=25)
        frames.append(pd.DataFrame({"x": x, "y": rng.normal(1, 1) + rng.normal(-1, 0.5) * x + rng.normal(size=25)}))
    model = EMModel(frames, frame_fit, ["intercept", "slope"])
    result = model.fit(verbose=0)
    assert result.convergence
    least_squares = np.array([np.polyfit(f["x"], f["y"], 1)[::-1] for f in frames]).T
    assert (np.abs(result.m - least_squares) < 0.35).all()
    np.testing.assert_array_equal(model.get_outfit()["n"], 25)


def test_a_prior_by_position_or_by_name_object_or_dict():
    seen = []

    def positional(params, y, p, out):
        if p is not None:
            seen.append(p["logpdf"](params))
            assert p["mu"].shape == p["sigma"].shape == (1,)
        nll = 0.5 * float(((y - params[0]) ** 2).sum())
        return nll if out == "nll" or p is None else nll - p["logpdf"](params)

    reference = EMModel(Y, gaussian_fit, ["mean"]).fit(verbose=0)
    result = EMModel(Y, positional, ["mean"]).fit(verbose=0, njobs=1)
    np.testing.assert_allclose(result.posterior_mu, reference.posterior_mu, atol=1e-4)
    assert seen


def test_what_is_minimised_is_what_the_function_says():
    """A function with a prior of its own is fitted as it is, not with the group's prior on top."""
    result = EMModel(Y, shrinking_fit, ["mean"]).fit(verbose=0)
    expected = [y.sum() / (len(y) + 100) for (y,) in Y]
    np.testing.assert_allclose(result.m[0], expected, atol=1e-5)


def test_a_function_that_only_knows_the_posterior():
    def posterior_only(params, y, prior=None, output="npl"):
        return float(0.5 * ((y - params[0]) ** 2).sum()) - prior.logpdf(params)

    reference = EMModel(Y, gaussian_fit, ["mean"]).fit(verbose=0)
    result = EMModel(Y, posterior_only, ["mean"]).fit(verbose=0)
    np.testing.assert_allclose(result.posterior_mu, reference.posterior_mu, atol=1e-4)


def test_walls_and_failing_people_do_not_stop_the_rest():
    def walled(params, y, prior=None, output="npl"):
        if params[0] < -1.0 or not np.isfinite(y).all():
            return 1e7
        nll = 0.5 * float(((y - params[0]) ** 2).sum())
        return calc_fval(nll, params, prior=prior, output=output)

    broken = [*Y, [np.array([np.nan, 1.0])]]
    with pytest.warns(FitWarning, match="at 6 in all_data"):
        result = EMModel(broken, walled, ["mean"]).fit(verbose=0)
    reference = EMModel(Y, gaussian_fit, ["mean"]).fit(verbose=0)
    np.testing.assert_allclose(result.posterior_mu, reference.posterior_mu, atol=1e-3)
    np.testing.assert_allclose(result.m[0, :6], reference.m[0], atol=1e-3)
    assert result.NLL[6] == np.inf or result.NLL[6] >= 1e6


def test_an_error_in_a_function_names_the_person():
    def faulty(params, y, prior=None, output="npl"):
        if len(y) == 7:
            raise KeyError("rewards")
        return calc_fval(0.5 * float(((y - params[0]) ** 2).sum()), params, prior=prior, output=output)

    with pytest.raises(KeyError) as caught:
        EMModel(Y, faulty, ["mean"]).fit(verbose=0, njobs=1)
    assert any("person 2" in note for note in caught.value.__notes__)


def test_a_function_that_returns_no_number_is_refused():
    with pytest.raises(ValueError, match=r"should return one number, but returned an array of shape \(2,\)"):
        EMModel(Y, lambda params, y, prior=None, output="npl": str(y) and np.zeros(2), ["mean"]).fit(verbose=0)


# -- processes --------------------------------------------------------------------------------------------------------


def test_the_result_does_not_depend_on_the_number_of_processes_or_the_call(data):
    fits = [EMModel(data[:4], loop_fit, NAMES).fit(verbose=0, njobs=n, seed=5) for n in (1, 2, 1)]
    for other in fits[1:]:
        np.testing.assert_array_equal(other.m, fits[0].m)
        np.testing.assert_array_equal(other.posterior_sigma, fits[0].posterior_sigma)


def test_as_many_processes_as_asked_for(tmp_path):
    def where(params, y, prior=None, output="npl"):
        import os

        (tmp_path / str(os.getpid())).touch()
        nll = 0.5 * float(((y - params[0]) ** 2).sum())
        return calc_fval(nll, params, prior=prior, output=output)

    import os

    EMModel(Y, where, ["mean"]).fit(verbose=0, njobs=2)
    others = {path.name for path in tmp_path.iterdir()} - {str(os.getpid())}
    assert len(others) == 2


def test_functions_of_a_script_run_in_other_processes(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import numpy as np
            from pyem import EMModel
            from pyem.utils.math import calc_fval

            WEIGHT = {"left": 1.0}

            def helper(mean):
                return WEIGHT["left"] * mean

            def fit(params, y, prior=None, output="npl"):
                nll = 0.5 * float(((y - helper(params[0])) ** 2).sum())
                return calc_fval(nll, params, prior=prior, output=output)

            if __name__ == "__main__":
                data = [[np.arange(4.0) + s] for s in range(4)]
                result = EMModel(data, fit, ["mean"]).fit(verbose=0, njobs=2)
                print(result.convergence, round(float(result.posterior_mu[0]), 2))
            """
        )
    )
    source = str(Path(__file__).parents[2] / "src")
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": source, "PATH": "/usr/bin:/bin"},
    )
    assert done.stdout.split() == ["True", "3.0"], done.stderr


def test_draws_that_are_shared_out_are_those_of_one_at_a_time(data, monkeypatch):
    monkeypatch.setattr(engine, "n_cores", lambda: 3)
    monkeypatch.setattr(engine, "CHUNK_LANES", 64)
    (part,) = engine_of(rw1a1b_fit, data, 2).parts
    x = np.random.default_rng(0).normal(size=(11, S, 2))
    values = engine.log_lik_draws(part.model, part.data, x)
    np.testing.assert_allclose(values, [engine.log_lik(part.model, part.data, one) for one in x], atol=1e-10)


# -- one person's search ----------------------------------------------------------------------------------------------


def curved(x):
    return float((x[0] ** 2 + x[0] * x[1] + 2 * x[1] ** 2) + 0.1 * x[0] ** 4)


def test_differences_give_gradient_and_hessian():
    x = np.array([0.5, -0.3])
    at = stencil(curved, x, step_sizes(x, None))
    np.testing.assert_allclose(at.grad, [2 * 0.5 - 0.3 + 0.4 * 0.125, 0.5 - 1.2], atol=1e-6)
    np.testing.assert_allclose(at.hess, [[2 + 1.2 * 0.25, 1.0], [1.0, 4.0]], atol=1e-5)
    assert at.clean


def test_differences_step_closer_to_a_wall():
    walled = lambda x: 1e7 if x[0] > 0.0005 else float(x[0] ** 2)  # noqa: E731
    at = stencil(walled, np.array([0.0]), np.array([1e-3]))
    assert at.clean
    np.testing.assert_allclose(at.hess, [[2.0]], atol=1e-4)
    assert not stencil(lambda x: 1e7, np.array([0.0]), np.array([1e-3])).clean


def test_a_warm_start_costs_few_evaluations():
    calls = []
    counted = lambda x: calls.append(1) or curved(x)  # noqa: E731
    prior = Quadratic(np.array([1.0, 1.0]), np.eye(2))
    rng = np.random.default_rng(0)
    cold = find_mode(counted, prior, np.zeros(2), None, Search(), 1e-9, rng)
    n_cold, _ = len(calls), calls.clear()
    moved = Quadratic(np.array([1.1, 0.9]), np.eye(2))
    warm = find_mode(counted, moved, cold.at.x, cold.at, Search(), 1e-9, rng)
    assert warm.positive
    np.testing.assert_allclose(warm.at.grad + moved.grad(warm.at.x), 0, atol=1e-5)
    assert len(calls) <= 2 * 7 < n_cold


def test_a_failed_search_is_repeated_from_elsewhere():
    # A plateau around the start, and a valley far from it.
    valley = lambda x: float(min(0.0, (abs(x[0] - 2.5) - 1) * 5) + 1e-9 * x[0] ** 2)  # noqa: E731
    prior = Quadratic(np.zeros(1), np.full((1, 1), 1e-4))
    stuck = find_mode(valley, prior, np.zeros(1), None, Search(max_restarts=0), 1e-6, np.random.default_rng(1))
    found = find_mode(valley, prior, np.zeros(1), None, Search(max_restarts=20), 1e-6, np.random.default_rng(1))
    assert valley(found.at.x) <= valley(stuck.at.x)


def test_the_e_step_of_any_function_is_a_laplace_approximation():
    likelihood = lambda x, data, prior: 0.5 * float(((data - x) ** 2).sum())  # noqa: E731
    people = [np.array([1.0, 2.0]), np.array([3.0])]
    estep = OpaqueEStep(likelihood, people, np.zeros((2, 1)))
    out = estep(PriorOfEach(np.zeros((2, 1)), np.eye(1), np.ones((2, 1))))
    np.testing.assert_allclose(out.mode[:, 0], [1.0, 1.5], atol=1e-6)
    np.testing.assert_allclose(out.cov[:, 0, 0], [1 / 3, 1 / 2], rtol=1e-6)
    np.testing.assert_allclose(out.log_det, np.log([3.0, 2.0]), atol=1e-6)
    np.testing.assert_array_equal(out.status, Status.CONVERGED)
    population = populate(Group(), names=["a"], mean=np.zeros(1), sd=np.ones(1), covariates={}, n_subjects=2).update(
        out
    )
    assert population.coef[0, 0] == pytest.approx(1.25, abs=1e-6)


@pytest.mark.parametrize("method", ["L-BFGS-B", "Nelder-Mead"])
def test_the_method_of_the_search_can_be_chosen(method):
    reference = EMModel(Y, gaussian_fit, ["mean"]).fit(verbose=0)
    result = EMModel(Y, branching_fit, ["mean"]).fit(
        verbose=0, optim_method=method, optim_options={"maxiter": 50}, max_restarts=0
    )
    np.testing.assert_allclose(result.posterior_mu, reference.posterior_mu, atol=1e-4)


def test_our_prior_object_works_with_functions_of_the_older_form():
    prior = GaussianPrior([0.0], [4.0])
    assert prior["logpdf"]([1.0]) == pytest.approx(stats.norm.logpdf(1.0, 0, 2))
    np.testing.assert_array_equal(prior["sigma"], [4.0])
    with pytest.raises(KeyError):
        prior["covariance"]


def test_transforms_are_traceable():
    assert float(norm2alpha(jnp.asarray(0.0))) == 0.5

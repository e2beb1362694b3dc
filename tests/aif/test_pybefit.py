"""Scripts written for pybefit: the notebook of pymdp's fitting example, and each name by itself."""

from __future__ import annotations

import copy
import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.diagnostics import effective_sample_size
from numpyro.infer import MCMC, NUTS, SVI, Predictive, Trace_ELBO
from numpyro.infer.autoguide import AutoNormal
from numpyro.infer.util import potential_energy
from numpyro.optim import Adam

import pyem
from pyem.aif import TMaze, from_pymdp, join_blocks, pymdp_data
from pyem.compat import pybefit
from tests.aif import notebook_of_pymdp
from tests.aif.test_pymdp import Transform

pytest.importorskip("pymdp", reason="pymdp is not installed (the extra [aif])")
pytestmark = [
    pytest.mark.filterwarnings("ignore:A JAX array is being set as static"),
    pytest.mark.filterwarnings("ignore:Explicitly requested dtype"),
]


def program(transform, *, prior=None, task=None, agents=2, blocks=3, trials=4, params=1):
    prior = prior or pybefit.Normal(params, agents)
    said = {"task": task or TMaze(), "num_blocks": blocks, "num_trials": trials, "num_agents": agents}
    return pybefit.NumpyroModel(prior, transform, pybefit.pymdp_likelihood, opts={"likelihood": said})


def measured(model, key=1):
    played = Predictive(model, num_samples=1)(jax.random.PRNGKey(key))
    outcomes = [outcome[0] for outcome in played["outcomes"]]
    return played, {"outcomes": outcomes, "multiactions": played["multiactions"][0]}


# -- the notebook -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(not notebook_of_pymdp.PAGE.exists(), reason="the text of the notebook is not here")
def test_the_notebook_runs_and_its_posteriors_are_the_exact_ones(capsys):
    import matplotlib

    matplotlib.use("Agg")
    names = {}
    exec(compile(notebook_of_pymdp.source(), "notebook", "exec"), names)
    assert capsys.readouterr().out.count("reward-probability Pearson r") == 2
    assert names["frames"].shape[0] == 5
    assert names["results"].losses.shape == (1000,)
    model = names["model"]
    data = model.data(names["measurements"])
    exact = pyem.fit_grid(model.model, data, group=None, mean=0.0, sd=1.0)
    to_probability = lambda z: 0.5 + 0.5 / (1 + np.exp(-np.asarray(z)))  # noqa: E731
    truth = to_probability(names["samples"]["z"][0, :, 0])
    r = lambda z: np.corrcoef(truth, to_probability(z))[0, 1]  # noqa: E731
    sd = np.sqrt(exact.cov[:, 0, 0])
    for draws, error in ((names["mcmc_samples"]["z"], 0.5), (names["svi_samples"]["z"], 0.5)):
        mean = np.asarray(draws).mean(0)[:, 0]
        assert abs(r(mean) - r(exact.params[:, 0])) < 0.02
        # A hundred draws; those of variational inference are of a normal posterior, where the true one is skewed.
        assert np.abs((mean - exact.params[:, 0]) / sd).max() < error
    # This library's own fits of the same data.
    alone = {"group": None, "mean": 0.0, "sd": 1.0, "key": 1}
    nuts = pyem.fit_nuts(model.model, data, **alone, chains=2, draws=500)
    bayes = pyem.fit_bayes(model.model, data, **alone)
    for fit, independent in ((nuts, effective_sample_size(nuts.posterior["x"][..., 0])), (bayes, bayes.n_draws)):
        errors = np.sqrt(independent) * (fit.x - exact.params)[:, 0] / sd
        assert np.abs(errors).max() < 4.5
        np.testing.assert_allclose(np.sqrt(fit.cov[:, 0, 0]), sd, rtol=0.12)


# -- what is played -----------------------------------------------------------------------------------------------------


def test_what_is_played_has_pybefits_shapes_and_can_be_compiled():
    model = program(Transform())
    played, _ = measured(model)
    assert played["z"].shape == (1, 2, 1)
    assert [o.shape for o in played["outcomes"]] == [(1, 3, 2, 5)] * 3
    assert played["multiactions"].shape == (1, 3, 2, 4, 2)
    np.testing.assert_allclose(played["multiaction_probs"].sum(-1), 1, atol=1e-5)
    assert [b.shape for b in played["beliefs"]] == [(1, 3, 2, 4, 5), (1, 3, 2, 4, 2)]
    # The place is seen: after each move it is where the move leads.
    place, moves = np.asarray(played["outcomes"][0][0]), np.asarray(played["multiactions"][0, ..., 0])
    B = TMaze().B[0]
    assert (B[place[..., 1:], place[..., :-1], moves] == 1).all()
    # The environment's own states: the place is the one seen, and the side of the reward stays.
    where, side = played["states"]
    assert where.dtype == side.dtype == jnp.int32
    np.testing.assert_array_equal(where[0], place)
    assert side.shape == (1, 3, 2, 5)
    assert (np.diff(side) == 0).all()
    # The cue, which is valid here, tells the side.
    cue = np.asarray(played["outcomes"][2])
    assert (cue == np.where(where == 3, 1 + side, 0)).all()
    assert (cue > 0).any()
    twice = jax.jit(lambda key: Predictive(model, num_samples=2)(key))
    with pytest.raises(ValueError, match=r"call numpyro.enable_x64\(\)"):
        twice(jax.random.PRNGKey(1))
    with jax.enable_x64(True):
        again = twice(jax.random.PRNGKey(1))
    assert [o.shape for o in again["outcomes"]] == [(2, 3, 2, 5)] * 3
    assert (np.diff(again["multiactions"][..., 0], axis=0) != 0).any()


def test_several_samples_may_be_played_first():
    key = jax.random.PRNGKey(1)
    with pytest.raises(ValueError, match="Predictive of several samples needs it, too, or parallel=True"):
        Predictive(program(Transform()), num_samples=2)(key)
    several = Predictive(program(Transform()), num_samples=2, parallel=True)(key)
    assert several["multiactions"].shape == (2, 3, 2, 4, 2)
    with jax.enable_x64(True):
        one_after_another = Predictive(program(Transform()), num_samples=2)(key)
    assert one_after_another["multiactions"].shape == (2, 3, 2, 4, 2)


def test_environments_with_steps_of_their_own_are_played_by_them():
    from pymdp.envs import TMaze as Theirs

    class Always(Theirs):
        """A maze that pays nothing."""

        def step(self, key, state, action, env_params=None):
            outcomes, state = super().step(key, state, action, env_params)
            return [outcomes[0], jnp.zeros_like(outcomes[1]), outcomes[2]], state

    paid, _ = measured(program(Transform(), task=Theirs(reward_probability=0.8, cue_validity=1.0), blocks=20))
    assert np.unique(paid["outcomes"][1]).tolist() == [0, 1, 2]
    unpaid, data = measured(program(Transform(), task=Always(reward_probability=0.8, cue_validity=1.0), blocks=20))
    for played in (paid, unpaid):
        np.testing.assert_array_equal(np.squeeze(played["states"][0]), np.squeeze(played["outcomes"][0]))
    assert np.unique(unpaid["outcomes"][1]).tolist() == [0]
    assert np.unique(data["multiactions"][..., 0]).size > 2


# -- what is fitted -----------------------------------------------------------------------------------------------------


def test_the_likelihood_is_that_of_from_pymdp():
    transform = Transform(2, 0.8)
    model = program(transform, params=2)
    _, data = measured(model)
    z = np.array([[0.3, -0.2], [1.0, 0.5]])
    ours = from_pymdp(transform, parameters=2)
    expected = pyem.log_lik(ours, pymdp_data(data, ours), z)
    for run in (model.given(data), lambda: model(data)):
        with numpyro.handlers.seed(rng_seed=0), numpyro.handlers.substitute(data={"z": jnp.asarray(z)}):
            sites = numpyro.handlers.trace(run).get_trace()
        np.testing.assert_allclose(sites["log_likelihood"]["fn"].log_factor, np.sum(expected), rtol=1e-6)


@pytest.mark.parametrize("kind", ["Normal", "NormalGamma", "RegularisedHorseshoe"])
def test_every_prior_is_fitted_by_both_methods(kind):
    prior = getattr(pybefit, kind)(1, 2)
    model = program(Transform(), prior=prior)
    _, data = measured(model)
    few = {"num_warmup": 10, "num_samples": 5, "sampler_kwargs": {"mcmc": {"progress_bar": False}}}
    given = copy.deepcopy(few)
    samples, mcmc = pybefit.run_nuts(model, data, opts=few)
    assert few == given
    assert samples["z"].shape == (5, 2, 1)
    assert samples["z"].dtype == jnp.float32
    assert mcmc.num_samples == 5
    guide = pybefit.NumpyroGuide(getattr(pybefit, f"{kind}Posterior")(1, 2))
    steps = {"iter_steps": 20, "svi_kwargs": {"progress_bar": False}, "elbo_kwargs": {"num_particles": 2}}
    draws, _, results = pybefit.run_svi(model, guide, data, opts=pybefit.default_dict_numpyro_svi | steps)
    assert draws["z"].shape == (100, 2, 1)
    assert results.losses.shape == (20,)
    assert np.isfinite(results.losses).all()
    assert np.isfinite(draws["z"]).all()


def heights(data):
    """A program of NumPyro with a parameter that is positive and a site that is computed."""
    mu = numpyro.sample("mu", dist.Normal(0.0, 2.0))
    sd = numpyro.sample("sd", dist.HalfNormal(1.0))
    numpyro.deterministic("z", mu / sd)
    numpyro.sample("y", dist.Normal(mu, sd), obs=data["y"])


@pytest.mark.filterwarnings("ignore:There are not enough devices")
@pytest.mark.parametrize(("chains", "thinning"), [(1, 1), (2, 3)])
def test_chains_are_those_of_numpyro(chains, thinning):
    data = {"y": np.random.default_rng(1).normal(1.0, 0.5, 40)}
    how = {"num_chains": chains, "thinning": thinning, "progress_bar": False}
    opts = {"seed": 3, "num_warmup": 60, "num_samples": 20, "sampler_kwargs": {"kernel": {}, "mcmc": how}}
    samples, ours = pybefit.run_nuts(heights, data, opts=opts)
    with jax.enable_x64(True):
        theirs = MCMC(NUTS(lambda: heights(data)), num_warmup=60, num_samples=20, **how)
        theirs.run(jax.random.PRNGKey(3))
        for grouped in (True, False):
            assert sorted(ours.get_samples(grouped)) == ["mu", "sd", "z"]
            for name, draws in theirs.get_samples(grouped).items():
                np.testing.assert_allclose(ours.get_samples(grouped)[name], draws, rtol=1e-6)
        np.testing.assert_allclose(samples["sd"], theirs.get_samples()["sd"], rtol=1e-5)
        assert (ours.get_extra_fields()["diverging"] == theirs.get_extra_fields()["diverging"]).all()
        np.testing.assert_allclose(ours.last_state.z["mu"], theirs.last_state.z["mu"], rtol=1e-6)
        ours.print_summary()


@pytest.mark.parametrize("stable", [False, True])
@pytest.mark.parametrize("particles", [{}, {"num_particles": 3}, {"num_particles": 3, "vectorize_particles": True}])
def test_steps_of_variational_inference_are_those_of_numpyro(stable, particles):
    data = {"y": np.random.default_rng(1).normal(1.0, 0.5, 40)}
    guide = AutoNormal(heights)
    opts = {"seed": 5, "iter_steps": 70, "optim": Adam(0.01), "elbo_kwargs": particles}
    opts |= {"svi_kwargs": {"progress_bar": False, "stable_update": stable}}
    samples, _, ours = pybefit.run_svi(heights, guide, data, opts=opts)
    with jax.enable_x64(True):
        svi = SVI(lambda: heights(data), lambda: guide(data), Adam(0.01), Trace_ELBO(**particles))
        theirs = svi.run(jax.random.split(jax.random.PRNGKey(5))[0], 70, progress_bar=False, stable_update=stable)
    assert samples["mu"].shape == (100,)
    np.testing.assert_allclose(ours.losses, theirs.losses, rtol=1e-5)
    for name, value in theirs.params.items():
        np.testing.assert_allclose(ours.params[name], value, rtol=1e-4)


@pytest.mark.slow
def test_steps_from_a_compiled_start_are_those_of_numpyro():
    model, guide = program(Transform()), pybefit.NumpyroGuide(pybefit.NormalPosterior(1, 2))
    _, data = measured(model)
    opts = {"seed": 5, "iter_steps": 4, "optim": Adam(0.01), "elbo_kwargs": {"num_particles": 2}}
    samples, _, ours = pybefit.run_svi(model, guide, data, opts=opts | {"svi_kwargs": {"progress_bar": False}})
    run, posterior = model.given(data), lambda: guide(data)
    with jax.enable_x64(True):
        key, draw = jax.random.split(jax.random.PRNGKey(5))
        svi = SVI(run, posterior, Adam(0.01), Trace_ELBO(num_particles=2, vectorize_particles=False))
        theirs = svi.run(key, 4, progress_bar=False)
        drawn = Predictive(posterior, params=theirs.params, num_samples=100)(draw)
    np.testing.assert_allclose(ours.losses, theirs.losses, rtol=1e-6)
    np.testing.assert_allclose(samples["z"], drawn["z"], rtol=1e-5)


def test_the_likelihood_has_the_same_gradient_by_itself_and_compiled():
    model = program(Transform())
    _, data = measured(model)
    run = model.given(data)
    with jax.enable_x64(True):
        negative = lambda z: potential_energy(run, (), {}, {"z": z})  # noqa: E731
        z = jnp.array([[0.3], [1.0]])
        alone, compiled = jax.value_and_grad(negative)(z), jax.jit(jax.value_and_grad(negative))(z)
    np.testing.assert_allclose(alone[0], compiled[0], rtol=1e-12)
    np.testing.assert_allclose(alone[1], compiled[1], rtol=1e-9)
    assert np.abs(alone[1]).min() > 1e-3


def test_learning_agents_keep_what_they_learned_across_blocks():
    class Learns(Transform):
        def __call__(self, z):
            agent = super().__call__(z)
            return type(agent)(
                agent.A,
                agent.B,
                C=agent.C,
                D=agent.D,
                pA=[4.0 * a for a in agent.A],
                A_dependencies=agent.A_dependencies,
                B_dependencies=agent.B_dependencies,
                learn_A=True,
                batch_size=len(z),
                **self.options,
            )

    model = program(Learns(validity=0.8), blocks=4)
    played, data = measured(model)
    assert played["multiactions"].shape == (1, 4, 2, 4, 2)
    z = np.array([[0.3], [1.0]])
    afresh, kept = (from_pymdp(Learns(validity=0.8), learn_across_blocks=keep) for keep in (False, True))
    by_block = pymdp_data(data, afresh)
    joined = join_blocks(pymdp_data(data, kept))
    assert kept.inputs[0] == "start"
    assert model.model.inputs == kept.inputs
    assert np.abs(pyem.log_lik(afresh, by_block, z) - pyem.log_lik(kept, joined, z)).min() > 1e-3
    with numpyro.handlers.seed(rng_seed=0), numpyro.handlers.substitute(data={"z": jnp.asarray(z)}):
        sites = numpyro.handlers.trace(model.given(data)).get_trace()
    np.testing.assert_allclose(sites["log_likelihood"]["fn"].log_factor, pyem.log_lik(kept, joined, z).sum(), rtol=1e-6)


# -- what is refused ----------------------------------------------------------------------------------------------------


def test_wrong_options_and_data_are_refused_in_words():
    said = {"task": TMaze(), "num_blocks": 1, "num_agents": 1}
    with pytest.raises(ValueError, match=r"opts\['likelihood'\] lacks num_trials"):
        pybefit.NumpyroModel(pybefit.Normal(1, 1), Transform(), opts={"likelihood": said})
    model = program(Transform())
    if importlib.util.find_spec("funsor") is None:
        with pytest.raises(ImportError, match="enumerate=True sums over discrete sites with funsor; install it"):
            pybefit.run_svi(lambda data: None, lambda data: None, {}, opts={"enumerate": True})
    with pytest.raises(ValueError, match="unknown option 'draws'"):
        pybefit.run_nuts(model, {}, opts={"draws": 5})
    _, data = measured(program(Transform(), agents=3))
    with pytest.raises(ValueError, match="measurements have 3 agents, but opts say num_agents=2"):
        model.given(data)
    with pytest.raises(ValueError, match="needs a key"), numpyro.handlers.block():
        numpyro.handlers.substitute(model, data={"z": jnp.zeros((2, 1))})()
    with pytest.raises(ValueError, match="backend='pyro'"):
        pybefit.Normal(1, 1, backend="pyro")
    with pytest.raises(TypeError, match="given to NumpyroModel, not called"):
        pybefit.pymdp_likelihood()

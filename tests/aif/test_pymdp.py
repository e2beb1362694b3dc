"""The same numbers as pymdp's own `Agent`, driven directly; agents and data made for pymdp."""

from __future__ import annotations

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pyem
from pyem import Interval, Parameter, Positive, rollout
from pyem.aif import DiscretePOMDP, TMaze, from_pymdp, pymdp_data
from pyem.aif.maze import MAZE_DEPENDENCIES, maze_cues, maze_outcomes
from pyem.engine.evaluate import log_lik, trial_values, value_grad_hess
from pyem.engine.layout import batch

pytest.importorskip("pymdp", reason="pymdp is not installed (the extra [aif])")
pytestmark = pytest.mark.filterwarnings("ignore:A JAX array is being set as static")

VALIDITIES = (1.0, 0.8)


# -- a maze with one and two free parameters, ours and pymdp's ---------------------------------------------------------


class MazeA:
    def __init__(self, validity):
        self.validity = validity

    def __call__(self, p):
        return [np.eye(5), maze_outcomes(p.r), maze_cues(self.validity)]


def maze_C(p):
    strength = p.c if "c" in p else 1.2
    return [np.zeros(5), strength * np.array([0.0, 1.0, -1.0]), np.zeros(3)]


def ours(n_params, validity, inference):
    task = TMaze(cue_validity=validity)
    agent = DiscretePOMDP(
        A=MazeA(validity),
        B=task.B,
        C=maze_C,
        D=task.D,
        A_dependencies=MAZE_DEPENDENCIES,
        policy_len=2,
        inference=inference,
    )
    parameters = [Parameter("r", Interval(0.5, 1)), Parameter("c", Positive())][:n_params]
    return agent.model("maze", parameters, task=task)


class Transform:
    """Agents of pymdp in the maze: z to the believed reward probability, and to the strength of preferences."""

    def __init__(self, n_params=1, validity=1.0, **options):
        self.n_params, self.validity = n_params, validity
        self.options = {"action_selection": "stochastic", "policy_len": 2} | options

    def __call__(self, z):
        from pymdp.agent import Agent

        n = z.shape[0]
        task = TMaze(cue_validity=self.validity)
        every = lambda a: jnp.broadcast_to(jnp.asarray(a), (n, *np.shape(a)))  # noqa: E731
        r = 0.5 + 0.5 * jax.nn.sigmoid(z[:, 0])
        c = jnp.exp(z[:, 1]) if self.n_params > 1 else jnp.full(n, 1.2)
        return Agent(
            [every(np.eye(5)), jax.vmap(maze_outcomes)(r), every(task.A[2])],
            [every(b) for b in task.B],
            C=[jnp.zeros((n, 5)), c[:, None] * jnp.array([0.0, 1.0, -1.0]), jnp.zeros((n, 3))],
            D=[every(d) for d in task.D],
            A_dependencies=[list(d) for d in MAZE_DEPENDENCIES],
            B_dependencies=[[0], [1]],
            batch_size=n,
            **(self.options | ({"H": [jnp.asarray(h, z.dtype) for h in H]} if (H := self.options.get("H")) else {})),
        )


def drive(transform, z, observations, actions, controls):
    """Log-probability of the actions (trial, lane) of pymdp's agents with parameters z (lane, P), in one scan."""
    agent = transform(z)

    def step(prior, xs):
        outcomes, action = xs
        qs = agent.infer_states([o[:, None] for o in outcomes], prior)
        q_pi, _ = agent.infer_policies(qs)
        probabilities = agent.multiaction_probabilities(q_pi)
        log_p = jnp.log(jnp.take_along_axis(probabilities, action[:, None], 1)[:, 0])
        multi = jnp.stack(jnp.unravel_index(action, controls), axis=-1)
        return agent.update_empirical_prior(multi, qs), log_p

    return jax.lax.scan(step, agent.D, (observations, actions))[1]


def pymdp_value_and_grad(transform, data, x, columns, controls):
    """Log-likelihood and gradient of each subject in double precision, by pymdp."""
    with jax.enable_x64(True):
        observations = [jnp.asarray(data.fields[c]) for c in columns]
        actions = jnp.asarray(data.fields["action"])

        def lanes(x):
            return drive(transform, x[data.lane_subject], observations, actions, controls).sum(0)

        function = jax.jit(
            lambda x: [jax.jvp(lanes, (x,), (jnp.zeros_like(x).at[:, k].set(1.0),)) for k in range(x.shape[1])]
        )
        parts = function(jnp.asarray(x))
        by_subject = lambda values: np.bincount(data.lane_subject, np.asarray(values))  # noqa: E731
        return by_subject(parts[0][0]), np.stack([by_subject(tangent) for _, tangent in parts], axis=1)


@pytest.fixture(scope="module")
def played():
    """500 decisions in mazes with a reliable and an unreliable cue."""
    return {v: pyem.simulate(ours(1, v, "exact"), subjects=2, blocks=50, trials=5, key=3) for v in VALIDITIES}


@pytest.mark.parametrize(("n_params", "validity"), [(1, 1.0), (2, 0.8)])
def test_likelihood_and_gradient_are_those_of_pymdp(played, n_params, validity):
    data = played[validity]
    x = np.random.default_rng(n_params).normal(size=(2, n_params))
    transform = Transform(n_params, validity)
    value, grad = pymdp_value_and_grad(transform, data, x, ("o0", "o1", "o2"), (5, 1))
    for inference in ("exact", "mean_field"):
        mine, slope, _ = value_grad_hess(ours(n_params, validity, inference), data, x)
        np.testing.assert_allclose(mine, value, rtol=0, atol=1e-9)
        np.testing.assert_allclose(slope, grad, rtol=0, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(("n_params", "validity"), [(1, 0.8), (2, 1.0)])
def test_likelihood_and_gradient_are_those_of_pymdp_in_the_other_mazes(played, n_params, validity):
    test_likelihood_and_gradient_are_those_of_pymdp(played, n_params, validity)


def test_single_precision_is_within_a_thousandth_of_pymdp(played):
    data = played[0.8]
    model, x = ours(2, 0.8, "mean_field"), np.array([[0.3, 0.2], [-0.8, 0.5]])
    observations = [jnp.asarray(data.fields[c]) for c in ("o0", "o1", "o2")]
    z = jnp.asarray(x, jnp.float32)[data.lane_subject]
    theirs = drive(Transform(2, 0.8), z, observations, jnp.asarray(data.fields["action"]), (5, 1))
    mine = rollout(model, z.T, jax.tree.map(jnp.asarray, data.trials(model)))
    assert theirs.dtype == mine.dtype == jnp.float32
    by_subject = lambda values: np.bincount(data.lane_subject, np.asarray(values, float))  # noqa: E731
    np.testing.assert_allclose(by_subject(mine), by_subject(theirs.sum(0)), rtol=0, atol=1e-3)


def test_the_arrays_of_the_maze_are_pymdps():
    from pymdp.envs import TMaze as Theirs

    for options in (
        {"reward_probability": 0.8, "cue_validity": 1.0, "dependent_outcomes": True},
        {"reward_probability": 0.7, "cue_validity": 0.9, "dependent_outcomes": False, "punishment_probability": 0.4},
    ):
        mine, theirs = TMaze(**options), Theirs(**options)
        for kind in "ABD":
            for a, b in zip(getattr(mine, kind), getattr(theirs, kind), strict=True):
                np.testing.assert_allclose(a, np.asarray(b), atol=1e-7)
        assert [list(d) for d in mine.A_dependencies] == theirs.A_dependencies


# -- another environment ------------------------------------------------------------------------------------------------


class Chained:
    """An agent in pymdp's cue-chaining grid: three factors, four modalities; z sets the preference and the precision."""

    def __init__(self):
        from pymdp.envs.cue_chaining import CueChainingEnv

        self.env = CueChainingEnv(
            grid_shape=(2, 3), cue1_location=(0, 1), cue2_locations=((1, 0), (1, 1)), reward_locations=((0, 2), (1, 2))
        )

    def __call__(self, z):
        from pymdp.agent import Agent

        n, env = z.shape[0], self.env
        every = lambda a: jnp.broadcast_to(jnp.asarray(a, z.dtype), (n, *a.shape))  # noqa: E731
        sizes = [a.shape[0] for a in env.A]
        C = [jnp.zeros((n, k)) for k in sizes]
        C[-1] = jnp.exp(z[:, :1]) * jnp.array([0.0, 1.0, -1.0])
        return Agent(
            [every(a) for a in env.A],
            [every(b) for b in env.B],
            C=C,
            D=[every(d) for d in env.D],
            A_dependencies=env.A_dependencies,
            B_dependencies=env.B_dependencies,
            policy_len=2,
            gamma=jnp.exp(z[:, 1]),
            action_selection="stochastic",
            batch_size=n,
        )


def test_another_environment_of_pymdp():
    transform = Chained()
    model = from_pymdp(transform, transform.env, parameters=2)
    data = pyem.simulate(model, [[0.5, 0.2], [-0.3, -0.1]], blocks=20, trials=8, key=5)
    x = np.array([[0.1, 0.4], [-0.5, 0.3]])
    value, grad = pymdp_value_and_grad(transform, data, x, model.inputs, (5, 1, 1))
    mine, slope, _ = value_grad_hess(model, data, x)
    np.testing.assert_allclose(mine, value, rtol=0, atol=1e-9)
    np.testing.assert_allclose(slope, grad, rtol=0, atol=1e-9)


# -- from_pymdp ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kernel", ["own", "pymdp"])
def test_a_transform_becomes_a_model(played, kernel):
    data, x = played[0.8], np.array([[0.3, 0.2], [-0.8, 0.5]])
    model = from_pymdp(Transform(2, 0.8), TMaze(cue_validity=0.8), parameters=["r", "c"], kernel=kernel)
    assert model.names == ("r", "c")
    assert ("own" if kernel == "pymdp" else "this library") in model.doc
    expected = value_grad_hess(ours(2, 0.8, "mean_field"), data, x)
    found = value_grad_hess(model, data, x)
    assert "counts" in batch(model, data).shards[0].trials
    for mine, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-9, atol=1e-9)


def test_pymdps_own_functions_with_missing_values(played):
    data = played[0.8]
    rng = np.random.default_rng(0)
    present = {name: here & (rng.uniform(size=here.shape) > 0.1) for name, here in data.present.items()}
    gaps = pyem.Dataset(
        **{**{k: v for k, v in vars(data).items() if k not in ("truth", "log_lik", "model")}, "present": present}
    )
    x = np.array([[0.3], [-0.8]])
    theirs = from_pymdp(Transform(1, 0.8), kernel="pymdp")
    np.testing.assert_allclose(
        trial_values(theirs, gaps, x)["log_lik"],
        trial_values(ours(1, 0.8, "mean_field"), gaps, x)["log_lik"],
        atol=1e-9,
    )


def test_precision_of_actions_is_in_the_likelihood(played):
    data, x = played[1.0], np.array([[0.3], [-0.8]])
    values = [
        trial_values(from_pymdp(Transform(alpha=2.5), kernel=kernel), data, x)["log_lik"] for kernel in ("own", "pymdp")
    ]
    np.testing.assert_allclose(*values, atol=1e-9)
    plain = trial_values(from_pymdp(Transform()), data, x)["log_lik"]
    assert np.abs(plain - values[0]).max() > 0.1


def test_what_our_kernel_does_not_cover_is_left_to_pymdp():
    H = [jnp.eye(5)[1][None], jnp.zeros((1, 2))]
    with pytest.warns(UserWarning, match="inductive inference.*pymdp's own inference"):
        model = from_pymdp(Transform(use_inductive=True, H=H), TMaze())
    assert "pymdp's own" in model.doc
    data = pyem.simulate(model, [[0.2]], blocks=3, trials=4, key=1)
    assert np.isfinite(data.log_lik).all()
    with pytest.raises(ValueError, match="kernel='own', but the agent uses inductive"):
        from_pymdp(Transform(use_inductive=True, H=H), kernel="own")


def test_arrays_of_single_precision_that_pymdp_stumbles_over():
    H = [np.eye(5, dtype=np.float32)[1][None], np.zeros((1, 2), np.float32)]

    def transform(z):
        agent = Transform()(z)
        return type(agent)(
            agent.A, agent.B, A_dependencies=agent.A_dependencies, H=[jnp.asarray(h) for h in H], use_inductive=True
        )

    with pytest.raises(ValueError, match=r"failed .* give arrays that are made outside of it the type of z"):
        from_pymdp(transform)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learn_C": True}, "learn_C=True, which pymdp accepts and ignores"),
        ({"learn_D": True}, "learn_D=True.*this library learns D"),
        ({"learn_E": True}, "learn_E=True"),
        ({"action_selection": "deterministic"}, "action_selection='deterministic', which pymdp's likelihood ignores"),
        ({"sampling_mode": "marginal"}, "fails in batches"),
        ({"categorical_obs": True}, "categorical_obs=True"),
        ({"inference_algo": "mmp"}, "forgets the rest"),
        ({"learn_B": True, "learning_mode": "offline"}, "use 'fpi' and 'online'"),
        ({"learn_B": True, "inference_algo": "ovf"}, "use 'fpi' and 'online'"),
        ({"learn_B": True}, "learn_B=True, but no prior counts pB"),
    ],
)
def test_what_pymdp_ignores_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        from_pymdp(Transform(**options))


def test_transforms_that_do_not_fit():
    with pytest.raises(ValueError, match=r"transform\(z\) failed for z of shape \(1, 1\)"):
        from_pymdp(lambda z: Transform(2)(z[:, :0]))
    with pytest.raises(ValueError, match="should return a pymdp Agent"):
        from_pymdp(lambda z: z)
    with pytest.raises(ValueError, match="returned 3 agents for one row"):
        from_pymdp(lambda z: Transform()(jnp.zeros((3, 1))))
    with pytest.raises(ValueError, match="3 modalities, but 2 columns"):
        from_pymdp(Transform(), observations=("a", "b"))
    with pytest.raises(ValueError, match="neither arrays A, B and D nor reset and step"):
        from_pymdp(Transform(), task=object())
    with pytest.raises(ValueError, match="choose 'auto', 'own' or 'pymdp'"):
        from_pymdp(Transform(), kernel="fast")


# -- learning -----------------------------------------------------------------------------------------------------------


def test_learning_of_likelihoods_and_transitions_is_pymdps():
    rng = np.random.default_rng(2)
    pA = [rng.uniform(0.5, 3, (1, 3, 2))]
    pB = [rng.uniform(0.5, 3, (1, 2, 2, 2))]

    def transform(z):
        from pymdp.agent import Agent

        n = z.shape[0]
        every = lambda a: jnp.broadcast_to(jnp.asarray(a), (n, *a.shape[1:]))  # noqa: E731
        return Agent(
            [every(pA[0] / pA[0].sum(1, keepdims=True))],
            [every(pB[0] / pB[0].sum(1, keepdims=True))],
            C=[jnp.exp(z[:, :1]) * jnp.array([1.0, 0.0, -1.0])],
            D=[jnp.full((n, 2), 0.5)],
            pA=[every(pA[0])],
            pB=[every(pB[0])],
            policy_len=2,
            learn_A=True,
            learn_B=True,
            use_param_info_gain=True,
            action_selection="stochastic",
            batch_size=n,
        )

    model = from_pymdp(transform)
    seen, acted = rng.integers(0, 3, 7), rng.integers(0, 2, 7)
    data = pyem.Dataset.from_arrays({"o0": seen[None, None], "action": acted[None, None]})
    found = trial_values(model, data, np.array([[0.3]]))["log_lik"][:, 0]
    with jax.enable_x64(True), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        agent = transform(jnp.array([[0.3]]))
        prior, before, expected = agent.D, None, []
        for t, (o, u) in enumerate(zip(seen, acted, strict=True)):
            outcome = [jnp.array([[o]])]
            qs = agent.infer_states(outcome, prior)
            q_pi, _ = agent.infer_policies(qs)
            expected.append(float(jnp.log(agent.multiaction_probabilities(q_pi)[0, u])))
            last = jnp.full((1, 1), -1 if t == 0 else acted[t - 1])
            pair = qs if before is None else [jnp.concatenate([a, b], axis=1) for a, b in zip(before, qs, strict=True)]
            agent = agent.infer_parameters(qs, outcome, last[:, None] if t else last, beliefs_B=pair if t else None)
            before = qs
            prior = agent.update_empirical_prior(jnp.array([[u]]), qs)
    np.testing.assert_allclose(found, expected, atol=1e-9)


# -- the workflow of pymdp's documentation --------------------------------------------------------------------------------


class Documented:
    """A transform as in pymdp's example of parameter recovery, with the arrays of its own environment."""

    def __init__(self):
        from pymdp.envs import TMaze as Theirs

        self.task = Theirs(reward_probability=0.8, cue_validity=1.0, dependent_outcomes=True)

    def __call__(self, z):
        from pymdp.agent import Agent

        n = z.shape[0]
        r = 0.5 + 0.5 * jax.nn.sigmoid(z[..., 0])
        every = lambda arrays: [jnp.broadcast_to(jnp.asarray(a), (n, *a.shape)) for a in arrays]  # noqa: E731
        A = every(self.task.A)
        zero = jnp.zeros((n, 2))
        left, right = jnp.stack([r, 1 - r], -1), jnp.stack([1 - r, r], -1)
        side = jnp.broadcast_to(jnp.array([[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]), (n, 3, 2))
        in_left, in_right = jnp.stack([zero, left, right], axis=-2), jnp.stack([zero, right, left], axis=-2)
        A[1] = jnp.stack([side, in_left, in_right, side, side], axis=-2)
        C = [jnp.zeros((n, 5)), jnp.full((n, 1), 1.2) * jnp.array([0.0, 1.0, -1.0]), jnp.zeros((n, 3))]
        return Agent(
            A,
            every(self.task.B),
            C=C,
            D=[jnp.zeros((n, 5)).at[:, 0].set(1.0), jnp.full((n, 2), 0.5)],
            policy_len=2,
            A_dependencies=self.task.A_dependencies,
            B_dependencies=self.task.B_dependencies,
            batch_size=n,
            action_selection="stochastic",
        )


def test_the_documented_workflow(played):
    transform, data = Documented(), played[1.0]
    x = np.array([[0.3], [-0.8]])
    expected = log_lik(ours(1, 1.0, "mean_field"), data, x)
    for kernel in ("auto", "pymdp"):
        model = from_pymdp(transform, transform.task, kernel=kernel)
        assert model.names == ("z0",)
        np.testing.assert_allclose(log_lik(model, data, x), expected, rtol=0, atol=1e-6)
    simulated = pyem.simulate(model, [[0.3]], blocks=4, trials=5, key=2)
    assert set(simulated.fields) == {"o0", "o1", "o2", "action"}


# -- data ---------------------------------------------------------------------------------------------------------------


def test_data_in_the_layout_of_pymdps_fits(played):
    data = played[1.0]
    model = from_pymdp(Transform())
    grid = lambda name: data.fields[name].reshape(5, 2, 50).transpose(2, 1, 0)  # noqa: E731
    last = lambda a: np.concatenate([a, np.zeros((50, 2, 1), int)], axis=2)  # noqa: E731
    measurements = {
        "outcomes": [last(grid(name)) for name in ("o0", "o1", "o2")],
        "multiactions": np.stack([grid("action"), np.zeros((50, 2, 5), int)], axis=-1),
    }
    again = pymdp_data(measurements, model, subjects=["a", "b"])
    assert again.subjects.tolist() == ["a", "b"]
    for name in ("o0", "o1", "o2", "action"):
        np.testing.assert_array_equal(again.fields[name], data.fields[name])
    measurements["multiactions"][0, 1, 2] = -1
    assert int((~pymdp_data(measurements, model).present["action"]).sum()) == 1
    with pytest.raises(ValueError, match="expected 'outcomes' and 'multiactions'"):
        pymdp_data({"outcomes": []}, model)
    with pytest.raises(ValueError, match="3 modalities"):
        pymdp_data(measurements | {"outcomes": measurements["outcomes"][:1]}, model)
    with pytest.raises(ValueError, match="2 factors"):
        pymdp_data(measurements | {"multiactions": measurements["multiactions"][..., :1]}, model)
    with pytest.raises(ValueError, match=r"outcomes of 'o0' have shape \(50, 2, 4\)"):
        pymdp_data(measurements | {"outcomes": [grid(n)[:, :, :4] for n in ("o0", "o1", "o2")]}, model)

# pyright: reportArgumentType=false
"""Active-inference agents as models: a discrete POMDP given by functions of the parameters."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from pyem.aif.filtering import Exact, Generative, Inference, MeanField, always, log_floored
from pyem.aif.learning import Learning, evidence_A, evidence_B, evidence_D, expected, learned, weight_of
from pyem.aif.planning import Counts, Plan, Terms, plan
from pyem.aif.structure import Structure, infer_structure
from pyem.distribution import Categorical
from pyem.model import Model, Parameter, Record

LARGEST_JOINT = 512
"""Joint states up to which exact inference is offered: its transitions have this number squared of entries."""


class Constant:
    """Arrays that do not depend on the parameters, compared by value so that equal agents share a compilation."""

    def __init__(self, arrays: Sequence[Any]) -> None:
        self.arrays = [np.asarray(a, float) for a in arrays]
        self._key = tuple((a.shape, a.tobytes()) for a in self.arrays)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constant) and self._key == other._key

    def __call__(self, p: Any) -> list[np.ndarray]:
        """The arrays, whatever the parameters. What follows from them alone is computed by NumPy, not compiled."""
        return self.arrays


Arrays = Sequence[Any] | Callable[[Record], Sequence[Any]]
Scalar = float | Callable[[Record], Any]


def _frozen(value: Any, *, single: bool = False) -> Any:
    if value is None or callable(value):
        return value
    return Constant([value] if single else value)


@dataclasses.dataclass(frozen=True)
class DiscretePOMDP:
    """An agent that infers hidden states from outcomes and chooses policies of least expected free energy.

    Arrays have the shapes that pymdp uses (without its batch axis). Each of `A` to `E` is a list of arrays, or a function
    of the named natural parameters of one subject that returns one.

    Parameters
    ----------
    A
        Likelihood of each modality: (outcome, states of the factors it depends on).
    B
        Transition of each factor: (next state, states of the factors it depends on, control).
    C
        Preferences of each modality in nats, (outcome,), or (step of the policy, outcome); none if not given.
    D
        Initial beliefs about each factor, uniform if not given.
    E
        Habit: one weight for each policy, uniform if not given.
    A_dependencies, B_dependencies
        Factors that each modality depends on (all if not given), and that each transition depends on (its own).
    policy_len, policies
        Length of the policies, all sequences of actions; or the sequences themselves. An action is an index into the
        combinations of the factors' controls, the last factor's varying fastest.
    gamma, alpha
        Precision of policies and of actions: numbers or functions of the parameters. Choices follow
        ``q(policy)^alpha``, normalised.
    use_utility, use_states_info_gain, use_param_info_gain
        Terms of the expected free energy.
    inference
        ``"exact"``: Bayes' rule on the joint state; ``"mean_field"``: pymdp's fixed-point iteration over factors.
    sweeps
        Sweeps of the fixed-point iteration.
    learning
        What is learned (see `Learning`); nothing if not given.
    missed
        What the agent thinks it did on a trial without a recorded action: ``"marginalise"`` over its own policy, or the
        index of the action that the task then takes.

    References
    ----------
    Da Costa, L., et al. (2020). Active inference on discrete state-spaces: A synthesis. Journal of Mathematical Psychology,
    99, 102447. https://doi.org/10.1016/j.jmp.2020.102447

    Smith, R., Friston, K. J., & Whyte, C. J. (2022). A step-by-step tutorial on active inference and its application to
    empirical data. Journal of Mathematical Psychology, 107, 102632. https://doi.org/10.1016/j.jmp.2021.102632

    Examples
    --------
    Two arms, one of which pays with probability .8; the agent may be unsure which, and looks for the better one.

    >>> from pyem import Parameter, Positive
    >>> which = jnp.array([[0.8, 0.2], [0.2, 0.8]])
    >>> agent = DiscretePOMDP(
    ...     A=[np.stack([1 - which, which])],
    ...     B=[np.stack([np.eye(2)] * 1, axis=-1), np.stack([np.eye(2)[[k, k]].T for k in range(2)], axis=-1)],
    ...     C=lambda p: [jnp.array([0.0, 1.0]) * p.preference],
    ... )
    >>> model = agent.model("two arms", [Parameter("preference", Positive())], outcomes=("reward",), action="choice")
    >>> model.names
    ('preference',)
    """

    A: Arrays
    B: Arrays
    C: Arrays | None = None
    D: Arrays | None = None
    E: Any = None
    A_dependencies: Sequence[Sequence[int]] | None = None
    B_dependencies: Sequence[Sequence[int]] | None = None
    policy_len: int = 1
    policies: Sequence[Sequence[int]] | None = None
    gamma: Scalar = 1.0
    alpha: Scalar = 1.0
    use_utility: bool = True
    use_states_info_gain: bool = True
    use_param_info_gain: bool = False
    inference: Literal["exact", "mean_field"] = "exact"
    sweeps: int = 16
    learning: Learning | None = None
    missed: int | Literal["marginalise"] = "marginalise"

    def __post_init__(self) -> None:
        put = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731
        for name in ("A", "B", "C", "D"):
            put(name, _frozen(getattr(self, name)))
        put("E", _frozen(self.E, single=True))
        for name in ("A_dependencies", "B_dependencies", "policies"):
            value = getattr(self, name)
            put(name, None if value is None else tuple(tuple(int(k) for k in row) for row in value))
        if self.inference not in ("exact", "mean_field"):
            raise ValueError(f"inference={self.inference!r}; choose 'exact' or 'mean_field'")
        if self.policies is None and self.policy_len < 1:
            raise ValueError(f"policy_len={self.policy_len}; a policy has at least one action")

    # -- as a model -------------------------------------------------------------------------------------------------------

    def model(
        self,
        name: str,
        parameters: Sequence[Parameter],
        *,
        observations: Sequence[str] | None = None,
        outcomes: Sequence[str] | None = None,
        action: str = "action",
        readouts: Callable[..., Mapping[str, Any]] | None = None,
        readout_columns: Sequence[str] = (),
        share: bool = True,
        task: Any = None,
        doc: str = "",
        reference: str = "",
    ) -> Model:
        """The agent as a `Model` for every fit, comparison and study.

        Parameters
        ----------
        name, parameters
            As of every model.
        observations
            One column for each modality: what is observed on a trial *before* the action. The default, with columns
            ``o0``, ``o1``, ...
        outcomes
            Instead, one column for each modality: what is observed on a trial *after* the action, as in a bandit.
        action
            Column of the actions.
        readouts
            ``readouts(p, mind, trial)`` returns more responses of the trial (a rating, a confidence), a dict of
            distributions by column. ``mind`` has the beliefs about each factor, ``mind.belief[f]`` (state,), and the
            log-probabilities of the actions, ``mind.log_action``.
        readout_columns
            Their columns.
        share
            Evaluate decisions made in the same state of mind once (see `pyem.contexts`), where that saves work. It does
            for short blocks with few different outcomes, not for long ones; with learning it is not tried.
        task, doc, reference
            As of every model.

        Notes
        -----
        Observations that are missing (empty cells) tell the agent nothing; nothing else is lost. A trial without an
        action counts no likelihood and is passed through as `missed` says.

        Raises
        ------
        ValueError
            If shapes do not belong together, or columns of A, B or D are no probabilities.
        """
        if observations is not None and outcomes is not None:
            raise ValueError("give observations (before the action) or outcomes (after it), not both")
        after = outcomes is not None
        structure = self._structure(
            Model(name, tuple(parameters), policy=_no_policy), len(outcomes or observations or ())
        )
        columns = tuple(outcomes or observations or (f"o{m}" for m in range(len(structure.num_obs))))
        if len(columns) != len(structure.num_obs):
            raise ValueError(
                f"there are {len(structure.num_obs)} modalities, but {len(columns)} columns {columns}; name one for each"
            )
        if (readouts is None) != (not readout_columns):
            raise ValueError("give readouts together with their columns, readout_columns=('rating',)")
        mind = Agent(self, structure, action, columns, after, readouts)
        start = ("start",) if self.learning is not None and self.learning.across_blocks else ()
        coded = tuple(zip(columns, structure.num_obs, strict=True))
        return Model(
            name,
            tuple(parameters),
            policy=Part(mind, "policy"),
            init=Part(mind, "init"),
            update=Part(mind, "update"),
            options=structure.n_actions,
            responses=(action, *readout_columns),
            inputs=start if after else (*start, *columns),
            outcomes=columns if after else (),
            input_codes=coded,
            optional=columns,
            updates="always",
            share=share and self.learning is None,
            task=task,
            doc=doc,
            reference=reference,
        )

    def generative(self, p: Any, structure: Structure | None = None) -> Generative:
        """The agent's model of the world at the parameters `p`."""
        A, B = tuple(self.A(p)), tuple(self.B(p))  # type: ignore[operator]
        C: Any = tuple(self.C(p)) if self.C else tuple(np.zeros(a.shape[0]) for a in A)  # type: ignore[operator]
        D: Any = tuple(self.D(p)) if self.D else tuple(np.full(b.shape[0], 1 / b.shape[0]) for b in B)  # type: ignore[operator]
        log_E: Any = np.zeros(len(structure.policies) if structure else 1)
        if self.E is not None:
            weights = self.E(p)
            log_E = log_floored(weights[0] if isinstance(weights, list) else weights)
        gamma, alpha = (jnp.asarray(weight_of(w, p), jnp.result_type(float)) for w in (self.gamma, self.alpha))
        return Generative(A, B, C, D, log_E, gamma, alpha)

    def _structure(self, model: Model, n_columns: int) -> Structure:
        with jax.enable_x64(True):
            p = model.record(jnp.asarray(model.typical[0]))
            try:
                g = jax.tree.map(np.asarray, self.generative(p))
            except AttributeError as error:
                raise ValueError(f"agent of model {model.name!r}: {error}") from None
        structure = infer_structure(
            g.A,
            g.B,
            A_dependencies=self.A_dependencies,
            B_dependencies=self.B_dependencies,
            policy_len=self.policy_len,
            policies=self.policies,
        )
        _check(g, structure, self)
        return structure


def _no_policy(*_: Any) -> None:
    raise AssertionError("a model that only names parameters has no policy")


def _check(g: Generative, s: Structure, agent: DiscretePOMDP) -> None:
    for label, arrays in (("A", g.A), ("B", g.B), ("D", g.D)):
        for k, array in enumerate(arrays):
            sums = array.sum(0)
            if not np.isfinite(array).all() or (array < 0).any() or not np.allclose(sums, 1, atol=1e-6):
                raise ValueError(
                    f"{label}[{k}] is no probability at typical parameters: it sums to {sums.min():g} ... {sums.max():g} "
                    f"over its first axis, with smallest value {array.min():g}; normalise it over the first axis"
                )
    for f, d in enumerate(g.D):
        if d.shape != (s.num_states[f],):
            raise ValueError(f"D[{f}] has shape {d.shape}, but factor {f} has {s.num_states[f]} states")
    if len(g.C) != len(s.num_obs) or len(g.D) != len(s.num_states):
        raise ValueError(f"C needs {len(s.num_obs)} arrays, one for each modality, and D {len(s.num_states)}")
    for m, c in enumerate(g.C):
        if c.shape not in ((s.num_obs[m],), (s.horizon, s.num_obs[m])):
            raise ValueError(
                f"C[{m}] has shape {c.shape}, but should be ({s.num_obs[m]},) or ({s.horizon} steps, {s.num_obs[m]})"
            )
    if agent.E is not None and g.log_E.shape != (len(s.policies),):
        raise ValueError(f"E has {g.log_E.shape} weights, but there are {len(s.policies)} policies; give one for each")
    if agent.inference == "exact" and s.n_joint > LARGEST_JOINT:
        raise ValueError(
            f"the factors have {s.n_joint} joint states, too many for exact inference (at most {LARGEST_JOINT}); use "
            "inference='mean_field'"
        )
    if agent.use_param_info_gain and (
        agent.learning is None or (agent.learning.A is None and agent.learning.B is None)
    ):
        raise ValueError("use_param_info_gain needs learning=Learning(A=...) or Learning(B=...)")
    if agent.missed != "marginalise" and not 0 <= agent.missed < s.n_actions:
        raise ValueError(f"missed={agent.missed!r}; choose 'marginalise' or an action from 0 to {s.n_actions - 1}")


# -- the three functions of a trial -------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Agent:
    """A `DiscretePOMDP` with its structure and columns: policy, init and update of the model."""

    pomdp: DiscretePOMDP
    structure: Structure
    action: str
    columns: tuple[str, ...]
    after: bool
    readouts: Callable[..., Mapping[str, Any]] | None

    @property
    def inference(self) -> Inference:
        """How beliefs are held and changed."""
        return (
            Exact(self.structure) if self.pomdp.inference == "exact" else MeanField(self.structure, self.pomdp.sweeps)
        )

    @property
    def terms(self) -> Terms:
        """Terms of the expected free energy."""
        return Terms(self.pomdp.use_utility, self.pomdp.use_states_info_gain, self.pomdp.use_param_info_gain)

    # The state is the belief before a trial's observations, or after the last trial's outcomes. Who learns also keeps the
    # counts, and what the next trial's evidence about transitions needs.

    def init(self, p: Any) -> Any:
        """The state before the first trial of a block."""
        g = self.pomdp.generative(p, self.structure)
        if self.pomdp.learning is None:
            return self.inference.initial(g)
        counts = self.pomdp.learning.counts(p, self.structure)
        belief = self.inference.initial(expected(g, counts))
        return {
            "belief": belief,
            "counts": _without_none(counts),
            "before": belief,
            "acted": jnp.zeros(self.structure.n_actions),
            "first": jnp.ones(()),
        }

    def policy(self, p: Any, state: Any, trial: Record) -> Any:
        """Probabilities of the actions, and the read-outs."""
        state = self._begun(p, state, trial)
        g, counts = self._world(p, state)
        belief = self._seen(g, self._belief(state), trial)
        log_action = self._plan(g, belief, counts).log_action
        if self.readouts is None:
            return Categorical(log_action)
        mind = Record(belief=self.inference.marginals(belief), log_action=log_action)
        return {self.action: Categorical(log_action), **self.readouts(p, mind, trial)}

    def update(self, p: Any, state: Any, trial: Record) -> tuple[Any, dict[str, Any]]:
        """The state after the trial; beliefs and expected free energies as latents."""
        after, (belief, planned) = self.moved_on(p, state, trial)
        latents: dict[str, Any] = {f"belief{f}": q for f, q in enumerate(self.inference.marginals(belief))}
        return after, latents | {"neg_efe": planned().neg_efe}

    def moved_on(self, p: Any, state: Any, trial: Record) -> tuple[Any, tuple[Any, Callable[[], Plan]]]:
        """The state after the trial; the belief during it, and a function that gives the plan."""
        state = self._begun(p, state, trial)
        g, counts = self._world(p, state)
        belief = self._seen(g, self._belief(state), trial)
        planned = functools.cache(lambda: self._plan(g, belief, counts))
        acted = self._acted(planned, trial)
        if self.pomdp.learning is None:
            after = self.inference.predict(g, belief, acted)
            after = self._observed(g, after, trial) if self.after else after
        else:
            after = self._learn(p, g, state, belief, acted, trial)
        return after, (belief, planned)

    # -- parts --------------------------------------------------------------------------------------------------------------

    def _belief(self, state: Any) -> Any:
        return state if self.pomdp.learning is None else state["belief"]

    def _world(self, p: Any, state: Any) -> tuple[Generative, Counts | None]:
        g = self.pomdp.generative(p, self.structure)
        if self.pomdp.learning is None:
            return g, None
        counts = self._counts(p, state)
        # At rate 0 nothing is learned: the counts only tell what would be news.
        return (g if self.pomdp.learning.rate == 0.0 else expected(g, counts)), counts

    def _counts(self, p: Any, state: Any) -> Counts:
        return _with_none(self.pomdp.learning.counts(p, self.structure), state["counts"])  # type: ignore[union-attr]

    def _begun(self, p: Any, state: Any, trial: Record) -> Any:
        """The state, with beliefs about the world as at the start where a block starts."""
        learning = self.pomdp.learning
        if learning is None or not learning.across_blocks:
            return state
        start = trial.start > 0
        g, _ = self._world(p, state)
        fresh = self.inference.initial(g)
        anew = lambda new, old: jax.tree.map(lambda a, b: jnp.where(start, a, b), new, old)  # noqa: E731
        return state | {
            "belief": anew(fresh, state["belief"]),
            "acted": jnp.where(start, 0.0, state["acted"]),
            "first": jnp.where(start, 1.0, state["first"]),
        }

    def _plan(self, g: Generative, belief: Any, counts: Counts | None) -> Plan:
        return plan(self.structure, self.inference, self.terms, g, belief, counts)

    def _seen(self, g: Generative, prior: Any, trial: Record) -> Any:
        return prior if self.after else self._observed(g, prior, trial)

    def _observed(self, g: Generative, prior: Any, trial: Record) -> Any:
        return self.inference.posterior(g, prior, *self._outcomes(trial))

    def _outcomes(self, trial: Record) -> tuple[list[Array], list[Array]]:
        outcomes = [trial[name].astype(jnp.int32) for name in self.columns]
        return outcomes, [trial.seen[name] for name in self.columns]

    def _acted(self, planned: Callable[[], Plan], trial: Record) -> Array:
        """Probability of each action having been taken, (U,)."""
        known = jax.nn.one_hot(trial[self.action], self.structure.n_actions)
        responded = trial.responded[self.action]
        if always(responded):
            return known
        if self.pomdp.missed == "marginalise":
            unknown = jnp.exp(planned().log_action)
        else:
            unknown = jax.nn.one_hot(self.pomdp.missed, self.structure.n_actions)
        return jnp.where(responded, known, unknown)

    def _learn(self, p: Any, g: Generative, state: Any, belief: Any, acted: Array, trial: Record) -> dict[str, Any]:
        learning = self.pomdp.learning
        assert learning is not None
        s, inference = self.structure, self.inference
        counts, prior = self._counts(p, state), learning.counts(p, s)
        rate, forgetting = weight_of(learning.rate, p), weight_of(learning.forgetting, p)
        outcomes, seen = self._outcomes(trial)
        if self.after:
            now = self._observed(g, inference.predict(g, belief, acted), trial)
            before, moved = belief, acted
        else:
            now, before, moved = belief, state["before"], state["acted"]
        evidence = Counts(
            evidence_A(s, inference, counts, now, outcomes, seen),
            evidence_B(s, inference, counts, before, now, moved),
            evidence_D(inference, counts, belief, state["first"]),
        )
        counts = learned(counts, prior, evidence, rate, forgetting)
        world = g if learning.rate == 0.0 else expected(g, counts)
        after = now if self.after else inference.predict(world, belief, acted)
        return {
            "belief": after,
            "counts": _without_none(counts),
            "before": now,
            "acted": acted,
            "first": jnp.zeros(()),
        }


@dataclasses.dataclass(frozen=True)
class Part:
    """One of an agent's functions; equal for equal agents, which bound methods are not."""

    agent: Agent
    name: str

    def __call__(self, *args: Any) -> Any:
        """What the agent's function returns."""
        return getattr(self.agent, self.name)(*args)

    def state_only(self, p: Any, state: Any, trial: Record) -> Any:
        """What `Agent.update` returns, without the latents."""
        return self.agent.moved_on(p, state, trial)[0]


def _without_none(counts: Counts) -> dict[str, dict[str, Array]]:
    return {kind: {str(k): c for k, c in enumerate(part) if c is not None} for kind, part in counts._asdict().items()}


def _with_none(template: Counts, kept: Mapping[str, Mapping[str, Array]]) -> Counts:
    return Counts(
        *(
            tuple(None if c is None else kept[kind][str(k)] for k, c in enumerate(part))
            for kind, part in template._asdict().items()
        )
    )

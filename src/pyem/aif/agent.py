"""Active-inference agents as models: a discrete POMDP given by functions of the parameters."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax import Array

from pyem.aif.filtering import Exact, Generative, Inference, MeanField, always
from pyem.aif.learning import evidence_A, evidence_B, evidence_D, expected, learned, weight_of
from pyem.aif.planning import Counts, Plan, Terms, plan
from pyem.aif.structure import Structure
from pyem.model.distribution import Categorical
from pyem.model.record import Record

if TYPE_CHECKING:
    from pyem.aif.pomdp import DiscretePOMDP

Arrays = Sequence[Any] | Callable[[Record], Sequence[Any]]


Scalar = float | Callable[[Record], Any]


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
        """The method by which beliefs are held and changed."""
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
        """Return the state after the trial, the belief during it, and a function that gives the plan."""
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
        # At rate 0 nothing is learned: the counts only serve for novelty.
        return (g if self.pomdp.learning.rate == 0.0 else expected(g, counts)), counts

    def _counts(self, p: Any, state: Any) -> Counts:
        return _with_none(self.pomdp.learning.counts(p, self.structure), state["counts"])  # type: ignore[union-attr]

    def _begun(self, p: Any, state: Any, trial: Record) -> Any:
        """Return the state, with beliefs about the world reset where a block starts."""
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
        """Probability that each action was taken, (U,); where it is missing, by the plan or by the rule for missed actions."""
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
        """Call the agent's function."""
        return getattr(self.agent, self.name)(*args)

    def state_only(self, p: Any, state: Any, trial: Record) -> Any:
        """Return the state after a trial, as `Agent.update` does, without the latents."""
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

"""Agents as models: a discrete POMDP with named free parameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from pyem.aif.agent import Agent, Arrays, Part, Scalar
from pyem.aif.filtering import Generative, log_floored
from pyem.aif.learning import Learning, weight_of
from pyem.aif.structure import Structure, infer_structure
from pyem.model.model import Model
from pyem.model.parameter import Parameter

LARGEST_JOINT = 512
"""Number of joint states up to which exact inference is offered: its transitions have this number squared of entries."""


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
        The quantities that are learned (see `Learning`); none by default.
    missed
        Action that the agent assumes on a trial without a recorded action: ``"marginalise"`` over its own policy, or the
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
            Name and parameters as in `pyem.Model`.
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
            Evaluate decisions made in the same state of mind once (see `pyem.engine.contexts`), where that saves work. It does
            for short blocks with few different outcomes, not for long ones; with learning it is not tried.
        task, doc, reference
            Arguments as in `pyem.Model`.

        Notes
        -----
        Observations that are missing (empty cells) tell the agent nothing; nothing else is lost. A trial without an
        action is left out of the likelihood and is passed through as `missed` says.

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
        """Return the agent's generative model at the parameters `p`."""
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

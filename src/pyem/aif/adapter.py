"""Agents written for pymdp as models."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from pyem.aif.covered import not_covered, refuse
from pyem.aif.filtering import Generative, always, log_floored
from pyem.aif.learning import Learning
from pyem.aif.measurements import as_task
from pyem.aif.pomdp import Constant, DiscretePOMDP
from pyem.aif.structure import Structure, all_actions
from pyem.model.distribution import Categorical
from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.record import Record

MISSING = 'from_pymdp needs pymdp; install it with: pip install "pyem-behavior[aif]"'


def from_pymdp(
    transform: Callable[[Any], Any],
    task: Any = None,
    *,
    parameters: int | Sequence[str | Parameter] = 1,
    name: str = "pymdp_agent",
    kernel: Literal["auto", "own", "pymdp"] = "auto",
    observations: Sequence[str] | None = None,
    action: str = "action",
    learn_across_blocks: bool = False,
    doc: str = "",
) -> Model:
    """A model of agents made by a user's ``transform(z) -> pymdp.agent.Agent``, for every fit, comparison and study.

    Parameters
    ----------
    transform
        Makes a batch of agents from parameters (agent, P), as in pymdp's fitting examples.
    task
        A pymdp environment given by arrays A, B and D, or a task of this library; for simulations.
    parameters
        How many parameters `transform` takes, named ``z0``, ``z1``, ...; or their names; or `Parameter` objects, whose
        natural values `transform` then gets. Without a range they are real numbers, typically standard normal.
    name, doc
        Name of the model, and a line on what it says.
    kernel
        ``"own"``: the agent's arrays are evaluated by this library, which computes the same numbers faster. ``"pymdp"``:
        pymdp's own functions. ``"auto"``: ours wherever it covers the agent; a warning tells if it does not.
    observations, action
        Columns of the data: one for each modality (``o0``, ``o1``, ...), and the action, an index into all combinations
        of the factors' controls, the last factor's varying fastest.
    learn_across_blocks
        Whether what is learned is kept from block to block. The data then have blocks joined by `join_blocks`, and a task for
        simulations is wrapped in `Episodes`. Without effect on agents that do not learn.

    Raises
    ------
    ImportError
        If pymdp is not installed.
    ValueError
        If the agent has a setting that pymdp accepts but leaves out of its likelihood, or that fits cannot use.

    Notes
    -----
    Unlike pymdp's likelihood, and like its simulator, the likelihood uses the agent's ``alpha``: choices follow
    ``q(policy)^alpha``, normalised. With ``alpha=1`` the two agree.

    References
    ----------
    Heins, C., et al. (2022). pymdp: A Python library for active inference in discrete state spaces. Journal of Open
    Source Software, 7(73), 4098. https://doi.org/10.21105/joss.04098
    """
    try:
        import pymdp.agent  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ImportError(f"{MISSING} ({error})") from None
    if kernel not in ("auto", "own", "pymdp"):
        raise ValueError(f"kernel={kernel!r}; choose 'auto', 'own' or 'pymdp'")
    chosen = _parameters(parameters)
    width = sum(len(p.names) for p in chosen)
    # Values even where JAX traces what calls this first, as `numpyro.infer.Predictive` does for several samples.
    with jax.enable_x64(True), jax.ensure_compile_time_eval():
        return _adapted(
            transform, task, chosen, width, name, kernel, observations, action, doc, keep=learn_across_blocks
        )


def _adapted(
    transform: Callable[[Any], Any],
    task: Any,
    chosen: tuple[Parameter, ...],
    width: int,
    name: str,
    kernel: str,
    observations: Sequence[str] | None,
    action: str,
    doc: str,
    *,
    keep: bool,
) -> Model:
    agent = _made(transform, width)
    refuse(agent)
    reason = not_covered(agent)
    if kernel == "own" and reason:
        raise ValueError(f"kernel='own', but {reason}; use kernel='auto' or 'pymdp'")
    own = kernel == "own" or (kernel == "auto" and not reason)
    if kernel == "auto" and reason:
        warnings.warn(f"{name}: {reason}, so pymdp's own inference is used, which is slower", UserWarning, stacklevel=3)
    who = "this library's kernel" if own else "pymdp's own functions"
    said = doc or f"an agent written for pymdp, evaluated by {who}"
    columns = tuple(observations or (f"o{m}" for m in range(agent.num_modalities)))
    if len(columns) != agent.num_modalities:
        raise ValueError(f"the agent has {agent.num_modalities} modalities, but {len(columns)} columns are named")
    world = as_task(task, columns, action, [int(n) for n in agent.num_controls])
    if own:
        pomdp = _own(transform, agent, chosen, width, keep=keep)
        return pomdp.model(name, chosen, observations=columns, action=action, task=world, doc=said)
    return _theirs(transform, agent, chosen, columns, action, name, world, said)


def _parameters(given: int | Sequence[str | Parameter]) -> tuple[Parameter, ...]:
    if isinstance(given, int):
        given = [f"z{k}" for k in range(given)]
    elif isinstance(given, str):
        given = [given]
    if not given:
        raise ValueError("transform needs at least one parameter")
    return tuple(p if isinstance(p, Parameter) else Parameter(p, doc="parameter of the transform") for p in given)


def _made(transform: Callable[[Any], Any], width: int, z: np.ndarray | None = None) -> Any:
    """The agent at one parameter vector."""
    with jax.enable_x64(True), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        z = np.zeros(width) if z is None else z
        try:
            agent = transform(jnp.asarray(z)[None])
        except Exception as error:
            mixed = "types" in str(error) and "float32" in str(error)
            hint = (
                "give arrays that are made outside of it the type of z, jnp.asarray(H, z.dtype)"
                if mixed
                else "it should return a pymdp Agent with batch_size 1 for one row of parameters (give parameters= if it "
                "takes another number of them)"
            )
            said = str(error).strip().partition("\n")[0]
            raise ValueError(f"transform(z) failed for z of shape (1, {width}): {said}; {hint}") from error
    if not (hasattr(agent, "infer_states") and hasattr(agent, "policies")):
        raise ValueError(f"transform(z) returned {type(agent).__name__}, but should return a pymdp Agent")
    if agent.batch_size != 1:
        raise ValueError(
            f"transform(z) returned {agent.batch_size} agents for one row of parameters; make batch_size follow z.shape[0]"
        )
    return agent


# -- evaluated by our kernel --------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Counts:
    """Prior counts of the agent's likelihoods or transitions."""

    transform: Callable[[Any], Any]
    width: int
    kind: str

    def __call__(self, p: Record) -> Any:
        return [None if c is None else c[0] for c in getattr(_quietly(self.transform, p), self.kind)]


@dataclasses.dataclass(frozen=True)
class PymdpPOMDP(DiscretePOMDP):
    """A `DiscretePOMDP` whose arrays come from a transform; those that do not depend on the parameters are kept apart."""

    transform: Any = None
    constants: tuple[tuple[str, int, Constant], ...] = ()

    def generative(self, p: Any, structure: Structure | None = None) -> Generative:
        """The agent's arrays at the parameters `p`."""
        agent = _quietly(self.transform, p)
        parts = {kind: [a[0] for a in getattr(agent, kind)] for kind in "ABCD"}
        for kind, k, constant in self.constants:
            parts[kind][k] = constant.arrays[0]
        A, B, C, D = (tuple(parts[kind]) for kind in "ABCD")
        return Generative(A, B, C, D, log_floored(agent.E[0]), agent.gamma[0], agent.alpha[0])


def _quietly(transform: Callable[[Any], Any], p: Record) -> Any:
    z = jnp.concatenate([jnp.ravel(value) for value in p.values()])
    with warnings.catch_warnings():
        # pymdp warns of arrays that become static wherever it is traced.
        warnings.simplefilter("ignore")
        agent = transform(z[None])
    # Arrays of an environment are often of single precision; pymdp's loops refuse a mixture.
    return jax.tree.map(lambda a: a.astype(z.dtype) if jnp.issubdtype(a.dtype, jnp.inexact) else a, agent)


def _own(
    transform: Callable[[Any], Any], agent: Any, parameters: tuple[Parameter, ...], width: int, *, keep: bool
) -> PymdpPOMDP:
    controls = tuple(int(n) for n in agent.num_controls)
    steps = np.asarray(agent.policies.policy_arr)
    policies: Any = np.ravel_multi_index(tuple(np.moveaxis(steps, -1, 0)), controls).tolist()
    novelty, learns = agent.use_param_info_gain, (agent.learn_A, agent.learn_B)
    # Without learning, pymdp adds the novelty of counts that never change: learning at rate 0.
    wanted = learns if any(learns) else tuple(novelty and c is not None for c in (agent.pA, agent.pB))
    counts = [_Counts(transform, width, kind) if on else None for kind, on in zip(("pA", "pB"), wanted, strict=True)]
    learning = None
    if any(wanted):
        learning = Learning(*counts, rate=1.0 if any(learns) else 0.0, across_blocks=keep and any(learns))
    return PymdpPOMDP(
        A=[],
        B=[],
        A_dependencies=agent.A_dependencies,
        B_dependencies=agent.B_dependencies,
        policies=policies,
        use_utility=agent.use_utility,
        use_states_info_gain=agent.use_states_info_gain,
        use_param_info_gain=novelty,
        inference="mean_field",
        sweeps=agent.num_iter,
        learning=learning,
        transform=transform,
        constants=_constants(transform, parameters, width),
    )


def _constants(
    transform: Callable[[Any], Any], parameters: tuple[Parameter, ...], width: int
) -> tuple[tuple[str, int, Constant], ...]:
    """Arrays that are the same at three random parameters."""
    rng = np.random.default_rng(1)
    model = Model("parameters", parameters, policy=lambda *_: None)
    made = [_made(transform, width, model.natural(rng.normal(size=width))) for _ in range(3)]
    found = []
    for kind in "ABCD":
        for k, arrays in enumerate(zip(*(getattr(agent, kind) for agent in made), strict=True)):
            first, *rest = (np.asarray(a, float)[0] for a in arrays)
            if all(np.array_equal(first, other) for other in rest):
                found.append((kind, k, Constant([first])))
    return tuple(found)


# -- evaluated by pymdp -------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Theirs:
    """A function of a model that calls the corresponding function of pymdp."""

    transform: Callable[[Any], Any]
    columns: tuple[str, ...]
    action: str
    controls: tuple[int, ...]
    policies: tuple[int, ...]
    part: str

    def __call__(self, *args: Any) -> Any:
        return getattr(self, f"_{self.part}")(*args)

    def _init(self, p: Record) -> Any:
        return tuple(d[0] for d in _quietly(self.transform, p).D)

    def _policy(self, p: Record, state: Any, trial: Record) -> Categorical:
        agent = _quietly(self.transform, p)
        return Categorical(self._log_action(agent, self._posterior(agent, state, trial)))

    def _update(self, p: Record, state: Any, trial: Record) -> tuple[Any, dict[str, Any]]:
        agent = _quietly(self.transform, p)
        qs = self._posterior(agent, state, trial)
        latents = {f"belief{f}": q[0, -1] for f, q in enumerate(qs)}
        known = self._moved(agent, qs, jnp.asarray(trial[self.action], jnp.int32))
        if always(trial.responded[self.action]):
            return known, latents
        every = jax.vmap(lambda u: self._moved(agent, qs, u))(jnp.arange(int(np.prod(self.controls))))
        weights = jnp.exp(self._log_action(agent, qs))
        unknown = tuple(jnp.tensordot(weights, q, 1) for q in every)
        responded = trial.responded[self.action]
        return tuple(jnp.where(responded, a, b) for a, b in zip(known, unknown, strict=True)), latents

    def _posterior(self, agent: Any, state: Any, trial: Record) -> Any:
        import equinox  # pyright: ignore[reportMissingImports]

        blank = [
            a if always(trial.seen[c]) else jnp.where(trial.seen[c], a, 1 / a.shape[1])
            for a, c in zip(agent.A, self.columns, strict=True)
        ]
        looking = equinox.tree_at(lambda agent: agent.A, agent, blank)
        outcomes = [jnp.asarray(trial[c], jnp.int32).reshape(1, 1) for c in self.columns]
        return looking.infer_states(outcomes, [q[None] for q in state])

    def _log_action(self, agent: Any, qs: Any) -> Array:
        q_pi, _ = agent.infer_policies(qs)
        logits = agent.alpha[0] * log_floored(q_pi[0])
        first = np.array(self.policies) == np.arange(int(np.prod(self.controls)))[:, None]
        sums = jnp.where(first, jnp.exp(logits - jax.nn.logsumexp(logits)), 0.0).sum(1)
        return log_floored(sums)

    def _moved(self, agent: Any, qs: Any, action: Array) -> Any:
        controls = jnp.asarray(all_actions(self.controls))[action]
        return tuple(q[0] for q in agent.update_empirical_prior(controls[None], qs))


def _theirs(
    transform: Callable[[Any], Any],
    agent: Any,
    parameters: tuple[Parameter, ...],
    columns: tuple[str, ...],
    action: str,
    name: str,
    task: Any,
    doc: str,
) -> Model:
    controls = tuple(int(n) for n in agent.num_controls)
    first = np.asarray(agent.policies.policy_arr)[:, 0]
    starts = tuple(np.asarray(np.ravel_multi_index(tuple(first.T), controls)).tolist())
    if agent.learn_A or agent.learn_B:
        raise ValueError("agents that learn are covered with kernel='own' only; pymdp's likelihood leaves learning out")
    parts = {part: _Theirs(transform, columns, action, controls, starts, part) for part in ("policy", "init", "update")}
    return Model(
        name,
        parameters,
        **parts,  # type: ignore[arg-type]
        options=int(np.prod(controls)),
        responses=(action,),
        inputs=columns,
        input_codes=tuple(zip(columns, (int(n) for n in agent.num_obs), strict=True)),
        optional=columns,
        updates="always",
        share=True,
        task=task,
        doc=doc,
        reference="https://doi.org/10.21105/joss.04098",
    )

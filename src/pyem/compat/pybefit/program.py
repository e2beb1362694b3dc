"""A program of NumPyro made of a prior, a transform to pymdp's agents, and their likelihood."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from jax import Array
from jax.core import Tracer

from pyem.aif.adapter import from_pymdp
from pyem.aif.blocks import join_blocks
from pyem.aif.measurements import controls_of, observed_columns, pymdp_data
from pyem.aif.structure import all_actions
from pyem.aif.tasks import Episodes, LookAhead, ahead
from pyem.bridge.numpyro import Likelihood
from pyem.data.dataset import Dataset
from pyem.model.model import Model
from pyem.model.record import Record
from pyem.model.rollout import rollout
from pyem.numerics.jit import compiled
from pyem.numerics.rng import as_key
from pyem.simulation.play import play_compiled, play_lanes

_NEEDED = ("task", "num_blocks", "num_trials", "num_agents")


def pymdp_likelihood(*_: Any, **__: Any) -> None:
    """Mark the likelihood of pymdp's agents, as an argument of `NumpyroModel`; it is not called.

    Raises
    ------
    TypeError
        If it is called. The likelihood of data is ``pyem.log_lik`` of a model of ``pyem.aif.from_pymdp``.
    """
    raise TypeError(
        "pymdp_likelihood is given to NumpyroModel, not called; see pyem.aif.from_pymdp for what it computes"
    )


class NumpyroModel:
    """A program of NumPyro: parameters from a prior, agents made from the parameters, and their actions.

    Called without data it plays the task (for ``numpyro.infer.Predictive``); with data, or in `run_nuts` and `run_svi`, it adds
    their log-likelihood.

    Parameters
    ----------
    prior
        A prior of this module, or any function without required arguments that returns ``z`` (agent, parameter).
    transform
        ``transform(z)`` returns a batch of pymdp's agents.
    likelihood
        `pymdp_likelihood`.
    opts
        ``{"prior": {}, "transform": {}, "likelihood": {...}}``: keyword arguments of prior and transform, and ``task`` (an
        environment of pymdp, or a task of this library), ``num_blocks``, ``num_trials`` and ``num_agents``.

    Notes
    -----
    Played sites: ``outcomes``, for each modality (block, agent, step + 1); ``multiactions`` (block, agent, step, factor);
    ``multiaction_probs`` (block, agent, step, action), over all combinations of controls; ``beliefs``, for each factor
    (block, agent, step, state). Each step has what was observed before its action; the last observation comes after the last.

    The likelihood is that of ``pyem.aif.from_pymdp``. What an agent learns it keeps from block to block, as in pybefit.

    Raises
    ------
    ValueError
        If an option is missing, or the agents cannot be fitted.
    """

    def __init__(
        self,
        prior: Callable[..., Any],
        transform: Callable[..., Any],
        likelihood: Any = pymdp_likelihood,
        opts: Mapping[str, Any] | None = None,
    ) -> None:
        if likelihood is not pymdp_likelihood:
            raise ValueError("likelihood must be pymdp_likelihood; for one of your own, write a pyem.Model")
        opts = dict(opts or {})
        self.opts = {part: dict(opts.get(part) or {}) for part in ("prior", "transform", "likelihood")}
        missing = [name for name in _NEEDED if name not in self.opts["likelihood"]]
        if missing:
            raise ValueError(f"opts['likelihood'] lacks {', '.join(missing)}; it needs {', '.join(_NEEDED)}")
        self.prior, self.transform, self.likelihood = prior, transform, likelihood
        said = self.opts["likelihood"]
        self.task = said["task"]
        self.num_blocks, self.num_trials, self.num_agents = (int(said[name]) for name in _NEEDED[1:])
        self._known: tuple[Any, Callable[[Array], Array]] | None = None

    def __call__(self, data: Mapping[str, Any] | None = None) -> None:
        """Run the program on `data`."""
        z = self._z()
        if data is None:
            self._play(z)
        else:
            self._observe(z, self._likelihood_of(data))

    def given(self, data: Mapping[str, Any]) -> Callable[[], None]:
        """Return the program with `data`, laid out once for all its evaluations."""
        likelihood = self._likelihood_of(data)
        return lambda: self._observe(self._z(), likelihood)

    @functools.cached_property
    def model(self) -> Model:
        """The agents as a model of this library, for all of its fits and comparisons; parameters are ``z0``, ``z1``, ..."""
        transform = (
            functools.partial(self.transform, **self.opts["transform"]) if self.opts["transform"] else self.transform
        )
        return from_pymdp(transform, self.task, parameters=self._num_params, learn_across_blocks=True)

    def data(self, measurements: Mapping[str, Any]) -> Dataset:
        """Measurements, ``{"outcomes": [...], "multiactions": ...}``, as a data set of this library."""
        data = pymdp_data(measurements, self.model)
        if data.n_subjects != self.num_agents:
            raise ValueError(
                f"the measurements have {data.n_subjects} agents, but opts say num_agents={self.num_agents}"
            )
        return join_blocks(data) if self._learns else data

    # -- parts ------------------------------------------------------------------------------------------------------------

    @functools.cached_property
    def _num_params(self) -> int:
        """Number of parameters: the prior's own, or else the width of one draw from it."""
        known = getattr(self.prior, "num_params", None)
        if known is not None:
            return int(known)
        with numpyro.handlers.block(), numpyro.handlers.seed(rng_seed=0):
            return int(np.shape(self._z())[1])

    @property
    def _learns(self) -> bool:
        return "start" in self.model.inputs

    def _z(self) -> Array:
        z = self.prior(**self.opts["prior"])
        if jnp.ndim(z) != 2 or z.shape[0] != self.num_agents:
            raise ValueError(
                f"the prior returned z of shape {jnp.shape(z)}, but should return ({self.num_agents} agents, parameters)"
            )
        return z

    def _likelihood_of(self, data: Mapping[str, Any]) -> Callable[[Array], Array]:
        """The log-likelihood of all agents as a function of z (agent, parameter)."""
        known = self._known
        if known is None or known[0] is not data:
            likelihood = Likelihood(self.model, self.data(data))
            names = [f"z{k}" for k in range(self._num_params)]
            value = _evaluated_alone(lambda z: likelihood.by_subject(**dict(zip(names, z.T, strict=True))).sum())
            self._known = known = (data, value)
        return known[1]

    def _observe(self, z: Array, likelihood: Callable[[Array], Array]) -> None:
        with _double(z):
            value = likelihood(z.astype(float))
        numpyro.factor("log_likelihood", value.astype(z.dtype))

    def _play(self, z: Array) -> None:
        key = numpyro.prng_key()
        if key is None:
            raise ValueError("without data the model plays the task, which needs a key: use numpyro.infer.Predictive")
        for name, value in self._played(z, key).items():
            numpyro.deterministic(name, value)

    def _played(self, z: Array, key: Array) -> dict[str, Any]:
        model, learns = self.model, self._learns
        task = LookAhead(model.task, model.inputs)
        blocks, trials = self.num_blocks, self.num_trials
        lanes, steps = (1, blocks * trials) if learns else (blocks, trials)
        play, look = (play_lanes, _looked_at) if _is_compiled(z) else (play_compiled, _looked_at_compiled)
        with _double(z):
            x = jnp.repeat(z.astype(float).T, lanes, axis=1)
            world = Episodes(task, trials) if learns else task
            fields, _, _ = play(model, world, steps, x, as_key(key), jnp.zeros(()), None, {})
            full = look(model, x, fields)
        return _as_pybefit(model, fields, full, (self.num_agents, blocks, trials))


def _double(z: Any) -> contextlib.AbstractContextManager[Any]:
    """Context of double precision for `z`; within a program that JAX compiles, the precision is that of the whole."""
    if not _is_compiled(z):
        return jax.enable_x64(True)
    if jnp.result_type(float) != jnp.float64:
        raise ValueError(
            "agents are evaluated in double precision; within jax.jit, or in an MCMC of one's own, call numpyro.enable_x64() "
            "before anything else (run_nuts and run_svi see to it themselves)"
        )
    return contextlib.nullcontext()


def _is_compiled(x: Any) -> bool:
    """Whether JAX is compiling the computation that `x` belongs to; `Predictive` alone only vectorises it."""
    # JAX tells the two apart by the kind of tracer only, which has no public name.
    while type(x).__name__ == "BatchTracer":
        x = x.val
    return isinstance(x, Tracer)


def _looked_at(model: Model, x: Array, fields: Mapping[str, Array]) -> dict[str, Any]:
    """Beliefs and log-probabilities on every trial that was played."""
    every = jnp.ones(fields[model.responses[0]].shape, bool)
    columns = {name: fields[name] for name in (*model.inputs, *model.responses)}
    seen = dict.fromkeys(model.optional, every)
    return rollout(
        model, x, Record(**columns, responded={model.responses[0]: every}, learn=every, seen=seen), full=True
    )


_looked_at_compiled = compiled(0, quick=True)(_looked_at)


def _evaluated_alone(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """Compile `function`, value and gradient, in a program of its own, for calls outside of a compiled program.

    NumPyro looks at a program a few times, one operation after another, before it compiles it.
    """
    alone = compiled(quick=True)(jax.value_and_grad(function))

    @jax.custom_jvp
    def value(z: Array) -> Array:
        return function(z) if _is_compiled(z) else alone(z)[0]

    @value.defjvp
    def _(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
        (z,), (change,) = primals, tangents
        known, slope = (jax.value_and_grad(function) if _is_compiled(z) else alone)(z)
        return known, (slope * change).sum()

    return value


def _as_pybefit(
    model: Model, fields: Mapping[str, Array], full: Mapping[str, Any], size: tuple[int, int, int]
) -> dict[str, Any]:
    """Played trials in pybefit's order of axes and in single precision."""
    agents, blocks, trials = size

    def ordered(array: Array, kind: Any) -> Array:
        """Reorder (trial, ..., lane) to (block, agent, trial, ...)."""
        rest = array.shape[1:-1]
        array = jnp.moveaxis(array, -1, 0).reshape(agents, blocks, trials, *rest)
        return jnp.moveaxis(array, 1, 0).astype(kind)

    outcomes = []
    for name in observed_columns(model):
        now, after = ordered(fields[name], jnp.int32), ordered(fields[ahead(name)], jnp.int32)
        outcomes.append(jnp.concatenate([now, after[:, :, -1:]], axis=2))
    actions = ordered(fields[model.responses[0]], jnp.int32)
    beliefs = [full["latents"][name] for name in _beliefs(full["latents"])]
    return {
        "outcomes": outcomes,
        "multiactions": jnp.asarray(all_actions(controls_of(model)), jnp.int32)[actions],
        "multiaction_probs": jnp.exp(ordered(full["log_probs"][0], jnp.float32)),
        "beliefs": [ordered(belief, jnp.float32) for belief in beliefs],
    }


def _beliefs(latents: Mapping[str, Array]) -> list[str]:
    """Names of the beliefs, factor by factor."""
    return sorted((name for name in latents if name.startswith("belief")), key=lambda name: int(name[len("belief") :]))


@dataclasses.dataclass(frozen=True)
class NumpyroGuide:
    """A variational posterior as a guide of NumPyro, which ignores its arguments.

    Parameters
    ----------
    guide
        `NormalPosterior`, or any function without required arguments that samples the prior's sites.

    Examples
    --------
    >>> from pyem.compat.pybefit import NormalPosterior
    >>> with numpyro.handlers.seed(rng_seed=0):
    ...     NumpyroGuide(NormalPosterior(1, 3))({"outcomes": []}).shape
    (3, 1)
    """

    guide: Callable[..., Any]

    def __call__(self, data: Any = None) -> Any:
        """Run the sites of the guide."""
        return self.guide()

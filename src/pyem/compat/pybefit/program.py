"""A program of NumPyro made of a prior, a transform to pymdp's agents, and their likelihood."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
from jax import Array

from pyem.aif.adapter import from_pymdp
from pyem.aif.blocks import join_blocks
from pyem.aif.measurements import pymdp_data
from pyem.bridge.numpyro import Likelihood
from pyem.compat.pybefit.playing import played
from pyem.compat.pybefit.tracing import double, evaluated_alone
from pyem.data.dataset import Dataset
from pyem.model.model import Model

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
    Played sites: ``outcomes``, for each modality (block, agent, step + 1); ``states``, hidden states of the environment, for
    each factor (block, agent, step + 1); ``multiactions`` (block, agent, step, factor); ``multiaction_probs``
    (block, agent, step, action), over all combinations of controls; ``beliefs``, for each factor (block, agent, step, state).
    Each step has what was so before its action; the last observation and state come after the last.

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
            value = evaluated_alone(lambda z: likelihood.by_subject(**dict(zip(names, z.T, strict=True))).sum())
            self._known = known = (data, value)
        return known[1]

    def _observe(self, z: Array, likelihood: Callable[[Array], Array]) -> None:
        with double(z):
            value = likelihood(z.astype(float))
        numpyro.factor("log_likelihood", value.astype(z.dtype))

    def _play(self, z: Array) -> None:
        key = numpyro.prng_key()
        if key is None:
            raise ValueError("without data the model plays the task, which needs a key: use numpyro.infer.Predictive")
        for name, value in played(self.model, (self.num_agents, self.num_blocks, self.num_trials), z, key).items():
            numpyro.deterministic(name, value)


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

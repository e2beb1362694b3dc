"""The likelihood of a model inside a user's own NumPyro program."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from pyem.data.dataset import Dataset
from pyem.engine.differentiable import People, log_lik, people, trial_log_lik, trial_places
from pyem.engine.pointwise import Observed, by_trial
from pyem.engine.scale import scaled
from pyem.engine.validate import validate
from pyem.errors import require_kind
from pyem.model.model import Model
from pyem.model.transform import Real


def natural_model(model: Model) -> Model:
    """Return the model with its natural values taken as they are, without transforms.

    Examples
    --------
    >>> from pyem.models import get
    >>> natural_model(get("rw1a1b")).parameters[1].transform
    Real()
    """
    plain = tuple(dataclasses.replace(parameter, transform=Real()) for parameter in model.parameters)
    return dataclasses.replace(model, parameters=plain, recipe=())


class Likelihood:
    """Log-likelihoods of all people as functions of natural parameters, for JAX: differentiable, in one call.

    Parameters
    ----------
    model, data
        The model, and the data that it explains.

    Examples
    --------
    >>> import pyem
    >>> model = pyem.models.get("rw1a1b")
    >>> data = pyem.simulate(model, [[5.0, 0.3], [2.0, 0.5]], key=1)
    >>> likelihood = Likelihood(model, data)
    >>> with jax.enable_x64(True):
    ...     value = likelihood.by_subject(beta=jnp.array([5.0, 2.0]), alpha=jnp.array([0.3, 0.5]))
    >>> bool(np.allclose(value, data.log_lik))
    True
    """

    def __init__(self, model: Model, data: Dataset) -> None:
        validate(model, data)
        model = scaled(model, data)
        self.model, self.data = model, data
        self._natural = natural_model(model)
        self._observed = Observed(model, data)
        self._people = people(self._natural, data)
        self._by_trial: People | None = people(self._natural, data, by_trial=True) if by_trial(model, data) else None

    @property
    def n_obs(self) -> int:
        """Number of responses that are used in the likelihood."""
        return len(self._observed.row)

    @property
    def observed(self) -> np.ndarray:
        """Responses that are used in the likelihood, subject by subject, (n_obs,)."""
        return self.data.fields[self.model.responses[0]][self._observed.row, self._observed.lane]

    @property
    def subject(self) -> np.ndarray:
        """Index of each response's subject, (n_obs,)."""
        return self.data.lane_subject[self._observed.lane]

    def stacked(self, params: dict[str, Any]) -> Array:
        """Natural values (P, S) from arrays by name, each a number or (S,) (for a vector parameter, (size,) or (S, size)).

        Raises
        ------
        ValueError
            If a parameter is missing or unknown, or has the wrong shape, or JAX works in single precision.
        """
        if jnp.result_type(float) != jnp.float64:
            raise ValueError(
                "likelihoods are computed in double precision; call numpyro.enable_x64() before anything else"
            )
        names = [parameter.name for parameter in self.model.parameters]
        missing, unknown = [n for n in names if n not in params], [n for n in params if n not in names]
        if missing or unknown:
            raise ValueError(
                f"model {self.model.name!r} has the parameters {', '.join(names)}; "
                + (f"missing: {', '.join(missing)}" if missing else f"unknown: {', '.join(unknown)}")
            )
        n, rows = self.data.n_subjects, []
        for parameter in self.model.parameters:
            value = jnp.asarray(params[parameter.name])
            shape = (n,) if parameter.size is None else (n, parameter.size)
            try:
                value = jnp.broadcast_to(value, shape)
            except ValueError:
                raise ValueError(
                    f"parameter {parameter.name!r} has shape {value.shape}, but there are {n} subjects; expected {shape}"
                ) from None
            rows.append(value[None] if parameter.size is None else value.T)
        return jnp.concatenate(rows)

    def by_subject(self, **params: Any) -> Array:
        """Log-likelihood of each subject, (S,), in nats, at natural parameters by name."""
        return log_lik(self._natural, self._people, self.stacked(params))

    def by_response(self, **params: Any) -> Array:
        """Log-likelihood of each response, (n_obs,), in the order of `observed`.

        Raises
        ------
        ValueError
            If the model gives no value for single trials.
        """
        if self._by_trial is None:
            raise ValueError(f"model {self.model.name!r} gives the log-likelihood of a block, not of single trials")
        values = trial_log_lik(self._natural, self._by_trial, self.stacked(params))
        return values[trial_places(self._natural, self.data, self._observed.lane, self._observed.row)]

    def sample(self, key: Array, **params: Any) -> Array:
        """Responses drawn one step ahead, each given the person's real choices and outcomes before, (n_obs,)."""
        from pyem.simulation.predictive import play_draws

        x = self.stacked(params)[:, self.data.lane_subject]
        trials = jax.tree.map(jnp.asarray, self.data.trials(self.model))
        responses, _ = play_draws(self._natural, None, True, trials, {}, x[None], key[None])
        return responses[self.model.responses[0]][0, self._observed.row, self._observed.lane]


def numpyro_model(model: Model, data: Dataset, *, pointwise: bool = True) -> Any:
    """Make a function that puts the likelihood of `data` into a NumPyro program.

    Parameters
    ----------
    model, data
        The model, and the data that it explains.
    pointwise
        Add an observed site with a value for each response, so that leave-one-out cross-validation and predictive sampling
        work; without it a single factor, which is a little faster.

    Returns
    -------
    callable
        Function to call within a program with natural parameters by name, each a number or one for each subject. It adds the
        site named after the response, or with ``name=...``.

    Notes
    -----
    Run the program in double precision (``numpyro.enable_x64()``), as fits of this library do.

    Examples
    --------
    >>> import numpyro, pyem
    >>> import numpyro.distributions as dist
    >>> model = pyem.models.get("rw1a1b")
    >>> data = pyem.simulate(model, subjects=5, trials=40, key=1)
    >>> likelihood = numpyro_model(model, data)
    >>> def program():
    ...     with numpyro.plate("subject", 5):
    ...         alpha = numpyro.sample("alpha", dist.Beta(1, 1))
    ...         beta = numpyro.sample("beta", dist.HalfNormal(10))
    ...     likelihood(alpha=alpha, beta=beta)
    >>> with jax.enable_x64(True), numpyro.handlers.seed(rng_seed=0):
    ...     numpyro.handlers.trace(program).get_trace()["choice"]["value"].shape
    (200,)
    """
    require_kind("model", model)
    require_kind("data", data)
    import numpyro

    likelihood = Likelihood(model, data)

    def add(name: str | None = None, **params: Any) -> None:
        site = name or model.responses[0]
        if not pointwise:
            numpyro.factor(site, likelihood.by_subject(**params).sum())
            return
        numpyro.sample(site, _responses(likelihood, params), obs=jnp.asarray(likelihood.observed))

    return add


def _responses(likelihood: Likelihood, params: dict[str, Any]) -> Any:
    """The observed responses as a NumPyro distribution with one log-probability for each."""
    from numpyro.distributions import Distribution, constraints

    class Responses(Distribution):
        """Responses of a data set, each given the trials before it."""

        arg_constraints: dict[str, Any] = {}  # noqa: RUF012 (as NumPyro has it)
        support: Any = constraints.real_vector if likelihood.model.options is None else constraints.nonnegative_integer

        def __init__(self) -> None:
            super().__init__(batch_shape=(likelihood.n_obs,), validate_args=False)

        def log_prob(self, value: Any) -> Array:
            """Log-probability of the observed responses; others have none, because later trials depend on the observed ones."""
            return likelihood.by_response(**params)

        def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Array:
            """Draw the responses one step ahead."""
            if not sample_shape:
                return likelihood.sample(key, **params)
            keys = jax.random.split(key, int(np.prod(sample_shape)))
            drawn = jax.vmap(partial(likelihood.sample, **params))(keys)
            return drawn.reshape(*sample_shape, likelihood.n_obs)

    return Responses()

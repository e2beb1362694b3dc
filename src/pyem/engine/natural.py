"""The log-likelihood at natural parameters, the ends of their ranges included."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
from jax.typing import ArrayLike

from pyem.data.dataset import Dataset
from pyem.engine import evaluate
from pyem.engine.regress import takes_designs
from pyem.engine.scale import scaled
from pyem.engine.validate import validate
from pyem.model.designed import FAR
from pyem.model.model import Model
from pyem.model.transform import Ordered, Real


@takes_designs
def log_lik(model: Model, data: Dataset, params: ArrayLike) -> np.ndarray:
    """Log-likelihood of each subject, (S,), in nats, at natural parameters.

    Parameters
    ----------
    model, data
        The model, and its data.
    params
        Natural parameters in the order of ``model.names``: a row for each subject, (S, P), as in ``fit.params``, or one set
        for everybody, (P,). Values may be at the very end of their range, such as a learning rate of 0 or 1.

    Returns
    -------
    numpy.ndarray
        Minus infinity for a subject who did what is impossible at these parameters.

    Raises
    ------
    ValueError
        If `params` has another shape, or a value is outside its range.
    DataError
        If the data do not suit the model.

    See Also
    --------
    pyem.engine.log_lik : the same at unconstrained parameters.

    Examples
    --------
    Someone who does not learn (alpha is 0) chooses between two options like a coin:

    >>> import pyem
    >>> data = pyem.Dataset.from_arrays({"choice": [[[0, 1, 1]]], "reward": [[[1, 0, 1]]]})
    >>> pyem.log_lik(pyem.models.get("rw1a1b"), data, [5.0, 0.0]).round(4)
    array([-2.0794])
    """
    validate(model, data)
    model = scaled(model, data)
    values = _in_range(model, data, params)
    if model.design is not None:
        # Effects are on the unconstrained scale.
        return evaluate.log_lik(model, data, _far_out(model, values))
    return evaluate.log_lik(_untransformed(model), data, values)


def _far_out(model: Model, values: np.ndarray) -> np.ndarray:
    """Unconstrained values; an end of a range becomes so large a number that it makes no difference."""
    x, start = np.empty(values.shape), 0
    with jax.enable_x64(True), np.errstate(all="ignore"):
        for parameter in model.parameters:
            part = slice(start, start + len(parameter.names))
            block = np.moveaxis(values[:, part], -1, 0)
            x[:, part] = np.clip(np.moveaxis(np.asarray(parameter.transform.inv(block)), 0, -1), -FAR, FAR)
            start = part.stop
    return x


def _untransformed(model: Model) -> Model:
    """Return the model with natural parameters in place of the unconstrained ones."""
    plain = tuple(dataclasses.replace(parameter, transform=Real()) for parameter in model.parameters)
    # Contexts are found at random unconstrained parameters, which may be outside of the range here.
    return dataclasses.replace(model, parameters=plain, share=False, recipe=())


def _in_range(model: Model, data: Dataset, params: ArrayLike) -> np.ndarray:
    values = np.asarray(params, float)
    if values.shape not in ((model.n_params,), (data.n_subjects, model.n_params)):
        raise ValueError(
            f"params has shape {values.shape}; expected ({data.n_subjects} subjects, {model.n_params} parameters), or "
            f"({model.n_params},) for everybody alike: {', '.join(model.names)}"
        )
    start = 0
    for parameter in model.parameters:
        stop = start + len(parameter.names)
        part, (low, high) = values[..., start:stop], parameter.transform.bounds
        bad = ~(np.isfinite(part) & (part >= low) & (part <= high))
        if bad.any():
            raise ValueError(
                f"{parameter.name} = {part[bad][0]:g} is not a finite number in the range [{low:g}, {high:g}] of model "
                f"{model.name!r}; give a value in it"
            )
        if isinstance(parameter.transform, Ordered) and (np.diff(part) < 0).any():
            raise ValueError(f"the values of {parameter.name} must not decrease in model {model.name!r}; sort them")
        start = stop
    return np.broadcast_to(values, (data.n_subjects, model.n_params))

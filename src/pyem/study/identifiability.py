"""Identifiability of one person's parameters in a design: expected Fisher information, and its weak directions."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from pyem.data.dataset import Dataset
from pyem.engine.evaluate import value_grad_hess
from pyem.errors import require_kind
from pyem.model.model import Model
from pyem.numerics.rng import plain_key
from pyem.study.experiment import Experiment, experiment_of, to_fit

if TYPE_CHECKING:
    import pandas as pd

WEAK = 1.0
"""Information below which the group informs about a direction more than the person's data."""


@dataclasses.dataclass(frozen=True, eq=False)
class Identifiability:
    """The expected Fisher information of one person's data, on the unconstrained scale.

    Parameters
    ----------
    model
        The model.
    params
        Natural parameters at which the information is computed, (P,).
    information
        Expected Fisher information in units of the spread of people, (P, P): 1 is as much as is known of a person before any
        data, from the group.
    error
        Monte-Carlo standard error of each entry, (P, P).
    """

    model: Model
    params: np.ndarray
    information: np.ndarray
    error: np.ndarray

    def table(self) -> pd.DataFrame:
        """A row for each parameter: uncertainty that one person's data leave, in standard deviations of people.

        ``sd``: of an unbiased estimate from the data alone (infinite if the data cannot tell it from others);
        ``sd_others_known``: the same if all other parameters were known; ``sd_with_group``: of the posterior; ``shrinkage``:
        how far the posterior mean is drawn to the group's, from 0 to 1.
        """
        import pandas as pd

        values, vectors = np.linalg.eigh(self.information)
        with np.errstate(divide="ignore"):
            inverse = np.where(values > self._noise, 1 / np.maximum(values, 1e-300), np.inf)
            alone = np.sqrt(((vectors**2) * np.where(vectors**2 > 1e-12, inverse, 0.0)).sum(1))
            known = 1 / np.sqrt(np.maximum(np.diag(self.information), 0))
        posterior = np.diag(np.linalg.inv(_positive(self.information) + np.eye(len(values))))
        columns = {"sd": alone, "sd_others_known": known, "sd_with_group": np.sqrt(posterior), "shrinkage": posterior}
        return pd.DataFrame(columns, index=pd.Index(self.model.names, name="parameter"))

    @property
    def _noise(self) -> float:
        """Size up to which an eigenvalue cannot be told from 0, given the error of the simulation."""
        return 2 * float(np.sqrt((self.error**2).sum())) + 1e-10 * float(np.trace(np.abs(self.information)))

    def directions(self) -> pd.DataFrame:
        """A row for each combination of parameters, the weakest first: its ``information``, ``sd``, and weights.

        The weights are of parameters in standard deviations of people; data tell nothing of changes along a direction without
        information.
        """
        import pandas as pd

        values, vectors = np.linalg.eigh(self.information)
        # The largest weight is positive.
        vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(0), np.arange(len(values))])
        with np.errstate(divide="ignore", invalid="ignore"):
            sd = np.where(values > self._noise, 1 / np.sqrt(np.maximum(values, 1e-300)), np.inf)
        columns = {"information": values, "sd": sd} | dict(zip(self.model.names, vectors, strict=True))
        return pd.DataFrame(columns, index=pd.RangeIndex(1, len(values) + 1, name="direction"))

    def weak(self, limit: float = WEAK) -> list[str]:
        """Combinations of parameters that are known better from the group than from the data, in words."""
        table, out = self.directions(), []
        weak = table.loc[table["information"] < limit, list(self.model.names)]
        for row in weak.to_numpy():
            weights = dict(zip(self.model.names, row.tolist(), strict=True))
            order = sorted(weights, key=lambda name: -abs(weights[name]))
            out.append(" ".join(f"{weights[name]:+.2f} {name}" for name in order))
        return out

    def __repr__(self) -> str:
        weak = self.weak()
        said = "\n".join(f"weak: {one}" for one in weak) or "no weak direction"
        table = self.table().to_string(float_format="{:.3g}".format)
        return f"Identifiability of {self.model.name}, in sds of people\n{table}\n{said}"


def _positive(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.maximum(values, 0)) @ vectors.T


def identifiability(
    model: Model,
    params: Any = None,
    *,
    key: Any,
    subjects: int = 500,
    blocks: int | None = None,
    trials: int | None = None,
    task: Any = None,
    missed: float = 0.0,
    design: Experiment | Dataset | None = None,
) -> Identifiability:
    """Find the parameters, and combinations of parameters, about which the data of one person inform.

    Parameters
    ----------
    model
        The model.
    params
        Natural parameters of the person, (P,); the typical ones if not given.
    key
        Seed or JAX random key.
    subjects
        Simulated people, all with these parameters: the information is the mean over them.
    blocks, trials, task, missed, design
        Experiment of the person; see `recovery`.

    Raises
    ------
    ValueError
        If parameters have another shape or are out of range.

    Notes
    -----
    The expected information is the mean of minus the Hessian of the log-likelihood at the true parameters. Eigenvectors with
    small eigenvalues are what the design cannot tell apart.

    References
    ----------
    Wilson, R. C., & Collins, A. G. E. (2019). Ten simple rules for the computational modeling of behavioral data. eLife,
    8, e49547. https://doi.org/10.7554/eLife.49547

    Examples
    --------
    >>> import pyem
    >>> level = pyem.fix(pyem.models.get("glm", predictors=1), sigma=1.0)
    >>> found = identifiability(level, key=1, subjects=5, trials=12)
    >>> found.information.round(6).tolist()
    [[12.0]]
    """
    require_kind("model", model)
    mean, sd = model.typical
    at = model.natural(mean) if params is None else np.asarray(params, float)
    if at.shape != mean.shape:
        raise ValueError(f"params has shape {at.shape}; one value for each of {', '.join(model.names)} is expected")
    known = isinstance(design, Dataset) or (isinstance(design, Experiment) and design.data is not None)
    words = {"blocks": blocks, "trials": trials, "task": task, "missed": missed}
    experiment = experiment_of(design, subjects=None if known or isinstance(design, Experiment) else subjects, **words)
    n = experiment.n_subjects(None, subjects)
    data = experiment.round(model, np.tile(at, (n, 1)), n, 0, plain_key(key))
    made = to_fit(model, data)
    assert isinstance(made, Model)
    _, _, hess = value_grad_hess(made, data, data.truth)
    each = -hess * np.outer(sd, sd)
    each = each[np.isfinite(each).all((1, 2))]
    error = each.std(0, ddof=1) / len(each) ** 0.5 if len(each) > 1 else np.full(each.shape[1:], np.inf)
    information = each.mean(0)
    return Identifiability(made, at, (information + information.T) / 2, error)

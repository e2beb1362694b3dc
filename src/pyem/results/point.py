"""The result of `fit_mle`, `fit_map` and `fit_em`: every person's mode, its curvature, and the group."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np

from pyem.data.dataset import Dataset
from pyem.model.model import Model
from pyem.numerics.rng import generator
from pyem.population.population import Population
from pyem.results import estimated
from pyem.results.draws import at_least_one, group_draws, laplace_draws
from pyem.results.fit import Draws, result
from pyem.results.tables import ended, people_table, summary_html, summary_of

if TYPE_CHECKING:
    import pandas as pd


ON_POINTS = ("effective_nodes", "unreached", "evidence_error")
"""Names of the diagnostics of each person's points, if people are integrated out over points."""


@final
@result
@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class PointFit:
    """A fit by maximum likelihood, MAP or EM: every subject's mode, its curvature, and the group.

    Parameters
    ----------
    method
        ``"mle"``, ``"map"`` or ``"em"``.
    model, data
        The fitted model, and its data.
    x
        Unconstrained estimates, (S, P).
    cov
        Covariance of each subject's Laplace approximation on the unconstrained scale, (S, P, P).
    log_lik, log_prior, log_evidence
        (S,), in nats, at the estimates; the last two are None for maximum likelihood. The evidence is the Laplace
        approximation of the log marginal likelihood.
    status
        A `Status` code for each subject, (S,).
    population
        The fitted group (EM), else None.
    prior
        Mean (P,) and covariance (P, P) of the given Gaussian prior (MAP), else None.
    information
        Observed information of the group's parameters, or None.
    converged, message
        Whether and why the iteration stopped.
    trace
        The path of the EM iteration: ``log_evidence``, ``change`` and ``vector``, a row for each iteration.
    settings
        All keyword arguments that repeat the fit; empty in files of version 0.1.0.
    """

    method: str
    model: Model
    data: Dataset
    x: np.ndarray
    cov: np.ndarray
    log_lik: np.ndarray
    log_prior: np.ndarray | None
    log_evidence: np.ndarray | None
    status: np.ndarray
    population: Population | None
    prior: tuple[np.ndarray, np.ndarray] | None
    information: np.ndarray | None
    converged: bool
    message: str
    trace: dict[str, np.ndarray]
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def params(self) -> np.ndarray:
        """Natural estimates, (S, P)."""
        return self.model.natural(self.x)

    @property
    def sd(self) -> np.ndarray:
        """Standard deviation of each natural parameter, (S, P), by the delta method."""
        return self._spread * np.exp(self.model.log_det(self.x))

    @property
    def _spread(self) -> np.ndarray:
        return np.sqrt(np.maximum(np.diagonal(self.cov, axis1=1, axis2=2), 0))

    def quantile(self, q: float) -> np.ndarray:
        """The `q` quantile of each natural parameter, (S, P), by the Laplace approximation on the unconstrained scale.

        So it stays within the range of the parameter.

        Examples
        --------
        >>> import pyem
        >>> model = pyem.models.get("rw1a1b")
        >>> fit = pyem.fit_map(model, pyem.simulate(model, subjects=3, trials=20, key=1))
        >>> bool(np.allclose(fit.quantile(0.5), fit.params))
        True
        """
        from scipy.special import ndtri

        if not 0 < q < 1:
            raise ValueError(f"q={q}; a quantile is asked for between 0 and 1")
        return self.model.natural(self.x + ndtri(q) * self._spread)

    # -- tables -----------------------------------------------------------------------------------------------------------

    def table(self) -> pd.DataFrame:
        """A row for each subject: natural parameters, their sd, log-likelihood, log evidence, trials and status.

        Where people are integrated out exactly, there are the effective number of points of each, ``effective_nodes``, and
        the share of the evidence that these do not reach, ``unreached``, and the standard error of the log evidence, in nats,
        ``evidence_error``.
        """
        values = [f"P({name}={v:g})" for name, some in self.model.discrete.items() for v in some]
        more = {name: self.trace[name] for name in (*ON_POINTS, *values) if name in self.trace}
        return people_table(self, intervals=False, more=more)

    # -- draws ------------------------------------------------------------------------------------------------------------

    def draws(self, n: int, *, key: Any = 0) -> Draws:
        """`n` random draws from the Laplace approximation of every person's posterior, NaN where there is no regular mode.

        With a group (EM) they have the group's parameters too, from the Gaussian that their observed information gives. People
        are drawn given the group's estimate, not given these.

        Examples
        --------
        >>> import pyem
        >>> model = pyem.models.get("rw1a1b")
        >>> fit = pyem.fit_map(model, pyem.simulate(model, subjects=3, trials=20, key=1))
        >>> fit.draws(10, key=1).params.shape
        (10, 3, 2)
        """
        at_least_one(n)
        rng = generator(key)
        x = laplace_draws(self.x, self.cov, self.status, n, rng)
        for name, values in self.model.discrete.items():
            weights = np.array([self.trace[f"P({name}={v:g})"] for v in values])
            picked = (rng.random((n, 1, len(self.x))) > np.cumsum(weights, axis=0)[:-1]).sum(1)
            x[..., self.model.names.index(name)] = np.asarray(values)[picked]
        return Draws(x, self.model.natural(x), group_draws(self.population, self.information, n, rng))

    # -- saying it --------------------------------------------------------------------------------------------------------

    def summary(self) -> str:
        """Description of the fit and its results, as text."""
        how = "exact" if "effective_nodes" in self.trace else "Laplace"
        return summary_of(self, *ended(self, "log-likelihood", f"log evidence ({how})"))

    # -- as of all point estimates ----------------------------------------------------------------------------------------

    group_table = estimated.group_table
    effects = estimated.effects
    marginal_means = estimated.marginal_means
    latents = estimated.latents
    prior_draws = estimated.prior_draws
    chains = estimated.chains
    problems = estimated.problems
    to_arviz = estimated.to_arviz
    save = estimated.save
    __repr__ = estimated.text
    _repr_html_ = summary_html

    @staticmethod
    def load(path: str | Path, model: Model | None = None) -> PointFit:
        """Read a fit that `save` wrote; `model` is needed for models that are not in the registry.

        Raises
        ------
        ValueError
            If the file is cut short, of another model, or of a newer format, or holds another kind of result.
        """
        from pyem.results.files import load

        fit = load(path, model)
        if not isinstance(fit, PointFit):
            raise ValueError(f"{str(path)!r} holds a {type(fit).__name__}; use pyem.load")
        return fit

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
from pyem.results.draws import at_least_one, drawn_prior, group_draws, laplace_draws, one_chain
from pyem.results.fit import Chains, Draws, Unit, result
from pyem.results.latents import latents_at
from pyem.results.point_problems import group_problems, iteration_problems, people_problems
from pyem.results.tables import ended, information_table, people_table, summary_html, summary_of

if TYPE_CHECKING:
    import pandas as pd


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
        What was fitted to what.
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
        """A row for each subject: natural parameters, their sd, log-likelihood, log evidence, trials and status."""
        return people_table(self, intervals=False)

    def group_table(self) -> pd.DataFrame:
        """A row for each group parameter: mean, effect of a covariate, sd, correlation.

        Columns: ``estimate``, standard error ``se`` and 95 % interval ``low``, ``high`` on the unconstrained scale;
        ``natural``, ``natural_low``, ``natural_high``: the group's median and its interval on the natural scale; ``z`` (the
        estimate in standard errors) and ``p`` (two-sided) for effects. Intervals and p use Student's t with as many degrees
        of freedom as there are subjects beyond the regression's weights. Intervals of standard deviations are symmetric for
        their logarithm. A standard deviation on its lower bound (nobody differs as far as the data tell) has no error.

        Raises
        ------
        Unavailable
            If the fit has no group (maximum likelihood, MAP).
        """
        return information_table(self, self.information)

    def latents(self) -> pd.DataFrame:
        """A row for each trial: subject, block, trial, the columns, log-probability of the response, values, latents.

        Values are those before the response. Quantities of the update (prediction errors) are NaN where the trial taught
        nothing, the probability is NaN where there was no response. Vectors have a column for each place: ``name0``,
        ``name1``, ...
        """
        return latents_at(self.model, self.data, self.x)

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
        return Draws(x, self.model.natural(x), group_draws(self.population, self.information, n, rng))

    def prior_draws(self, n: int, *, key: Any = 0) -> Draws:
        """`n` random draws of people from the Gaussian prior that was given.

        Raises
        ------
        Unavailable
            If there was none.
        """
        return drawn_prior(self.model, self.method, self.prior, len(self.x), n, generator(key))

    def chains(self, n: int, *, key: Any = 0) -> Chains:
        """`n` draws as one chain."""
        return one_chain(self.draws(n, key=key))

    # -- saying it --------------------------------------------------------------------------------------------------------

    def problems(self) -> list[str]:
        """What is wrong with the estimates, in words; empty if nothing is."""
        return [
            *iteration_problems(self.population, self.converged, self.message),
            *people_problems(self.data.subjects, self.status),
            *group_problems(self.model, self.population, self.information),
        ]

    def summary(self) -> str:
        """What was fitted and what came out, as text."""
        return summary_of(self, *ended(self, "log-likelihood", "log evidence (Laplace)"))

    def __repr__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        return summary_html(self)

    # -- other forms ------------------------------------------------------------------------------------------------------

    def to_arviz(
        self,
        *,
        draws: int = 500,
        log_likelihood: Unit | bool | None = True,
        prior: int = 0,
        posterior_predictive: int = 0,
        key: Any = 0,
    ) -> Any:
        """The fit as ArviZ `InferenceData`: draws from the Laplace approximation, pointwise log-likelihood, observed data.

        See `pyem.results.arviz.to_arviz`.
        """
        from pyem.results.arviz import to_arviz

        return to_arviz(
            self,
            draws=draws,
            log_likelihood=log_likelihood,
            prior=prior,
            posterior_predictive=posterior_predictive,
            key=key,
        )

    def save(
        self, path: str | Path, *, draws: int = 100, log_likelihood: Unit | bool | None = False, key: Any = 0
    ) -> Path:
        """Write the fit, its data and the model's identity to a netCDF file, which ArviZ opens too; `load` reads it back.

        The file appears under its name only when it is complete. See `pyem.results.files.save`.
        """
        from pyem.results.files import save

        return save(self, path, draws=draws, log_likelihood=log_likelihood, key=key)

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

"""The result of `fit_grid`: exact posteriors on a grid."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

import numpy as np

from pyem.data.dataset import Dataset
from pyem.model.model import Model
from pyem.numerics.rng import generator
from pyem.population.population import Population
from pyem.results import estimated
from pyem.results.draws import at_least_one, group_draws, regular
from pyem.results.fit import Draws, result
from pyem.results.point import PointFit
from pyem.results.tables import ended, people_table, summary_html, summary_of

if TYPE_CHECKING:
    import pandas as pd


@final
@result
@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class GridFit:
    """Every subject's exact posterior, on a grid.

    Parameters
    ----------
    model, data
        The fitted model, and its data.
    x, cov
        Posterior means (S, P) and covariances (S, P, P) of the unconstrained parameters.
    log_lik, log_prior
        (S,), in nats, at the posterior means.
    log_evidence
        Log marginal likelihood, (S,), in nats, exact to the tolerance of the fit.
    status
        A `Status` code for each subject, (S,).
    population
        The group, or None where the prior was given.
    prior
        Mean (P,) and covariance (P, P) of the Gaussian prior that was given, else None.
    information
        Observed information of the group's parameters, or None.
    converged, message
        Whether every posterior was integrated, and how it ended.
    axes
        Unconstrained values of each parameter along the grid, (S, P, n).
    density
        Joint posterior density on the unconstrained scale, (S, n) for one parameter, (S, n, n) for two.
    trace
        The path of the iteration over the group; empty without one.
    settings
        All keyword arguments that repeat the fit; empty in files of version 0.1.0.
    method
        ``"grid"``.
    """

    model: Model
    data: Dataset
    x: np.ndarray
    cov: np.ndarray
    log_lik: np.ndarray
    log_prior: np.ndarray | None
    log_evidence: np.ndarray
    status: np.ndarray
    population: Population | None
    prior: tuple[np.ndarray, np.ndarray] | None
    information: np.ndarray | None
    converged: bool
    message: str
    axes: np.ndarray
    density: np.ndarray
    trace: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    method: str = "grid"

    @property
    def point(self) -> PointFit:
        """The posterior means and covariances as a point fit. The grid fit itself has all that this has."""
        shared = {field.name for field in dataclasses.fields(self)} - {"axes", "density"}
        return PointFit(**{name: getattr(self, name) for name in shared})

    # -- posteriors -------------------------------------------------------------------------------------------------------

    @property
    def _steps(self) -> np.ndarray:
        return self.axes[:, :, 1] - self.axes[:, :, 0]

    @property
    def marginals(self) -> np.ndarray:
        """Posterior density of each parameter at `axes`, unconstrained, (S, P, n)."""
        if self.axes.shape[1] == 1:
            return self.density[:, None]
        first = self.density.sum(2) * self._steps[:, 1:]
        second = self.density.sum(1) * self._steps[:, :1]
        return np.stack([first, second], axis=1)

    @property
    def natural_axes(self) -> np.ndarray:
        """Natural values of each parameter along the grid, (S, P, n)."""
        return np.moveaxis(self.model.natural(np.moveaxis(self.axes, 1, 2)), 2, 1)

    @property
    def natural_marginals(self) -> np.ndarray:
        """Posterior density of each natural parameter at `natural_axes`, (S, P, n)."""
        log_det = np.moveaxis(self.model.log_det(np.moveaxis(self.axes, 1, 2)), 2, 1)
        return self.marginals * np.exp(-log_det)

    @property
    def params(self) -> np.ndarray:
        """Posterior mean of each natural parameter, (S, P)."""
        return self._expect(self.natural_axes)

    @property
    def sd(self) -> np.ndarray:
        """Posterior standard deviation of each natural parameter, (S, P)."""
        return np.sqrt(self._expect((self.natural_axes - self.params[..., None]) ** 2))

    def _expect(self, values: np.ndarray) -> np.ndarray:
        """Expectation under each marginal; NaN for people without a posterior."""
        known = self.marginals.sum(-1) > 0
        return np.where(known, (values * self.marginals).sum(-1) * self._steps, np.nan)

    def quantile(self, q: float) -> np.ndarray:
        """The `q` quantile of each natural parameter's posterior, (S, P).

        Examples
        --------
        >>> import pyem
        >>> model = pyem.models.get("rw1a1b")
        >>> fit = pyem.fit_grid(model, pyem.simulate(model, subjects=2, key=1), group=None)
        >>> bool((fit.quantile(0.025) < fit.quantile(0.5)).all())
        True
        """
        if not 0 < q < 1:
            raise ValueError(f"q={q}; a quantile is asked for between 0 and 1")
        from scipy.interpolate import CubicSpline

        # The trapezoid rule needs few points; between them the density is a smooth curve.
        place = np.arange(self.axes.shape[2])
        fine = np.linspace(0, place[-1], 16 * place[-1] + 1)
        below = np.moveaxis(CubicSpline(place, np.moveaxis(self.marginals, -1, 0)).antiderivative()(fine), 0, -1)
        x = np.full(below.shape[:2], np.nan)
        for index in np.ndindex(*x.shape):
            if below[index][-1] > 0:
                at = np.interp(q * below[index][-1], below[index], fine)
                x[index] = self.axes[index][0] + at * self._steps[index]
        return self.model.natural(x)

    # -- draws ------------------------------------------------------------------------------------------------------------

    def draws(self, n: int, *, key: Any = 0) -> Draws:
        """`n` random draws from the posteriors, NaN for people without one; of a group as in `PointFit.draws`.

        A grid point is drawn by its probability, then a place in its cell, so that figures look smooth; use the exact
        moments and quantiles for numbers.
        """
        at_least_one(n)
        rng = generator(key)
        x = np.full((n, *self.x.shape), np.nan)
        for s in np.flatnonzero(regular(self.status, self.cov) & (self.density.sum(self._cells) > 0)):
            x[:, s] = self._drawn(int(s), n, rng)
        return Draws(x, self.model.natural(x), group_draws(self.population, self.information, n, rng))

    @property
    def _cells(self) -> tuple[int, ...]:
        return tuple(range(1, self.density.ndim))

    def _drawn(self, s: int, n: int, rng: np.random.Generator) -> np.ndarray:
        """Draws (n, P) of one person."""
        p, size = self.axes.shape[1:]
        density = self.density[s].ravel()
        picked = rng.choice(len(density), size=n, p=density / density.sum())
        places = (picked,) if p == 1 else divmod(picked, size)
        jitter = rng.uniform(-0.5, 0.5, size=(n, p)) * self._steps[s]
        return np.stack([axis[place] for axis, place in zip(self.axes[s], places, strict=True)], axis=-1) + jitter

    # -- tables -----------------------------------------------------------------------------------------------------------

    def table(self) -> pd.DataFrame:
        """A row for each subject: posterior means, sds and 95 % intervals of the natural parameters, log evidence, status."""
        return people_table(self, intervals=True)

    # -- saying it --------------------------------------------------------------------------------------------------------

    def summary(self) -> str:
        """Description of the fit and its results, as text."""
        return summary_of(self, *ended(self, "log-likelihood at the means", "log evidence"))

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


def flattened(values: dict[str, Any]) -> dict[str, Any]:
    """Convert the fields of version 0.1.0, which had most of them in a point fit, to those of a `GridFit`."""
    if "point" not in values:
        return values
    known = {field.name for field in dataclasses.fields(GridFit)}
    point = {field.name: getattr(values["point"], field.name) for field in dataclasses.fields(PointFit)}
    rest = {name: value for name, value in values.items() if name != "point"}
    return {name: value for name, value in point.items() if name in known} | rest

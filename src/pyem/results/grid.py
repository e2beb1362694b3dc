"""The result of `fit_grid`: exact posteriors on a grid."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pyem.data.dataset import Dataset
from pyem.model.model import Model
from pyem.population.population import Population
from pyem.population.posterior import Status
from pyem.results.point import PointFit

if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass(frozen=True, eq=False)
class GridFit:
    """Every subject's exact posterior, on a grid.

    Parameters
    ----------
    point
        Posterior means ``x``, covariances ``cov`` (unconstrained) and log evidence as a point fit, for what works on those.
    axes
        Unconstrained values of each parameter along the grid, (S, P, n).
    density
        Joint posterior density on the unconstrained scale, (S, n) for one parameter, (S, n, n) for two.
    """

    point: PointFit
    axes: np.ndarray
    density: np.ndarray

    @property
    def method(self) -> str:
        """``"grid"``."""
        return self.point.method

    @property
    def model(self) -> Model:
        """What was fitted."""
        return self.point.model

    @property
    def data(self) -> Dataset:
        """What it was fitted to."""
        return self.point.data

    @property
    def x(self) -> np.ndarray:
        """Posterior mean of the unconstrained parameters, (S, P)."""
        return self.point.x

    @property
    def cov(self) -> np.ndarray:
        """Posterior covariance of the unconstrained parameters, (S, P, P)."""
        return self.point.cov

    @property
    def log_lik(self) -> np.ndarray:
        """Log-likelihood at `x`, (S,), in nats."""
        return self.point.log_lik

    @property
    def log_evidence(self) -> np.ndarray:
        """Log marginal likelihood, (S,), in nats, exact to the tolerance of the fit."""
        assert self.point.log_evidence is not None
        return self.point.log_evidence

    @property
    def status(self) -> np.ndarray:
        """A `Status` code for each subject, (S,)."""
        return self.point.status

    @property
    def population(self) -> Population | None:
        """The group, or None where the prior was given."""
        return self.point.population

    @property
    def converged(self) -> bool:
        """Whether every posterior was integrated."""
        return self.point.converged

    @property
    def message(self) -> str:
        """How it ended."""
        return self.point.message

    @property
    def settings(self) -> Mapping[str, Any]:
        """The arguments of the fit: ``fit_grid(model, data, **fit.settings)`` repeats it."""
        return self.point.settings

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
        return (values * self.marginals).sum(-1) * self._steps

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

    def draws(self, n: int, *, key: int) -> np.ndarray:
        """Random draws from the posteriors, unconstrained, (S, n, P).

        A grid point is drawn by its probability, then a place in its cell, so that figures look smooth; use the exact
        moments and quantiles for numbers.
        """
        rng = np.random.default_rng(key)
        flat = self.density.reshape(len(self.density), -1)
        out = np.empty((len(flat), n, self.axes.shape[1]))
        size = self.axes.shape[2]
        for s, density in enumerate(flat):
            if not density.sum() > 0:
                out[s] = np.nan
                continue
            picked = rng.choice(len(density), size=n, p=density / density.sum())
            places = (picked,) if self.axes.shape[1] == 1 else divmod(picked, size)
            jitter = rng.uniform(-0.5, 0.5, size=(n, self.axes.shape[1])) * self._steps[s]
            out[s] = np.stack([axis[place] for axis, place in zip(self.axes[s], places, strict=True)], axis=-1) + jitter
        return out

    # -- tables -----------------------------------------------------------------------------------------------------------

    def table(self) -> pd.DataFrame:
        """A row for each subject: posterior means, sds and 95 % intervals of the natural parameters, log evidence, status."""
        import pandas as pd

        columns: dict[str, Any] = {}
        low, high = self.quantile(0.025), self.quantile(0.975)
        for k, name in enumerate(self.model.names):
            columns[name] = self.params[:, k]
            columns[f"{name}_sd"] = self.sd[:, k]
            columns[f"{name}_low"], columns[f"{name}_high"] = low[:, k], high[:, k]
        columns["log_lik"] = self.log_lik
        columns["log_evidence"] = self.log_evidence
        columns["n_responses"] = self.data.n_responses(self.model)
        columns["status"] = [Status(code).text for code in self.status]
        return pd.DataFrame(columns, index=pd.Index(self.data.subjects, name="subject"))

    def group_table(self) -> pd.DataFrame:
        """A row for each group parameter, as `PointFit.group_table`.

        Raises
        ------
        ValueError
            If the prior was given: there is no group.
        """
        return self.point.group_table()

    def latents(self) -> pd.DataFrame:
        """A row for each trial at the posterior means, as `PointFit.latents`."""
        return self.point.latents()

    def summary(self) -> str:
        """What was fitted and what came out, as text."""
        lines = [
            f"{self.model.name}, exact posteriors by quadrature, {self.data.n_subjects} subjects, "
            f"{int(self.data.n_responses(self.model).sum())} responses",
            f"{'converged' if self.converged else 'NOT CONVERGED'}: {self.message}",
            f"log-likelihood at the means {self.log_lik.sum():.3f}, log evidence {self.log_evidence.sum():.3f}",
            "",
        ]
        table = self.group_table() if self.population is not None else self.table().describe().T
        return "\n".join([*lines, table.to_string(float_format=lambda value: f"{value:.4g}", na_rep="")])

    def __repr__(self) -> str:
        return self.summary()

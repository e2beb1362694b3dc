"""Results of fits: frozen, labelled at the edge, able to say what they mean."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyem.data.dataset import Dataset
from pyem.engine.evaluate import trial_values
from pyem.model.model import Model
from pyem.population.population import Population
from pyem.population.posterior import Status

if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass(frozen=True, eq=False)
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
        The arguments of the fit: ``fit_em(model, data, **fit.settings)`` repeats a fit by `fit_em`.
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
        spread = np.sqrt(np.maximum(np.diagonal(self.cov, axis1=1, axis2=2), 0))
        return spread * np.exp(self.model.log_det(self.x))

    # -- tables -----------------------------------------------------------------------------------------------------------

    def table(self) -> pd.DataFrame:
        """A row for each subject: natural parameters, their sd, log-likelihood, log evidence, trials and status."""
        import pandas as pd

        names = self.model.names
        columns: dict[str, Any] = dict(zip(names, self.params.T, strict=True))
        columns |= {f"{name}_sd": sd for name, sd in zip(names, self.sd.T, strict=True)}
        columns["log_lik"] = self.log_lik
        if self.log_evidence is not None:
            columns["log_evidence"] = self.log_evidence
        columns["n_responses"] = self.data.n_responses(self.model)
        columns["status"] = [Status(code).text for code in self.status]
        return pd.DataFrame(columns, index=pd.Index(self.data.subjects, name="subject"))

    def group_table(self) -> pd.DataFrame:
        """A row for each group parameter: mean, effect of a covariate, sd, correlation.

        Columns: ``estimate``, standard error ``se`` and 95 % interval ``low``, ``high`` on the unconstrained scale;
        ``natural``, ``natural_low``, ``natural_high``: the group's median and its interval on the natural scale; ``z`` (the
        estimate in standard errors) and ``p`` (two-sided) for effects. Intervals and p use Student's t with as many degrees
        of freedom as there are subjects beyond the regression's weights. Intervals of standard deviations are symmetric for
        their logarithm. A standard deviation on its lower bound (nobody differs as far as the data tell) has no error.

        Raises
        ------
        ValueError
            If the fit has no group (maximum likelihood, MAP).
        """
        import pandas as pd

        return pd.DataFrame(self._group_rows()).set_index(["kind", "parameter"])

    def _group_rows(self) -> list[dict[str, Any]]:
        if self.population is None:
            raise ValueError(f"a fit by {self.method} has no group; use fit_em")
        pop = self.population
        names = self.model.names
        covariance = self._group_covariance()
        n_coef = int(pop.free.sum())
        se_coef = np.full(pop.coef.shape, np.nan)
        se_coef[pop.free] = np.sqrt(np.diag(covariance)[:n_coef])
        rows = []
        df = max(len(self.x) - len(pop.coef), 1)
        labels = ["mean", *(name for name, _ in pop.group.covariates)]
        for k, label in enumerate(labels):
            for j, name in enumerate(names):
                if pop.free[k, j]:
                    kind = "mean" if k == 0 else f"effect of {label}"
                    rows.append(_row(kind, name, pop.coef[k, j], se_coef[k, j], df, test=k > 0))
        ends = np.array([[row["estimate"], row["low"], row["high"]] for row in rows[: len(names)]])
        for row, values in zip(rows, self.model.natural(ends.T).T, strict=False):
            row |= dict(zip(("natural", "natural_low", "natural_high"), values, strict=True))
        return rows + self._spread_rows(covariance, df)

    def _spread_rows(self, covariance: np.ndarray, df: int) -> list[dict[str, Any]]:
        assert self.population is not None
        names = self.model.names
        start = self.population.vector

        def spreads(vector: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            cov = self.population.with_vector(vector).cov  # type: ignore[union-attr]
            sd = np.sqrt(np.diag(cov))
            return np.log(sd), np.arctanh(
                np.clip((cov / np.outer(sd, sd))[np.tril_indices(len(sd), -1)], -0.999999, 0.999999)
            )

        log_sd, fisher = spreads(start)
        step = 1e-5 * np.eye(len(start))
        slopes = [[(a - b) / 2e-5 for a, b in zip(spreads(start + h), spreads(start - h), strict=True)] for h in step]
        se = [np.sqrt(np.einsum("ik,ij,jk->k", s, covariance, s)) for s in map(np.array, zip(*slopes, strict=True))]
        rows = [
            _row("sd", name, value, error, df, back=math.exp)
            for name, value, error in zip(names, log_sd, se[0], strict=True)
        ]
        if self.population.group.covariance == "full":
            pairs = zip(*np.tril_indices(len(names), -1), strict=True)
            rows += [
                _row("correlation", f"{names[j]}, {names[i]}", value, error, df, back=math.tanh)
                for (i, j), value, error in zip(pairs, fisher, se[1], strict=True)
            ]
        return rows

    def _group_covariance(self) -> np.ndarray:
        """Covariance of the group's `vector`: the inverse information of what is not on its lower bound, NaN elsewhere."""
        pop = self.population
        n = len(pop.vector) if pop else 0
        out = np.full((n, n), np.nan)
        if pop is None or self.information is None or not np.isfinite(self.information).all():
            return out
        keep = np.flatnonzero(~pop.at_floor)
        values, vectors = np.linalg.eigh(self.information[np.ix_(keep, keep)])
        if values.min() > 0:
            out[np.ix_(keep, keep)] = (vectors / values) @ vectors.T
        return out

    def latents(self) -> pd.DataFrame:
        """A row for each trial: subject, block, trial, the columns, log-probability of the response, values, latents.

        Values are those before the response. Quantities of the update (prediction errors) are NaN where the trial taught
        nothing, the probability is NaN where there was no response.
        """
        import pandas as pd

        lane, row = np.nonzero(self.data.valid.T)
        columns: dict[str, Any] = self.data.index_columns(lane, row)
        for name in self.model.columns:
            values = np.moveaxis(self.data.fields[name], -1, 1)[row, lane]
            here = self.data.present[name][row, lane]
            if values.ndim == 1:
                columns[name] = values if here.all() else np.where(here, values, np.nan)
        out = trial_values(self.model, self.data, self.x)
        responded, learn = self.data.masks(self.model)
        some = np.any(list(responded.values()), axis=0)
        columns["log_prob"] = np.where(some, out["log_lik"], np.nan)[row, lane]
        columns["probability"] = np.exp(columns["log_prob"])
        for log_p in out["log_probs"]:
            columns |= {f"p{k}": np.exp(log_p[row, k, lane]) for k in range(log_p.shape[1])}
        columns |= _spread("value", out["state"], row, lane, None)
        columns |= _spread("", out["latents"], row, lane, learn)
        return pd.DataFrame(columns)

    # -- saying it ------------------------------------------------------------------------------------------------------

    def summary(self) -> str:
        """What was fitted and what came out, as text."""
        lines = [
            f"{self.model.name} fitted by {_METHODS[self.method]} to {self.data.n_subjects} subjects, "
            f"{int(self.data.n_responses(self.model).sum())} responses",
            f"{'converged' if self.converged else 'NOT CONVERGED'}: {self.message}",
        ]
        sums = {"log-likelihood": self.log_lik, "log evidence (Laplace)": self.log_evidence}
        lines.append(", ".join(f"{label} {np.nansum(value):.3f}" for label, value in sums.items() if value is not None))
        failed = int((self.status != Status.CONVERGED).sum())
        if failed:
            lost = int((self.status == Status.NOT_FINITE).sum())
            left_out = (
                f", of which {lost} without a finite likelihood are left out of all sums and of the group"
                if lost
                else ""
            )
            lines.append(f"{failed} subjects without a regular mode{left_out}: see the column status of table()")
        lines.append("")
        table = self.group_table() if self.population is not None else self.table().describe().T
        lines.append(table.to_string(float_format=lambda value: f"{value:.4g}", na_rep=""))
        return "\n".join(lines)

    def __repr__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        head, _, _ = self.summary().partition("\n\n")
        table = self.group_table() if self.population is not None else self.table()
        return "<p>" + "<br>".join(head.splitlines()) + "</p>" + table.to_html(float_format="{:.4g}".format, na_rep="")

    # -- other forms ----------------------------------------------------------------------------------------------------

    def to_arviz(self, *, draws: int = 500, key: Any = 0, log_likelihood: bool = True) -> Any:
        """The fit as ArviZ InferenceData: draws from the Laplace approximation, pointwise log-likelihood, observed data.

        See `pyem.results.arviz_point.to_arviz`.
        """
        from pyem.results.arviz_point import to_arviz

        return to_arviz(self, draws=draws, key=key, log_likelihood=log_likelihood)

    def save(self, path: str | Path, *, draws: int = 100, log_likelihood: bool = False, key: Any = 0) -> Path:
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
            If the file is cut short, of another model, or of a newer format.
        """
        from pyem.results.files import load

        fit = load(path, model)
        if not isinstance(fit, PointFit):
            raise ValueError(f"{str(path)!r} holds a {type(fit).__name__}; use pyem.load")
        return fit


_METHODS = {
    "mle": "maximum likelihood",
    "map": "maximum a posteriori",
    "em": "hierarchical expectation maximisation",
}


def _row(
    kind: str, parameter: str, estimate: float, se: float, df: int, *, test: bool = False, back: Any = None
) -> dict[str, Any]:
    """One row of the group table; `back` maps an estimate and interval from the scale on which they are symmetric."""
    from scipy.special import stdtr, stdtrit

    margin = stdtrit(df, 0.975) * se
    low, high = estimate - margin, estimate + margin
    row: dict[str, Any] = {"kind": kind, "parameter": parameter}
    if back:
        value = back(estimate)
        slope = (back(estimate + 1e-6) - back(estimate - 1e-6)) / 2e-6
        # An interval may be open-ended; exp of what it overflows to says so.
        low, high = (back(min(max(end, -500.0), 500.0)) if np.isfinite(end) else np.nan for end in (low, high))
        return row | {"estimate": value, "se": slope * se, "low": low, "high": high}
    row |= {"estimate": estimate, "se": se, "low": low, "high": high}
    if test:
        z = estimate / se
        row |= {"z": z, "p": 2 * stdtr(df, -abs(z))}
    return row


def _spread(label: str, tree: Any, row: np.ndarray, lane: np.ndarray, mask: np.ndarray | None) -> dict[str, np.ndarray]:
    """Columns from arrays (trial, ..., lane), named by their place in a dict, tuple or array."""
    if isinstance(tree, dict):
        parts = {name if label in ("", "value") else f"{label}_{name}": part for name, part in tree.items()}
        return {k: v for name, part in parts.items() for k, v in _spread(name, part, row, lane, mask).items()}
    if isinstance(tree, tuple | list):
        return {k: v for n, part in enumerate(tree) for k, v in _spread(f"{label}{n}_", part, row, lane, mask).items()}
    values = np.moveaxis(np.asarray(tree), -1, 1)[row, lane]
    if mask is not None:
        values = np.where(mask[row, lane].reshape(-1, *[1] * (values.ndim - 1)), values, np.nan)
    flat = values.reshape(len(row), -1)
    name = label.rstrip("_")
    return {name if values.ndim == 1 else f"{name}{k}": flat[:, k] for k in range(flat.shape[1])}

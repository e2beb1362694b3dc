"""The result of `fit_nuts` and `fit_svi`: draws from the joint posterior of a group and its people."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pyem.data.dataset import Dataset
from pyem.engine.evaluate import log_lik
from pyem.model.model import Model
from pyem.numerics.diagnostics import ess, rhat
from pyem.population.group import Group
from pyem.population.population import Population
from pyem.population.posterior import Status
from pyem.results.diagnosis import agrees, diagnosis, problems
from pyem.results.point import PointFit

if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass(frozen=True, eq=False)
class SampleFit:
    """Draws from the posterior.

    Parameters
    ----------
    method
        ``"nuts"`` or ``"svi"``.
    model, data, group
        What was fitted to what; the group is None where people are on their own.
    priors
        What was assumed: for each parameter, the name of a distribution and its arguments.
    posterior
        Draws, chain and draw first: ``x`` (chain, draw, S, P), unconstrained; with a group ``coef`` (chain, draw, K, P), the
        group mean in the first row and the effects of the covariates below it, ``sd`` (chain, draw, P) and, for a full
        covariance, ``corr`` (chain, draw, P, P).
    stats
        Of the sampler, (chain, draw) each: ``lp``, ``energy``, ``acceptance_rate``, ``n_steps``, ``diverging``, ``step_size``.
    design, free
        (S, K) and (K, P) of the group's regression on covariates, as in `Population`; None without a group.
    seconds
        How long each stage took.
    trace
        Of the optimisation, for SVI: ``elbo`` and ``step``.
    message
        How it was made.
    settings
        The arguments of the fit: ``fit_nuts(model, data, **fit.settings)`` repeats a fit by `fit_nuts`.
    """

    method: str
    model: Model
    data: Dataset
    group: Group | None
    priors: dict[str, tuple[str, dict[str, float]]]
    posterior: dict[str, np.ndarray]
    stats: dict[str, np.ndarray]
    design: np.ndarray | None
    free: np.ndarray | None
    seconds: dict[str, float]
    trace: dict[str, np.ndarray]
    message: str
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    # -- estimates ------------------------------------------------------------------------------------------------------

    @property
    def n_chains(self) -> int:
        """Number of chains."""
        return self.posterior["x"].shape[0]

    @property
    def n_draws(self) -> int:
        """Number of draws of all chains."""
        return self.n_chains * self.posterior["x"].shape[1]

    @functools.cached_property
    def x(self) -> np.ndarray:
        """Posterior mean of the unconstrained parameters, (S, P)."""
        return self.posterior["x"].mean((0, 1))

    @functools.cached_property
    def cov(self) -> np.ndarray:
        """Posterior covariance of each subject's unconstrained parameters, (S, P, P)."""
        gap = self.posterior["x"] - self.x
        return np.einsum("cdsp,cdsq->spq", gap, gap) / max(self.n_draws - 1, 1)

    @functools.cached_property
    def natural(self) -> np.ndarray:
        """Draws of the natural parameters, (chain, draw, S, P)."""
        return self.model.natural(self.posterior["x"])

    @property
    def params(self) -> np.ndarray:
        """Posterior mean of the natural parameters, (S, P)."""
        return self.natural.mean((0, 1))

    @property
    def sd(self) -> np.ndarray:
        """Posterior standard deviation of the natural parameters, (S, P)."""
        return self.natural.std((0, 1))

    @functools.cached_property
    def log_lik(self) -> np.ndarray:
        """Log-likelihood of each subject at `x`, (S,), in nats."""
        return log_lik(self.model, self.data, self.x)

    @property
    def log_prior(self) -> np.ndarray | None:
        """Log-density of `x` in the group at its posterior mean, (S,); None without a group."""
        return None if self.population is None else self.population.log_prior(self.x)

    @property
    def log_evidence(self) -> None:
        """None: draws do not tell the evidence; compare by `pyem.selection.cross_validation.loo`."""
        return

    prior = None
    information = None

    @functools.cached_property
    def population(self) -> Population | None:
        """The group at the posterior means of its parameters, or None."""
        if self.group is None or self.design is None or self.free is None:
            return None
        sd = self.posterior["sd"].mean((0, 1))
        corr = self.posterior["corr"].mean((0, 1)) if "corr" in self.posterior else np.eye(len(sd))
        coef = self.posterior["coef"].mean((0, 1))
        ones = np.ones((len(self.design), len(sd)))
        return Population(self.group, self.design, self.free, coef, corr * np.outer(sd, sd), ones)

    def draws(self, n: int, *, key: Any) -> np.ndarray:
        """`n` of the draws of the unconstrained parameters, at random, (S, n, P).

        Examples
        --------
        >>> fit.draws(100, key=1).shape  # doctest: +SKIP
        (20, 100, 2)
        """
        flat = self.posterior["x"].reshape(-1, *self.posterior["x"].shape[2:])
        return np.swapaxes(flat[self.pick(n, key)], 0, 1)

    def pick(self, n: int, key: Any) -> np.ndarray:
        """Indices of `n` random draws among all chains' (with repetition only if there are fewer than `n`)."""
        from pyem.numerics.rng import generator

        rng = key if isinstance(key, np.random.Generator) else generator(key)
        return rng.choice(self.n_draws, size=n, replace=n > self.n_draws)

    # -- can it be trusted ------------------------------------------------------------------------------------------------

    @functools.cached_property
    def _checked(self) -> dict[str, dict[str, np.ndarray]]:
        """Rhat and effective sample sizes of every kind of parameter, each without the chain and the draw axis."""
        out = {}
        for name, values in self.posterior.items():
            out[name] = {"rhat": rhat(values), "ess_bulk": ess(values), "ess_tail": ess(values, "tail")}
        return out

    def diagnostics(self) -> pd.DataFrame:
        """A row for each parameter of group and people: Rhat, and effective sample sizes of the bulk and the tails."""
        import pandas as pd

        rows = []
        for label, name, index in self._named():
            rows.append({"parameter": label} | {key: value[index] for key, value in self._checked[name].items()})
        return pd.DataFrame(rows).set_index("parameter")

    def _named(self) -> list[tuple[str, str, tuple[int, ...]]]:
        """Label, kind and index of every parameter."""
        out: list[tuple[str, str, tuple[int, ...]]] = []
        names = self.model.names
        if self.group is not None and self.free is not None:
            for kind, parameter, name, index in self._group_index():
                out.append(
                    (f"{kind} of {parameter}" if kind != "correlation" else f"correlation {parameter}", name, index)
                )
        for s, subject in enumerate(self.data.subjects):
            out += [(f"{name}[{subject}]", "x", (s, k)) for k, name in enumerate(names)]
        return out

    def _group_index(self) -> list[tuple[str, str, str, tuple[int, ...]]]:
        """Kind, parameter, name among the draws, and index, of every parameter of the group."""
        assert self.group is not None
        assert self.free is not None
        names = self.model.names
        labels = ["mean", *(f"effect of {name}" for name, _ in self.group.covariates)]
        out = [
            (label, name, "coef", (k, j))
            for k, label in enumerate(labels)
            for j, name in enumerate(names)
            if self.free[k, j]
        ]
        out += [("sd", name, "sd", (j,)) for j, name in enumerate(names)]
        if "corr" in self.posterior:
            lower = zip(*np.tril_indices(len(names), -1), strict=True)
            out += [("correlation", f"{names[j]}, {names[i]}", "corr", (int(i), int(j))) for i, j in lower]
        return out

    def problems(self) -> list[str]:
        """What is wrong with the draws, and what to do about it, in words; empty if nothing is."""
        return problems(self)

    @property
    def converged(self) -> bool:
        """Whether nothing is wrong with the draws."""
        return not self.problems()

    @property
    def status(self) -> np.ndarray:
        """A `Status` code for each subject, (S,): converged unless chains disagree about one of its parameters."""
        good = np.ones(len(self.x), bool) if self.method != "nuts" else agrees(self._checked["x"]["rhat"]).all(1)
        return np.where(good, int(Status.CONVERGED), int(Status.MAX_STEPS))

    # -- tables -----------------------------------------------------------------------------------------------------------

    def table(self) -> pd.DataFrame:
        """A row for each subject: posterior means, sds and 95 % intervals of the natural parameters, and diagnostics.

        ``log_lik`` is at the posterior mean of the unconstrained parameters; ``rhat`` is the largest and ``ess`` the smallest
        of the subject's parameters.
        """
        import pandas as pd

        columns: dict[str, Any] = {}
        low, high = np.quantile(self.natural, [0.025, 0.975], axis=(0, 1))
        for k, name in enumerate(self.model.names):
            columns[name] = self.params[:, k]
            columns[f"{name}_sd"] = self.sd[:, k]
            columns[f"{name}_low"], columns[f"{name}_high"] = low[:, k], high[:, k]
        columns["log_lik"] = self.log_lik
        columns["n_responses"] = self.data.n_responses(self.model)
        if self.method == "nuts":
            columns["rhat"] = self._checked["x"]["rhat"].max(1)
            columns["ess"] = self._checked["x"]["ess_bulk"].min(1)
        columns["status"] = [Status(code).text for code in self.status]
        return pd.DataFrame(columns, index=pd.Index(self.data.subjects, name="subject"))

    def group_table(self) -> pd.DataFrame:
        """A row for each group parameter: mean, effect of a covariate, sd, correlation.

        Columns: posterior mean ``estimate``, posterior sd ``se``, 95 % interval ``low``, ``high``, on the unconstrained scale;
        ``natural``, ``natural_low``, ``natural_high``: the same of the group's median on the natural scale (median and
        interval); ``above_0``: the posterior probability that an effect or correlation is positive; ``rhat``, ``ess_bulk``,
        ``ess_tail``.

        Raises
        ------
        ValueError
            If the fit has no group.
        """
        import pandas as pd

        if self.group is None:
            raise ValueError("these people are on their own (group=None), so there is no group; see table()")
        rows = []
        for kind, parameter, name, index in self._group_index():
            draws = self.posterior[name][(slice(None), slice(None), *index)]
            low, high = np.quantile(draws, [0.025, 0.975])
            row = {
                "kind": kind,
                "parameter": parameter,
                "estimate": draws.mean(),
                "se": draws.std(),
                "low": low,
                "high": high,
            }
            if kind == "mean":
                row |= self._natural_row(index[1])
            elif kind != "sd":
                row["above_0"] = (draws > 0).mean()
            if self.method == "nuts":
                row |= {key: value[index] for key, value in self._checked[name].items()}
            rows.append(row)
        return pd.DataFrame(rows).set_index(["kind", "parameter"])

    def _natural_row(self, k: int) -> dict[str, float]:
        natural = self.model.natural(self.posterior["coef"][:, :, 0])[..., k]
        low, middle, high = np.quantile(natural, [0.025, 0.5, 0.975])
        return {"natural": middle, "natural_low": low, "natural_high": high}

    def latents(self, *, draws: int = 100, key: Any = 0) -> pd.DataFrame:
        """A row for each trial, as `PointFit.latents`, with what the parameters' uncertainty means for it.

        Probabilities, values and quantities of the update are means over the posterior; a column with ``_sd`` after its name
        has their standard deviation. ``log_prob`` is the log of the mean probability.

        Parameters
        ----------
        draws
            How many of the draws are evaluated.
        key
            Seed of their choice.
        """
        at = _at(self)
        fixed = {"subject", "block", "trial", *self.model.columns, *self.data.fields}
        first, total, squares = None, 0.0, 0.0
        picked = self.draws(draws, key=key)
        for d in range(draws):
            frame = dataclasses.replace(at, x=picked[:, d]).latents()
            if first is None:
                first = frame
                varying = [name for name in frame.columns if name not in fixed]
            values = frame[varying].to_numpy(float)
            total, squares = total + values, squares + values**2
        if first is None:
            raise ValueError(f"draws={draws}; at least 1 is needed")
        mean = np.asarray(total) / draws
        sd = np.sqrt(np.maximum(np.asarray(squares) / draws - mean**2, 0.0))
        out = first.copy()
        for k, name in enumerate(varying):
            out[name] = mean[:, k]
            if name != "log_prob":
                out[f"{name}_sd"] = sd[:, k]
        with np.errstate(divide="ignore"):
            out["log_prob"] = np.log(out["probability"])
        return out

    # -- saying it --------------------------------------------------------------------------------------------------------

    def summary(self) -> str:
        """What was fitted and what came out, as text."""
        lines = [
            f"{self.model.name} fitted by {_METHODS[self.method]} to {self.data.n_subjects} subjects, "
            f"{int(self.data.n_responses(self.model).sum())} responses",
            self.message + (f", {sum(self.seconds.values()):.1f} s" if self.seconds else ""),
            *(diagnosis(self)),
            "",
        ]
        table = self.group_table() if self.group is not None else self.table()
        return "\n".join([*lines, table.to_string(float_format=lambda value: f"{value:.4g}", na_rep="", max_rows=20)])

    def __repr__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        head, _, _ = self.summary().partition("\n\n")
        table = self.group_table() if self.group is not None else self.table()
        return "<p>" + "<br>".join(head.splitlines()) + "</p>" + table.to_html(float_format="{:.4g}".format, na_rep="")

    # -- other forms ------------------------------------------------------------------------------------------------------

    def to_arviz(
        self,
        *,
        log_likelihood: Literal["trial", "block", "subject", "auto"] | None = "auto",
        prior: int = 500,
        posterior_predictive: int = 100,
        key: Any = 0,
    ) -> Any:
        """The fit as ArviZ `InferenceData`: posterior, prior, log-likelihood, predictions, sampler statistics, data.

        See `pyem.results.arviz_sample.to_arviz`.
        """
        from pyem.results.arviz_sample import to_arviz

        return to_arviz(
            self, log_likelihood=log_likelihood, prior=prior, posterior_predictive=posterior_predictive, key=key
        )

    def arviz_sections(self, *, log_likelihood: bool = False) -> Any:
        """ArviZ's groups for files: those that cost nothing, and the log-likelihood if asked for."""
        from pyem.results.arviz_sample import _log_likelihood, cheap_sections

        extra = {"log_likelihood": _log_likelihood(self, "auto")} if log_likelihood else {}
        return cheap_sections(self) | extra

    def save(self, path: str | Path) -> Path:
        """Write the fit, its data and the model's identity to a netCDF file that ArviZ opens; `pyem.load` reads it back.

        The file appears under its name only when it is complete.
        """
        from pyem.results.files import save

        return save(self, path)


_METHODS = {"nuts": "Hamiltonian Monte Carlo (NUTS)", "svi": "variational inference (SVI)"}


def _at(fit: SampleFit) -> PointFit:
    """A point fit whose `x` can be replaced."""
    gone = np.full(len(fit.x), np.nan)
    status = np.zeros(len(fit.x), int)
    return PointFit(
        method="map",
        model=fit.model,
        data=fit.data,
        x=fit.x,
        cov=np.zeros((*fit.x.shape, fit.x.shape[1])),
        log_lik=gone,
        log_prior=None,
        log_evidence=None,
        status=status,
        population=None,
        prior=None,
        information=None,
        converged=True,
        message="",
        trace={},
    )

"""The result of `fit_nuts`, `fit_svi` and `fit_bayes`: draws from the joint posterior of a group and its people."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np

from pyem.data.dataset import Dataset
from pyem.engine.evaluate import log_lik
from pyem.errors import Unavailable
from pyem.model.model import Model
from pyem.numerics.diagnostics import ess, rhat
from pyem.numerics.rng import generator
from pyem.population.group import Group
from pyem.population.patterns import covariance_pattern
from pyem.population.population import COMMON_SD, Population
from pyem.population.posterior import Status
from pyem.results.diagnosis import agrees, problems, worst
from pyem.results.draws import at_least_one
from pyem.results.effects import Weights, effects_table
from pyem.results.fit import Chains, Draws, Unit, result
from pyem.results.latents import latents_over
from pyem.results.marginal import MarginalMeans, marginal_means_of
from pyem.results.sample_rows import Place, group_places, place_row
from pyem.results.tables import people_table, summary_html, summary_of

if TYPE_CHECKING:
    import pandas as pd

    # Type checkers do not take a cached property for the property that a protocol asks for.
    cached_property = property
else:
    from functools import cached_property


@final
@result
@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class SampleFit:
    """Draws from the posterior.

    Parameters
    ----------
    method
        ``"nuts"``, ``"svi"`` or ``"bayes"``.
    model, data, group
        The fitted model, its data, and the group; None if people are on their own.
    priors
        The priors: the name of a distribution and its arguments for each parameter.
    posterior
        Draws, chain and draw first: ``x`` (chain, draw, S, P), unconstrained; with a group ``coef`` (chain, draw, K, P), the
        group mean in the first row and the effects of the covariates below it, ``sd`` (chain, draw, P) and, for a full
        covariance, ``corr`` (chain, draw, P, P).
    stats
        Statistics of the sampler, (chain, draw) each: ``lp, energy, acceptance_rate, n_steps, diverging, step_size``.
    design, free
        (S, K) and (K, P) of the group's regression on covariates, as in `Population`; None without a group.
    seconds
        Duration of each stage.
    trace
        The path of the optimisation, for SVI: ``elbo`` and ``step``. For `fit_bayes`: log marginal likelihood and diagnostics.
    message
        Description of the method.
    settings
        All keyword arguments that repeat the fit; empty in files of version 0.1.0.
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

    @property
    def flat(self) -> dict[str, np.ndarray]:
        """The draws of all chains one after another: arrays of `posterior` with one axis of draws."""
        return {name: values.reshape(-1, *values.shape[2:]) for name, values in self.posterior.items()}

    @cached_property
    def x(self) -> np.ndarray:
        """Posterior mean of the unconstrained parameters, (S, P)."""
        return self.posterior["x"].mean((0, 1))

    @cached_property
    def cov(self) -> np.ndarray:
        """Posterior covariance of each subject's unconstrained parameters, (S, P, P)."""
        gap = self.posterior["x"] - self.x
        return np.einsum("cdsp,cdsq->spq", gap, gap) / max(self.n_draws - 1, 1)

    @cached_property
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

    def quantile(self, q: float) -> np.ndarray:
        """The `q` quantile of each natural parameter's draws, (S, P)."""
        if not 0 < q < 1:
            raise ValueError(f"q={q}; a quantile is asked for between 0 and 1")
        return np.quantile(self.natural, q, axis=(0, 1))

    @cached_property
    def log_lik(self) -> np.ndarray:
        """Log-likelihood of each subject at `x`, (S,), in nats."""
        return log_lik(self.model, self.data, self.x)

    @property
    def log_prior(self) -> np.ndarray | None:
        """Log-density of `x` in the group at its posterior mean, (S,); None without a group."""
        return None if self.population is None else self.population.log_prior(self.x)

    @property
    def log_evidence(self) -> None:
        """None, as draws do not determine the evidence; compare by `pyem.loo`."""
        return

    @property
    def prior(self) -> None:
        """None, as the assumed priors are in `priors`."""
        return

    @cached_property
    def population(self) -> Population | None:
        """The group at the posterior means of its parameters, or None."""
        if self.group is None or self.design is None or self.free is None:
            return None
        # Common parameters have no sd, but a population needs one.
        sd = np.maximum(self.posterior["sd"].mean((0, 1)), COMMON_SD)
        corr = self.posterior["corr"].mean((0, 1)) if "corr" in self.posterior else np.eye(len(sd))
        coef = self.posterior["coef"].mean((0, 1))
        ones = np.ones((len(self.design), len(sd)))
        pattern, held = covariance_pattern(self.group, self.model.names)
        cov = corr * np.outer(sd, sd)
        return Population(self.group, self.design, self.free, coef, cov, ones, pattern=pattern, held=held)

    # -- draws ------------------------------------------------------------------------------------------------------------

    def draws(self, n: int, *, key: Any = 0) -> Draws:
        """Draw `n` of all chains' draws at random, people and group together; a draw repeats only if there are fewer.

        Examples
        --------
        >>> fit.draws(100, key=1).params.shape  # doctest: +SKIP
        (100, 20, 2)
        """
        at_least_one(n)
        picked = generator(key).choice(self.n_draws, size=n, replace=n > self.n_draws)
        chosen = {name: values[picked] for name, values in self.flat.items()}
        x = chosen.pop("x")
        return Draws(x, self.model.natural(x), chosen)

    def prior_draws(self, n: int, *, key: Any = 0) -> Draws:
        """Draw `n` times from the priors of people and group."""
        from pyem.population.priors import rebuilt
        from pyem.simulation.predictive import prior_draws

        at_least_one(n)
        known = rebuilt(self.model, self.priors, self.group, self.free)
        drawn = prior_draws(self.model, self.data, self.group, known, n, key)
        x = drawn.pop("x")
        return Draws(x, self.model.natural(x), drawn)

    def chains(self, n: int, *, key: Any = 0) -> Chains:
        """All chains; `n` and `key` matter for other methods only."""
        del n, key
        return Chains(self.posterior, self.stats)

    # -- can it be trusted ------------------------------------------------------------------------------------------------

    @cached_property
    def checked(self) -> dict[str, dict[str, np.ndarray]]:
        """``rhat``, ``ess_bulk`` and ``ess_tail`` of every array of `posterior`, without the chain and the draw axis."""
        out = {}
        for name, values in self.posterior.items():
            out[name] = {"rhat": rhat(values), "ess_bulk": ess(values), "ess_tail": ess(values, "tail")}
        return out

    def diagnostics(self) -> pd.DataFrame:
        """A row for each parameter of group and people: Rhat, and effective sample sizes of the bulk and the tails."""
        import pandas as pd

        rows = []
        for label, name, index in self.named():
            rows.append({"parameter": label} | {key: value[index] for key, value in self.checked[name].items()})
        return pd.DataFrame(rows).set_index("parameter")

    def named(self) -> list[tuple[str, str, tuple[int, ...]]]:
        """Label, name among the draws, and index, of every parameter of group and people."""
        out = [(place.label, place.name, place.index) for place in self._places]
        for s, subject in enumerate(self.data.subjects):
            out += [(f"{name}[{subject}]", "x", (s, k)) for k, name in enumerate(self.model.names)]
        return out

    @property
    def _places(self) -> list[Place]:
        if self.group is None or self.free is None:
            return []
        return group_places(self.model.names, self.group, self.free)

    def problems(self) -> list[str]:
        """Descriptions of what is wrong with the draws, with advice; empty if nothing is."""
        return problems(self)

    @property
    def converged(self) -> bool:
        """Whether the draws have no problems."""
        return not self.problems()

    @property
    def status(self) -> np.ndarray:
        """A `Status` code for each subject, (S,): converged unless chains disagree, or points do not cover its posterior."""
        if "status" in self.trace:
            return self.trace["status"]
        good = np.ones(len(self.x), bool) if self.method != "nuts" else agrees(self.checked["x"]["rhat"]).all(1)
        return np.where(good, int(Status.CONVERGED), int(Status.MAX_STEPS))

    # -- tables -----------------------------------------------------------------------------------------------------------

    def table(self) -> pd.DataFrame:
        """A row for each subject: posterior means, sds and 95 % intervals of the natural parameters, and diagnostics.

        ``log_lik`` is at the posterior mean of the unconstrained parameters; ``rhat`` is the largest and ``ess`` the smallest
        of the subject's parameters.
        """
        more = {}
        if self.method == "nuts":
            more = {"rhat": self.checked["x"]["rhat"].max(1), "ess": self.checked["x"]["ess_bulk"].min(1)}
        if "effective_nodes" in self.trace:
            more = {"effective_nodes": self.trace["effective_nodes"]}
        return people_table(self, intervals=True, more=more)

    def group_table(self) -> pd.DataFrame:
        """A row for each group parameter: mean, effect of a covariate, sd, correlation.

        Columns: posterior mean ``estimate``, posterior sd ``se``, 95 % interval ``low``, ``high``, on the unconstrained scale;
        ``natural``, ``natural_low``, ``natural_high``: the same of the group's median on the natural scale (median and
        interval), and ``natural_mean``, the mean over people of a Gaussian group; ``above_0``: the posterior probability that
        an effect or correlation is positive; ``rhat``, ``ess_bulk``, ``ess_tail``.

        Raises
        ------
        Unavailable
            If the fit has no group.
        """
        import pandas as pd

        if self.group is None:
            raise Unavailable(
                "these people are on their own (group=None), so there is no group: fit_nuts, fit_svi and fit_bayes have one "
                "with "
                "group=Group(); for people see table()"
            )
        rows = []
        for place in self._places:
            row = place_row(self.model, self.posterior, place, gaussian=self.group.family == "gaussian")
            if self.method == "nuts":
                row |= {key: value[place.index] for key, value in self.checked[place.name].items()}
            rows.append(row)
        return pd.DataFrame(rows).set_index(["kind", "parameter"])

    def effects(self) -> pd.DataFrame:
        """A row for each effect of a design; see `PointFit.effects`."""
        return effects_table(self.model, self.data, self._weights)

    def marginal_means(
        self, parameter: str, *, by: str | Sequence[str] | None = None, at: Mapping[str, Any] | None = None
    ) -> MarginalMeans:
        """Means of a parameter in conditions and groups; see `PointFit.marginal_means`."""
        return marginal_means_of(self, self._weights, parameter, by, at)

    @property
    def _weights(self) -> Weights:
        return Weights.of_draws(self.population, self.flat.get("coef"), self.method)

    def latents(self, *, draws: int = 100, key: Any = 0) -> pd.DataFrame:
        """A row for each trial, as in `PointFit.latents`, averaged over the posterior of the parameters.

        Probabilities, values and quantities of the update are means over the posterior; a column with ``_sd`` after its name
        has their standard deviation. ``log_prob`` is the log of the mean probability.

        Parameters
        ----------
        draws
            Number of draws that are evaluated.
        key
            Seed of their choice.
        """
        return latents_over(self.model, self.data, self.draws(draws, key=key).x)

    # -- saying it --------------------------------------------------------------------------------------------------------

    def summary(self) -> str:
        """Description of the fit and its results, as text."""
        seconds = f", {sum(self.seconds.values()):.1f} s" if self.seconds else ""
        lines = [self.message + seconds, *([worst(self)] if self.method == "nuts" else [])]
        return summary_of(self, *lines, people=None if self.group is not None else self.table())

    def __repr__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        return summary_html(self)

    # -- other forms ------------------------------------------------------------------------------------------------------

    def to_arviz(
        self,
        *,
        log_likelihood: Unit | bool | None = "auto",
        prior: int = 500,
        posterior_predictive: int = 100,
        key: Any = 0,
    ) -> Any:
        """Convert the fit to ArviZ `InferenceData`: posterior, prior, log-likelihood, predictions, statistics, data.

        See `pyem.results.arviz.to_arviz`.
        """
        from pyem.results.arviz import to_arviz

        if self.model.policy is None:
            posterior_predictive = 0
        return to_arviz(
            self, log_likelihood=log_likelihood, prior=prior, posterior_predictive=posterior_predictive, key=key
        )

    def save(self, path: str | Path, *, log_likelihood: Unit | bool | None = False) -> Path:
        """Write the fit, its data and the model's identity to a netCDF file that ArviZ opens; `pyem.load` reads it back.

        The file appears under its name only when it is complete.
        """
        from pyem.results.files import save

        return save(self, path, log_likelihood=log_likelihood)

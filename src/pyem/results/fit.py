"""The contract of every fit, whatever the method, on which everything after inference relies."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

import numpy as np

from pyem.data.dataset import Dataset
from pyem.model.model import Model
from pyem.population.population import Population

if TYPE_CHECKING:
    import pandas as pd

    from pyem.results.marginal import MarginalMeans

Unit = Literal["trial", "block", "subject", "auto"]
"""Unit of a pointwise log-likelihood; ``"auto"`` is by trial where that is not large, else by subject."""
METHODS = {
    "mle": "maximum likelihood",
    "map": "maximum a posteriori",
    "em": "hierarchical expectation maximisation",
    "hbi": "hierarchical Bayesian inference",
    "grid": "quadrature on a grid",
    "nuts": "Hamiltonian Monte Carlo (NUTS)",
    "svi": "variational inference (SVI)",
    "bayes": "integration over people and importance sampling",
}
"""Name of each method in summaries; a method that is not listed goes by its short name."""


@dataclasses.dataclass(frozen=True, eq=False)
class Draws:
    """Random draws of people and their group from a fit.

    Parameters
    ----------
    x
        Unconstrained parameters, (n, S, P); NaN for people without a regular posterior.
    params
        Draws of people on the natural scale, (n, S, P).
    group
        Draws of the group, where their uncertainty is known, else empty: ``coef`` (n, K, P), the mean in the first row and
        effects of covariates below it; ``sd`` (n, P); for a full covariance ``corr`` (n, P, P).
    """

    x: np.ndarray
    params: np.ndarray
    group: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.x)


@dataclasses.dataclass(frozen=True, eq=False)
class Chains:
    """Draws from a sampler, with chain and draw first.

    Parameters
    ----------
    values
        ``x`` (chain, draw, S, P), unconstrained, and the group's ``coef``, ``sd`` and ``corr`` where the method knows them.
    stats
        Statistics of the sampler, (chain, draw) each; empty for other methods.
    """

    values: Mapping[str, np.ndarray]
    stats: Mapping[str, np.ndarray]


class Fit(Protocol):
    """The result of a fit. Arrays have the axis order (draw, subject, parameter)."""

    @property
    def method(self) -> str:
        """Short name of the method: ``"mle"``, ``"map"``, ``"em"``, ``"grid"``, ``"nuts"``, ``"svi"``, ``"bayes"``."""
        ...

    @property
    def model(self) -> Model:
        """The model that was fitted."""
        ...

    @property
    def data(self) -> Dataset:
        """The data to which the model was fitted."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """All keyword arguments that repeat the fit, the key included; empty in files of version 0.1.0."""
        ...

    @property
    def x(self) -> np.ndarray:
        """Unconstrained estimates of people, (S, P)."""
        ...

    @property
    def cov(self) -> np.ndarray:
        """Covariance of each person's posterior on the unconstrained scale, (S, P, P)."""
        ...

    @property
    def params(self) -> np.ndarray:
        """Natural estimates of people, (S, P)."""
        ...

    @property
    def sd(self) -> np.ndarray:
        """Standard deviation of each natural parameter, (S, P)."""
        ...

    @property
    def status(self) -> np.ndarray:
        """A `pyem.Status` code for each person, (S,)."""
        ...

    @property
    def population(self) -> Population | None:
        """The group that was estimated, or None."""
        ...

    @property
    def prior(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Mean (P,) and covariance (P, P) of a Gaussian prior that was given on the unconstrained scale, or None."""
        ...

    @property
    def converged(self) -> bool:
        """Whether the method ended as it should."""
        ...

    @property
    def message(self) -> str:
        """Description of how the method ended."""
        ...

    @property
    def log_lik(self) -> np.ndarray:
        """Log-likelihood of each person at `x`, (S,), in nats."""
        ...

    @property
    def log_prior(self) -> np.ndarray | None:
        """Log-density of `x` under the prior or in the group, (S,), in nats; None without either."""
        ...

    @property
    def log_evidence(self) -> np.ndarray | None:
        """Log marginal likelihood of each person, (S,), in nats; None if the method does not give it."""
        ...

    @property
    def trace(self) -> Mapping[str, np.ndarray]:
        """Path of the iteration or optimisation; empty if there is none."""
        ...

    def quantile(self, q: float) -> np.ndarray:
        """The `q` quantile of each natural parameter's posterior, (S, P)."""
        ...

    def table(self) -> pd.DataFrame:
        """A row for each person."""
        ...

    def group_table(self) -> pd.DataFrame:
        """A row for each parameter of the group; raises `pyem.errors.Unavailable` without a group."""
        ...

    def effects(self) -> pd.DataFrame:
        """A row for each effect on a parameter of the group; raises `pyem.errors.Unavailable` without a group."""
        ...

    def marginal_means(
        self, parameter: str, *, by: str | Sequence[str] | None = None, at: Mapping[str, Any] | None = None
    ) -> MarginalMeans:
        """Means of a parameter in conditions and groups; raises `pyem.errors.Unavailable` without a group."""
        ...

    def latents(self) -> pd.DataFrame:
        """A row for each trial."""
        ...

    def draws(self, n: int, *, key: Any = 0) -> Draws:
        """Draw `n` times from the posteriors of people and, if the method knows it, of the group."""
        ...

    def prior_draws(self, n: int, *, key: Any = 0) -> Draws:
        """Draw `n` times from the prior; raises `pyem.errors.Unavailable` if the fit has none that can be drawn from."""
        ...

    def chains(self, n: int, *, key: Any = 0) -> Chains:
        """All chains of a sampler; for other methods one chain of `n` independent draws."""
        ...

    def problems(self) -> list[str]:
        """Descriptions of what is wrong; empty if nothing is."""
        ...

    def summary(self) -> str:
        """Description of the fit and its results, as text."""
        ...

    def to_arviz(self, *, log_likelihood: Unit | bool | None = ..., key: Any = ...) -> Any:
        """Convert the fit to ArviZ's container."""
        ...

    def save(self, path: str | Path) -> Path:
        """Write the fit to a file that `pyem.load` reads."""
        ...


# -- kinds ----------------------------------------------------------------------------------------------------------------

KINDS: dict[str, type] = {}
"""Every kind of result by the name of its class."""
Kind = TypeVar("Kind", bound=type)


def result(kind: Kind) -> Kind:
    """Class decorator that registers a kind of result, so that `is_fit` recognises it."""
    KINDS[kind.__name__] = kind
    return kind


def is_fit(value: Any) -> bool:
    """Whether `value` is the result of a fit, and not, say, an array of parameters.

    Examples
    --------
    >>> is_fit(np.zeros((3, 2)))
    False
    """
    return type(value) in KINDS.values()

"""Draws from the Gaussian approximations of people and group in point estimates."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from pyem.errors import FitWarning, Unavailable
from pyem.model.model import Model
from pyem.numerics.rng import gaussian_draws, root
from pyem.population.population import Population
from pyem.population.posterior import Status
from pyem.results.fit import Chains, Draws
from pyem.results.group_rows import group_covariance

if TYPE_CHECKING:
    from pyem.results.fit import Fit


def at_least_one(n: int) -> None:
    """Raise a ValueError unless at least one draw is asked for."""
    if n < 1:
        raise ValueError(f"draws={n}; at least one is needed")


def regular(status: np.ndarray, cov: np.ndarray) -> np.ndarray:
    """(S,): whether a person's posterior can be drawn from: a mode with a finite covariance."""
    return np.isin(status, (Status.CONVERGED, Status.MAX_STEPS)) & np.isfinite(cov).all((1, 2))


def laplace_draws(x: np.ndarray, cov: np.ndarray, status: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """`n` draws (n, S, P) from the Gaussian around every person's estimate; NaN for people without a regular mode."""
    known = regular(status, cov)
    spread = np.where(known[:, None, None], cov, np.eye(cov.shape[1]))
    out = gaussian_draws(x, spread, n, rng)
    out[~known] = np.nan
    return np.moveaxis(out, 1, 0)


def group_draws(
    population: Population | None, information: np.ndarray | None, n: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """`n` draws of the group's ``coef``, ``sd`` and, where it is estimated, ``corr``; empty where nothing is known of them.

    They are from the Gaussian that the observed information gives, in the coordinates of `Population.vector`. What is on
    its lower bound stays there.
    """
    if population is None:
        return {}
    covariance = group_covariance(population, information)
    known = np.isfinite(np.diag(covariance))
    if not known.any():
        return {}
    covariance = np.where(np.isfinite(covariance), covariance, 0.0)
    # Entries have units that may be far apart.
    size = np.where(known, np.sqrt(np.diag(covariance)), 1.0)
    factor = size[:, None] * root((covariance / size[:, None] / size)[None])[0]
    vectors = population.vector + rng.normal(size=(n, len(known))) @ factor.T
    drawn = [population.with_vector(vector) for vector in vectors]
    cov = np.array([one.cov for one in drawn])
    sd = np.sqrt(np.diagonal(cov, axis1=1, axis2=2))
    out = {"coef": np.array([one.coef for one in drawn]), "sd": sd}
    if population.correlated:
        out["corr"] = cov / (sd[:, :, None] * sd[:, None])
    return out


def drawn_prior(
    model: Model, method: str, prior: tuple[np.ndarray, np.ndarray] | None, people: int, n: int, rng: Any
) -> Draws:
    """Draw `n` times from a given Gaussian prior of people.

    Raises
    ------
    Unavailable
        If none was.
    """
    at_least_one(n)
    if prior is None:
        raise Unavailable(
            f"a fit by {method} keeps no prior that can be drawn from; use fit_nuts or fit_svi, or fit_map with mean and sd"
        )
    mean, cov = np.tile(prior[0], (people, 1)), np.tile(prior[1], (people, 1, 1))
    x = np.moveaxis(gaussian_draws(mean, cov, n, rng), 1, 0)
    return Draws(x, model.natural(x), {})


def one_chain(draws: Draws) -> Chains:
    """Turn independent draws into a single chain."""
    values = {"x": draws.x} | dict(draws.group)
    return Chains({name: array[None] for name, array in values.items()}, {})


def warn_of_irregular(fit: Fit, *, stacklevel: int) -> None:
    """Warn of people without a regular posterior, whose draws are NaN, by name."""
    gone = [str(label) for label in fit.data.subjects[~regular(fit.status, fit.cov)]]
    if gone:
        warnings.warn(
            f"{len(gone)} of {fit.data.n_subjects} subjects have no regular mode, so their draws are NaN: "
            f"{', '.join(gone[:10])}{', ...' if len(gone) > 10 else ''}; see the column status of table()",
            FitWarning,
            stacklevel=stacklevel + 1,
        )

"""Parameters averaged over models, each person's by the probability of each model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyem.errors import list_of, require_whole
from pyem.numerics.rng import seed_of
from pyem.results.hbi import HBIFit
from pyem.selection.comparison import by_name
from pyem.selection.random_effects import random_effects_bms

if TYPE_CHECKING:
    import pandas as pd

    from pyem.results.fit import Fit


@dataclasses.dataclass(frozen=True, eq=False)
class ModelAverage:
    """Parameters of people averaged over models.

    Parameters
    ----------
    names
        Names of the parameters, (P,): all that any of the models has.
    mean, sd
        Moments of each person's posterior averaged over the models that have the parameter, natural, (S, P).
    low, high
        Its central 95 % interval, (S, P).
    known
        Probability that a person's model has the parameter, (S, P): what the average is an average over.
    weights
        Probability of each model for each person, (S, M).
    models
        Names of the models, (M,).
    subjects
        Labels of the subjects, (S,).
    """

    names: tuple[str, ...]
    mean: np.ndarray
    sd: np.ndarray
    low: np.ndarray
    high: np.ndarray
    known: np.ndarray
    weights: np.ndarray = dataclasses.field(repr=False)
    models: tuple[str, ...] = ()
    subjects: np.ndarray = dataclasses.field(default_factory=lambda: np.arange(0), repr=False)

    def table(self) -> pd.DataFrame:
        """A row for each subject: every parameter, its sd, and with ``_known`` the probability that the model has it."""
        import pandas as pd

        columns: dict[str, np.ndarray] = {}
        for k, name in enumerate(self.names):
            columns |= {name: self.mean[:, k], f"{name}_sd": self.sd[:, k], f"{name}_known": self.known[:, k]}
        return pd.DataFrame(columns, index=pd.Index(self.subjects, name="subject"))


def model_average(
    fits: Mapping[str, Fit] | HBIFit,
    *,
    weights: Any = None,
    models: Sequence[str] | None = None,
    by: str | None = None,
    window: float = 0.0,
    draws: int = 2000,
    key: Any = 0,
) -> ModelAverage:
    """Bayesian model averaging: each person's parameters, averaged over models by how probable these are for the person.

    A parameter is known by its name: ``beta`` of one model and ``beta`` of another are averaged. A model without the parameter
    has no part in its average; ``known`` tells how probable the other models are together.

    Parameters
    ----------
    fits
        Fits of the same people by the names of their models, or a fit by `fit_hbi`.
    weights
        Probability of each model for each person, (S, M), or for everybody, (M,). If not given: those of `random_effects_bms`,
        or the responsibilities of `fit_hbi`.
    models
        Average over these only, such as those of the best family.
    by
        Criterion that gives the evidence if weights are not given, as in `compare_fits`.
    window
        Models less probable for a person than this share of the most probable one are left out (Occam's window).
    draws, key
        Draws from each posterior, for the intervals and moments, and their seed.

    Raises
    ------
    ValueError
        If weights have another shape or are no probabilities, there is no such model, or people differ between fits.

    References
    ----------
    Penny, W. D., Stephan, K. E., Daunizeau, J., Rosa, M. J., Friston, K. J., Schofield, T. M., & Leff, A. P. (2010). Comparing
    families of dynamic causal models. PLoS Computational Biology, 6(3), e1000709.
    https://doi.org/10.1371/journal.pcbi.1000709

    Examples
    --------
    >>> import pyem
    >>> data = pyem.simulate(pyem.models.get("rw1a1b"), subjects=5, blocks=2, trials=20, key=1)
    >>> fits = {name: pyem.fit_map(pyem.models.get(name), data) for name in ("rw1a1b", "bias")}
    >>> average = model_average(fits)
    >>> bool(average.mean.shape == (5, len(average.names)) and average.known.max() <= 1)
    True
    """
    require_whole(draws=(draws, 2))
    if isinstance(fits, HBIFit):
        weights = fits.responsibilities if weights is None else weights
        fits = fits.fits
    by_name(fits)
    weights = random_effects_bms(fits, by=by, key=key).attribution if weights is None else np.asarray(weights, float)
    first = next(iter(fits.values()))
    weights = _weights(fits, weights, len(first.x), models, window)
    names = tuple(dict.fromkeys(name for fit in fits.values() for name in fit.model.names))
    drawn = [_drawn(fit, draws, seed_of(key) + k) for k, fit in enumerate(fits.values())]
    columns = [_averaged(name, list(fits.values()), drawn, weights) for name in names]
    mean, sd, low, high, known = (np.stack(part, axis=1) for part in zip(*columns, strict=True))
    return ModelAverage(names, mean, sd, low, high, known, weights, tuple(fits), first.data.subjects)


def _weights(
    fits: Mapping[str, Fit], weights: np.ndarray, n: int, models: Sequence[str] | None, window: float
) -> np.ndarray:
    """Check the weights of the models, and return those of the averaged models, summing to 1, (S, M)."""
    other = [name for name, fit in fits.items() if len(fit.x) != n]
    if other:
        raise ValueError(f"{list_of(other)} has other people than the first fit; fit all models to the same Dataset")
    if weights.shape not in ((len(fits),), (n, len(fits))) or not (np.nan_to_num(weights) >= 0).all():
        raise ValueError(
            f"weights have shape {weights.shape}; probabilities ({n} subjects, {len(fits)} models) are expected"
        )
    unknown = [name for name in models or () if name not in fits]
    if unknown:
        raise ValueError(f"there is no model {list_of(unknown)} among {', '.join(fits)}")
    kept = np.array([models is None or name in models for name in fits])
    weights = np.where(kept, np.broadcast_to(weights, (n, len(fits))), 0.0)
    weights = np.where(weights >= window * weights.max(1, keepdims=True), weights, 0.0)
    with np.errstate(invalid="ignore"):
        return weights / weights.sum(1, keepdims=True)


def _drawn(fit: Fit, n: int, key: Any) -> np.ndarray:
    """Natural draws of people, (n, S, P); for people without a regular posterior, the estimate repeated."""
    values = fit.draws(n, key=key).params
    return np.where(np.isfinite(values), values, fit.params)


def _averaged(
    name: str, fits: Sequence[Fit], drawn: Sequence[np.ndarray], weights: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Mean, sd, interval, and the probability that the model has it, of one parameter of everybody."""
    having = [k for k, fit in enumerate(fits) if name in fit.model.names]
    known = weights[:, having].sum(1)
    values = np.stack([drawn[k][:, :, fits[k].model.names.index(name)] for k in having])
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(known[:, None] > 0, weights[:, having] / known[:, None], np.nan).T
    mean = (share * values.mean(1)).sum(0)
    variance = (share * (values.var(1) + values.mean(1) ** 2)).sum(0) - mean**2
    low, high = _quantiles(values, share)
    return mean, np.sqrt(np.maximum(variance, 0)), low, high, known


def _quantiles(values: np.ndarray, share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ends of the central 95 % of draws (model, n, S) that weigh `share` (model, S)."""
    flat = values.reshape(-1, values.shape[2])
    weight = np.repeat(share, values.shape[1], axis=0)
    order = np.argsort(flat, axis=0)
    below = np.cumsum(np.take_along_axis(weight, order, 0), axis=0) / values.shape[1]
    lost, ends = ~np.isfinite(below[-1]), []
    for q in (0.025, 0.975):
        place = np.minimum((below < q).sum(0), len(flat) - 1)
        end = flat[order[place, np.arange(flat.shape[1])], np.arange(flat.shape[1])]
        ends.append(np.where(lost, np.nan, end))
    return ends[0], ends[1]

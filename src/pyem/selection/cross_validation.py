"""Out-of-sample prediction: WAIC and leave-one-out cross-validation by Pareto-smoothed importance sampling.

What is left out is a trial, a block or a whole subject, and the three answer different questions. A trial left out is
predicted from the same person's other trials of the block, those after it included. A block left out is predicted from the
person's other blocks. A subject left out is a new person from the group: its parameters are integrated out.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pyem.engine.pointwise import by_trial, chunks_of, units
from pyem.errors import FitWarning, counted, require_kind
from pyem.numerics.pareto import pareto_smoothed
from pyem.selection.criterion import UNITS, Criterion, Score, Settings, Unit, has_draws
from pyem.selection.shares import log_mean_exp

if TYPE_CHECKING:
    import pandas as pd

    from pyem.results.sample import SampleFit


@dataclasses.dataclass(frozen=True, eq=False)
class Predictive:
    """Expected log predictive density of data left out; larger is better.

    Parameters
    ----------
    method
        ``"loo"`` or ``"waic"``.
    unit
        Unit that is left out: ``"trial"``, ``"block"`` or ``"subject"``.
    elpd, se
        Sum over units, in nats, and its standard error across units.
    p
        Effective number of parameters.
    pointwise
        The value of each unit, (n,).
    subject
        Index of each unit's subject, (n,).
    pareto_k
        Pareto k of each unit for LOO, (n,): above 0.7 the estimate is not reliable.
    labels
        Subject, block and trial of each unit, as far as they apply.
    """

    method: str
    unit: str
    elpd: float
    se: float
    p: float
    pointwise: np.ndarray = dataclasses.field(repr=False)
    subject: np.ndarray = dataclasses.field(repr=False)
    pareto_k: np.ndarray | None = dataclasses.field(repr=False)
    labels: dict[str, np.ndarray] = dataclasses.field(repr=False)

    @property
    def deviance(self) -> float:
        """Minus twice the `elpd`, on the scale of AIC and BIC: LOOIC or WAIC."""
        return -2 * self.elpd

    @property
    def by_subject(self) -> np.ndarray:
        """Sum over each subject's units, (S,)."""
        return np.bincount(self.subject, self.pointwise)

    def table(self) -> pd.DataFrame:
        """A row for each unit: labels, ``elpd`` and, for LOO, ``pareto_k``."""
        import pandas as pd

        columns: dict[str, Any] = dict(self.labels) | {"elpd": self.pointwise}
        if self.pareto_k is not None:
            columns["pareto_k"] = self.pareto_k
        return pd.DataFrame(columns)

    def __str__(self) -> str:
        name = "PSIS-LOO" if self.method == "loo" else "WAIC"
        lines = [
            f"{name} by {self.unit}: elpd {self.elpd:.2f} (se {self.se:.2f}), p {self.p:.2f}, "
            f"{counted(len(self.pointwise), self.unit)} left out one at a time"
        ]
        if self.pareto_k is not None:
            bad = int((self.pareto_k > 0.7).sum())
            lines.append(f"Pareto k above 0.7 for {bad} of {len(self.pareto_k)}" if bad else "all Pareto k below 0.7")
        return "; ".join(lines)


def loo(fit: SampleFit, *, unit: Unit = "trial", key: Any = 0, integration_draws: int = 512) -> Predictive:
    """Leave-one-out cross-validation by Pareto-smoothed importance sampling.

    Parameters
    ----------
    fit
        Draws from the posterior.
    unit
        Unit that is left out.
    key, integration_draws
        Seed, and number of points if ``unit="subject"``, over which each subject's parameters are integrated.

    Warns
    -----
    FitWarning
        If some units influence the posterior too much for importance sampling (Pareto k above 0.7).

    Raises
    ------
    ValueError
        If the unit is unknown.
    UndefinedCriterion
        If the fit has no draws, or its model gives no value for single trials.

    Notes
    -----
    Memory is bounded: pointwise values of a few subjects are computed at a time.

    References
    ----------
    Vehtari, A., Gelman, A., & Gabry, J. (2017). Practical Bayesian model evaluation using leave-one-out cross-validation and
    WAIC. Statistics and Computing, 27(5), 1413-1432. https://doi.org/10.1007/s11222-016-9696-4

    Vehtari, A., Simpson, D., Gelman, A., Yao, Y., & Gabry, J. (2024). Pareto smoothed importance sampling. Journal of Machine
    Learning Research, 25(72), 1-58.

    Merkle, E. C., Furr, D., & Rabe-Hesketh, S. (2019). Bayesian comparison of latent variable models: Conditional versus
    marginal likelihoods. Psychometrika, 84, 802-829. https://doi.org/10.1007/s11336-019-09679-0
    """
    require_kind("fit", fit)
    LOO.require(fit, Settings(unit=unit))
    found = _pointwise(fit, unit, _loo_of, key, integration_draws)
    k = found.extra
    bad = np.flatnonzero(k > 0.7)
    if len(bad):
        first = ", ".join(f"{name} {values[bad[0]]}" for name, values in found.labels.items())
        warnings.warn(
            f"loo by {unit}: {len(bad)} of {counted(len(k), unit)} influence the posterior too much for importance sampling "
            f"(Pareto k above 0.7; the first: {first}): their elpd is too high. Draw more, compare by waic "
            "too, or fit without them",
            FitWarning,
            stacklevel=2,
        )
    return _summed("loo", unit, found, k)


def waic(fit: SampleFit, *, unit: Unit = "trial", key: Any = 0, integration_draws: int = 512) -> Predictive:
    """The widely applicable information criterion; arguments as for `loo`, which says when it fails and so is preferred.

    References
    ----------
    Watanabe, S. (2010). Asymptotic equivalence of Bayes cross validation and widely applicable information criterion in
    singular learning theory. Journal of Machine Learning Research, 11, 3571-3594.
    """
    require_kind("fit", fit)
    WAIC.require(fit, Settings(unit=unit))
    found = _pointwise(fit, unit, _waic_of, key, integration_draws)
    return _summed("waic", unit, found, None)


class _Found(NamedTuple):
    elpd: np.ndarray
    lppd: np.ndarray
    extra: np.ndarray
    subject: np.ndarray
    labels: dict[str, np.ndarray]


def _summed(method: str, unit: str, found: _Found, k: np.ndarray | None) -> Predictive:
    n = len(found.elpd)
    return Predictive(
        method=method,
        unit=unit,
        elpd=float(found.elpd.sum()),
        se=float(math.sqrt(n) * found.elpd.std(ddof=1)) if n > 1 else math.nan,
        p=float((found.lppd - found.elpd).sum()),
        pointwise=found.elpd,
        subject=found.subject,
        pareto_k=k,
        labels=found.labels,
    )


def _waic_of(log_lik: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    lppd, variance = log_mean_exp(log_lik), np.asarray(log_lik.var(0, ddof=1))
    return lppd - variance, lppd, variance


def _loo_of(log_lik: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    from scipy.special import logsumexp

    log_weight, k = pareto_smoothed(-log_lik)
    return np.asarray(logsumexp(log_weight + log_lik, axis=0)), log_mean_exp(log_lik), k


def _no_draws(fit: SampleFit, settings: Settings) -> str | None:
    if settings.unit not in UNITS:
        raise ValueError(f"unit={settings.unit!r}; choose one of {', '.join(UNITS)}")
    if not has_draws(fit):
        return f"a fit by {fit.method} has no draws; use fit_nuts or fit_svi"
    if settings.unit == "trial" and not by_trial(fit.model, fit.data):
        return f"model {fit.model.name!r} gives the log-likelihood of a block, not of single trials; pass unit='block'"
    return None


def _score(found: Predictive) -> Score:
    shown = {"unit": found.unit, "n_units": len(found.pointwise)}
    shown |= {"se": found.se, "p": found.p, "deviance": found.deviance}
    if found.pareto_k is not None:
        shown["k_above_0.7"] = int((found.pareto_k > 0.7).sum())
    return Score(found.by_subject, pointwise=found.pointwise, shown=shown, extras={"pareto_k": found.pareto_k})


_COLUMNS = {"unit": "", "n_units": "", "elpd": "elpd", "se": "", "p": "effective parameters", "deviance": ""}
_COMMON: dict[str, Any] = {
    "quantity": "expected log predictive density",
    "reason": _no_draws,
    "needs": "draws from the posterior",
    "units": UNITS,
    "column": "elpd",
    "marginal": True,
    "costly": True,
}
LOO = Criterion(
    "loo",
    "PSIS-LOO",
    lambda fit, settings: _score(loo(fit, unit=settings.unit, key=settings.key)),
    "largest",
    1.0,
    columns=_COLUMNS | {"k_above_0.7": "Pareto k > 0.7"},
    usual=has_draws,
    order=50,
    **_COMMON,
)
WAIC = Criterion(
    "waic",
    "WAIC",
    lambda fit, settings: _score(waic(fit, unit=settings.unit, key=settings.key)),
    "largest",
    1.0,
    columns=_COLUMNS,
    order=60,
    **_COMMON,
)


# -- pointwise values, a few subjects at a time ---------------------------------------------------------------------------


def _pointwise(fit: SampleFit, unit: Unit, of: Any, key: Any, integration_draws: int) -> _Found:
    if unit == "subject":
        values = marginal_log_lik(fit, draws=integration_draws, key=key)
        elpd, lppd, extra = of(values)
        subject = np.arange(fit.data.n_subjects)
        return _Found(elpd, lppd, extra, subject, {"subject": fit.data.subjects})
    parts = [of(values) for values, _, _ in chunks_of(fit.model, fit.data, fit.flat["x"], unit)]
    lane, row = units(fit.model, fit.data, unit)
    labels = fit.data.index_columns(lane, row)
    if unit == "block":
        labels.pop("trial")
    elpd, lppd, extra = (np.concatenate(part) for part in zip(*parts, strict=True))
    return _Found(elpd, lppd, extra, fit.data.lane_subject[lane], labels)


# -- subjects integrated out ------------------------------------------------------------------------------------------------


def marginal_log_lik(fit: SampleFit, *, draws: int = 512, key: Any = 0) -> np.ndarray:
    """Log-likelihood of every subject with its own parameters integrated out, (draw of the group, S), in nats.

    For people on their own (``group=None``) it does not depend on the draw: it is the log evidence under the given priors.

    Notes
    -----
    Importance sampling: for each subject the likelihood is computed once at `draws` points around its posterior and from
    the group, and weighted anew for every draw of the group's parameters.
    """
    from pyem.engine.integrals import GroupDraws, alone, integrated, points_with_priors
    from pyem.infer.hierarchy import likelihood_anchor
    from pyem.numerics.rng import generator

    if draws < 32:
        raise ValueError(f"draws={draws}; at least 32 points are needed to integrate")
    rng = generator(key)
    if fit.population is None:
        from pyem.population.priors import NaturalPriors, rebuilt

        priors = rebuilt(fit.model, fit.priors)
        assert isinstance(priors, NaturalPriors)
        points = points_with_priors(fit.model, fit.data, fit.x, fit.cov, priors, n=draws, rng=rng)
        once, _ = alone(fit.model, points, priors, 1, rng)
        return np.broadcast_to(once, (fit.n_draws, len(once))).copy()
    assert fit.design is not None
    flat = fit.flat
    group = GroupDraws.of(flat["coef"], flat["sd"], flat.get("corr"))
    anchor = likelihood_anchor(fit.model, fit.data, fit.x, fit.population)
    precision, shift = np.moveaxis(np.asarray(anchor.precision), -1, 0), np.asarray(anchor.shift).T
    family, around = fit.population.group, (fit.x, fit.cov)
    value, _ = integrated(fit.model, fit.data, family, fit.design, group, (precision, shift), around, n=draws, rng=rng)
    return value

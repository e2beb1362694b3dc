"""The contract of a criterion, its score of a fit, and the registry of all criteria.

Whoever compares fits - `compare_fits`, `confusion`, figures, the command line - reads the registry and knows no criterion by
its name, so that a new criterion is one file and one call of `register`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, final

import numpy as np

from pyem.errors import UndefinedCriterion
from pyem.results.sample import SampleFit

if TYPE_CHECKING:
    from pyem.results.fit import Fit

Unit = Literal["trial", "block", "subject"]
UNITS: tuple[Unit, ...] = ("trial", "block", "subject")
"""Units that cross-validation can leave out."""


@final
@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of an evaluation.

    Parameters
    ----------
    draws
        Number of draws for each subject's integral; with 0, what needs draws is left out.
    key
        Seed of the draws.
    unit
        Unit that is left out: ``"trial"``, ``"block"`` or ``"subject"``.
    """

    draws: int = 1000
    key: Any = 0
    unit: Unit = "trial"


USUAL = Settings()


@final
@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Score:
    """Score of one fit by a criterion.

    Parameters
    ----------
    subject
        Each subject's part, (S,).
    price
        Penalty for the parameters of the group, on top of the sum over subjects.
    error
        Monte-Carlo standard error of the total; 0 where nothing is drawn.
    weight
        Weight of each subject in the sum, (S,); 1 for all if not given.
    pointwise
        Parts that are smaller than a subject, (n,), where there are some.
    shown
        More columns for a table of fits, by name.
    extras
        Further results, by name: effective numbers of draws, Pareto k, and the like.
    """

    subject: np.ndarray
    price: float = 0.0
    error: float = 0.0
    weight: np.ndarray | None = None
    pointwise: np.ndarray | None = None
    shown: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    extras: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def total(self) -> float:
        """Sum of the subjects' parts and of the group's penalty, by which fits are sorted."""
        parts = self.subject if self.weight is None else self.weight * self.subject
        return float(parts.sum()) + self.price

    def __repr__(self) -> str:
        return f"Score(total={self.total!r}{f', error={self.error:.3g}' if self.error else ''})"


Reason = Callable[[Any, Settings], str | None]


def no_reason(fit: Fit, settings: Settings) -> str | None:
    """Return None: the criterion suits every fit."""
    del fit, settings


def has_draws(fit: Fit) -> bool:
    """Whether a fit consists of draws from the posterior, as those of `fit_nuts` and `fit_svi`."""
    return isinstance(fit, SampleFit)


def without_estimates(fit: Fit, settings: Settings) -> str | None:
    """Reason why a criterion of point estimates does not suit `fit`, or None."""
    del settings
    if has_draws(fit):
        return (
            f"a fit by {fit.method} has draws from the posterior and no estimates at a maximum (fit_mle, fit_map and fit_em "
            "have)"
        )
    return None


@final
@dataclasses.dataclass(frozen=True, eq=False)
class Criterion:
    """A rule that says how well a model explains data.

    Parameters
    ----------
    name
        Name in calls: ``by="aic"``.
    title
        Name in tables: ``"AIC"``.
    score
        ``score(fit, settings)`` returns a `Score`.
    best
        Whether the ``"largest"`` or the ``"smallest"`` is best.
    nats
        Nats of log evidence for each unit of the criterion: 1 for log evidence itself, -1/2 for a deviance. None for a
        description that has no such scale, by which fits cannot be sorted.
    reason
        ``reason(fit, settings)``: in words, why a fit has no such criterion and what to do instead; None if it has.
    needs
        Requirements of the criterion, in words.
    quantity, note
        Measured quantity, for figures and headings (the title if not given), and a note on the method.
    units
        The units that the criterion is a sum of: ``"subject"``, ``"group"``, or what may be left out.
    column, columns
        Column of the total in a table of fits (the name if not given), and all columns of the criterion with
        their headings in print; those without a heading are not printed.
    usual
        ``usual(fit)``: whether it may decide about such fits if no criterion is named.
    order
        Rank among the criteria that may decide; the smallest decides.
    marginal
        Whether people's parameters are averaged over. Criteria of estimates stand back for those in print.
    costly
        Whether it takes so long that it is evaluated only where it decides.

    Examples
    --------
    >>> from pyem.selection import CRITERIA
    >>> CRITERIA["aic"].best, CRITERIA["aic"].nats
    ('smallest', -0.5)
    """

    name: str
    title: str
    score: Callable[[Any, Settings], Score]
    best: Literal["largest", "smallest"]
    nats: float | None
    _: dataclasses.KW_ONLY
    reason: Reason = no_reason
    needs: str = ""
    quantity: str = ""
    note: str = ""
    units: tuple[str, ...] = ("subject",)
    column: str = ""
    columns: Mapping[str, str] = dataclasses.field(default_factory=dict)
    usual: Callable[[Any], bool] = lambda fit: False
    order: float = 100.0
    marginal: bool = False
    costly: bool = False

    def __post_init__(self) -> None:
        if self.best not in ("largest", "smallest"):
            raise ValueError(f"criterion {self.name!r} has best={self.best!r}; choose 'largest' or 'smallest'")
        if self.nats is not None and self.nats * self.sign <= 0:
            raise ValueError(
                f"criterion {self.name!r} has nats={self.nats} and the {self.best} is best; log evidence goes up, so nats is "
                "above 0 where the largest is best and below 0 where the smallest is"
            )
        object.__setattr__(self, "quantity", self.quantity or self.title)
        object.__setattr__(self, "column", self.column or self.name)
        object.__setattr__(self, "columns", dict(self.columns) or {self.column: self.title})

    @property
    def sign(self) -> int:
        """1 if the largest is best, else -1."""
        return 1 if self.best == "largest" else -1

    def said(self, unit: str) -> str:
        """Description of the criterion in words."""
        if len(self.units) > 1:
            return f"{self.title}, {unit}s left out one at a time: {self.quantity}, {self.best} is best"
        return f"{self.quantity}{' ' if self.note else ''}{self.note}, {self.best} is best"

    def require(self, fit: Fit, settings: Settings = USUAL) -> None:
        """Raise UndefinedCriterion if a fit has no such criterion; the message says why, and which criteria it has."""
        reason = self.reason(fit, settings)
        if reason is not None:
            raise UndefinedCriterion(f"{reason}; {_usable([fit], settings)}")

    def evaluate(self, fit: Fit, settings: Settings = USUAL) -> Score:
        """The score of a fit.

        Raises
        ------
        UndefinedCriterion
            As `require`.
        """
        self.require(fit, settings)
        return self.score(fit, settings)


# -- the registry -----------------------------------------------------------------------------------------------------------

_registry: dict[str, Criterion] = {}
CRITERIA: Mapping[str, Criterion] = MappingProxyType(_registry)
"""All criteria by name, in the order of their columns."""


def register(criterion: Criterion) -> Criterion:
    """Make a criterion known to everything that compares fits; one of the same name is replaced."""
    _registry[criterion.name] = criterion
    return criterion


def unregister(name: str) -> None:
    """Remove a criterion from the registry."""
    _registry.pop(name, None)


def deciding() -> list[Criterion]:
    """The criteria that fits can be sorted by, the most usual ones first."""
    return sorted((one for one in CRITERIA.values() if one.nats is not None), key=lambda one: one.order)


def named(by: str) -> Criterion:
    """The criterion of that name, by which fits can be sorted.

    Raises
    ------
    ValueError
        If there is no such criterion, or it only describes fits.
    """
    names = ", ".join(one.name for one in deciding())
    if by not in CRITERIA:
        raise ValueError(f"by={by!r}; choose one of {names}")
    if CRITERIA[by].nats is None:
        raise ValueError(
            f"by={by!r} describes a fit and cannot decide between models, as it has no price for parameters; choose one of "
            f"{names}"
        )
    return CRITERIA[by]


def usual(fits: Mapping[str, Fit], settings: Settings) -> Criterion:
    """The criterion that decides if none is named: the most usual that suits all fits.

    Raises
    ------
    UndefinedCriterion
        If no criterion suits all of them.
    """
    for one in deciding():
        if all(one.usual(fit) and one.reason(fit, settings) is None for fit in fits.values()):
            return one
    methods = ", ".join(f"{name!r} by {fit.method}" for name, fit in fits.items())
    mixed = len({has_draws(fit) for fit in fits.values()}) > 1
    raise UndefinedCriterion(
        f"no criterion suits all of these fits ({methods}): "
        f"{'fits with and without draws are judged by different ones; ' if mixed else ''}fit them by one method, or name a "
        f"criterion with by= ({_usable(fits.values(), settings)})"
    )


def require(criterion: Criterion, fits: Mapping[str, Fit], settings: Settings) -> None:
    """Raise UndefinedCriterion unless all fits have the criterion; the message names those that they all have."""
    reasons = {name: criterion.reason(fit, settings) for name, fit in fits.items()}
    lacking = {name: reason for name, reason in reasons.items() if reason is not None}
    if lacking:
        first = next(iter(lacking.values()))
        needs = f"by={criterion.name!r} needs {criterion.needs}, but " if criterion.needs else ""
        raise UndefinedCriterion(
            f"no {criterion.name} for {', '.join(lacking)}: {needs}{first}; {_usable(fits.values(), settings)}"
        )


def _usable(fits: Iterable[Fit], settings: Settings) -> str:
    """Words that name the criteria that all fits have."""
    fits = list(fits)
    usable = [one.name for one in deciding() if all(one.reason(fit, settings) is None for fit in fits)]
    if not usable:
        return "no criterion is defined as it is" if len(fits) == 1 else "they have no criterion in common"
    quoted = [repr(name) for name in usable]
    return f"choose {' or '.join(filter(None, (', '.join(quoted[:-1]), quoted[-1])))}"

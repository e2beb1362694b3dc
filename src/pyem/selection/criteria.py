"""Information criteria of point estimates, and pseudo-R2."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from pyem.errors import require_kind
from pyem.selection.chance import chance, choices
from pyem.selection.criterion import Criterion, Score, Settings, has_draws, without_estimates

if TYPE_CHECKING:
    from pyem.selection.criterion import Fit


# -- information criteria of each subject's estimates -------------------------------------------------------------------


def aic(fit: Fit) -> Score:
    """Akaike's information criterion ``2 P - 2 log L`` of each subject, ``.subject``, and summed, ``.total``.

    Smaller is better. It is meant for maximum likelihood. At the estimates of EM or MAP the likelihood is lower and the
    parameters are less free than the criterion supposes: use `lme` or `integrated_bic` for these.

    Raises
    ------
    UndefinedCriterion
        If the fit consists of draws.

    References
    ----------
    Akaike, H. (1974). A new look at the statistical model identification. IEEE Transactions on Automatic Control, 19(6),
    716-723. https://doi.org/10.1109/TAC.1974.1100705

    Examples
    --------
    >>> import pyem
    >>> model = pyem.models.get("rw1a1b")
    >>> fit = pyem.fit_mle(model, pyem.simulate(model, subjects=3, key=1))
    >>> bool(aic(fit).total == 12 - 2 * fit.log_lik.sum())
    True
    """
    require_kind("fit", fit)
    return AIC.evaluate(fit)


def bic(fit: Fit) -> Score:
    """Schwarz's criterion ``P log n - 2 log L`` of each subject with its n responses, and summed; smaller is better.

    It is meant for maximum likelihood; see `aic`. A parameter that is common to all counts once, with all responses.

    Raises
    ------
    UndefinedCriterion
        If the fit consists of draws.

    References
    ----------
    Schwarz, G. (1978). Estimating the dimension of a model. Annals of Statistics, 6(2), 461-464.
    https://doi.org/10.1214/aos/1176344136

    Examples
    --------
    >>> import pyem
    >>> model = pyem.models.get("rw1a1b")
    >>> fit = pyem.fit_mle(model, pyem.simulate(model, subjects=3, key=1))
    >>> bic(fit).total > aic(fit).total
    True
    """
    require_kind("fit", fit)
    return BIC.evaluate(fit)


def _aic_score(fit: Fit, settings: Settings) -> Score:
    del settings
    common = _n_common(fit)
    own = fit.model.n_params - common
    return Score(own * np.full(len(fit.x), 2.0) - 2 * fit.log_lik, price=2.0 * common)


def _bic_score(fit: Fit, settings: Settings) -> Score:
    del settings
    common, n = _n_common(fit), fit.data.n_responses(fit.model)
    own = fit.model.n_params - common
    return Score(own * np.log(n) - 2 * fit.log_lik, price=float(common * np.log(n.sum())))


def _n_common(fit: Fit) -> int:
    """Number of parameters with one value for everybody: they count once, with the number of responses of all people."""
    if fit.population is not None:
        return int((~fit.population.random).sum())
    return len(fit.settings.get("common", ()))


def _without_prior(fit: Fit) -> bool:
    return fit.log_evidence is None and not has_draws(fit)


AIC = Criterion(
    "aic",
    "AIC",
    _aic_score,
    "smallest",
    -0.5,
    note="summed over subjects",
    reason=without_estimates,
    needs="point estimates",
    order=30,
)
BIC = Criterion(
    "bic",
    "BIC",
    _bic_score,
    "smallest",
    -0.5,
    note="summed over subjects",
    reason=without_estimates,
    needs="point estimates",
    usual=_without_prior,
    order=40,
)


# -- pseudo-R2 --------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class PseudoR2:
    """McFadden's pseudo-R2: 0 if a model predicts as by chance, 1 if it predicts with certainty.

    Parameters
    ----------
    median
        Median over subjects.
    pooled
        The value for all responses together.
    subject
        The value of each subject, (S,); NaN for one who never had more than one option.
    """

    median: float
    pooled: float
    subject: np.ndarray = dataclasses.field(repr=False)


def pseudo_r2(fit: Fit) -> PseudoR2:
    """McFadden's pseudo-R2 against chance, ``1 - log L / log L_chance``, of everything that is a choice among options.

    By chance, each option that is on offer in a trial is chosen with the same probability; an option to which the model
    gives probability 0 (a logit of minus infinity) is not on offer. With several responses in a trial, all choices count;
    responses that are no choices (a response time, a rating, a yes or no, a count) are left out on both sides. A model that
    gives the log-likelihood itself has all of its `options` on offer. No penalty: more parameters, more R2.

    Raises
    ------
    UndefinedCriterion
        If no response of the model is a choice among options.

    References
    ----------
    McFadden, D. (1974). Conditional logit analysis of qualitative choice behavior. In P. Zarembka (Ed.), Frontiers in
    Econometrics, 105-142.

    Examples
    --------
    >>> import pyem
    >>> model = pyem.models.get("rw1a1b")
    >>> fit = pyem.fit_em(model, pyem.simulate(model, subjects=10, key=1))
    >>> 0 < pseudo_r2(fit).median < 1
    True
    """
    require_kind("fit", fit)
    score = PSEUDO_R2.evaluate(fit)
    return PseudoR2(score.shown["pseudo_r2"], score.total, np.where(score.weight == 0, np.nan, score.subject))


def _pseudo_r2_score(fit: Fit, settings: Settings) -> Score:
    del settings
    found = chance(fit.model, fit.data, fit.x)
    # A person who has a single option in every trial is neither at chance nor certain.
    some = found.by_chance != 0
    subject = np.where(some, 1 - found.log_lik / np.where(some, found.by_chance, 1.0), 0.0)
    weight = found.by_chance / (found.by_chance.sum() or 1.0)
    return Score(subject, weight=weight, shown={"pseudo_r2": float(np.median(subject[some])) if some.any() else np.nan})


def _no_choice(fit: Fit, settings: Settings) -> str | None:
    del settings
    if choices(fit.model, fit.data):
        return None
    return (
        f"model {fit.model.name!r} has no options to choose from, so there is no chance level (a yes or no has one if it is "
        "written as Categorical(logits=jnp.array([0.0, x])) with options=2)"
    )


PSEUDO_R2 = Criterion(
    "pseudo_r2", "pseudo-R2", _pseudo_r2_score, "largest", None, reason=_no_choice, needs="choices among options"
)

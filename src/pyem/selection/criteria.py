"""Information criteria of point estimates."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np

from pyem.errors import UndefinedCriterion
from pyem.results.point import PointFit

if TYPE_CHECKING:
    pass


# -- information criteria of each subject's estimates -------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Criterion:
    """A criterion that is a sum over subjects.

    Parameters
    ----------
    total
        The sum.
    subject
        Each subject's, (S,).
    """

    total: float
    subject: np.ndarray = dataclasses.field(repr=False)


def aic(fit: PointFit) -> Criterion:
    """Akaike's information criterion ``2 P - 2 log L`` of each subject, and summed; smaller is better.

    It is meant for maximum likelihood. At the estimates of EM or MAP the likelihood is lower and the parameters are less
    free than the criterion supposes: use `lme` or `integrated_bic` for these.

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
    return _criterion(fit, np.full(len(fit.x), 2.0))


def bic(fit: PointFit) -> Criterion:
    """Schwarz's criterion ``P log n - 2 log L`` of each subject with its n responses, and summed; smaller is better.

    It is meant for maximum likelihood; see `aic`.

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
    return _criterion(fit, np.log(fit.data.n_responses(fit.model)))


def _criterion(fit: PointFit, price: np.ndarray) -> Criterion:
    subject = fit.model.n_params * price - 2 * fit.log_lik
    return Criterion(float(subject.sum()), subject)


@dataclasses.dataclass(frozen=True, eq=False)
class PseudoR2:
    """How far a model is from chance (0) to certainty (1).

    Parameters
    ----------
    median
        Over subjects.
    pooled
        Of all responses together.
    subject
        Of each subject, (S,).
    """

    median: float
    pooled: float
    subject: np.ndarray = dataclasses.field(repr=False)


def pseudo_r2(fit: PointFit) -> PseudoR2:
    """McFadden's pseudo-R2 against chance, ``1 - log L / (n log(1 / K))`` with n responses among K options.

    K is the model's number of options, also where a trial offers only some of them. No penalty: more parameters, more R2.

    Raises
    ------
    ValueError
        If the model does not choose among options.

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
    if fit.model.options is None:
        raise UndefinedCriterion(f"model {fit.model.name!r} has no options to choose from, so there is no chance level")
    chance = -fit.data.n_responses(fit.model) * math.log(fit.model.options)
    subject = 1 - fit.log_lik / chance
    return PseudoR2(float(np.median(subject)), float(1 - fit.log_lik.sum() / chance.sum()), subject)

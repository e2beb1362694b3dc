"""The log marginal likelihood of a whole hierarchical model: people and group averaged over their priors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyem.errors import require_kind
from pyem.selection.criterion import Criterion, Score, Settings, has_draws

if TYPE_CHECKING:
    from pyem.selection.criterion import Fit

TOTAL = "log_marginal_likelihood"


def log_marginal_likelihood(fit: Fit) -> Score:
    """Log marginal likelihood ``log p(data | model)`` of a fit by `fit_bayes`, in nats; larger is better.

    The people's parameters and the group's are averaged over their priors, so it depends on these. ``.subject`` is the log
    evidence of each person given a group in the middle of the posterior, ``.price`` what is lost because the group has to be
    learnt, and ``.error`` the Monte-Carlo standard error of the ``.total``. The difference of two models is a log Bayes factor.

    Raises
    ------
    UndefinedCriterion
        If the fit is by another method.

    References
    ----------
    Kass, R. E., & Raftery, A. E. (1995). Bayes factors. Journal of the American Statistical Association, 90(430), 773-795.
    https://doi.org/10.1080/01621459.1995.10476572

    Examples
    --------
    >>> import pyem
    >>> model = pyem.models.get("rw1a1b")
    >>> fit = pyem.fit_bayes(model, pyem.simulate(model, subjects=10, trials=40, key=1))
    >>> pyem.log_marginal_likelihood(fit).error < 0.1
    True
    """
    require_kind("fit", fit)
    return MARGINAL.evaluate(fit)


def _score(fit: Fit, settings: Settings) -> Score:
    del settings
    subject = fit.trace["people_log_evidence"]
    total, error = float(fit.trace[TOTAL]), float(fit.trace[TOTAL + "_se"])
    extras = {"pareto_k": fit.trace["pareto_k"]} if "pareto_k" in fit.trace else {}
    return Score(subject, total - float(subject.sum()), error, shown={TOTAL + "_se": error}, extras=extras)


def _reason(fit: Fit, settings: Settings) -> str | None:
    del settings
    if TOTAL in fit.trace:
        return None
    return f"a fit by {fit.method} does not tell the marginal likelihood of the whole model; fit it by fit_bayes"


# Not costly itself, but shown like the costly ones only where it decides: other fits do not have it.
MARGINAL = Criterion(
    TOTAL,
    "log marginal likelihood",
    _score,
    "largest",
    1.0,
    note="(of the whole hierarchical model, under its priors)",
    reason=_reason,
    needs="a fit by fit_bayes",
    columns={TOTAL: "log marginal likelihood", TOTAL + "_se": ""},
    usual=has_draws,
    order=5,
    marginal=True,
    costly=True,
)

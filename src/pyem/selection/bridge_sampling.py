"""Log marginal likelihoods from draws of the posterior by bridge sampling."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from pyem.errors import require_kind, warn
from pyem.numerics.diagnostics import ess
from pyem.numerics.rng import generator
from pyem.selection.criterion import Criterion, Score, Settings, has_draws
from pyem.selection.joint_density import AloneDensity, GaussianProposal, HierarchyDensity, log_likelihoods

if TYPE_CHECKING:
    from pyem.results.sample import SampleFit
    from pyem.selection.criterion import Fit

MAX_ITER, TOL = 1000, 1e-10
POOR = 0.5
"""Standard error, in nats, above which a warning is given."""


@dataclasses.dataclass(frozen=True, eq=False)
class BridgeEvidence:
    """Log marginal likelihood of a model, people and group averaged over their priors.

    Parameters
    ----------
    total, se
        Log marginal likelihood in nats, and its Monte-Carlo standard error.
    subject, subject_se
        Log evidence of each person, with its error, (S,), if people are on their own (``group=None``); else None.
    draws
        Numbers of draws from the posterior and from the proposal.
    """

    total: float
    se: float
    subject: np.ndarray | None
    subject_se: np.ndarray | None
    draws: tuple[int, int]


def bridge_evidence(fit: SampleFit, *, key: Any = 0) -> BridgeEvidence:
    """Log marginal likelihood ``log p(data | model)`` from draws of the posterior, by bridge sampling, in nats.

    Parameters
    ----------
    fit
        Fit by `fit_nuts` or `fit_bayes`, with a group or without. The value depends on the priors.
    key
        Seed of the draws of the proposal.

    Warns
    -----
    FitWarning
        If the standard error is above half a nat.

    Raises
    ------
    UndefinedCriterion
        If the fit is by another method, or people differ in nothing.

    Notes
    -----
    The first half of each chain makes the proposal: a Gaussian for the group's unconstrained parameters, and for each person
    given these a Gaussian from the curvature of the person's likelihood and the group, moved and stretched so that it has the
    moments of the draws. The other half and as many draws of the proposal give the estimate with the optimal bridge of Meng and
    Wong (1996). The error is that of Frühwirth-Schnatter (2004), with the autocorrelation of the draws in it. It is reliable
    where it is small.

    References
    ----------
    Meng, X.-L., & Wong, W. H. (1996). Simulating ratios of normalizing constants via a simple identity: A theoretical
    exploration. Statistica Sinica, 6(4), 831-860.

    Frühwirth-Schnatter, S. (2004). Estimating marginal likelihoods for mixture and Markov switching models using bridge
    sampling techniques. The Econometrics Journal, 7(1), 143-167. https://doi.org/10.1111/j.1368-423X.2004.00125.x

    Gronau, Q. F., et al. (2017). A tutorial on bridge sampling. Journal of Mathematical Psychology, 81, 80-97.
    https://doi.org/10.1016/j.jmp.2017.09.005

    Examples
    --------
    >>> fit = pyem.fit_nuts(model, data)  # doctest: +SKIP
    >>> bridge_evidence(fit).se  # doctest: +SKIP
    0.03
    """
    require_kind("fit", fit)
    BRIDGE.require(fit)
    rng = generator(key)
    found = _alone(fit, rng) if fit.group is None else _together(fit, rng)
    return told("bridge_evidence", fit, found, "draw more")


def told(verb: str, fit: SampleFit, found: BridgeEvidence, remedy: str) -> BridgeEvidence:
    """Return the result, with a warning if it is not precise."""
    if not found.se <= POOR:
        warn(f"{verb} of {fit.model.name!r}: the standard error is {found.se:.2g} nats; {remedy}")
    return found


def _halves(fit: SampleFit, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first half of each chain's draws (D, ...), with chains joined, and the second half, (chain, draw, ...)."""
    chains = values.reshape(fit.n_chains, -1, *values.shape[1:])
    half = chains.shape[1] // 2
    return chains[:, :half].reshape(-1, *values.shape[1:]), chains[:, half:]


def _together(fit: SampleFit, rng: np.random.Generator) -> BridgeEvidence:
    density = HierarchyDensity(fit)
    people = fit.flat["x"][..., density.posterior.random]
    (v1, v2), (x1, x2) = (_halves(fit, values) for values in (density.coordinates(fit.flat), people))
    of_group = GaussianProposal.of(v1)
    # Deviation of people from their expectation under a Gaussian likelihood, given their group.
    of_people = GaussianProposal.of(_standard(density, v1, x1)[0])
    shape = v2.shape[:2]
    v2, x2 = v2.reshape(-1, v2.shape[-1]), x2.reshape(-1, *x2.shape[2:])
    v3, z3 = of_group.sample(len(v2), rng), of_people.sample(len(v2), rng)
    middle, chol = density.around(density.posterior.unpack(v3)[0])
    x3 = middle + np.einsum("dspq,dsq->dsp", chol, z3)

    def log_ratio(v: np.ndarray, x: np.ndarray) -> np.ndarray:
        z, log_scale = _standard(density, v, x)
        log_q = of_group.log_prob(v) + (of_people.log_prob(z) - log_scale).sum(1)
        log_prior, groups = density.log_prior(v, x)
        return log_prior + log_likelihoods(fit.model, fit.data, density.posterior.whole(x, groups)).sum(1) - log_q

    total, se = bridged(log_ratio(v2, x2).reshape(shape), log_ratio(v3, x3))
    return BridgeEvidence(total, se, None, None, (len(v2), len(v3)))


def _standard(density: HierarchyDensity, v: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """People (D, S, P) standardised by their Gaussian approximation given their group, and the log-determinant (D, S)."""
    middle, chol = density.around(density.posterior.unpack(v)[0])
    z = np.linalg.solve(chol, (x - middle)[..., None])[..., 0]
    return z, np.log(np.diagonal(chol, axis1=-2, axis2=-1)).sum(-1)


def _alone(fit: SampleFit, rng: np.random.Generator) -> BridgeEvidence:
    density = AloneDensity(fit)
    first, second = _halves(fit, fit.flat["x"])
    proposal = GaussianProposal.of(first)
    x2 = second.reshape(-1, *second.shape[2:])
    x3 = proposal.sample(len(x2), rng)
    ratios = [density.log_joint(x) - proposal.log_prob(x) for x in (x2, x3)]
    of_posterior = ratios[0].reshape(*second.shape[:2], -1)
    pairs = [bridged(of_posterior[..., s], ratios[1][:, s]) for s in range(len(fit.x))]
    value, error = (np.array(part) for part in zip(*pairs, strict=True))
    return BridgeEvidence(float(value.sum()), float(np.sqrt((error**2).sum())), value, error, (len(x2), len(x3)))


def bridged(of_posterior: np.ndarray, of_proposal: np.ndarray) -> tuple[float, float]:
    """Log of a normalising constant and its standard error, from log ratios of the density to that of the proposal.

    Parameters
    ----------
    of_posterior
        Log ratios at draws from the posterior, (chain, draw).
    of_proposal
        Log ratios at independent draws of the proposal, (n,).
    """
    flat, centre = of_posterior.ravel(), float(np.median(of_posterior))
    a, b = flat - centre, of_proposal - centre
    worth = min(float(ess(of_posterior, "mean")), len(a))
    share = worth / (worth + len(b))
    log_r = 0.0
    for _ in range(MAX_ITER):
        f_b, f_a = _bridge_terms(a, b, share, log_r)
        new = log_r + math.log(f_b.mean()) - math.log(f_a.mean())
        change, log_r = abs(new - log_r), new
        if change < TOL:
            break
    f_b, f_a = _bridge_terms(a, b, share, log_r)
    worth_a = min(float(ess(f_a.reshape(of_posterior.shape), "mean")), len(a))
    relative = f_b.var() / f_b.mean() ** 2 / len(b) + f_a.var() / f_a.mean() ** 2 / worth_a
    return log_r + centre, math.sqrt(relative)


def _bridge_terms(a: np.ndarray, b: np.ndarray, share: float, log_r: float) -> tuple[np.ndarray, np.ndarray]:
    """Terms of the bridge: density at the proposal's draws, proposal at the posterior's draws; relative to exp(log_r)."""
    with np.errstate(over="ignore"):
        return 1 / (share + (1 - share) * np.exp(log_r - b)), 1 / (share * np.exp(a - log_r) + 1 - share)


# -- as a criterion ---------------------------------------------------------------------------------------------------------


def _no_bridge(fit: Fit, settings: Settings) -> str | None:
    del settings
    if not has_draws(fit):
        return f"a fit by {fit.method} has no draws from the posterior; use fit_nuts or fit_bayes"
    if fit.method not in ("nuts", "bayes"):
        return f"draws by {fit.method} are of an approximation and not of the posterior; use fit_nuts or fit_bayes"
    if fit.population is not None and not fit.population.random.any():
        return "people differ in nothing, and then nobody is integrated out; compare by 'loo'"
    return None


def _score(fit: Fit, settings: Settings) -> Score:
    found = bridge_evidence(fit, key=settings.key)  # type: ignore[arg-type]
    subject = found.subject
    if subject is None:
        # Differences of people's parts between models; the remainder is the penalty for learning people and group.
        subject = log_likelihoods(fit.model, fit.data, fit.draws(200, key=0).x).mean(0)
    return Score(subject, found.total - float(subject.sum()), found.se, shown={"bridge_se": found.se})


BRIDGE = Criterion(
    "bridge",
    "log marginal likelihood by bridge sampling",
    _score,
    "largest",
    1.0,
    note="(of the whole model, under its priors)",
    reason=_no_bridge,
    needs="draws from the posterior",
    columns={"bridge": "log marginal likelihood", "bridge_se": "Monte-Carlo se"},
    order=70,
    marginal=True,
    costly=True,
)

"""Scores of fits: Laplace-approximated evidence, integrated BIC, pseudo-R2."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pyem.compat.fields import seed_of
from pyem.compat.groupdist import as_native, make_group, variance_ratio
from pyem.compat.likelihood import Reporter
from pyem.compat.math import LARGE
from pyem.population.group import Group


def calc_LME(inv_h: Any, NPL: Any) -> tuple[np.ndarray, float, np.ndarray]:
    """Log model evidence by Laplace's approximation, with a penalty for the number of parameters.

    Parameters
    ----------
    inv_h
        Inverse Hessians, (P, P, S).
    NPL
        Negative log-posteriors at the modes, (S,), in nats.

    Returns
    -------
    tuple
        Log evidence of each subject (S,); their sum minus P log S; which subjects are good, 1 or 0 (S,). A subject whose
        inverse Hessian has no positive determinant gets the mean of the good ones; 0 where there are none.

    Examples
    --------
    >>> lap, lme, good = calc_LME(np.ones((1, 1, 3)), np.array([10.0, 11.0, 12.0]))
    >>> lap.round(3), round(lme, 3)
    (array([ -9.081, -10.081, -11.081]), -31.342)
    """
    inv_h, npl = np.asarray(inv_h, float), np.asarray(NPL, float)
    if inv_h.ndim != 3 or inv_h.shape[0] != inv_h.shape[1] or npl.shape != inv_h.shape[2:]:
        raise ValueError(f"expected inv_h (P, P, S) and NPL (S,), but was given {inv_h.shape} and {npl.shape}")
    n_params = inv_h.shape[0]
    sign, log_det = np.linalg.slogdet(np.moveaxis(inv_h, -1, 0))
    with np.errstate(all="ignore"):
        lap = -npl + 0.5 * log_det + 0.5 * n_params * math.log(2 * math.pi)
    good = (sign > 0) & np.isfinite(lap)
    lap = np.where(good, lap, lap[good].mean() if good.any() else 0.0)
    return lap, float(lap.sum() - n_params * math.log(len(npl))), good.astype(int)


def calc_BICint(
    all_data: Sequence[Any],
    param_names: Sequence[str],
    mu: Any,
    sigma: Any,
    fit_func: Callable[..., Any],
    nsamples: int = 2000,
    func_output: str = "all",
    nll_key: str = "nll",
    ntrials_total: int | None = None,
    njobs: int = -1,
    *,
    seed: int | None = None,
    group: Any = "gaussian",
) -> float:
    """Integrated BIC: minus twice the log-likelihood of each subject, averaged over the group's distribution.

    Parameters
    ----------
    all_data
        Arguments of `fit_func` for each subject.
    param_names
        Their number is that of the parameters.
    mu, sigma
        Mean and *variance* (P,) of the group.
    fit_func
        ``fit_func(params, *data, output=func_output)[nll_key]`` is the negative log-likelihood. Models of this library and
        functions of ``jax.numpy`` are evaluated at all draws of all subjects together.
    nsamples
        Draws for each subject.
    func_output, nll_key
        See `fit_func`.
    ntrials_total
        Trials of one subject, for the penalty: number of parameters times its logarithm. If not given, the size of the first
        field of the first subject, or the number of rows of its table.
    njobs
        Has no effect: all draws of one subject are evaluated together, or shared out where that takes long.
    seed
        Seed of the draws; without it ``np.random.seed`` makes them reproducible.
    group
        Family of the group, or a group of `pyem.compat.groupdist`, of which draws are taken. `sigma` is then what its
        ``moments`` say.

    Warns
    -----
    RuntimeWarning
        Of subjects whose integral is not finite, who are left out.

    References
    ----------
    Huys, Q. J. M., et al. (2011). Disentangling the roles of approach, activation and valence in instrumental and
    pavlovian responding. PLoS Computational Biology, 7(4), e1002028. https://doi.org/10.1371/journal.pcbi.1002028

    Examples
    --------
    >>> def stub(params, y, output="all"):
    ...     return {"nll": 5.0}
    >>> round(calc_BICint([[np.zeros(10)], [np.zeros(10)]], ["a"], [0.0], [1.0], stub, nsamples=4), 4)
    22.3026
    """
    mu, sigma = np.atleast_1d(np.asarray(mu, float)), np.atleast_1d(np.asarray(sigma, float))
    n_params = len(param_names)
    if mu.shape != (n_params,) or sigma.shape != (n_params,):
        raise ValueError(
            f"there are {n_params} param_names ({', '.join(map(str, param_names))}), but mu has shape {mu.shape} and sigma "
            f"{sigma.shape}; give one value for each parameter"
        )
    if nsamples < 1 or not (sigma >= 0).all():
        raise ValueError(f"nsamples={nsamples} must be at least 1, and sigma={sigma} a variance")
    n_trials = trials_of(all_data[0]) if ntrials_total is None else int(ntrials_total)
    del njobs
    rule, rng = make_group(group), np.random.default_rng(seed_of(seed))
    family, cov = as_native(rule), np.diag(sigma / variance_ratio(rule))
    at_once = max(1, int(2e7) // (len(all_data) * n_params))
    nll = _evaluator(fit_func, all_data, n_params, func_output, nll_key)
    parts = []
    for first in range(0, nsamples, at_once):
        n = min(at_once, nsamples - first)
        parts.append(-nll(_draws(family, mu, cov, n, len(all_data), rng)))
    log_lik = np.concatenate(parts)
    # A large number stands for a likelihood of zero.
    log_lik = np.where(log_lik <= -LARGE, -np.inf, log_lik)
    top = log_lik.max(0)
    with np.errstate(all="ignore"):
        integrated = top + np.log(np.exp(log_lik - top).mean(0))
    return float(-2 * _finite(integrated).sum() + n_params * math.log(n_trials))


def _draws(
    group: Group, mu: np.ndarray, cov: np.ndarray, n: int, subjects: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw everybody's parameters from the group, (n, S, P)."""
    if not np.diag(cov).all():
        # A variance of 0 cannot be divided by.
        return mu + np.sqrt(np.diag(cov)) * rng.standard_normal((n, subjects, len(mu)))
    return np.moveaxis(group.sample(np.tile(mu, (subjects, 1)), cov, n, rng), 1, 0)


def _finite(integrated: np.ndarray) -> np.ndarray:
    """Log integrals (S,) of those who have one."""
    lost = np.flatnonzero(~np.isfinite(integrated))
    if len(lost):
        warnings.warn(
            f"the integral of {len(lost)} of {len(integrated)} subjects is not finite (at {', '.join(map(str, lost[:10]))} "
            "in all_data); they are left out of the integrated BIC",
            RuntimeWarning,
            stacklevel=3,
        )
    return integrated[np.isfinite(integrated)]


def trials_of(data: Any) -> int:
    """Number of values of a subject's first field, or of rows of a table.

    Raises
    ------
    ValueError
        If there is nothing to count.
    """
    first = data[0] if isinstance(data, list | tuple) and len(data) else data
    if isinstance(first, dict):
        first = next(iter(first.values()))
    if hasattr(first, "columns"):
        return len(first)
    array = np.asarray(first)
    if array.ndim == 0:
        raise ValueError(
            f"Unrecognized data structure in all_data: {type(first).__name__}; expected a list of arrays or a DataFrame for "
            "each subject, or give ntrials_total"
        )
    return int(array.size)


def _evaluator(
    fit_func: Callable[..., Any], all_data: Sequence[Any], n_params: int, output: str, key: str
) -> Callable[[np.ndarray], np.ndarray]:
    """Make a function from draws (K, S, P) to negative log-likelihoods (K, S)."""
    from pyem.compat.engines import ScipyEngine, batched_engine, subject_args

    if key == "nll" and output in ("all", "nll"):
        engine = batched_engine(fit_func, all_data, n_params)
        if engine is not None:
            return engine.nll
    people = [subject_args(data) for data in all_data]
    return ScipyEngine(Reported(fit_func, output, key), people, one_process=False).nll


class Reported:
    """The negative log-likelihood that a fit function reports."""

    def __init__(self, fit_func: Callable[..., Any], output: str, key: str) -> None:
        self.report = Reporter(fit_func)
        self.output = output
        self.key = key

    def __call__(self, x: np.ndarray, data: tuple[Any, ...], prior: Any) -> float:
        """Negative log-likelihood at `x` (P,); the prior does not matter."""
        out = self.report(x, data, self.output)
        # Outside its range a function returns a large number instead of a dict.
        value = float(np.sum(out[self.key] if isinstance(out, dict) else out))
        return value if np.isfinite(value) else LARGE


def pseudo_r2_from_nll(nll: Any, ntrials_total: int, noptions: int, metric: str = "median") -> float:
    """Pseudo-R2 against chance: 1 - (median) negative log-likelihood / (trials x log(options)).

    Parameters
    ----------
    nll
        Negative log-likelihood of each subject, (S,), in nats.
    ntrials_total
        Trials of one subject.
    noptions
        Options of one trial.
    metric
        ``"median"`` of the subjects; anything else is their mean.

    Examples
    --------
    >>> round(pseudo_r2_from_nll([50.0, 40.0, 60.0], 100, 2), 4)
    0.2787
    """
    middle = np.median(nll) if metric == "median" else np.mean(nll)
    return float(1 - middle / (ntrials_total * math.log(noptions)))

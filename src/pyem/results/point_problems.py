"""Descriptions of what is wrong with estimates of people and their group."""

from __future__ import annotations

import numpy as np

from pyem.model.model import Model
from pyem.population.population import Population
from pyem.population.posterior import Status, is_known
from pyem.results.group_rows import group_covariance, group_rows, mean_errors

CLOSE = 0.01
"""Distance from a bound, as a share of the range, within which a parameter counts as at the bound."""
STOOD_STILL = "the log evidence stayed the same to 0.001 nats, while the group still moved"
"""Message of an iteration whose group drifts along a flat likelihood."""
WANDERED = "the group went to and fro and came no nearer to a fixed point"
"""Message of an iteration that has no fixed point, or none to which its steps lead."""
STUCK = "an sd of the group went to 0 where its means had not settled, and steps from there are too short"
"""Message of an iteration whose steps are short and lead nowhere, because they shrink with an sd."""
JUMPED = "no step is better, although the slope says that there is something to gain"
"""Message of a search for the largest evidence that does not end at a maximum."""
UNTOLD = 0.1
"""Share of the group's variance by which data have to narrow people's posteriors to tell people apart."""
VAGUE = 2.0
"""Standard error of a mean, in sds of a typical population, from which on the mean is hardly informed."""
MANY = 0.25
"""Share of people from which on a parameter is said to pile up at a bound."""


def people_problems(subjects: np.ndarray, status: np.ndarray) -> list[str]:
    """Name people without a regular mode, and those whose likelihood is not finite."""
    failed, lost = np.flatnonzero(status != Status.CONVERGED), np.flatnonzero(~is_known(status))
    if not len(failed):
        return []
    named = [f"{subjects[s]} ({Status(status[s]).text})" for s in failed]
    left_out = f", of which {len(lost)} without a finite likelihood are left out of all sums and of the group"
    return [
        f"{len(failed)} subjects without a regular mode{left_out if len(lost) else ''}: {_some(named)}; see the column status "
        "of table()"
    ]


def bound_problems(model: Model, params: np.ndarray, status: np.ndarray) -> list[str]:
    """Describe inverse temperatures that pile up at their upper bound, as where outcomes have other units than the model's.

    People whose search ended there are told of elsewhere.
    """
    out = []
    for parameter in (one for one in model.parameters if one.per_reward and one.size is None):
        low, high = parameter.transform.bounds
        values = params[:, model.names.index(parameter.name)]
        there = int(((values > high - CLOSE * (high - low)) & (status == Status.CONVERGED)).sum())
        if there >= MANY * len(values) and there > 1:
            ends = " to ".join(f"{end:g}" for end in model.range)
            out.append(
                f"{parameter.name} of {there} of {len(values)} subjects is at its upper bound, {high:g} for the whole range of "
                f"{', '.join(model.outcomes)} ({ends}): look whether that is the range in which people were paid, and give it "
                "with reward_range= where single values are far off"
            )
    return out


def group_problems(model: Model, population: Population | None, information: np.ndarray | None) -> list[str]:
    """Describe standard deviations of 0, and standard errors that cannot be computed."""
    if population is None:
        return []
    floor = population.vanished
    same = [name for name, one in zip(model.names, floor, strict=True) if one]
    out = []
    if same:
        out.append(
            f"as far as these data say, people do not differ in {', '.join(same)}: the sd of the group is 0 (and has no "
            "standard error), and everybody's estimate is the mean of the group"
        )
    if information is not None and not floor.all():
        unknown = np.isnan(np.diag(group_covariance(population, information))) & ~population.at_floor
        all_of_it = "the group's standard errors cannot be told, because the likelihood has no peak there"
        spread = (
            "standard errors of the group's sds and correlations cannot be told, because the likelihood has no peak in them "
            "there, and those of its means are given the sds"
        )
        if unknown.any():
            out.append(
                f"{all_of_it if unknown[~population.at_floor].all() else spread}; ask less of the data: fix or tie parameters "
                "(pyem.fix, pyem.tie), or choose covariance='diagonal' if it was 'full'"
            )
    return out


def vague_problems(model: Model, population: Population | None, information: np.ndarray | None) -> list[str]:
    """Name parameters whose group mean the data do not inform."""
    if population is None or information is None:
        return []
    error, sd = mean_errors(population, information), model.typical[1]
    return [
        f"these data hardly inform {name}: the standard error of its group mean is {error[k]:.2g}, and the sd of a typical "
        f"population {sd[k]:.2g}; read nothing into its estimates, and fix it, as in pyem.fix(model, {name}="
        f"{_natural_typical(model)[k]:.3g}), or use data in which it matters"
        for k, name in enumerate(model.names)
        if error[k] > VAGUE * sd[k]
    ]


def untold_problems(model: Model, population: Population | None, information: np.ndarray | None) -> list[str]:
    """Name parameters of which the data do not tell how much people differ."""
    if population is None or information is None:
        return []
    rows = [row for row in group_rows(model, population, information) if row["kind"] == "sd" and np.isinf(row["high"])]
    vague = mean_errors(population, information) > VAGUE * model.typical[1]
    named = [row["parameter"] for row in rows if not vague[model.names.index(row["parameter"])]]
    if not named:
        return []
    given = ", ".join(f"{name!r}: {model.typical[1][model.names.index(name)]:.3g}" for name in named)
    return [
        f"these data do not tell how much people differ in {', '.join(named)}: the interval of the group's sd goes from 0 to "
        f"no upper limit; read nothing into it, and give the sd, as in pyem.Group(sd={{{given}}}), or a prior, as in "
        "fit_em(..., priors={})"
    ]


def drift_problems(model: Model, population: Population | None, cov: np.ndarray, message: str) -> list[str]:
    """Name parameters in which a group drifted until the evidence stood still."""
    if population is None or message != STOOD_STILL:
        return []
    within = np.nanmean(np.diagonal(cov, axis1=1, axis2=2) * population.weight, axis=0)
    some = [
        name for name, ratio in zip(model.names, within / np.diag(population.cov), strict=True) if ratio > 1 - UNTOLD
    ]
    about = f": these data hardly tell people apart in {', '.join(some)}" if some else ""
    return [f"the iteration over the group ended because {STOOD_STILL}{about}"]


def _natural_typical(model: Model) -> np.ndarray:
    return model.natural(model.typical[0])


def iteration_problems(
    population: Population | None, converged: bool, message: str, subjects: np.ndarray, cov: np.ndarray
) -> list[str]:
    """Describe an iteration over a group that did not end, with posteriors that may be the cause."""
    if population is None or converged:
        return []
    cause = ""
    if message in (WANDERED, JUMPED):
        wide = np.diagonal(cov, axis1=1, axis2=2) * population.weight > np.diag(population.cov)
        named = [str(subject) for subject in subjects[wide.any(1)]]
        who = f" (of {_some(named)} they are wider than the group itself)" if named else ""
        cause = (
            f": people's posteriors are far from Gaussian{who}, so that their Laplace approximations change by jumps"
        )
    return [f"the iteration over the group did not end ({message}){cause}; {remedy(message)}"]


def remedy(message: str) -> str:
    """Return what helps where an iteration over a group did not end for the reason of its `message`."""
    if message == STUCK:
        return (
            "give it several starts (starts=5), fix what these data hardly inform (pyem.fix), or use fit_em(..., "
            "integrate='exact')"
        )
    if message in (WANDERED, JUMPED):
        return (
            "fix what these data hardly inform (pyem.fix), or use fit_em(..., integrate='exact'), fit_bayes or fit_nuts"
        )
    return (
        "raise max_iter, or ask less of the data: fix or tie parameters (pyem.fix, pyem.tie), or choose "
        "covariance='diagonal' if it was 'full'"
    )


def _some(named: list[str], most: int = 10) -> str:
    return ", ".join(named[:most]) + (f" and {len(named) - most} more" if len(named) > most else "")

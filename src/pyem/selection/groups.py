"""Checks that the groups of fits are the same, so that a comparison is about the models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pyem.errors import list_of
from pyem.population.group import Group

if TYPE_CHECKING:
    from pyem.selection.criterion import Fit


def groups_differ(fits: Mapping[str, Fit]) -> str | None:
    """Warning for fits of different models with different groups; None if the groups are the same.

    Fits of one model under several groups are compared for the sake of the groups, and nothing is said. Groups are the same if
    family, covariance and covariates are, and a covariate shifts the same of the parameters that both models have.
    """
    known = {name: fit for name, fit in fits.items() if fit.population is not None}
    if len(known) < 2:
        return None
    first, *others = known
    for name in others:
        if known[name].model != known[first].model and not _same_group(known[first], known[name]):
            return (
                f"not only the models differ but their groups too ({_described(first, known[first])}; "
                f"{_described(name, known[name])}), so that a difference may be due to either; "
                "fit all models under the same group"
            )
    return None


def groups_of_some(fits: Mapping[str, Fit]) -> str | None:
    """Warning for groups that consist only of the people whose model it is; None if there are none."""
    some = [name for name, fit in fits.items() if fit.method == "hbi"]
    if not some:
        return None
    return (
        f"the group of {list_of(some)} is that of the people whose model it is, as fit_hbi found it, so that how well it does "
        "for everybody does not compare models; take frequency and protected_exceedance of fit_hbi, or fit each model by fit_em"
    )


def _same_group(one: Fit, other: Fit) -> bool:
    shared = set(one.model.names) & set(other.model.names)
    mine, theirs = _shifts(one), _shifts(other)
    if _family(one, shared) != _family(other, shared) or set(mine) != set(theirs):
        return False
    return all(mine[name] & shared == theirs[name] & shared for name in mine)


def _group(fit: Fit) -> Group:
    assert fit.population is not None
    return fit.population.group


def _family(fit: Fit, shared: set[str]) -> tuple[Any, ...]:
    """Family of the group, and the correlations among the parameters that both fits have."""
    group, covariance = _group(fit), _group(fit).covariance
    if not isinstance(covariance, str):
        blocks = [tuple(name for name in block if name in shared) for block in covariance]
        covariance = tuple(block for block in blocks if len(block) > 1) or "diagonal"
    return group.family, covariance, group.df if group.family == "student_t" else 0.0


def _shifts(fit: Fit) -> dict[str, set[str]]:
    """Each covariate, and the parameters that it shifts."""
    return {name: set(on or fit.model.names) for name, on in _group(fit).covariates}


def _described(name: str, fit: Fit) -> str:
    group = _group(fit)
    shifts = [f"{covariate} on {', '.join(on) or 'all parameters'}" for covariate, on in group.covariates]
    return f"{name!r}: {', '.join([group.family, f'{group.covariance} covariance', *shifts])}"

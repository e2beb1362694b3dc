"""Tests of whether groups of people, or conditions of an experiment, differ in the models that hold."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyem.errors import list_of
from pyem.selection.evidence_table import EvidenceTable, evidence_table, families_of
from pyem.selection.random_effects import ModelFrequencies, frequencies

if TYPE_CHECKING:
    import pandas as pd

MOST_PROFILES = 4096
"""Largest number of combinations of one model for each condition."""


@dataclasses.dataclass(frozen=True, eq=False)
class GroupDifference:
    """Test of whether groups of people have different frequencies of models.

    Parameters
    ----------
    probability
        Probability that they have, if it was as probable as not beforehand.
    log_bayes_factor
        Log evidence of a set of frequencies for each group over that of one set for all, in nats.
    pooled
        Frequencies of everybody together.
    groups
        Frequencies of each group, by its label.
    """

    probability: float
    log_bayes_factor: float
    pooled: ModelFrequencies = dataclasses.field(repr=False)
    groups: Mapping[str, ModelFrequencies] = dataclasses.field(repr=False)

    def table(self) -> pd.DataFrame:
        """A row for each group and model: frequency, its sd, exceedance and protected exceedance probability."""
        import pandas as pd

        return pd.concat({label: found.table() for label, found in self.groups.items()}, names=["group"])


@dataclasses.dataclass(frozen=True, eq=False)
class ConditionDifference:
    """Test of whether people have the same model in all conditions.

    Parameters
    ----------
    frequency
        Expected share of people who have the same model (or family) in all conditions.
    exceedance
        Probability that there are more people with the same model than with different ones.
    protected_exceedance
        Exceedance probability which allows that the two kinds of people differ in number by chance only.
    profiles
        Frequencies of all combinations of a model for each condition, with the families ``"same"`` and ``"different"``.
    conditions
        Frequencies of the models in each condition alone.
    factors
        Where conditions are combinations of factors: for each of these the families ``"same"`` and ``"different"``, of people
        whose model is the same, or not, in all conditions that differ in this factor only.
    """

    frequency: float
    exceedance: float
    protected_exceedance: float
    profiles: ModelFrequencies = dataclasses.field(repr=False)
    conditions: Mapping[str, ModelFrequencies] = dataclasses.field(repr=False)
    factors: Mapping[str, ModelFrequencies] = dataclasses.field(default_factory=dict, repr=False)

    def factor_table(self) -> pd.DataFrame:
        """A row for each factor: the probability that it changes people's model.

        ``changes`` is the expected share of people whose model depends on the factor, ``exceedance`` the probability that they
        are more than half, ``protected_exceedance`` the same with allowance for chance.
        """
        import pandas as pd

        rows = {
            name: {"changes": kind.frequency[1], "changes_sd": kind.frequency_sd[1]}
            | {"exceedance": kind.exceedance[1], "protected_exceedance": kind.protected_exceedance[1]}
            for name, kind in self.factors.items()
        }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("factor").astype(float)

    def table(self) -> pd.DataFrame:
        """A row for each condition and model: frequency, its sd, exceedance and protected exceedance probability."""
        import pandas as pd

        return pd.concat({label: found.table() for label, found in self.conditions.items()}, names=["condition"])

    def people(self) -> pd.DataFrame:
        """A row for each subject: the probability of having the same model in all conditions, and of different ones."""
        assert self.profiles.families is not None
        return self.profiles.families.people()


def between_groups(
    log_evidence: Any,
    groups: Sequence[Any] | Mapping[Any, Any],
    *,
    by: str | None = None,
    draws: int = 1000,
    key: Any = 0,
    prior: float = 1.0,
    tol: float = 1e-10,
) -> GroupDifference:
    """Test whether models are as frequent in one group of people as in another, such as patients and controls.

    Parameters
    ----------
    log_evidence
        Of each model for each subject of all groups, as for `random_effects_bms`: a table (S, M) in nats, or fits by name.
    groups
        The group of each subject, (S,), in the order of the subjects, or by their labels.
    by, draws, key, prior, tol
        Arguments as in `random_effects_bms`.

    Raises
    ------
    ValueError
        If subjects have no group, or there are fewer than two groups.

    Notes
    -----
    The log evidence of random-effects model selection for all people together is compared with its sum over groups. Evidence
    should come from fits of all people under the same priors, so that groups differ in what holds for them and not in how they
    were fitted.

    References
    ----------
    Rigoux, L., Stephan, K. E., Friston, K. J., & Daunizeau, J. (2014). Bayesian model selection for group studies - revisited.
    NeuroImage, 84, 971-985. https://doi.org/10.1016/j.neuroimage.2013.08.065

    Examples
    --------
    >>> one, other = [[0.0, -6.0]] * 8, [[-6.0, 0.0]] * 8
    >>> found = between_groups(one + other, ["patient"] * 8 + ["control"] * 8)
    >>> found.probability > 0.99
    True
    """
    from scipy.special import expit

    found = evidence_table(log_evidence, by, draws, key)
    labels = _labels(groups, found.subjects)
    names = list(dict.fromkeys(labels.tolist()))
    if len(names) < 2:
        raise ValueError(f"all subjects are of the group {names[0]!r}; at least two groups are needed")
    parts = {
        name: frequencies(found.values[labels == name], found.names, found.subjects[labels == name], prior, tol)
        for name in names
    }
    pooled = frequencies(found.values, found.names, found.subjects, prior, tol)
    apart = sum(part.log_evidence for part in parts.values()) - pooled.log_evidence
    return GroupDifference(float(expit(apart)), float(apart), pooled, parts)


def _labels(groups: Sequence[Any] | Mapping[Any, Any], subjects: np.ndarray) -> np.ndarray:
    if isinstance(groups, Mapping):
        lacking = [one for one in subjects.tolist() if one not in groups]
        if lacking:
            raise ValueError(f"no group is given for {list_of(lacking)}; give one for every subject")
        groups = [groups[one] for one in subjects.tolist()]
    if len(groups) != len(subjects):
        raise ValueError(f"{len(groups)} groups are given for {len(subjects)} subjects; give one for every subject")
    lost = [one for one, group in zip(subjects.tolist(), groups, strict=True) if group is None or group != group]
    if lost:
        raise ValueError(f"the group of {list_of(lost)} is missing; leave these subjects out, or say it")
    return np.array([str(one) for one in groups])


def between_conditions(
    log_evidence: Mapping[Any, Any],
    *,
    factors: Sequence[str] | None = None,
    families: Mapping[str, Sequence[str]] | None = None,
    by: str | None = None,
    draws: int = 1000,
    key: Any = 0,
    prior: float = 1.0,
    tol: float = 1e-10,
) -> ConditionDifference:
    """Test whether people have the same model in every condition, such as two sessions.

    Parameters
    ----------
    log_evidence
        For each condition the evidence of the same models for the same subjects, as for `random_effects_bms`: a table (S, M)
        in nats, or fits by name. Conditions that are combinations of factors are named by tuples, ``("drug", "loss")``.
    factors
        Names of the factors, in the order of these tuples: then it is also asked which of them changes the model.
    families
        Names of the models of each family: then it is asked whether the family is the same.
    by, draws, key, tol
        Arguments as in `random_effects_bms`.
    prior
        How many people with the same model, and how many with different ones, were seen before, so to say.

    Raises
    ------
    ValueError
        If conditions have other subjects or models, there are fewer than two of them, so many that their combinations are too
        many, or names and factors do not fit together.

    Notes
    -----
    Everybody has one of the M ** C combinations of a model for each of C conditions; those with the same model in all of them
    are one family, the others another, and the two are equally probable beforehand. Of a factor, those are one family that have
    the same model in every two conditions which differ in this factor only.

    References
    ----------
    Rigoux, L., Stephan, K. E., Friston, K. J., & Daunizeau, J. (2014). Bayesian model selection for group studies - revisited.
    NeuroImage, 84, 971-985. https://doi.org/10.1016/j.neuroimage.2013.08.065

    Examples
    --------
    >>> first, second = [[0.0, -6.0]] * 10, [[0.0, -6.0]] * 9 + [[-6.0, 0.0]]
    >>> between_conditions({"day 1": first, "day 2": second}).exceedance > 0.9
    True

    Does the drug change the model, or what is at stake?

    >>> one, other = [[0.0, -6.0]] * 10, [[-6.0, 0.0]] * 10
    >>> sets = {("drug", "gain"): one, ("drug", "loss"): one, ("placebo", "gain"): other, ("placebo", "loss"): other}
    >>> between_conditions(sets, factors=["substance", "stake"]).factor_table().changes.round(2).to_dict()
    {'substance': 0.92, 'stake': 0.08}
    """
    places = {} if factors is None else _places_of(factors, list(log_evidence))
    log_evidence = {
        name if isinstance(name, str) else ", ".join(map(str, name)): one for name, one in log_evidence.items()
    }
    tables = {name: evidence_table(one, by, draws, key) for name, one in log_evidence.items()}
    first = _require_same(tables)
    n = len(first.names)
    family = np.arange(n) if families is None else families_of(first.names, families)
    if n ** len(tables) > MOST_PROFILES:
        raise ValueError(
            f"{n} models in {len(tables)} conditions have {n ** len(tables)} combinations, more than {MOST_PROFILES}; compare "
            "fewer models, or pairs of conditions"
        )
    profiles = np.array(list(itertools.product(range(n), repeat=len(tables))))
    total = sum(table.values[:, profiles[:, c]] for c, table in enumerate(tables.values()))
    names = tuple(" / ".join(first.names[m] for m in profile) for profile in profiles)
    differs = (family[profiles] != family[profiles[:, :1]]).any(1)

    def of_kinds(differs: np.ndarray) -> ModelFrequencies:
        kinds = ("same", "different")
        return frequencies(np.asarray(total), names, first.subjects, prior, tol, differs.astype(int), kinds)

    found = of_kinds(differs)
    kind = _required(found.families)
    changed = {
        factor: (family[profiles[:, one]] != family[profiles[:, other]]).any(1)
        for factor, (one, other) in places.items()
    }
    by_factor = {factor: _required(of_kinds(here).families) for factor, here in changed.items()}
    alone = {name: frequencies(one.values, one.names, one.subjects, prior, tol) for name, one in tables.items()}
    same, exceeds, protected = (float(one[0]) for one in (kind.frequency, kind.exceedance, kind.protected_exceedance))
    return ConditionDifference(same, exceeds, protected, found, alone, by_factor)


def _required(families: ModelFrequencies | None) -> ModelFrequencies:
    assert families is not None
    return families


def _places_of(factors: Sequence[str], conditions: Sequence[Any]) -> dict[str, tuple[list[int], list[int]]]:
    """Indices of all pairs of conditions that differ in one factor only, for each factor."""
    if isinstance(factors, str) or len(set(factors)) < len(factors) or not factors:
        raise ValueError(f"factors={factors!r}; the names of the factors are expected, such as ['substance', 'stake']")
    for name in conditions:
        if isinstance(name, str) or not isinstance(name, tuple) or len(name) != len(factors):
            raise ValueError(
                f"condition {name!r} has to say the level of each factor ({', '.join(factors)}) as a tuple, such as "
                f"{tuple(f'a level of {factor}' for factor in factors)}"
            )
    out = {}
    for k, factor in enumerate(factors):
        rest = [name[:k] + name[k + 1 :] for name in conditions]
        pairs = [(a, b) for a, b in itertools.combinations(range(len(conditions)), 2) if rest[a] == rest[b]]
        if not pairs:
            raise ValueError(
                f"no two conditions differ in {factor} only, so that nothing can be said of it; leave it out"
            )
        out[factor] = ([a for a, _ in pairs], [b for _, b in pairs])
    return out


def _require_same(tables: Mapping[str, EvidenceTable]) -> EvidenceTable:
    if len(tables) < 2:
        raise ValueError(f"{len(tables)} condition was given; at least two are needed")
    (name, first), *others = tables.items()
    for other, table in others:
        if table.names != first.names:
            raise ValueError(
                f"{other!r} has the models {', '.join(table.names)}, but {name!r} has {', '.join(first.names)}; give the same "
                "models in the same order"
            )
        if table.subjects.tolist() != first.subjects.tolist():
            raise ValueError(
                f"{other!r} has other subjects than {name!r}; give the same people in the same order, data.select([...])"
            )
    return first

"""Coding of covariates: quantities as they are, categories as treatment contrasts with a reference."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyem.data.columns import Column, Where, parse
from pyem.data.fields import covariate
from pyem.data.identifiers import natural
from pyem.errors import DataError, list_of, shown

if TYPE_CHECKING:
    from pyem.data.dataset import Dataset


def covariates_of(
    column: Column,
    who: np.ndarray,
    subjects: np.ndarray,
    where: Where,
    notes: list[str],
    reference: Mapping[str, Any],
    words: dict[str, tuple[Any, ...]],
) -> dict[str, np.ndarray]:
    """The numbers (S,) of one covariate by name.

    Numbers, and two text values, are one covariate. Three or more text values, or numbers for which a reference is named, are
    categories: one covariate for each but the reference, ``diagnosis[patient]``, 1 for its people and 0 for others.

    Parameters
    ----------
    column
        The column.
    who, subjects
        Index of the person of each row, (row,), and the labels of people.
    where
        Says whose row it is.
    notes
        Gets what was inferred.
    reference
        Category that others are compared with, by covariate; by default the first one.
    words
        Gets the categories by covariate, the reference first; formulas read them, see `words_of_people`.

    Raises
    ------
    DataError
        If there is no such category, somebody has several or none, or everybody has their own.
    """
    name = column.name
    text = [] if column.labels is None or not np.isnan(parse(column.labels)).all() else column.labels
    if name not in reference and len(text) <= 2:
        values, known = covariate(column, who, subjects, where, notes)
        words |= {name: known} if known else {}
        return {name: values}
    labels, index = _categories(column)
    base = _base(name, labels, reference)
    if len(labels) >= len(subjects) and len(labels) > 2:
        raise DataError(
            f"covariate {name!r} has {len(labels)} categories for {len(subjects)} subjects ({list_of(labels, 4)}); categories "
            "are shared by several people: name another column"
        )
    _one_each(name, labels, index, who, where)
    codes, _ = covariate(
        dataclasses.replace(column, values=index, labels=None, whole=True), who, subjects, where, notes
    )
    others = [k for k in range(len(labels)) if k != base]
    words[name] = tuple(labels[k] for k in (base, *others))
    names = dict(zip(others, covariate_names(name, words[name]), strict=True))
    notes.append(
        f"covariate {name}: {', '.join(f'{names[k]} is 1 for {labels[k]!r}' for k in others)}; the reference is "
        f"{labels[base]!r}"
    )
    return {names[k]: (codes == k).astype(float) for k in others}


def references(
    codes: Mapping[str, Sequence[Any] | None], covariates: Sequence[str], reference: Mapping[str, Any] | None
) -> tuple[dict[str, Sequence[Any] | None], dict[str, Any]]:
    """Codes of fields alone, and the references of covariates, which are the first of their codes where these are given.

    Examples
    --------
    >>> references({"choice": ["left", "right"], "diagnosis": ["control", "patient"]}, ["diagnosis"], None)
    ({'choice': ['left', 'right']}, {'diagnosis': 'control'})
    """
    first = {name: labels[0] for name in covariates if (labels := codes.get(name))}
    return {name: labels for name, labels in codes.items() if name not in covariates}, first | dict(reference or {})


def covariate_names(name: str, words: tuple[Any, ...]) -> list[str]:
    """Names of the covariates that stand for a category, one for each word but the first."""
    return [name] if len(words) <= 2 else [f"{name}[{word}]" for word in words[1:]]


def categories(data: Dataset) -> dict[str, tuple[Any, ...]]:
    """Words of the covariates of a data set that are categories, the reference first."""
    known = {name: words for name, words in data.codes.items() if name not in data.fields}
    # Where covariates were replaced, the words of former ones say nothing.
    return {
        k: words for k, words in known.items() if all(name in data.covariates for name in covariate_names(k, words))
    }


def words_of_people(name: str, covariates: Mapping[str, np.ndarray], words: tuple[Any, ...]) -> np.ndarray:
    """The category of each person, (S,), in the words of the table, from the covariates that stand for it.

    Examples
    --------
    >>> covariates = {"group[low]": np.array([0, 1, 0]), "group[high]": np.array([0, 0, 1])}
    >>> words_of_people("group", covariates, ("none", "low", "high")).tolist()
    ['none', 'low', 'high']
    """
    index = sum(k * np.asarray(covariates[each]).astype(int) for k, each in enumerate(covariate_names(name, words), 1))
    return np.array([*words, ""], object)[index]


def _categories(column: Column) -> tuple[list[str], np.ndarray]:
    """Labels in order (that of an ordered categorical, else sorted), and the index of each row's, NaN where missing."""
    here = column.here
    used, place = np.unique(column.values[here], return_inverse=True)
    if column.labels is None:
        labels = [str(int(v)) if float(v).is_integer() else str(v) for v in used]
        order = list(range(len(labels)))
    else:
        labels = [str(column.labels[int(k)]) for k in used]
        order = sorted(range(len(labels)), key=lambda k: () if column.ordered else natural(labels[k]))
    index = np.full(len(here), np.nan)
    index[here] = np.argsort(order)[place]
    return [labels[k] for k in order], index


def _base(name: str, labels: list[str], reference: Mapping[str, Any]) -> int:
    if name not in reference:
        return 0
    if str(reference[name]) not in labels:
        raise DataError(
            f"reference={{{name!r}: {reference[name]!r}}}, but covariate {name!r} has {list_of(labels)}; name one of these"
        )
    return labels.index(str(reference[name]))


def _one_each(name: str, labels: list[str], index: np.ndarray, who: np.ndarray, where: Where) -> None:
    here = np.flatnonzero(~np.isnan(index))
    first = np.full(int(who.max()) + 1, np.nan)
    first[who[here[::-1]]] = index[here[::-1]]
    other = here[index[here] != first[who[here]]]
    if len(other):
        row = int(other[0])
        raise DataError(
            f"covariate {name!r} varies within a subject: it is {shown(labels[int(index[row])])} {where(row)}, and "
            f"{shown(labels[int(first[who[row]])])} before; a covariate has one value for each subject"
        )

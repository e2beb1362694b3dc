"""Figures of random-effects model selection and hierarchical Bayesian inference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pyem.draw import selection as draw
from pyem.errors import require_kind
from pyem.results.hbi import HBIFit
from pyem.selection.frequency_tests import ConditionDifference, GroupDifference
from pyem.selection.random_effects import ModelFrequencies

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Frequencies = ModelFrequencies | HBIFit | GroupDifference | ConditionDifference


def plot_frequencies(found: Frequencies) -> Figure:
    """Frequencies of models with posterior sds, and the probability that each is the most frequent one.

    Parameters
    ----------
    found
        A result of `pyem.random_effects_bms` (with a second row for families), `pyem.fit_hbi`, `pyem.between_groups` or
        `pyem.between_conditions` (with a row for each group or condition).

    Examples
    --------
    >>> import pyem
    >>> len(plot_frequencies(pyem.random_effects_bms([[0.0, -2.0]] * 5)).axes)
    2
    """
    require_kind("frequencies", found)
    return draw.frequencies(**frequency_numbers(found))


def plot_responsibilities(found: ModelFrequencies | HBIFit) -> Figure:
    """Probability of each model for each person, with people of the same model beside one another.

    Parameters
    ----------
    found
        A result of `pyem.random_effects_bms` or `pyem.fit_hbi`.

    Examples
    --------
    >>> import pyem
    >>> plot_responsibilities(pyem.random_effects_bms([[0.0, -2.0]] * 5)).axes[0].get_ylabel()
    'probability of the model'
    """
    require_kind("attribution", found)
    return draw.responsibilities(**responsibility_numbers(found))


def frequency_numbers(found: Frequencies) -> dict[str, Any]:
    """Numbers for `draw.selection.frequencies`."""
    if isinstance(found, HBIFit):
        table = found.models_table()
        panels, names = {"": _columns(table)}, {"": list(found.names)}
    else:
        parts = _parts(found)
        panels = {head: _columns(one.table()) for head, one in parts.items()}
        names = {head: list(one.names) for head, one in parts.items()}
    return {"title": "Frequencies of models", "panels": panels, "names": names}


def _parts(found: Any) -> Mapping[str, ModelFrequencies]:
    if isinstance(found, GroupDifference):
        return found.groups
    if isinstance(found, ConditionDifference):
        return found.conditions
    return {"": found} if found.families is None else {"models": found, "families": found.families}


def _columns(table: Any) -> dict[str, np.ndarray]:
    columns = {"frequency": "frequency", "sd": "frequency_sd", "exceedance": "exceedance"}
    columns |= {"protected": "protected_exceedance"} if "protected_exceedance" in table else {}
    return {name: table[column].to_numpy(float) for name, column in columns.items()}


def responsibility_numbers(found: ModelFrequencies | HBIFit) -> dict[str, Any]:
    """Numbers for `draw.selection.responsibilities`."""
    hbi = isinstance(found, HBIFit)
    values = found.responsibilities if hbi else found.attribution
    subjects = found.fits[found.names[0]].data.subjects if hbi else found.subjects
    title = "The model of each person"
    return {"title": title, "names": list(found.names), "subjects": [str(one) for one in subjects], "values": values}

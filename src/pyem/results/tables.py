"""Tables of people and the texts of summaries, the same for every kind of result."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from pyem.population.posterior import Status
from pyem.results.fit import METHODS
from pyem.results.group_rows import group_rows, required_group
from pyem.results.scale_notes import per_unit, scale_notes

if TYPE_CHECKING:
    import pandas as pd

    from pyem.results.fit import Fit


MOST_PEOPLE = 20
"""Largest number of people in a summary; more are left out in the middle."""


def people_table(fit: Fit, *, intervals: bool, more: Mapping[str, np.ndarray] | None = None) -> pd.DataFrame:
    """A row for each person: natural parameters with their sds, log-likelihood, log evidence, responses and status.

    Where outcomes are not on a range of 1, inverse temperatures are there per unit of them, too: ``beta_per_unit``.

    Parameters
    ----------
    fit
        Fit with the people.
    intervals
        Whether the ends of 95 % intervals are columns, ``name_low`` and ``name_high``.
    more
        Further columns, before the status.
    """
    import pandas as pd

    names, params, sd = fit.model.names, fit.params, fit.sd
    columns: dict[str, Any] = {}
    if intervals:
        low, high = fit.quantile(0.025), fit.quantile(0.975)
        for k, name in enumerate(names):
            columns |= {name: params[:, k], f"{name}_sd": sd[:, k]}
            columns |= {f"{name}_low": low[:, k], f"{name}_high": high[:, k]}
    else:
        columns |= dict(zip(names, params.T, strict=True))
        columns |= {f"{name}_sd": one for name, one in zip(names, sd.T, strict=True)}
    columns |= per_unit(fit.model, params)
    columns["log_lik"] = fit.log_lik
    if fit.log_evidence is not None:
        columns["log_evidence"] = fit.log_evidence
    columns["n_responses"] = fit.data.n_responses(fit.model)
    columns |= more or {}
    columns["status"] = [Status(code).text for code in fit.status]
    return pd.DataFrame(columns, index=pd.Index(fit.data.subjects, name="subject"))


def information_table(fit: Fit, information: np.ndarray | None) -> pd.DataFrame:
    """The table of a group whose standard errors come from the observed information of its `vector`."""
    import pandas as pd

    rows = group_rows(fit.model, required_group(fit.population, fit.method), information)
    return pd.DataFrame(rows).set_index(["kind", "parameter"])


def summary_of(fit: Fit, *lines: str, people: pd.DataFrame | None = None) -> str:
    """Description of a fit, its problems, and the table of the group, or of people if there is none.

    Parameters
    ----------
    fit
        The fit.
    lines
        Lines on how the fit ended.
    people
        Table of people; their estimates described if not given.
    """
    head = [
        f"{fit.model.name} fitted by {METHODS.get(fit.method, fit.method)} to {fit.data.n_subjects} subjects, "
        f"{int(fit.data.n_responses(fit.model).sum())} responses",
        *lines,
        *scale_notes(fit),
        *(f"PROBLEM: {text}" for text in fit.problems()),
        "",
    ]
    shown = fit.table().describe().T if people is None and fit.population is None else people
    table = fit.group_table() if fit.population is not None else shown
    assert table is not None
    most = MOST_PEOPLE if table is people else None
    return "\n".join([*head, table.to_string(float_format=lambda value: f"{value:.4g}", na_rep="", max_rows=most)])


def summary_html(fit: Fit) -> str:
    """Summary for notebooks, with the whole table."""
    head, _, _ = fit.summary().partition("\n\n")
    table = fit.group_table() if fit.population is not None else fit.table()
    return (
        "<p>" + "<br>".join(escape(head).splitlines()) + "</p>" + table.to_html(float_format="{:.4g}".format, na_rep="")
    )


def ended(fit: Fit, log_lik: str, log_evidence: str) -> tuple[str, str]:
    """Two lines: how a fit ended, and its sums, named `log_lik` and `log_evidence`."""
    sums = {log_lik: fit.log_lik, log_evidence: fit.log_evidence}
    return (
        f"{'converged' if fit.converged else 'NOT CONVERGED'}: {fit.message}",
        ", ".join(f"{label} {np.nansum(value):.3f}" for label, value in sums.items() if value is not None),
    )

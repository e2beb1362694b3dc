"""Trial-wise quantities of a fit as regressors for imaging: one table of events for each run, as BIDS lays them out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyem.data.leftovers import folder_at_once
from pyem.errors import DataError, require_kind
from pyem.results.fit import Fit

if TYPE_CHECKING:
    import pandas as pd

_LABELS = ("subject", "block", "trial")


def to_bids_events(
    fit: Fit,
    folder: str | Path,
    *,
    task: str,
    latents: Sequence[str] | None = None,
    onset: str = "onset",
    duration: str | float = "duration",
    center: bool = False,
    orthogonalize: bool = False,
    units: Mapping[str, str] | None = None,
) -> Path:
    """Write the trial-wise quantities of a fit as BIDS events: a table for each run, and a JSON file that describes them.

    Parameters
    ----------
    fit
        Any fit. Its data need the times of the trials: read the table with ``columns={..., "onset": "<column>"}``.
    folder
        Folder to write to, which does not exist yet or is empty. Nothing is left there if something fails.
    task
        Name of the task in the names of the files, letters and digits.
    latents
        Columns of ``fit.latents()``, such as ``["prediction_error"]``; if not given, all that the model computed.
    onset, duration
        Columns of the data in seconds; `duration` may be one number for all trials.
    center
        Take the mean of each run from every column of `latents`.
    orthogonalize
        Take from each column of `latents` what the earlier ones explain within the run (Gram-Schmidt, in the order given); this
        centres them too.
    units
        Units of columns for the JSON file; ``"arbitrary"`` if not given.

    Returns
    -------
    Path
        The folder, with ``sub-<subject>/func/sub-<subject>_task-<task>_run-<k>_events.tsv``. A run is a block, in the order of
        the data; what is missing is ``n/a``.

    Raises
    ------
    DataError
        If times are missing, are no numbers or negative durations, or the labels of two people are the same without signs.
    ValueError
        If the folder is not empty, or a column does not exist.

    References
    ----------
    Gorgolewski, K. J., et al. (2016). The brain imaging data structure, a format for organizing and describing outputs of
    neuroimaging experiments. Scientific Data, 3, 160044. https://doi.org/10.1038/sdata.2016.44

    Examples
    --------
    >>> import tempfile, pyem
    >>> model = pyem.models.get("rw1a1b")
    >>> trials = np.tile(4.0 * np.arange(20), (2, 1, 1))
    >>> played = pyem.simulate(model, [[3.0, 0.3], [4.0, 0.5]], blocks=1, trials=20, key=1)
    >>> columns = {name: played.fields[name].T[:, None] for name in ("choice", "reward")}
    >>> data = pyem.Dataset.from_arrays({**columns, "onset": trials})
    >>> fit = pyem.fit_mle(model, data)
    >>> folder = to_bids_events(
    ...     fit, tempfile.mkdtemp(), task="bandit", latents=["prediction_error"], duration=0.0
    ... )
    >>> [path.name for path in sorted(folder.rglob("*.*"))][-2:]
    ['sub-1_task-bandit_run-1_events.tsv', 'task-bandit_events.json']
    """
    require_kind("fit", fit)
    if not task.isalnum():
        raise ValueError(f"task={task!r}; names of tasks have letters and digits only")
    import pandas as pd

    folder = Path(folder).resolve()
    _require_free(folder)
    table = fit.latents()
    chosen = _columns(fit, table, latents)
    times = pd.DataFrame(_times(fit, onset, duration))
    table = times.join(table[[*_LABELS, *chosen]])
    said = _described(fit, chosen, units or {}, centred=center or orthogonalize, orthogonal=orthogonalize)
    people = _bids_labels(fit)
    with folder_at_once(folder, partial(_require_free, folder)) as made:
        for k, subject in enumerate(fit.data.subjects):
            mine: Any = table[table["subject"] == subject]
            place = made / f"sub-{people[k]}" / "func"
            place.mkdir(parents=True)
            for run, (_, rows) in enumerate(mine.groupby("block", sort=False), start=1):
                name = f"sub-{people[k]}_task-{task}_run-{run}_events.tsv"
                _write(place / name, rows, chosen, center=center, orthogonalize=orthogonalize)
        (made / f"task-{task}_events.json").write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
    return folder


def _require_free(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{str(folder)!r} exists and is not an empty folder; give one that does not exist yet")


def _columns(fit: Fit, table: pd.DataFrame, latents: Sequence[str] | None) -> list[str]:
    own = [name for name in table.columns[list(table.columns).index("probability") :]]
    if latents is None:
        return own
    if isinstance(latents, str):
        raise ValueError(f"latents={latents!r}; give a list, latents=[{latents!r}]")
    wrong = [name for name in latents if name not in own]
    if wrong:
        raise ValueError(f"latents of {fit.model.name!r} are {', '.join(own)}; there is no {wrong[0]!r}")
    return list(latents)


def _times(fit: Fit, onset: str, duration: str | float) -> dict[str, np.ndarray]:
    lane, row = np.nonzero(fit.data.valid.T)
    where = fit.data.index_columns(lane, row)
    out = {}
    for name, column in (("onset", onset), ("duration", duration)):
        if not isinstance(column, str):
            if not (np.isfinite(column) and column >= 0):
                raise DataError(f"duration={column}; a duration is a number of seconds, 0 or more")
            out[name] = np.full(len(lane), float(column))
            continue
        if column not in fit.data.fields:
            raise DataError(
                f"the data that were fitted have no column {column!r}; read them with columns={{..., {column!r}: '<its name in "
                f"the table>'}}" + (", or give duration= a number of seconds" if name == "duration" else "")
            )
        values = np.asarray(fit.data.fields[column][row, lane], float)
        bad = ~(fit.data.present[column][row, lane] & np.isfinite(values)) | ((name == "duration") & (values < 0))
        if bad.any():
            at = int(np.flatnonzero(bad)[0])
            trial = ", ".join(f"{label} {where[label][at]}" for label in _LABELS)
            raise DataError(
                f"{column!r} is missing or no time in {int(bad.sum())} trials, first in {trial}; every trial needs its {name} "
                "in seconds"
            )
        out[name] = values
    return out


def _bids_labels(fit: Fit) -> list[str]:
    """Labels of people in the form of BIDS, letters and digits."""
    labels = [re.sub(r"[^0-9A-Za-z]", "", str(subject).removeprefix("sub-")) for subject in fit.data.subjects]
    for k, label in enumerate(labels):
        if not label or label in labels[:k]:
            other = fit.data.subjects[labels.index(label)]
            raise DataError(
                f"subject {fit.data.subjects[k]!r} has no name of its own in BIDS, where labels are letters and digits"
                + ("" if not label else f" and that of {other!r} is {label!r} too")
                + "; rename subjects in the table"
            )
    return labels


def _write(path: Path, rows: pd.DataFrame, chosen: Sequence[str], *, center: bool, orthogonalize: bool) -> None:
    rows = rows.sort_values("onset", kind="stable")
    values = rows[list(chosen)].to_numpy(float)
    if center or orthogonalize:
        values = values - _means(values)
    if orthogonalize:
        values = _orthogonal(values)
    rows = rows[["onset", "duration", "block", "trial"]].assign(**dict(zip(chosen, values.T, strict=True)))
    rows.to_csv(path, sep="\t", index=False, na_rep="n/a", lineterminator="\n")


def _means(values: np.ndarray) -> np.ndarray:
    here = np.isfinite(values)
    return np.where(here, values, 0.0).sum(0) / np.maximum(here.sum(0), 1)


def _orthogonal(values: np.ndarray) -> np.ndarray:
    """Remove from each centred column (trial, column) its mean and what earlier ones explain; missing ones stay missing."""
    here = np.isfinite(values)
    filled = np.where(here, values, 0.0)
    for k in range(1, filled.shape[1]):
        rows = here[:, k]
        # Where trials of this column are missing, the earlier ones need not have the mean 0 in the others.
        earlier = np.column_stack([np.ones(rows.sum()), filled[rows, :k]])
        filled[rows, k] -= earlier @ np.linalg.lstsq(earlier, filled[rows, k], rcond=None)[0]
    return np.where(here, filled, np.nan)


def _described(
    fit: Fit, chosen: Sequence[str], units: Mapping[str, str], *, centred: bool, orthogonal: bool
) -> dict[str, Any]:
    how = ", centred within the run" * centred + ", without what the columns before it explain" * orthogonal
    said: dict[str, Any] = {
        "onset": {"Description": "Start of the trial", "Units": "s"},
        "duration": {"Description": "Duration of the trial", "Units": "s"},
        "block": {"Description": "Block as labelled in the data"},
        "trial": {"Description": "Trial as labelled in the data"},
    }
    for name in chosen:
        what = f"{name} of the model {fit.model.name}, at each person's estimates ({fit.method}){how}"
        said[name] = {"Description": what, "Units": units.get(name, "arbitrary")}
    return said

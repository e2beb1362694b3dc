"""The data of a group of people, validated once at the edge and kept as lanes.

A lane is one independent sequence of trials: one block of one subject, or the whole subject where what was learned carries
over. Arrays are ``(trial, lane)``, padded at the end with valid values and masked. Nothing is ever dropped: a trial
with a missing response stays where it was and counts no likelihood.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyem.model import Model, Record
from pyem.table import CODED, DataError, lanes_from_frame, read_table

if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Trials of a group of people, as lanes.

    Make one with `from_frame`, `read` or `from_arrays`.

    Parameters
    ----------
    fields
        One array for each column of the model, (trial, ..., lane).
    present
        For each field, where it was observed, (trial, lane); False for missing values and for padding.
    valid
        True for real trials, False for padding, (trial, lane).
    lane_subject
        Index of each lane's subject, ascending, (lane,).
    lane_block
        Label of each lane's block, (lane,).
    subjects
        Label of each subject, (subject,).
    covariates
        One array for each covariate, (subject,).
    codes
        For each coded field, the labels of its codes 0, 1, ...
    trial
        Label of each trial, (trial, lane).
    notes
        What was inferred or deserves attention when the data were read.
    """

    fields: Mapping[str, np.ndarray]
    present: Mapping[str, np.ndarray]
    valid: np.ndarray
    lane_subject: np.ndarray
    lane_block: np.ndarray
    subjects: np.ndarray
    covariates: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    codes: Mapping[str, tuple[Any, ...]] = dataclasses.field(default_factory=dict)
    trial: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    # -- making one ---------------------------------------------------------------------------------------------------

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        *,
        subject: str,
        columns: Mapping[str, str | Sequence[str]],
        block: str | Sequence[str] | None = None,
        trial: str | None = None,
        codes: Mapping[str, Sequence[Any] | None] | None = None,
        covariates: Sequence[str] = (),
        missing_outcome: str = "skip",
    ) -> Dataset:
        """Data from a long table, a row for each trial.

        Parameters
        ----------
        frame
            A pandas, polars or Arrow table.
        subject
            Column that says whose trial it is.
        columns
            The model's columns and the table's: ``{"choice": "response", "reward": "feedback"}``. A list of columns
            makes one vector-valued field.
        block
            Column, or columns, that start a new independent sequence. Rows of different blocks may be interleaved.
        trial
            Column that orders the trials of a block. Without it, the order of the rows counts.
        codes
            Labels of options, in order, for coded fields: ``{"choice": ["left", "right"]}``. ``choice``, ``action``,
            fields that begin with ``option_`` and text columns are coded in any case; numbers that start at 0 or 1 are
            taken as they are, text is sorted, and `describe` reports the mapping. Fields that begin with ``option_``
            (which option was shown where) share one mapping.
        covariates
            Columns with one value for each subject, such as age or diagnosis (text is coded as 0 and 1).
        missing_outcome
            ``"skip"``: a trial with a response but no outcome counts in the likelihood and teaches nothing; ``"error"``.

        Raises
        ------
        DataError
            (a ValueError) that names the column, the subject and the remedy.

        Examples
        --------
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"id": ["a", "a", "b", "b"], "resp": [0, 1, 1, 0], "win": [1, 0, 1, 1]})
        >>> data = Dataset.from_frame(frame, subject="id", columns={"choice": "resp", "reward": "win"})
        >>> data.n_subjects, data.n_trials
        (2, 4)
        """
        return cls(
            **lanes_from_frame(
                frame,
                subject=subject,
                columns=columns,
                block=[block] if isinstance(block, str) else list(block or ()),
                trial=trial,
                codes=dict(codes or {}),
                covariates=list(covariates),
                missing_outcome=missing_outcome,
            )
        )

    @classmethod
    def read(cls, path: str | Path, *, separator: str | None = None, **options: Any) -> Dataset:
        """Data from a CSV, TSV or Parquet file; `options` are those of `from_frame`.

        Raises
        ------
        DataError
            If the file cannot be read, is empty, or seems to have another delimiter.
        """
        return cls.from_frame(read_table(path, separator=separator), **options)

    @classmethod
    def from_arrays(
        cls,
        fields: Mapping[str, Any],
        *,
        subjects: Sequence[Any] | None = None,
        covariates: Mapping[str, Any] | None = None,
        codes: Mapping[str, Sequence[Any]] | None = None,
    ) -> Dataset:
        """Data from arrays (subject, block, trial, ...), NaN (or a code below 0) where missing.

        Examples
        --------
        >>> data = Dataset.from_arrays({"choice": np.zeros((3, 2, 5)), "reward": np.ones((3, 2, 5))})
        >>> data.n_subjects, data.n_lanes
        (3, 6)
        """
        arrays = {name: np.asarray(value) for name, value in fields.items()}
        shapes = {name: array.shape[:3] for name, array in arrays.items()}
        if len(set(shapes.values())) != 1 or any(len(shape) != 3 for shape in shapes.values()):
            raise DataError(f"expected arrays of one shape (subject, block, trial), but was given {shapes}")
        (n_subjects, n_blocks, n_trials) = next(iter(shapes.values()))
        if 0 in (n_subjects, n_blocks, n_trials):
            raise DataError(f"there is no trial in arrays of shape {next(iter(shapes.values()))}")
        lanes = {name: np.moveaxis(_merge(array), 0, -1) for name, array in arrays.items()}
        done, present = {}, {}
        for name, array in lanes.items():
            done[name], present[name] = _clean(name, array, coded=name in CODED or name in (codes or {}))
        labels = np.arange(n_subjects) if subjects is None else np.asarray(subjects)
        if len(labels) != n_subjects:
            raise DataError(f"{len(labels)} subject labels were given for {n_subjects} subjects")
        return cls(
            fields=done,
            present=present,
            valid=np.ones((n_trials, n_subjects * n_blocks), bool),
            lane_subject=np.repeat(np.arange(n_subjects), n_blocks),
            lane_block=np.tile(np.arange(n_blocks), n_subjects),
            subjects=labels,
            covariates={name: np.asarray(value, float) for name, value in (covariates or {}).items()},
            codes={name: tuple(value) for name, value in (codes or {}).items()},
        )

    # -- what it is ---------------------------------------------------------------------------------------------------

    @property
    def n_subjects(self) -> int:
        """Number of subjects, S."""
        return len(self.subjects)

    @property
    def n_lanes(self) -> int:
        """Number of independent sequences."""
        return len(self.lane_subject)

    @property
    def n_trials(self) -> int:
        """Number of trials of all subjects, missed ones included."""
        return int(self.valid.sum())

    def __repr__(self) -> str:
        return (
            f"Dataset({self.n_subjects} subjects, {self.n_lanes} blocks, {self.n_trials} trials; "
            f"fields {', '.join(self.fields)})"
        )

    def describe(self) -> pd.DataFrame:
        """A row for each subject: blocks, trials, missing values of each field, and the covariates.

        The codes and notes are in ``.attrs``.
        """
        import pandas as pd

        per_subject = lambda lanes: np.bincount(self.lane_subject, lanes, self.n_subjects).astype(int)  # noqa: E731
        rows: dict[str, Any] = {
            "blocks": per_subject(self.valid.any(0)),
            "trials": per_subject(self.valid.sum(0)),
        }
        rows |= {f"missing_{name}": per_subject((self.valid & ~here).sum(0)) for name, here in self.present.items()}
        frame = pd.DataFrame(rows | dict(self.covariates), index=pd.Index(self.subjects, name="subject"))
        frame.attrs.update(codes={name: list(labels) for name, labels in self.codes.items()}, notes=list(self.notes))
        return frame

    def to_frame(self) -> pd.DataFrame:
        """The long table again: a row for each trial, missing values as NaN."""
        import pandas as pd

        lane, row = np.nonzero(self.valid.T)
        columns = self.index_columns(lane, row)
        for name, array in self.fields.items():
            values = np.moveaxis(array, -1, 1)[row, lane]
            for k, column in enumerate(values.reshape(len(row), -1).T):
                label = name if values.ndim == 1 else f"{name}{k}"
                columns[label] = np.where(self.present[name][row, lane], column, np.nan)
        columns |= {name: value[self.lane_subject[lane]] for name, value in self.covariates.items()}
        return pd.DataFrame(columns)

    def index_columns(self, lane: np.ndarray, row: np.ndarray) -> dict[str, np.ndarray]:
        """Labels of subject, block and trial at positions of the lanes."""
        trial = row if self.trial is None else self.trial[row, lane]
        return {"subject": self.subjects[self.lane_subject[lane]], "block": self.lane_block[lane], "trial": trial}

    def masks(self, model: Model) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Which trials count for each response of `model`, and which teach it something; (trial, lane)."""
        shown = self.valid.copy()
        for name in model.inputs:
            shown &= self.present[name]
        responded = {name: shown & self.present[name] for name in model.responses}
        if model.updates == "always":
            learn = self.valid.copy()
        else:
            learn = shown.copy() if model.updates == "shown" else responded[model.responses[0]].copy()
            for name in model.outcomes:
                learn &= self.present[name]
        for name, lags in model.lagged:
            for lag in range(1, lags + 1):
                for mask in responded.values():
                    mask[lag:] &= self.present[name][:-lag]
        return responded, learn

    def trials(self, model: Model) -> Record:
        """The columns and masks of `model`, ready for `rollout`: (trial, ..., lane)."""
        responded, learn = self.masks(model)
        fields = {name: self.fields[name] for name in model.columns}
        for name, _ in model.coded:
            # A column with empty cells is read as floating-point numbers, but codes are indices.
            fields[name] = fields[name].astype(np.int32, copy=False)
        return Record(**fields, responded=responded, learn=learn)

    def n_responses(self, model: Model) -> np.ndarray:
        """Number of responses of each subject that count in the likelihood, (S,)."""
        responded, _ = self.masks(model)
        counts = sum(mask.sum(0) for mask in responded.values())
        return np.bincount(self.lane_subject, counts, self.n_subjects).astype(int)

    def fingerprint(self, model: Model) -> str:
        """A digest of who responded what, the same for all models of the same responses."""
        responded, _ = self.masks(model)
        digest = hashlib.sha256()
        digest.update("\x1f".join(map(str, self.subjects)).encode())
        digest.update(self.lane_subject.astype("<i8").tobytes())
        for name in sorted(model.responses):
            values = np.where(responded[name], self.fields[name], 0).astype("<f8")
            digest.update(name.encode() + responded[name].tobytes() + values.tobytes())
        return digest.hexdigest()

    def select(self, subjects: Sequence[Any] | np.ndarray) -> Dataset:
        """The data of some of the subjects, by index, in the given order."""
        order = np.asarray(subjects)
        lanes = np.concatenate([np.flatnonzero(self.lane_subject == s) for s in order])
        counts = [int((self.lane_subject == s).sum()) for s in order]
        return dataclasses.replace(
            self,
            fields={name: array[..., lanes] for name, array in self.fields.items()},
            present={name: array[..., lanes] for name, array in self.present.items()},
            valid=self.valid[:, lanes],
            lane_subject=np.repeat(np.arange(len(order)), counts),
            lane_block=self.lane_block[lanes],
            subjects=self.subjects[order],
            covariates={name: value[order] for name, value in self.covariates.items()},
            trial=None if self.trial is None else self.trial[:, lanes],
        )


def _merge(array: np.ndarray) -> np.ndarray:
    """(subject, block, ...) to (lane, ...)."""
    return array.reshape(-1, *array.shape[2:])


def _clean(name: str, array: np.ndarray, *, coded: bool) -> tuple[np.ndarray, np.ndarray]:
    """Valid values in place of missing ones, and where values were present."""
    if array.dtype.kind not in "fiub":
        raise DataError(f"field {name!r} has values of type {array.dtype}, but numbers are expected; recode it")
    missing = np.isnan(array) if array.dtype.kind == "f" else np.zeros(array.shape, bool)
    if array.dtype.kind == "f" and np.isinf(array).any():
        raise DataError(f"field {name!r} has an infinite value; replace it, or set it to NaN if it is missing")
    if coded:
        missing = missing | (array < 0)
        if (array[~missing] % 1 != 0).any():
            raise DataError(f"field {name!r} has codes that are no whole numbers; recode it as 0, 1, ...")
    # Missing values are filled with one that was seen, so that every function of them is finite.
    filled = np.where(missing, array[~missing][0] if not missing.all() else 0, array)
    present = np.logical_not(missing if array.ndim == 2 else missing.any(axis=tuple(range(1, array.ndim - 1))))
    dtype = np.int32 if coded or array.dtype.kind in "iub" else np.float64
    return filled.astype(dtype), present

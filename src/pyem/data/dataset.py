"""The data of a group of people, validated once at the edge and kept as lanes.

A lane is one independent sequence of trials: one block of one subject, or the whole subject where what was learned carries
over. Arrays are ``(trial, lane)``, padded at the end with valid values and masked. Nothing is ever dropped: a trial
with a missing response stays where it was and is left out of the likelihood. Where padding would be most of the
memory, it is made only when an array is asked for (`pyem.data.ragged`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pyem.data.arrays import lanes_from_arrays
from pyem.data.fields import names_of
from pyem.data.frames import frame_of, in_words, summary_of
from pyem.data.lengths import lane_lengths
from pyem.data.long_table import lanes_from_frame
from pyem.data.many_files import read_used
from pyem.data.masks import masks, trials
from pyem.data.opening import open_dataset
from pyem.data.partitioned import PartitionedDataset
from pyem.data.parts import by_length, fingerprint, lanes_of, people_of, responses_of
from pyem.data.ragged import RaggedFields, first_seen, is_sparse, wide
from pyem.model.model import Model
from pyem.model.record import Record


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Trials of a group of people, as lanes.

    Make one with `from_frame`, `read` or `from_arrays`; data that do not fit into memory with `open`.

    Parameters
    ----------
    fields
        One array for each column of the model, (trial, ..., lane).
    present
        Whether each field was observed, (trial, lane), by name; False for missing values and for padding.
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
        Labels of the codes 0, 1, ... of each coded field, and the categories of covariates, the reference first.
    trial
        Label of each trial, (trial, lane).
    notes
        Notes on what was inferred, or deserves attention, when the data were read.
    counted
        False for trials that are left out of the likelihood although there is a response, such as forced choices,
        (trial, lane); None if there are none.
    teaches
        False for trials that models learn nothing from, (trial, lane); None if there are none.
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
    counted: np.ndarray | None = None
    teaches: np.ndarray | None = None

    def __post_init__(self) -> None:
        lengths = lane_lengths(self.valid)
        if isinstance(self.fields, RaggedFields) or not is_sparse(len(self.valid), lengths):
            return
        # Where one lane is much longer than others, arrays hold almost nothing but padding.
        fills = {name: first_seen(array, self.present[name]) for name, array in self.fields.items()}
        object.__setattr__(self, "fields", RaggedFields.of(self.fields, lengths, fills))
        object.__setattr__(self, "present", RaggedFields.of(self.present, lengths, dict.fromkeys(self.present, 0)))

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
        values: Mapping[str, Mapping[Any, float]] | None = None,
        missing: Mapping[str, Any] | None = None,
        covariates: str | Sequence[str] = (),
        missing_outcome: Literal["skip", "error"] = "skip",
        where: str | None = None,
        exclude: str | Sequence[Any] = (),
        count: str | Mapping[str, Any] | None = None,
        teach: str | Mapping[str, Any] | None = None,
        join_rows_by: str | Sequence[str] | None = None,
        people: Any = None,
        unmatched: Literal["error", "drop"] = "error",
        reference: Mapping[str, Any] | None = None,
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
            makes one vector-valued field, missing where one of its values is.
        block
            Column, or columns, that start a new independent sequence. Rows of different blocks may be interleaved;
            blocks are sorted by their labels.
        trial
            Column of numbers that order the trials of a block, each there once. Without it, the order of the rows counts.
        codes
            Labels of options, in order, for coded fields: ``{"choice": ["left", "right"]}``. ``choice``, ``action`` (also
            ``choice2``, ``first_choice``), fields that begin with ``option_``, and text in fields such as ``cue``,
            ``stimulus`` or ``response`` are coded in any case. Without labels (or with None for them), numbers that start
            at 0 or 1 are taken in their order, text is sorted, an ordered categorical has its own order; the mapping is
            in `codes` and `notes` and is printed. Fields that begin with ``option_`` (which option was shown where)
            share one mapping. All other fields are quantities: text in them is an error. The first label of a covariate
            with categories is its reference.
        values
            Numbers that words stand for in a field that is a quantity: ``{"reward": {"loss": 0, "win": 1}}``.
        missing
            Values that mark a missing one, by field or covariate: ``{"choice": ["no response", 0]}``.
        covariates
            Columns with one value for each subject, in any of its rows or all. Two text values are coded as 0 and 1; more are
            categories, of which each but the first, sorted, becomes a covariate: ``diagnosis[patient]`` is 1 for patients.
            Formulas read the words themselves.
        missing_outcome
            ``"skip"``: a trial with a response but without a value in another column stays: models that learn from that
            column learn nothing on it, and for models that are shown it or explain it it is left out of the likelihood.
            ``"error"``: such a trial is an error.
        where
            A condition on the table's columns, ``"phase == 'main' and not practice"``; other rows are left out before all else,
            see `pyem.data.conditions.fulfilled`.
        exclude
            Labels of people who are left out.
        count
            Column that says which trials count in the likelihood, 1 or 0, or the column and its values that mean yes:
            ``{"trial_type": ["free"]}``. A forced choice teaches, but was not chosen.
        teach
            Column, likewise, of the trials that are learned from: in a transfer phase choices count, and nothing is learned.
        join_rows_by
            Column, or columns, with the same value in all rows of a trial, if choice and outcome are in rows of their own; or
            ``"order"``: a new trial begins with a row that has a value in a column that already has one.
        people
            A second table, or its file, with the `covariates`, or others of `columns`, in a row for each person. Its column of
            people has the same name, or is ``participant_id``. Who is missing on either side is reported.
        unmatched
            People without a row or a value there are an ``"error"``, or are left out: ``"drop"``.
        reference
            Category that others are compared with, by covariate; numbers for which one is named are categories, too.

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
                block=names_of(block),
                trial=trial,
                codes=dict(codes or {}),
                values=values,
                missing=missing,
                covariates=names_of(covariates),
                missing_outcome=missing_outcome,
                where=where,
                exclude=[exclude] if isinstance(exclude, str | int) else exclude,
                count=count,
                teach=teach,
                join_rows_by=join_rows_by,
                people=people,
                unmatched=unmatched,
                reference=reference,
            )
        )

    @classmethod
    def read(
        cls,
        path: str | Path | Sequence[str | Path],
        *,
        subject: str,
        block: str | Sequence[str] | None = None,
        pattern: str | None = None,
        separator: str | None = None,
        encoding: str | None = None,
        decimal: str | None = None,
        **options: Any,
    ) -> Dataset:
        """Data from CSV, TSV, Parquet or Excel files.

        People and blocks are read as text and keep the names that the files give them: 001 is not 1.

        Parameters
        ----------
        path
            A file, a list of files, a folder (with the folders in it), or a name with ``*``.
        pattern
            Pattern of the names of the files: ``"sub-{subject}_ses-{session}_*.tsv"`` makes the columns ``subject`` and
            ``session``; ``"bids"`` makes columns of all entities of BIDS, and takes the files of behaviour and events of a
            folder. A path with such fields is its own pattern.
        separator, encoding, decimal
            See `pyem.data.files.read_table`.
        subject, block, options
            Arguments of `from_frame`.

        Raises
        ------
        DataError
            If the file cannot be read, is empty, seems to have another separator, or its table is not as expected.

        Examples
        --------
        >>> Dataset.read("no such file.csv", subject="id", columns={"choice": "response"})
        Traceback (most recent call last):
        pyem.errors.DataError: there is no file 'no such file.csv'; check the path
        """
        options |= {"subject": subject, "block": block}
        table = read_used(path, pattern, options, separator=separator, encoding=encoding, decimal=decimal)
        return cls.from_frame(table, **options)

    @classmethod
    def open(cls, path: str | Path | Sequence[str | Path], **options: Any) -> PartitionedDataset:
        """Data from CSV or Parquet files that need not fit into memory, as partitions on the disk.

        The files are read once, person by person, and checked as by `read`; what is written for it, in compact types, is used
        again as long as files and options are the same.

        Parameters
        ----------
        path
            A file, a list of files, a folder, or a name with ``*``.
        options
            Arguments of `from_frame`; `pattern`, `separator`, `encoding` and `decimal` of `read`; ``cache``, a folder for the
            partitions (``.pyem-partitions`` beside the files if not given); ``trials_at_once`` of a partition, about
            (4 million); ``memory``, GiB that may be kept between iterations (2).

        Raises
        ------
        DataError
            As `read`, and if a file cannot be read piece by piece.
        """
        return open_dataset(cls, path, **options)

    @classmethod
    def from_arrays(
        cls,
        fields: Mapping[str, Any],
        *,
        subjects: Sequence[Any] | None = None,
        covariates: Mapping[str, Any] | None = None,
        codes: Mapping[str, Sequence[Any]] | None = None,
        missing: Mapping[str, Any] | None = None,
        count: Any = None,
        teach: Any = None,
    ) -> Dataset:
        """Data from arrays (subject, block, trial, ...), NaN (or a code below 0) where missing.

        Parameters
        ----------
        fields
            One array for each column of the model, or lists of people, of blocks, of trials, which may be of unequal
            length. Masked values and None are missing too. A missing number in a vector makes the vector missing.
        subjects
            A label for each subject; 0, 1, ... if not given.
        covariates
            One array (subject,) for each.
        codes
            Labels of the codes 0, 1, ... of a field. Its values are codes, or labels. Without, choices, actions and options
            that are 1, 2, ... and never 0 are taken to count from 1, as those of files are, with a note.
        missing
            Values that mark a missing one, by field: ``{"choice": [999]}``.
        count, teach
            Arrays (subject, block, trial) of 0 and 1: which trials count in the likelihood, and which teach.

        Raises
        ------
        DataError
            If shapes differ, or values are not what they should be.

        Examples
        --------
        >>> data = Dataset.from_arrays({"choice": np.zeros((3, 2, 5)), "reward": np.ones((3, 2, 5))})
        >>> data.n_subjects, data.n_lanes
        (3, 6)
        """
        return cls(
            **lanes_from_arrays(fields, subjects, covariates or {}, codes or {}, missing, count, teach, from_one=True)
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
        return in_words(self)

    describe = summary_of
    to_frame = frame_of

    def index_columns(self, lane: np.ndarray, row: np.ndarray) -> dict[str, np.ndarray]:
        """Labels of subject, block and trial at positions of the lanes."""
        trial = row if self.trial is None else wide(self.trial[row, lane])
        return {"subject": self.subjects[self.lane_subject[lane]], "block": self.lane_block[lane], "trial": trial}

    def masks(self, model: Model) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Trials in the likelihood of each response of `model`, and trials from which the model learns; (trial, lane)."""
        return masks(self, model)

    def trials(self, model: Model) -> Record:
        """The columns and masks of `model`, ready for `rollout`: (trial, ..., lane)."""
        return trials(self, model)

    def n_responses(self, model: Model) -> np.ndarray:
        """Number of trials of each subject in the likelihood, (S,); a trial with a choice and a time counts once."""
        return responses_of(self, model)

    def pieces(self) -> list[tuple[np.ndarray, Dataset]]:
        """The data in pieces with little padding, each with its lanes; one piece unless lengths are very unequal."""
        return by_length(self)

    def fingerprint(self, model: Model) -> str:
        """Digest of everybody's responses, the same for all models of the same responses."""
        return fingerprint(self, self.masks(model)[0], model.responses)

    def select(self, subjects: Sequence[Any] | np.ndarray) -> Dataset:
        """The data of some of the subjects, by index (or a mask), in the given order; an index may come more than once.

        Raises
        ------
        DataError
            If there is no such subject, or none is selected.

        Examples
        --------
        >>> data = Dataset.from_arrays({"choice": np.zeros((3, 2, 5))}, subjects=["a", "b", "c"])
        >>> data.select([2, 0]).subjects.tolist()
        ['c', 'a']
        """
        return dataclasses.replace(self, **people_of(self, subjects))

    def cut(self, lanes: np.ndarray, n_trials: int) -> Dataset:
        """Select some of the lanes, by index, ascending, without what comes after their first `n_trials` rows.

        Examples
        --------
        >>> data = Dataset.from_arrays({"choice": np.zeros((3, 2, 5))})
        >>> data.cut(np.array([2, 3, 4]), 4)
        Dataset: 2 subjects, 3 blocks, 12 trials (4 in a block)
          choice: 0 to 0
        """
        return Dataset(**lanes_of(self, lanes, n_trials))

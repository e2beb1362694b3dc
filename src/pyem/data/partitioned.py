"""Data of more people than memory holds: partitions on the disk, of which one at a time is a `Dataset`."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from pyem.data.parts import chosen
from pyem.data.ragged import narrow
from pyem.errors import DataError
from pyem.model.model import Model

if TYPE_CHECKING:
    import pandas as pd

    from pyem.data.dataset import Dataset

VERSION = 1
"""Version of the format of partitions; those of another version are made anew."""
LAID_OUT = 24
"""Rough number of bytes of a trial that is laid out for the processor."""


@dataclasses.dataclass(frozen=True, eq=False)
class PartitionedDataset:
    """Trials of people in partitions on the disk; made by `pyem.Dataset.open`.

    `fit_em`, `fit_map` and `fit_mle` take it in place of a `Dataset` and go through its partitions; what they hold in memory
    are the estimates of everybody. What needs all trials at once takes `select`, or one `partition`.

    Parameters
    ----------
    folder
        Folder of the partitions.
    subjects
        Label of each subject, (subject,).
    covariates
        One array for each covariate, (subject,).
    codes
        Labels of the codes 0, 1, ... of each coded field.
    notes
        Notes on what was inferred, or deserves attention, when the data were read.
    shapes
        Number of trials of the longest block, of blocks, and of people in each partition.
    counts
        Number of blocks, trials, and missing values of each field, for each subject, (subject,).
    names
        The fields.
    make
        Makes the data of a partition.
    memory
        GiB that partitions may take that are kept in memory between one use and the next.

    Examples
    --------
    >>> import pathlib, tempfile, pyem
    >>> model = pyem.models.get("rw1a1b")
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "game.parquet"
    >>> pyem.simulate(model, subjects=6, blocks=1, trials=20, key=1).to_frame().to_parquet(path)
    >>> data = pyem.Dataset.open(path, subject="subject", columns={"choice": "choice", "reward": "reward"}, trials_at_once=40)
    >>> data.n_subjects, data.n_partitions, data.partition(1).n_subjects
    (6, 3, 2)
    """

    folder: Path
    subjects: np.ndarray
    covariates: Mapping[str, np.ndarray]
    codes: Mapping[str, tuple[Any, ...]]
    notes: tuple[str, ...]
    shapes: tuple[tuple[int, int, int], ...]
    counts: Mapping[str, np.ndarray]
    names: tuple[str, ...]
    make: Callable[..., Dataset]
    memory: float = 2.0
    _kept: dict[int, Dataset] = dataclasses.field(default_factory=dict, repr=False)
    _known: dict[Any, Any] = dataclasses.field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, folder: Path, make: Callable[..., Dataset], *, memory: float) -> PartitionedDataset:
        """Open the data that were written to a folder."""
        import pyarrow.parquet

        with undamaged(folder):
            about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
            people = pyarrow.parquet.read_table(folder / "people.parquet")
            values = {name: people.column(name).to_numpy() for name in people.column_names}
            subjects, covariates = values.pop("subject"), about["covariates"]
            known = {f"covariate {name}": name for name in covariates}
            return cls(
                folder=folder,
                subjects=subjects,
                covariates={name: values[key] for key, name in known.items()},
                codes={name: tuple(labels) for name, labels in about["codes"].items()},
                notes=tuple(about["notes"]),
                shapes=tuple(tuple(shape) for shape in about["shapes"]),
                counts={name: array for name, array in values.items() if name not in known},
                names=tuple(about["fields"]),
                make=make,
                memory=memory,
            )

    # -- partitions -------------------------------------------------------------------------------------------------------

    @property
    def n_partitions(self) -> int:
        """Number of partitions."""
        return len(self.shapes)

    @property
    def places(self) -> list[slice]:
        """Range of the subjects in each partition."""
        ends = np.cumsum([people for _, _, people in self.shapes]).tolist()
        return [slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]

    def partition(self, k: int) -> Dataset:
        """Return the data of a partition, mapped from the disk; the first ones stay in memory, laid out."""
        if k in self._kept:
            return self._kept[k]
        with undamaged(self.folder):
            arrays = read_arrays(self.folder / f"{k:05d}")
        made = self.make(**arrays, **self._people(k))
        cells = np.cumsum([trials * lanes for trials, lanes, _ in self.shapes])[k]
        if cells * LAID_OUT <= self.memory * 2**30:
            self._kept[k] = made
        return made

    def _people(self, k: int) -> dict[str, Any]:
        place = self.places[k]
        covariates = {name: values[place] for name, values in self.covariates.items()}
        return {"subjects": self.subjects[place], "covariates": covariates, "codes": self.codes, "notes": self.notes}

    def parts(self) -> Iterator[tuple[slice, Dataset]]:
        """Yield each partition with the range of its subjects."""
        for k, place in enumerate(self.places):
            yield place, self.partition(k)

    def select(self, subjects: Any) -> Dataset:
        """Read the data of some of the subjects of one partition into memory, by index (or a mask) among all.

        Raises
        ------
        DataError
            If there is no such subject, or they are of several partitions.
        """
        order = chosen(self.n_subjects, subjects)
        ends = np.array([place.stop for place in self.places])
        parts = np.unique(np.searchsorted(ends, order, side="right"))
        if len(parts) > 1:
            raise DataError(
                f"these subjects are of the partitions {parts.tolist()}; select those of one at a time: .places says who is "
                "where"
            )
        k = int(parts[0])
        return self.partition(k).select(order - self.places[k].start)

    # -- what it is ---------------------------------------------------------------------------------------------------------

    @property
    def n_subjects(self) -> int:
        """Number of subjects, S."""
        return len(self.subjects)

    @property
    def n_lanes(self) -> int:
        """Number of independent sequences."""
        return sum(lanes for _, lanes, _ in self.shapes)

    @property
    def n_trials(self) -> int:
        """Number of trials of all subjects, missed ones included."""
        return int(self.counts["trials"].sum())

    @property
    def fields(self) -> NoReturn:
        """Raise a DataError: the fields are not in memory.

        Raises
        ------
        DataError
            Always.
        """
        raise DataError(
            f"these data are in {self.n_partitions} partitions on the disk, which fit_em, fit_map and fit_mle go through; what "
            "needs all trials at once takes the data of some people, data.select(...), or of one partition, data.partition(0)"
        )

    present = valid = lane_subject = trial = masks = trials = to_frame = cut = fields

    def n_responses(self, model: Model) -> np.ndarray:
        """Number of trials of each subject that are used in the likelihood, (S,)."""
        shown = (model.inputs, model.between, model.joint, model.lagged, model.optional)
        key = (model.columns, model.responses, *shown, model.log_likelihood is None)
        if key not in self._known:
            self._known[key] = np.concatenate([part.n_responses(model) for _, part in self.parts()])
        return self._known[key]

    def fingerprint(self, model: Model) -> str:
        """Digest of everybody's responses, the same for all models of the same responses."""
        digest = hashlib.sha256()
        for _, part in self.parts():
            digest.update(part.fingerprint(model).encode())
        return digest.hexdigest()

    def describe(self) -> pd.DataFrame:
        """A row for each subject: blocks, trials, missing values of each field, and the covariates."""
        import pandas as pd

        frame = pd.DataFrame({**self.counts, **self.covariates}, index=pd.Index(self.subjects, name="subject"))
        frame.attrs.update(codes={name: list(labels) for name, labels in self.codes.items()}, notes=list(self.notes))
        return frame

    def __repr__(self) -> str:
        lines = [
            f"{type(self).__name__}: {self.n_subjects} subjects, {self.n_lanes} blocks, {self.n_trials} trials in "
            f"{self.n_partitions} partitions",
            f"  fields: {', '.join(self.names)}",
            *(f"  {name}: covariate, {values.min():g} to {values.max():g}" for name, values in self.covariates.items()),
            *(f"  note: {note}" for note in self.notes),
        ]
        return "\n".join(lines)


def parts_of(data: Any) -> Iterator[Dataset]:
    """Yield a `Dataset`, or the partitions of data on the disk one after the other."""
    return (part for _, part in placed_parts(data))


def placed_parts(data: Any) -> Iterator[tuple[slice, Dataset]]:
    """Yield a `Dataset`, or the partitions of data on the disk, each with the range of its subjects."""
    return data.parts() if isinstance(data, PartitionedDataset) else iter([(slice(0, data.n_subjects), data)])


def n_cells(data: Any) -> int:
    """Number of trials of all blocks, with their padding."""
    if isinstance(data, PartitionedDataset):
        return sum(trials * lanes for trials, lanes, _ in data.shapes)
    return data.valid.size


def require_in_memory(data: Any, remedy: str | None = None) -> None:
    """Raise a DataError with a remedy if data are in partitions on the disk."""
    if not isinstance(data, PartitionedDataset):
        return
    if remedy is None:
        _ = data.fields
    raise DataError(f"these data are in {data.n_partitions} partitions on the disk: {remedy}")


def field_names(data: Any) -> tuple[str, ...]:
    """Names of the fields of a `Dataset` or of data on the disk."""
    return data.names if isinstance(data, PartitionedDataset) else tuple(data.fields)


@contextlib.contextmanager
def undamaged(folder: Path) -> Iterator[None]:
    """Raise a DataError with a remedy where files of partitions cannot be read."""
    try:
        yield
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"the partitions in {str(folder)!r} are not there any more, or damaged ({str(error).splitlines()[0]}); remove that "
            "folder, and open the files again"
        ) from None


# -- on the disk ------------------------------------------------------------------------------------------------------------


def write_arrays(folder: Path, made: Mapping[str, Any]) -> tuple[int, int, int]:
    """Write the arrays of a partition in compact types; return its numbers of trials, blocks and people."""
    folder.mkdir()
    valid = np.asarray(made["valid"])
    arrays: dict[str, np.ndarray] = {"lane_subject": narrow(made["lane_subject"])}
    arrays |= {f"field {k}": compact(np.asarray(array)) for k, array in enumerate(made["fields"].values())}
    if not valid.all():
        arrays["valid"] = valid
    for k, here in enumerate(made["present"].values()):
        if (here != valid).any():
            arrays[f"present {k}"] = np.asarray(here)
    arrays |= {name: made[name] for name in ("counted", "teaches") if made.get(name) is not None}
    if made["trial"] is not None:
        arrays["trial"] = compact(made["trial"])
    blocks, arrays["lane_block"] = _indexed(made["lane_block"])
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    about = {"fields": list(made["fields"]), "blocks": blocks, "shape": valid.shape}
    (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")
    return (*valid.shape, len(made["subjects"]))  # type: ignore[return-value]


def read_arrays(folder: Path) -> dict[str, Any]:
    """Map the arrays of a partition from the disk."""
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    load = lambda name: np.load(folder / f"{name}.npy", mmap_mode="r")  # noqa: E731
    here = {file.stem for file in folder.glob("*.npy")}
    valid = load("valid") if "valid" in here else np.broadcast_to(np.True_, about["shape"])
    names = about["fields"]
    blocks = about["blocks"]
    labels = np.array(blocks, None if all(isinstance(label, int | float) for label in blocks) else object)
    return {
        "fields": {name: load(f"field {k}") for k, name in enumerate(names)},
        "present": {name: load(f"present {k}") if f"present {k}" in here else valid for k, name in enumerate(names)},
        "valid": valid,
        "lane_subject": np.asarray(load("lane_subject"), np.int64),
        "lane_block": labels[load("lane_block")],
        "trial": load("trial") if "trial" in here else None,
        **{name: load(name) for name in ("counted", "teaches") if name in here},
    }


def _indexed(labels: np.ndarray) -> tuple[list[Any], np.ndarray]:
    """Distinct labels, and the index of each in the smallest type."""
    import pandas as pd

    index, distinct = pd.factorize(labels)
    return [one.item() if isinstance(one, np.generic) else one for one in distinct], narrow(index)


def compact(values: np.ndarray) -> np.ndarray:
    """Convert numbers to the smallest type that holds them exactly.

    Examples
    --------
    >>> compact(np.array([0, 300])).dtype, compact(np.array([0.5, 1])).dtype, compact(np.array([0.1, 1])).dtype
    (dtype('int16'), dtype('float32'), dtype('float64'))
    """
    if values.dtype != np.float64:
        return narrow(values)
    single = values.astype(np.float32)
    return single if (single == values).all() else values


def write_people(
    folder: Path, subjects: np.ndarray, counts: Mapping[str, np.ndarray], covariates: Mapping[str, np.ndarray]
) -> None:
    """Write the table of people."""
    import pyarrow as pa
    import pyarrow.parquet

    columns = {"subject": subjects, **counts, **{f"covariate {name}": values for name, values in covariates.items()}}
    pyarrow.parquet.write_table(
        pa.table({name: pa.array(values) for name, values in columns.items()}), folder / "people.parquet"
    )

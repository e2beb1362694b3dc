"""Fields of lanes of very unequal length, of which only the real trials are kept in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

LARGE = 1 << 20
"""Number of cells below which arrays are always kept in whole."""
SPARSE = 4
"""Number of cells for each real trial from which on only the real trials are kept."""


def is_sparse(n_trials: int, lengths: np.ndarray) -> bool:
    """Whether arrays (`n_trials`, lane) hold so much padding that it is better made when it is asked for."""
    cells = n_trials * len(lengths)
    return cells >= LARGE and cells >= SPARSE * int(lengths.sum())


class RaggedFields(Mapping[str, np.ndarray]):
    """Arrays (trial, ..., lane) by name, each made anew, padding and all, when it is asked for.

    Parameters
    ----------
    n_trials
        Length of the arrays.
    lengths
        Number of trials of each lane, (lane,).
    values
        Values that are stored, by name: lane after lane, the first trials of each, (trial, ...).
    fills
        Value of the padding, by name.

    Examples
    --------
    >>> fields = RaggedFields(3, np.array([3, 1]), {"choice": np.array([0, 1, 1, 1])}, {"choice": 0})
    >>> fields["choice"].tolist()
    [[0, 1], [1, 0], [1, 0]]
    """

    def __init__(
        self,
        n_trials: int,
        lengths: np.ndarray,
        values: Mapping[str, np.ndarray],
        fills: Mapping[str, np.ndarray | int],
    ) -> None:
        self.n_trials, self.lengths = n_trials, lengths
        self._values, self._fills = dict(values), dict(fills)

    @classmethod
    def of(
        cls, arrays: Mapping[str, np.ndarray], lengths: np.ndarray, fills: Mapping[str, np.ndarray | int]
    ) -> RaggedFields:
        """Store the first `lengths` (lane,) trials of the lanes of arrays (trial, ..., lane)."""
        lane, row = places(lengths)
        n_trials = len(next(iter(arrays.values())))
        kept = {name: np.moveaxis(array, -1, 1)[row, lane] for name, array in arrays.items()}
        return cls(n_trials, lengths, kept, fills)

    def __getitem__(self, name: str) -> np.ndarray:
        return self._made(name, np.arange(len(self.lengths)), self.n_trials)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def cut(self, lanes: np.ndarray, n_trials: int) -> dict[str, np.ndarray]:
        """The first `n_trials` rows of some of the lanes, by index."""
        return {name: self._made(name, lanes, n_trials) for name in self._values}

    def _made(self, name: str, lanes: np.ndarray, n_trials: int) -> np.ndarray:
        values = self._values[name]
        out = np.empty((n_trials, *values.shape[1:], len(lanes)), values.dtype)
        lanes_second = np.moveaxis(out, -1, 1)
        lanes_second[...] = self._fills[name]
        lane, row = places(np.minimum(self.lengths[lanes], n_trials))
        first = np.cumsum(self.lengths) - self.lengths
        lanes_second[row, lane] = values[first[lanes][lane] + row]
        return out


def places(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lane and row of every trial, lane after lane.

    Examples
    --------
    >>> [part.tolist() for part in places(np.array([2, 1]))]
    [[0, 0, 1], [0, 1, 0]]
    """
    lane = np.repeat(np.arange(len(lengths)), lengths)
    return lane, np.arange(len(lane)) - np.repeat(np.cumsum(lengths) - lengths, lengths)


def sliced(arrays: Mapping[str, np.ndarray], lanes: np.ndarray, n_trials: int) -> dict[str, np.ndarray]:
    """The first `n_trials` rows of some lanes of arrays (trial, ..., lane)."""
    if isinstance(arrays, RaggedFields):
        return arrays.cut(lanes, n_trials)
    return {name: some(array, lanes, n_trials) for name, array in arrays.items()}


def some(array: np.ndarray, lanes: np.ndarray, n_trials: int) -> np.ndarray:
    """The first `n_trials` rows of some lanes, by index, of an array (trial, ..., lane); of all lanes without a copy."""
    everyone = np.array_equal(lanes, np.arange(array.shape[-1]))
    return array[:n_trials] if everyone else array[:n_trials, ..., lanes]


def first_seen(array: np.ndarray, present: np.ndarray) -> np.ndarray:
    """First observed value of an array (trial, ..., lane), for padding; 0 if there is none."""
    row, lane = np.unravel_index(int(np.argmax(present)), present.shape)
    return array[row, ..., lane] if present[row, lane] else np.zeros_like(array[0, ..., 0])


def narrow(labels: np.ndarray) -> np.ndarray:
    """Convert whole numbers to the smallest signed type that holds them; others stay as they are."""
    if labels.dtype.kind != "i" or not labels.size:
        return labels
    # The type of the lowest of these has room for the highest, too.
    return labels.astype(np.min_scalar_type(min(int(labels.min()), -1 - int(labels.max()))), copy=False)


def wide(labels: np.ndarray) -> np.ndarray:
    """Convert whole numbers to 64-bit integers; others stay as they are."""
    return labels.astype(np.int64, copy=False) if labels.dtype.kind == "i" else labels

"""Saved states of long iterations, from which an interrupted run resumes and ends with the same result."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyem.data.dataset import Dataset
from pyem.data.leftovers import file_at_once
from pyem.data.partitioned import PartitionedDataset
from pyem.infer.rounds import in_words
from pyem.model.model import Model
from pyem.numerics.pickles import unpickled

VERSION = 1
"""Version of the file format; a checkpoint of another version cannot be resumed."""
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


@dataclasses.dataclass(frozen=True)
class Kept:
    """The file in which one iteration saves its state."""

    path: Path

    def read(self) -> dict[str, Any] | None:
        """Return the state that was saved last; None if nothing was saved yet."""
        if not self.path.exists():
            return None
        with open(self.path, "rb") as file:
            return unpickled(file)

    def write(self, known: Mapping[str, Any]) -> None:
        """Save a state; the one saved before is replaced only once this one is complete."""
        with file_at_once(self.path) as partial, open(partial, "wb") as file:
            pickle.dump(dict(known), file, protocol=5)
            file.flush()
            os.fsync(file.fileno())


@dataclasses.dataclass(frozen=True)
class KeptEM:
    """The file of one iteration of EM. See `pyem.infer.em_loop.Keeper`."""

    kept: Kept

    def load(self, estep: Any, elsewhere: Any) -> tuple[int, tuple[Any, ...]] | None:
        """Return the next iteration to do and the loop's values before it; None if nothing was saved yet.

        The E-step, and what looks for better modes, then stand where they stood.
        """
        known = self.kept.read()
        if known is None:
            return None
        estep.states = known["states"]
        if elsewhere is not None:
            elsewhere.memory = known["memory"]
        return known["iteration"], known["values"]

    def save(self, iteration: int, values: tuple[Any, ...], estep: Any, elsewhere: Any) -> None:
        """Save the state of the loop before an iteration."""
        memory = None if elsewhere is None else elsewhere.memory
        states = jax.tree.map(np.asarray, estep.states)
        self.kept.write({"iteration": iteration, "values": values, "states": states, "memory": memory})


def stored(tree: Any) -> list[np.ndarray]:
    """Return the arrays of a tree; of a random key, its data."""
    return [np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf) for leaf in jax.tree.leaves(tree)]


def restored(arrays: list[np.ndarray], like: Any) -> Any:
    """Rebuild a tree from its arrays, with the structure of the tree `like`.

    Examples
    --------
    >>> tree = {"key": jax.random.key(1), "x": np.ones(2)}
    >>> again = restored(stored(tree), tree)
    >>> bool(again["key"] == tree["key"]), again["x"].tolist()
    (True, [1.0, 1.0])
    """
    leaves, structure = jax.tree.flatten(like)
    made = [
        jax.random.wrap_key_data(jnp.asarray(array)) if _is_key(leaf) else jnp.asarray(array)
        for array, leaf in zip(arrays, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, made)


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A folder with the saved states of one fit.

    Parameters
    ----------
    folder
        The folder; it is made if it is not there.
    """

    folder: Path

    @classmethod
    def of(
        cls, folder: str | Path, model: Model, data: Dataset | PartitionedDataset, settings: Mapping[str, Any]
    ) -> Checkpoint:
        """The checkpoint of a fit of these data with these settings.

        Raises
        ------
        ValueError
            If the folder has that of another fit, or something else.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        told = folder / "fit"
        known = _digest(model, data, settings)
        if told.exists():
            if told.read_text(encoding="utf-8") != known:
                raise ValueError(
                    f"checkpoint={str(folder)!r} is of another fit: of another model, of other data, or with other "
                    "settings; name another folder, or remove this one to begin anew"
                )
        elif any(folder.iterdir()):
            raise ValueError(f"checkpoint={str(folder)!r} is a folder with other files; name an empty or a new one")
        else:
            told.write_text(known, encoding="utf-8")
        for left in folder.glob(".part-*"):
            left.unlink(missing_ok=True)
        return cls(folder)

    def part(self, k: int) -> Kept:
        """Return the file for part `k` of the fit: one of its starts, or one group of chains."""
        return Kept(self.folder / f"part-{k}.pickle")


def _told(value: Any) -> bytes:
    """Serialise a setting to bytes that are the same in every process."""
    if isinstance(value, np.ndarray):
        return value.tobytes()
    text = repr(value)
    # An object printed with its address in memory, such as a distribution, does not show its numbers.
    return (_ADDRESS.sub("", text) + json.dumps(in_words(value)) if _ADDRESS.search(text) else text).encode()


def _digest(model: Model, data: Dataset | PartitionedDataset, settings: Mapping[str, Any]) -> str:
    """Return a digest that is the same only for the same model (as far as can be told), data and settings."""
    fitted = (
        model.name,
        model.names,
        [repr(parameter.transform) for parameter in model.parameters],
        model.reward_range,
    )
    digest = hashlib.sha256(repr((VERSION, fitted)).encode())
    # The name of the folder of partitions changes with the files that they were made of.
    told = data.folder.name if isinstance(data, PartitionedDataset) else data.fingerprint(model)
    digest.update(told.encode())
    for name, values in data.covariates.items():
        digest.update(name.encode() + np.ascontiguousarray(values, float).tobytes())
    for name, value in sorted(settings.items()):
        digest.update(name.encode() + _told(value))
    return digest.hexdigest()

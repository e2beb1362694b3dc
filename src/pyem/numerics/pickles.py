"""Reading of pickles from another process, or from an earlier time."""

from __future__ import annotations

import pickle
from typing import IO, Any

import jax


def unpickled(source: bytes | IO[bytes]) -> Any:
    """Read an object from bytes or an open file, pickled by `pickle` or cloudpickle.

    Arrays of JAX come back with half of their digits otherwise, unless 64 bits are switched on everywhere.
    """
    with jax.enable_x64(True):
        return pickle.loads(source) if isinstance(source, bytes) else pickle.load(source)

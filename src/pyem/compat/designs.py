"""Orders of trials for simulations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np


def gen_rnd_blocks(
    items: Sequence[Any], nblocks: int = 2, nsubjects: int = 100, rng: np.random.Generator | None = None
) -> Iterator[tuple[Any, ...]]:
    """Yield a tuple for each subject: random orders of `items`, one for each block, joined.

    Parameters
    ----------
    items
        Items of which each comes once in each block.
    nblocks, nsubjects
        Numbers of blocks and of subjects.
    rng
        Generator of the random orders; without it they differ each time.

    Examples
    --------
    >>> for order in gen_rnd_blocks("ab", nblocks=2, nsubjects=1, rng=np.random.default_rng(1)):
    ...     print(len(order), sorted(order[:2]))
    4 ['a', 'b']
    """
    rng = np.random.default_rng() if rng is None else rng
    for _ in range(nsubjects):
        orders = [rng.permutation(len(items)) for _ in range(nblocks)]
        yield tuple(items[k] for order in orders for k in order)

"""Processor cores that may be used, and sharing of work among them."""

from __future__ import annotations

import collections
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")

_limit: int | None = None


def limit_cores(n: int) -> None:
    """Use no more cores than this from now on, as one of several workers on a machine."""
    global _limit
    _limit = n


def n_cores() -> int:
    """Number of processor cores that this process may use."""
    if _limit is not None:
        return _limit
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def abreast(work: Callable[[Item], Made], items: Iterable[Item], most: int = 8) -> Iterator[Made]:
    """Yield ``work(item)`` for each item, in order; other threads work ahead while one result is in use.

    Parameters
    ----------
    most
        Threads at most, one a core: what they are at work on is in memory at once.

    Examples
    --------
    >>> list(abreast(str.upper, "abc"))
    ['A', 'B', 'C']
    """
    threads = min(n_cores(), most)
    coming: collections.deque[Future[Made]] = collections.deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="pyem-pieces") as pool:
        for item in items:
            coming.append(pool.submit(work, item))
            if len(coming) > threads:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()

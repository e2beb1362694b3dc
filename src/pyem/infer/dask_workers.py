"""Access to the workers of a Dask cluster."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol

from pyem.errors import warn
from pyem.infer import on_workers
from pyem.infer.on_workers import Ask

PATIENCE = 2.0
"""Seconds between checks that somebody still computes what was asked."""

Asked = tuple[str, str, list[Ask]]
"""The folder of the partitions, the search, and what is asked of a worker: see `pyem.infer.on_workers.answers`."""


class Workers(Protocol):
    """Access to a set of workers that answer queries."""

    def names(self) -> list[str]:
        """Names of the present workers; there may be others later."""
        ...

    def answers(self, asked: Mapping[str, Asked]) -> list[tuple[str, list[tuple[bool, Any]]]]:
        """Ask the workers, and return each answer with the name of who gave it: another worker if the asked one is lost."""
        ...


@dataclasses.dataclass(frozen=True)
class DaskWorkers:
    """The workers of a Dask cluster.

    Parameters
    ----------
    client
        A `distributed.Client`.
    """

    client: Any

    @classmethod
    def of(cls, client: Any) -> DaskWorkers:
        """Make an instance from the workers of a Dask client.

        Raises
        ------
        ModuleNotFoundError, TypeError
            If Dask is not there, or this is no client.
        """
        try:
            from distributed import Client  # pyright: ignore[reportMissingImports]
        except ImportError:
            raise ModuleNotFoundError("cluster= needs Dask: pip install 'pyem-behavior[dask]'") from None
        if not isinstance(client, Client):
            raise TypeError(f"cluster={client!r:.60}; expected a distributed.Client, such as Client('ADDRESS')")
        return cls(client)

    def names(self) -> list[str]:
        """Addresses of the present workers."""
        return sorted(self.client.scheduler_info(n_workers=-1)["workers"])

    def answers(self, asked: Mapping[str, Asked]) -> list[tuple[str, list[tuple[bool, Any]]]]:
        """Ask the workers, with one task for each, and return the name of the worker and its answers."""
        futures = [self._asked(worker, words) for worker, words in asked.items()]
        while not self._all_done(futures):
            stranded = self._stranded(futures)
            futures = [
                self._elsewhere(future, words) if future.key in stranded else future
                for future, words in zip(futures, asked.values(), strict=True)
            ]
        return self.client.gather(futures)

    def _asked(self, worker: str, words: Asked) -> Any:
        how: dict[str, Any] = {"allow_other_workers": True, "pure": False, "retries": 3}
        return self.client.submit(on_workers.answers_on_dask, *words, workers=[worker], **how)

    def _all_done(self, futures: list[Any]) -> bool:
        from distributed import wait  # pyright: ignore[reportMissingImports]

        try:
            wait(futures, timeout=PATIENCE)
        except TimeoutError:
            return False
        return True

    def _stranded(self, futures: list[Any]) -> set[str]:
        """Find the tasks that nobody computes or has been asked to compute.

        Dask gives what a lost worker had to others that there are, but not to one that comes after the last one is lost.
        """
        known = {key for keys in self.client.processing().values() for key in keys}
        return {future.key for future in futures if not future.done()} - known

    def _elsewhere(self, future: Any, words: Asked) -> Any:
        """Ask a present worker instead; if there is none, wait for one."""
        there = self.names()
        if not there:
            warn("the cluster has lost its last worker; the fit goes on when there is another one")
            self.client.wait_for_workers(1)
            there = self.names()
        future.cancel()
        return self._asked(there[0], words)

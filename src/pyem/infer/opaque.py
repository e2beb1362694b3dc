"""The E-step of a Python function that JAX cannot trace: one search for each person, in parallel processes."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any

import cloudpickle
import jax
import numpy as np

from pyem.engine.opaque import SMALL
from pyem.infer.differences import WALL, Found, Quadratic, Search, Stencil, find_mode
from pyem.numerics.pickles import unpickled

Likelihood = Callable[..., float]
"""Function ``f(x, data, prior)`` that returns one person's negative log-likelihood; only some functions use the prior."""

Job = tuple[int, np.ndarray, Stencil | None, np.ndarray, np.ndarray, float, tuple[int, ...]]
"""One search: index in the block, start, what is known, the prior's mean and precision, tolerance, seed."""


class OpaqueEStep:
    """The E-step of any function of one person's parameters and data, warm-started from the last call.

    Derivatives are central differences, and curvature is the Hessian at the mode. Where a search fails, it is repeated from
    random starts. The result does not depend on the number of processes.

    Parameters
    ----------
    likelihood
        ``likelihood(x, data, prior) -> float``, the negative log-likelihood in nats. It may be defined anywhere, also in
        a notebook.
    people
        Each person's `data` for the function.
    start
        First guess, (S, P), unconstrained.
    search
        Settings of the search for each person's mode.
    n_jobs
        Processes, as in joblib: -1 for all cores, -2 for all but one. A negative number is a limit: little work is done in
        this process.
    seed
        Seed of the random starts.
    """

    exact = False

    def __init__(
        self,
        likelihood: Likelihood,
        people: Sequence[Any],
        start: np.ndarray,
        *,
        search: Search = Search(),  # noqa: B008 - immutable
        n_jobs: int = -2,
        seed: int = 0,
    ) -> None:
        from joblib import effective_n_jobs

        self.likelihood = likelihood
        self.people = list(people)
        self.search = dataclasses.replace(search, stale=getattr(likelihood, "own_prior", False))
        self.seed = seed
        self.n_jobs = min(effective_n_jobs(n_jobs), len(self.people))
        self.optional = n_jobs < 0
        self._x = np.array(start, float)
        self._known: list[Stencil | None] = [None] * len(self.people)
        self._calls = 0
        self._blocks: list[tuple[slice, bytes, bytes]] = []

    def __call__(self, prior: Any, tol: float = 1e-16) -> Any:
        """Every person's mode and curvature under a `GaussianPrior`."""
        root = np.sqrt(prior.weight)
        precisions = [prior.precision * np.outer(r, r) for r in root]
        found = self._search(prior.mean, precisions, self._known, tol)
        self._known = [one.at if one.at.clean else None for one in found]
        return _laplace(found, precisions, tol)

    def general(self, log_prior: Callable[[np.ndarray], float], tol: float = 1e-16) -> Any:
        """Approximate posteriors under any log prior density of one person's parameters."""
        joint = OpaqueEStep.__new__(OpaqueEStep)
        joint.__dict__ |= self.__dict__ | {"likelihood": _Joint(self.likelihood, log_prior), "_blocks": []}
        n = self._x.shape[1]
        flat = [np.zeros((n, n))] * len(self.people)
        found = joint._search(np.zeros_like(self._x), flat, [None] * len(self.people), tol)
        self._x = joint._x
        laplace = _laplace(found, flat, tol)
        return laplace._replace(log_lik=laplace.log_lik - np.array([log_prior(x) for x in self._x]))

    def _search(
        self, means: np.ndarray, precisions: list[np.ndarray], known: list[Stencil | None], tol: float
    ) -> list[Found]:
        self._calls += 1
        jobs: list[Job] = [
            (s, self._x[s], known[s], means[s], precisions[s], tol, (self.seed, self._calls, s))
            for s in range(len(self.people))
        ]
        found = self._run(jobs)
        self._x = np.array([one.at.x for one in found])
        return found

    def _run(self, jobs: list[Job]) -> list[Found]:
        if self.n_jobs == 1:
            return [_one(self.likelihood, self.people[job[0]], self.search, job) for job in jobs]
        done: list[Found] = []
        if self.optional and self._calls == 1:
            # Try a person, and hand out the rest only if that is worth it.
            began = time.perf_counter()
            done = [_one(self.likelihood, self.people[0], self.search, jobs[0])]
            if (time.perf_counter() - began) * len(jobs) < SMALL:
                self.n_jobs = 1
                return done + self._run(jobs[1:])
        return done + self._share(jobs[len(done) :])

    def _share(self, jobs: list[Job]) -> list[Found]:
        from joblib import Parallel, delayed

        if not self._blocks:
            self._blocks = list(self._pack())
        parts = []
        for where, digest, packed in self._blocks:
            mine = [(job[0] - where.start, *job[1:]) for job in jobs if where.start <= job[0] < where.stop]
            parts.append(delayed(_block)(digest, packed, self.search, mine))
        done: Any = Parallel(n_jobs=self.n_jobs, backend="loky")(parts)
        return [one for part in done for one in part]

    def _pack(self) -> Any:
        """The function and its data, pickled once, in several blocks a process so that none waits long for the others."""
        edges = np.linspace(0, len(self.people), min(len(self.people), 4 * self.n_jobs) + 1).astype(int)
        x64 = jax.dtypes.canonicalize_dtype(float) == np.float64
        for a, b in itertools.pairwise(edges):
            packed = cloudpickle.dumps((self.likelihood, self.people[a:b], x64))
            yield slice(int(a), int(b)), hashlib.blake2b(packed, digest_size=16).digest(), packed


class _Joint:
    """Negative log joint density of data and parameters, under a prior of any form."""

    def __init__(self, likelihood: Likelihood, log_prior: Callable[[np.ndarray], float]) -> None:
        self.likelihood = likelihood
        self.log_prior = log_prior

    def __call__(self, x: np.ndarray, data: Any, prior: Quadratic) -> float:
        """Negative log-joint at x (P,)."""
        return self.likelihood(x, data, prior) - self.log_prior(x)


def _one(likelihood: Likelihood, data: Any, search: Search, job: Job) -> Found:
    place, start, known, mean, precision, tol, seed = job
    prior = Quadratic(mean, precision)

    def value(x: np.ndarray) -> float:
        out = likelihood(x, data, prior)
        return out if np.isfinite(out) else np.inf

    try:
        return find_mode(value, prior, start, known, search, tol, np.random.default_rng(seed))
    except Exception as error:
        error.add_note(f"in the fit function, for person {place} of those worked on together")
        raise


@functools.lru_cache(maxsize=64)
def _unpacked(digest: bytes, packed: bytes) -> tuple[Likelihood, list[Any], bool]:
    return unpickled(packed)


def _block(digest: bytes, packed: bytes, search: Search, jobs: list[Job]) -> list[Found]:
    """Search in a worker process, which unpickles a block only once and computes in the precision of the process that asks."""
    likelihood, people, x64 = _unpacked(digest, packed)
    with jax.enable_x64(x64):
        return [_one(likelihood, people[job[0]], search, job) for job in jobs]


def _laplace(found: list[Found], precisions: list[np.ndarray], tol: float) -> Any:
    from pyem.population.posterior import Laplace, Status

    n = len(found[0].at.x)
    cov, log_det = np.empty((len(found), n, n)), np.empty(len(found))
    status = np.full(len(found), int(Status.CONVERGED))
    for s, (one, precision) in enumerate(zip(found, precisions, strict=True)):
        values, vectors = np.linalg.eigh((one.at.hess if one.at.clean else 0.0) + precision)
        kept = np.maximum(values, 1e-10)
        cov[s], log_det[s] = (vectors / kept) @ vectors.T, np.log(kept).sum()
        if not np.isfinite(one.at.value) or one.at.value >= WALL:
            status[s] = Status.NOT_FINITE
        elif not one.positive or not one.at.clean:
            status[s] = Status.FLAT
        elif one.decrement > max(100 * tol, 1e-6):
            status[s] = Status.MAX_STEPS
    log_lik = -np.array([one.at.value for one in found])
    return Laplace(np.array([one.at.x for one in found]), cov, log_lik, log_det, status)

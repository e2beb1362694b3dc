"""Paths of the diffusion process in small steps, for figures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pyem.compat.diffusion import Offers, generator, within


def simulated_paths(offers: Offers, columns: tuple[str, str], name: str) -> Callable[..., dict[str, Any]]:
    """The function ``<id>_sim_paths`` of a task."""

    def sim_paths(
        params: Any,
        ntrials: int = 25,
        dt: float = 1e-3,
        max_time: float = 4.0,
        rng: np.random.Generator | None = None,
        seed: int | None = None,
    ) -> dict[str, Any]:
        """Paths of one person's decisions, in small steps.

        Parameters
        ----------
        params
            Natural parameters, (4,): v_coef, a, t0, z.
        ntrials
            Trials.
        dt, max_time
            Step, and longest decision, in seconds.
        rng, seed
            A generator, or a whole number.

        Returns
        -------
        dict
            ``params`` (4,); ``t``, ``x``: for each trial the times from ``t0`` to ``rt`` and the evidence at each, which ends
            at 0 or ``a`` where a bound was ``crossed``; ``choice`` (1 upper, 0 lower, -1 none), ``rt`` where the path ends,
            ``v, v_draw``, the two values, ``t0_draw, z_draw`` (T,).
        """
        values, rng = within(np.atleast_2d(params))[0], generator(rng, seed)
        v_coef, a, t0, z = values
        shown = {key: column[0] for key, column in offers(rng, (1, ntrials)).items()}
        drift = v_coef * (shown[columns[0]] - shown[columns[1]])
        paths = [_path(one, a, t0, z, dt, max_time, rng) for one in drift]
        ends = np.array([x[-1] for _, x in paths])
        crossed = (ends == 0) | (ends == a)
        return {
            "params": values,
            "t": [t for t, _ in paths],
            "x": [x for _, x in paths],
            "choice": np.where(crossed, ends == a, -1).astype(int),
            "crossed": crossed,
            "rt": np.array([t[-1] for t, _ in paths]),
            "v": drift,
            "v_draw": drift.copy(),
            **shown,
            "t0_draw": np.full(ntrials, t0),
            "z_draw": np.full(ntrials, z),
        }

    sim_paths.__name__ = sim_paths.__qualname__ = name
    return sim_paths


def _path(
    v: float, a: float, t0: float, z: float, dt: float, max_time: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Times, and the evidence at each, up to the first step beyond a bound, which ends on the bound."""
    n = int(np.ceil(max_time / dt))
    x = np.concatenate([[z * a], z * a + np.cumsum(v * dt + np.sqrt(dt) * rng.standard_normal(n))])
    beyond = np.flatnonzero((x <= 0) | (x >= a))
    last = int(beyond[0]) if len(beyond) else n
    x = x[: last + 1]
    if len(beyond):
        x[-1] = 0.0 if x[-1] <= 0 else a
    return t0 + dt * np.arange(last + 1), x

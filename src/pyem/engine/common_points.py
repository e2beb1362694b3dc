"""Information in the data about parameters that are common to all, and the likelihood at points as a function of these."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from pyem.data.dataset import Dataset
from pyem.engine.common_values import Surface, farthest, holds, terms, trials_of
from pyem.engine.evaluate import value_grad_hess
from pyem.engine.nodes import Nodes
from pyem.model.model import Model

FALL = 300.0
"""Largest fall of a point's log-likelihood, in nats, where common values make it impossible."""

LogLik = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Function that returns the log-likelihood (n, K) of some people at their points (n, K, P)."""


@dataclasses.dataclass(frozen=True, eq=False)
class CommonValues:
    """Change of everybody's likelihood with parameters that are common to all, near a group.

    Parameters
    ----------
    random
        Parameters in which people differ, (P,).
    slope, curvature, cross
        Of a quadratic approximation of each person's log-likelihood ``l(x, c)``: it is the one at the common values `at`, plus
        ``slope d + d' curvature d / 2 + x' cross d`` where ``d = c - at``; (S, C), (S, C, C), (S, Q, C).
    at
        (S, C)
    spread
        What all data together leave open of the common values: d is this times what is nearly standard normal, (S, C, C).
    degree
        Degree of the polynomials that stand for the likelihood at other common values; 0 where it is evaluated there itself.
    """

    random: np.ndarray
    slope: np.ndarray
    curvature: np.ndarray
    cross: np.ndarray
    at: np.ndarray
    spread: np.ndarray
    degree: int

    @classmethod
    def near(cls, model: Model, data: Dataset, x: np.ndarray, random: np.ndarray, degree: int) -> CommonValues:
        """Make the approximation from derivatives at everybody's parameters (S, P)."""
        _, grad, hess = value_grad_hess(model, data, x)
        hess = np.where(np.isfinite(hess).all((1, 2), keepdims=True), hess, 0.0)
        grad = np.where(np.isfinite(grad), grad, 0.0)
        cross = hess[:, random][:, :, ~random]
        slope = grad[:, ~random] - np.einsum("sqc,sq->sc", cross, x[:, random])
        curvature, at = hess[:, ~random][:, :, ~random], x[:, ~random]
        return cls(random, slope, curvature, cross, at, np.zeros_like(curvature), degree)

    def with_people_out(self, cov: np.ndarray) -> np.ndarray:
        """Curvature (S, C, C) of each person's log evidence by the common values; `cov` (S, Q, Q) are people's posteriors."""
        return self.curvature + np.einsum("sqc,sqr,srd->scd", self.cross, cov, self.cross)

    def shift(self, cov: np.ndarray, common: np.ndarray) -> np.ndarray:
        """Move of people's posterior means (S, Q), with covariances (S, Q, Q), that common values (S, C) bring about."""
        return np.einsum("sqr,src,sc->sq", cov, self.cross, common - self.at)

    def changes(self, common: np.ndarray) -> tuple[np.ndarray, float]:
        """Change of the slope (S, Q) of likelihoods at 0, and of everybody's log-likelihood, with common values (S, C)."""
        d = common - self.at
        value = (self.slope * d).sum() + 0.5 * np.einsum("sc,scd,sd->", d, self.curvature, d)
        return np.einsum("sqc,sc->sq", self.cross, d), float(value)

    def whole(self, x: np.ndarray, common: np.ndarray) -> np.ndarray:
        """Join the parameters in which people differ (..., Q) and the common ones (..., C) to all parameters (..., P)."""
        out = np.empty((*x.shape[:-1], len(self.random)))
        out[..., self.random], out[..., ~self.random] = x, common
        return out

    def on(
        self, log_lik: LogLik, who: np.ndarray, x: np.ndarray, cov: np.ndarray, common: np.ndarray
    ) -> tuple[np.ndarray, Surface]:
        """Log-likelihood (n, K) at points (n, K, Q) with common values (S, C), and the change of both with these.

        `cov` (n, Q, Q) are covariances of these people's posteriors given the group: along these points move.
        """
        at, spread = common[who], self.spread[who]
        move = np.einsum("nqr,nrc->ncq", cov, self.cross[who])

        def value(d: np.ndarray) -> np.ndarray:  # at other common values, by differences (n, C)
            points = x + np.einsum("nc,ncq->nq", d, move)[:, None]
            return log_lik(who, self.whole(points, (at + d)[:, None]))

        first = value(np.zeros_like(at))
        # Coordinates are row vectors.
        white = np.swapaxes(np.linalg.inv(spread), 1, 2)
        made = Surface(at, white, move, first, None, self.degree, farthest(at.shape[1], self.degree), 1 / len(common))
        if not self.degree:
            return first, made
        z, solve = trials_of(at.shape[1], self.degree)
        rises = np.stack([_rise(value(spread @ one), first) for one in z])
        bend = np.einsum("mj,jnk->nmk", solve, rises)
        weight = np.exp(first - first.max(1, keepdims=True))
        off = np.einsum("jm,nmk->jnk", terms(z, self.degree), bend) - rises
        off = np.abs((off * weight).sum(2) / weight.sum(1)).sum(1)
        return first, made._replace(bend=bend, reach=holds(z, off))

    def evaluated(self, log_lik: LogLik, part: Nodes, design: np.ndarray, common: np.ndarray) -> Nodes:
        """Evaluate the likelihood itself at the points, under each of many groups with common values (D, K, C)."""
        surface, who = part.surface, part.people
        assert surface is not None
        x = part.x[None] + part.moves(design, common)[:, :, None]
        d, n, k, _ = x.shape
        whole = self.whole(x, (design[who] @ common)[:, :, None])
        value = log_lik(who, np.moveaxis(whole, 0, 1).reshape(n, d * k, -1))
        return part.with_rises(_rise(np.moveaxis(value.reshape(n, d, k), 1, 0), surface.first))


def _rise(value: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Increase of a log-likelihood over the first one; 0 where that is not finite."""
    known = np.isfinite(first)
    return np.where(known, np.maximum(value, first - FALL) - np.where(known, first, 0.0), 0.0)

"""Moves of a group while points stay where they are, and the posteriors of people that follow from them."""

from __future__ import annotations

import dataclasses

import numpy as np

from pyem.infer.hierarchy import likelihood_of
from pyem.population.population import Population
from pyem.population.posterior import Moments

NARROWEST = 0.02
"""Least width of a group that points are made for, as a share of the typical one's, unless people do not differ at all."""


def predicted(moments: Moments, old: Population, new: Population) -> tuple[np.ndarray, np.ndarray]:
    """Roughly everybody's posterior mean (S, P) and covariance (S, P, P) under a `new` group, from that under an `old` one."""
    precision, shift = likelihood_of(moments, dataclasses.replace(old, weight=np.ones_like(old.weight)))
    prior = np.linalg.inv(new.cov)
    cov = np.linalg.inv(precision + prior)
    return np.einsum("spq,sq->sp", cov, shift + new.mean @ prior), (cov + np.swapaxes(cov, 1, 2)) / 2


def distance(new: Population, old: Population, moments: Moments, typical: np.ndarray) -> float:
    """Distance between two groups, roughly in standard errors of the group's means."""
    variance = np.diag(old.cov)
    own = np.diagonal(moments.cov, axis1=1, axis2=2)
    within = 1 / np.maximum(1 / own - 1 / variance, 1 / (3 * typical) ** 2)
    error = np.sqrt((variance + np.median(within, axis=0)) / len(own))
    sizes = np.maximum(new.design.std(0), new.design.mean(0))
    steps = [sizes[:, None] * (new.coef - old.coef), (np.linalg.cholesky(new.cov) - np.linalg.cholesky(old.cov)).T]
    return float(max((np.abs(step) / error).max() for step in steps))


def trusted(old: Population, new: Population, typical: np.ndarray) -> tuple[Population, bool]:
    """Limit a new group to what the points made for the old one can tell; also return whether it had to be limited."""
    before, after = np.sqrt(np.diag(old.cov)), np.sqrt(np.diag(new.cov))
    floor = NARROWEST * typical
    same = before < 1.5 * old.smallest
    # A parameter whose sd would shrink below the floor is taken as one in which people do not differ.
    gone = ~same & (before <= 1.01 * floor) & (after < before)
    sd = np.clip(after, np.maximum(0.5 * before, np.minimum(floor, before)), 2 * before)
    sd = np.where(same | gone, old.smallest, sd)
    far = gone.any() or (np.abs(np.log(sd / after))[~same] > 1e-6).any()
    cov = new.cov * np.outer(sd / after, sd / after)
    if new.correlated:
        nearer = _near(old, cov)
        far = far or not np.allclose(nearer, cov, rtol=1e-6, atol=1e-9)
        cov = nearer
    return dataclasses.replace(new, cov=cov), bool(far)


def _near(old: Population, cov: np.ndarray) -> np.ndarray:
    """Limit a covariance to between half and twice the width of the old group's, in every direction."""
    root = np.linalg.cholesky(old.cov)
    white = np.linalg.inv(root)
    values, axes = np.linalg.eigh(white @ cov @ white.T)
    axes = root @ axes
    return old.floored((axes * np.clip(values, 0.25, 4.0)) @ axes.T)

"""Response times of another origin than the decision: fast guesses, and lapses of attention."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

LONGEST = 10.0
"""Seconds within which an outlier comes at any time."""


class WithOutliers(NamedTuple):
    """A choice and its response time that with probability `share` are anything: any option, at any time up to `longest`.

    Attributes
    ----------
    base
        The distribution of all other choices and their times.
    share
        Probability of an outlier.
    longest
        Seconds; later outliers do not come.

    References
    ----------
    Ratcliff, R., & Tuerlinckx, F. (2002). Estimating parameters of the diffusion model: approaches to dealing with contaminant
    reaction times and parameter variability. Psychonomic Bulletin & Review, 9(3), 438-481. https://doi.org/10.3758/BF03196302

    Examples
    --------
    >>> from pyem.model.times.wiener import Wiener
    >>> round(float(WithOutliers(Wiener(1.0, 1.5, t=0.3), 0.05).log_prob((1, 0.1))), 4)
    -5.9915
    """

    base: Any
    share: ArrayLike
    longest: float = LONGEST

    @property
    def logits(self) -> Array:
        """Log-probabilities of the options, last axis, at any time."""
        log_p = jax.nn.log_softmax(self.base.logits, axis=-1)
        share = jnp.asarray(self.share)[..., None]
        return jnp.logaddexp(jnp.log1p(-share) + log_p, jnp.log(share) - jnp.log(log_p.shape[-1]))

    def log_prob(self, value: tuple[ArrayLike, ArrayLike]) -> Array:
        """Log-density, in nats, of the choice and its response time."""
        anything = -jnp.log(self.longest) - jnp.log(jnp.shape(self.base.logits)[-1])
        anything = jnp.where(jnp.asarray(value[1]) <= self.longest, anything, -jnp.inf)
        log_p = jnp.log1p(-jnp.asarray(self.share)) + self.base.log_prob(value)
        # Below, all is that of the outliers, whatever the parabola of an impossible time says.
        return jnp.logaddexp(log_p, jnp.log(self.share) + anything)

    def sample(self, key: Array) -> tuple[Array, Array]:
        """One random choice and its response time."""
        which, of_base, of_choice, of_rt = jax.random.split(key, 4)
        choice, rt = self.base.sample(of_base)
        options = jnp.shape(self.base.logits)[-1]
        outlier = jax.random.bernoulli(which, jnp.asarray(self.share), rt.shape)
        guess = jax.random.randint(of_choice, rt.shape, 0, options, choice.dtype)
        at = self.longest * jax.random.uniform(of_rt, rt.shape, rt.dtype)
        return jnp.where(outlier, guess, choice), jnp.where(outlier, at, rt)

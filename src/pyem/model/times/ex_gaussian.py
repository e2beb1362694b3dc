"""The sum of a normal and an exponential number."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import log_ndtr, ndtr
from jax.typing import ArrayLike


class ExGaussian(NamedTuple):
    """Response times as the sum of a normal and an exponential part: a description, and no theory, of their skewed form.

    Attributes
    ----------
    mu, sigma
        Mean and standard deviation of the normal part, in seconds.
    tau
        Mean of the exponential part, in seconds.

    Notes
    -----
    It has no bound at 0: where `mu` is not some `sigma` above 0, times below 0 have a density, and some samples are such times.
    Those are what the description says of these parameters, and are left as they are.

    References
    ----------
    Matzke, D., & Wagenmakers, E.-J. (2009). Psychological interpretation of the ex-Gaussian and shifted Wald parameters: a
    diffusion model analysis. Psychonomic Bulletin & Review, 16(5), 798-817. https://doi.org/10.3758/PBR.16.5.798

    Examples
    --------
    >>> dist = ExGaussian(mu=0.4, sigma=0.05, tau=0.2)
    >>> round(float(dist.log_prob(0.6)), 4), round(float(dist.cdf(0.6)), 4)
    (0.6406, 0.6204)
    """

    mu: ArrayLike
    sigma: ArrayLike
    tau: ArrayLike

    def log_prob(self, value: ArrayLike) -> Array:
        """Log-density of the response time `value`, in nats."""
        return self._log_tail(value) - jnp.log(jnp.where(jnp.asarray(self.tau) > 0, self.tau, 1.0))

    def cdf(self, value: ArrayLike) -> Array:
        """Probability of a response by `value`."""
        return ndtr((jnp.asarray(value) - self.mu) / self.sigma) - jnp.exp(self._log_tail(value))

    def sample(self, key: Array) -> Array:
        """One random response time."""
        of_normal, of_exponential = jax.random.split(key)
        mu, sigma, tau = jnp.broadcast_arrays(*(jnp.asarray(part, jnp.result_type(float)) for part in self))
        normal = jax.random.normal(of_normal, mu.shape, mu.dtype)
        return mu + sigma * normal + tau * jax.random.exponential(of_exponential, mu.shape, mu.dtype)

    def _log_tail(self, value: ArrayLike) -> Array:
        gap = jnp.asarray(value, jnp.result_type(float)) - self.mu
        sigma, tau = jnp.asarray(self.sigma), jnp.asarray(self.tau)
        # Without a normal part it is an exponential time, and without an exponential one no density of this form.
        skewed, blurred = tau > 0, sigma > 0
        sigma, tau = jnp.where(blurred, sigma, 1.0), jnp.where(skewed, tau, 1.0)
        ratio = sigma / tau
        both = 0.5 * ratio**2 - gap / tau + log_ndtr(gap / sigma - ratio)
        log_tail = jnp.where(blurred, both, jnp.where(gap > 0, -gap / tau, -jnp.inf))
        return jnp.where(skewed, log_tail, -jnp.inf)

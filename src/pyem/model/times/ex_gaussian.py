"""The sum of a normal and an exponential number, where it is above 0."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import ndtr, ndtri
from jax.typing import ArrayLike

from pyem.model.times.tails import log_mills, log_ndtr, log_phi


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
    Response times are above 0, and so is the distribution: it is truncated there, and what the sum has below 0 is divided
    among the times above. Both density and samples are of the truncated one; `mu`, `sigma` and `tau` are those before
    truncation. Where `mu` is six `sigma` above 0, a billionth is cut off, and the distribution is the usual one.

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
        """Log-density of the response time `value`, in nats; minus infinity up to 0."""
        value = jnp.asarray(value, jnp.result_type(float))
        possible, skewed = value > 0, jnp.asarray(self.tau) > 0
        log_tail = self._log_tail(jnp.where(possible, value, 1.0))
        log_p = log_tail - jnp.log(jnp.where(skewed, self.tau, 1.0)) - jnp.where(skewed, self._log_above(), 0.0)
        return jnp.where(possible, log_p, -jnp.inf)

    def cdf(self, value: ArrayLike) -> Array:
        """Probability of a response by `value`."""
        value = jnp.maximum(jnp.asarray(value, jnp.result_type(float)), 0.0)
        below, by = (
            ndtr((end - self.mu) / self.sigma) - jnp.exp(self._log_tail(end)) for end in (jnp.asarray(0.0), value)
        )
        return (by - below) / jnp.exp(self._log_above())

    def sample(self, key: Array) -> Array:
        """One random response time."""
        of_part, of_normal, of_exponential = jax.random.split(key, 3)
        mu, sigma, tau = jnp.broadcast_arrays(*(jnp.asarray(part, jnp.result_type(float)) for part in self))
        # A normal part below 0 must be made up for by the exponential part, which has no memory: what exceeds 0 then is
        # exponential again, whatever the normal part was.
        log_normal = self._log_normal_above()
        made_up = jnp.log(jax.random.uniform(of_part, mu.shape, mu.dtype)) > log_normal - self._log_above()
        uniform = 1 - jax.random.uniform(of_normal, mu.shape, mu.dtype)
        normal = jnp.maximum(mu - sigma * ndtri(uniform * jnp.exp(log_normal)), 0.0)
        return jnp.where(made_up, 0.0, normal) + tau * jax.random.exponential(of_exponential, mu.shape, mu.dtype)

    def _log_above(self) -> Array:
        """Log-probability that the sum is above 0: the normal part is, or the exponential part makes up for it."""
        return jnp.logaddexp(self._log_normal_above(), self._log_tail(0.0))

    def _log_normal_above(self) -> Array:
        mu, sigma = jnp.asarray(self.mu), jnp.asarray(self.sigma)
        blurred = sigma > 0
        return jnp.where(blurred, log_ndtr(mu / jnp.where(blurred, sigma, 1.0)), jnp.where(mu > 0, 0.0, -jnp.inf))

    def _log_tail(self, value: ArrayLike) -> Array:
        """Log-density at `value` times `tau`, before truncation."""
        gap = jnp.asarray(value, jnp.result_type(float)) - self.mu
        sigma, tau = jnp.asarray(self.sigma), jnp.asarray(self.tau)
        # Without a normal part it is an exponential time, and without an exponential one no density of this form.
        skewed, blurred = tau > 0, sigma > 0
        sigma, tau = jnp.where(blurred, sigma, 1.0), jnp.where(skewed, tau, 1.0)
        z, ratio = gap / sigma, sigma / tau
        # Below the bend squares of the ratio cancel, and are left out.
        bent = z < ratio
        rising = log_phi(z) + log_mills(jnp.where(bent, ratio - z, 0.0))
        slope = jnp.where(bent, 0.0, ratio)
        falling = slope * (0.5 * slope - z) + log_ndtr(jnp.where(bent, 0.0, z - slope))
        both = jnp.where(bent, rising, falling)
        log_tail = jnp.where(blurred, both, jnp.where(gap >= 0, -gap / tau, -jnp.inf))
        return jnp.where(skewed, log_tail, -jnp.inf)

"""Response times that do not come from the decision: fast guesses, and lapses of attention."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from pyem.model.distribution import option_count
from pyem.model.log_softmax import log_softmax
from pyem.model.times.deadline import Deadline, GoNoGo

LONGEST = 10.0
"""Longest outlier, in seconds, where no other limit is known; outliers are uniform up to it."""


class WithOutliers(NamedTuple):
    """A choice and its response time that with probability `share` are an outlier: any option, any time up to `longest`.

    Attributes
    ----------
    base
        The distribution of all other choices and their times.
    share
        Probability of an outlier.
    longest
        Seconds; later outliers do not come.
    untimed
        An option that has no time, as no-go and no response by a deadline: it is one of those that an outlier may be.

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
    longest: ArrayLike = LONGEST
    untimed: int | None = None

    @property
    def n_options(self) -> int:
        """Number of options."""
        found = option_count(self.base)
        assert found is not None
        return found

    @property
    def logits(self) -> Array:
        """Log-probabilities of the options, last axis, whatever the time."""
        log_p = log_softmax(self.base.logits)
        share = jnp.asarray(self.share)[..., None]
        return jnp.logaddexp(jnp.log1p(-share) + log_p, jnp.log(share) - jnp.log(log_p.shape[-1]))

    def log_prob(self, value: tuple[ArrayLike, ArrayLike]) -> Array:
        """Log-density, in nats, of the choice and its response time."""
        when = jnp.where(jnp.asarray(value[1]) <= self.longest, -jnp.log(self.longest), -jnp.inf)
        if self.untimed is not None:
            when = jnp.where(jnp.asarray(value[0]) == self.untimed, 0.0, when)
        log_p = jnp.log1p(-jnp.asarray(self.share)) + self.base.log_prob(value)
        # At impossible times the density is that of outliers alone, whatever the parabola says.
        return jnp.logaddexp(log_p, jnp.log(self.share) + when - jnp.log(self.n_options))

    def sample(self, key: Array) -> tuple[Array, Array]:
        """Draw one choice and its response time, which is `longest` for an option without a time."""
        which, of_base, of_choice, of_rt = jax.random.split(key, 4)
        choice, rt = self.base.sample(of_base)
        outlier = jax.random.bernoulli(which, jnp.asarray(self.share), rt.shape)
        guess = jax.random.randint(of_choice, rt.shape, 0, self.n_options, choice.dtype)
        at = self.longest * jax.random.uniform(of_rt, rt.shape, rt.dtype)
        at = at if self.untimed is None else jnp.where(guess == self.untimed, jnp.asarray(self.longest, at.dtype), at)
        return jnp.where(outlier, guess, choice), jnp.where(outlier, at, rt)


def mixed(dist: Any, share: ArrayLike, longest: ArrayLike) -> WithOutliers:
    """A distribution of choices and times with a share of outliers up to `longest` seconds."""
    return WithOutliers(dist, share, longest, untimed_option(dist))


def with_share(dist: Any, p: Any, p_outlier: float | Literal["free"]) -> Any:
    """Add outliers to a distribution if a model has them: a given share, or its parameter ``p_outlier``."""
    if p_outlier == 0:
        return dist
    return mixed(dist, p.p_outlier if p_outlier == "free" else p_outlier, p.longest_outlier)


def deadline(dist: Any) -> tuple[float, int] | None:
    """Seconds by which a response has to be made, and the option that it was not; None without a deadline.

    Examples
    --------
    >>> from pyem.model.times.wiener import Wiener
    >>> deadline(Deadline(Wiener(1.0, 1.5), 2.0)), deadline(Wiener(1.0, 1.5))
    ((2.0, 2), None)
    """
    untimed = untimed_option(dist)
    while isinstance(dist, WithOutliers):
        dist = dist.base
    # A deadline that is computed in the model is not known before data are looked at.
    known = isinstance(dist, Deadline | GoNoGo) and isinstance(dist.deadline, int | float)
    return (float(dist.deadline), untimed) if known and untimed is not None else None


def delayed(dist: Any) -> bool:
    """Whether no time of a distribution is below its non-decision time `t`, as there are no outliers.

    Examples
    --------
    >>> from pyem.model.times.wiener import Wiener
    >>> plain = Wiener(1.0, 1.5, t=0.3)
    >>> delayed(plain), delayed(Deadline(plain, 2.0)), delayed(WithOutliers(plain, 0.05)), delayed(Wiener(1.0, 1.5))
    (True, True, False, False)
    """
    while isinstance(dist, Deadline | GoNoGo):
        dist = dist.base
    t = getattr(dist, "t", None)
    return t is not None and not (isinstance(t, int | float) and t == 0)


def untimed_option(dist: Any) -> int | None:
    """The option of a distribution that has no time, as no-go, or no response by a deadline; None if all have one.

    Examples
    --------
    >>> from pyem.model.times.wiener import Wiener
    >>> untimed_option(Deadline(Wiener(1.0, 1.5), 2.0)), untimed_option(Wiener(1.0, 1.5))
    (2, None)
    """
    if isinstance(dist, WithOutliers):
        return dist.untimed
    if isinstance(dist, GoNoGo):
        return 0
    return dist.base.n_options if isinstance(dist, Deadline) else None

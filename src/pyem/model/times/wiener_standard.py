"""Density of the first passage of a Wiener process without drift between two bounds of distance 1, with its derivatives.

It is the density of the lower bound; the process starts at the share `w` of the way from there. Two series are known: one
converges fast for small, one for large standardised times (Navarro & Fuss, 2009). Where they meet, five terms of either are
exact to 14 digits, so that both are short and no number of terms is looked for. Each is evaluated at a time where it is finite,
and one of them chosen; so derivatives are finite, too.

References
----------
Navarro, D. J., & Fuss, I. G. (2009). Fast and accurate calculations for first-passage times in Wiener diffusion models. Journal
of Mathematical Psychology, 53(4), 222-230. https://doi.org/10.1016/j.jmp.2009.02.003
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from pyem.model.times.few import Derived, with_slopes

MEET = 0.3
"""Standardised time up to which the series for small times is used."""


class Slopes(NamedTuple):
    """Logarithm of the density without drift, and its first four derivatives by the start, each divided by the density.

    Those by the standardised time follow from them: it obeys the equation of heat.
    """

    log_f: Array
    w: Array
    ww: Array
    www: Array
    wwww: Array


def _early(s: Array, w: Array) -> Slopes:
    b, c = jnp.exp(-2 * w / s), jnp.exp(-2 * (1 - w) / s)
    b2, c4 = b * b, c**4
    images = ((w, 1.0), (w + 2, b2 * c), (w - 2, c), (w + 4, b2**3 * c4), (w - 4, b2 * c4))
    total = [jnp.zeros_like(s)] * 5
    for x, e in images:
        u = x * x / s
        by_order = (x, 1 - u, x * (u - 3) / s, (6 * u - 3 - u * u) / s, x * (15 - 10 * u + u * u) / s**2)
        total = [old + new * e for old, new in zip(total, by_order, strict=True)]
    log_f = -0.5 * math.log(2 * math.pi) - 1.5 * jnp.log(s) - w**2 / (2 * s) + jnp.log(total[0])
    return Slopes(log_f, *(part / total[0] for part in total[1:]))


def _late(s: Array, w: Array) -> Slopes:
    q, c = jnp.exp(-0.5 * math.pi**2 * s), jnp.cos(math.pi * w)
    # The sine of the distance to the nearer bound keeps its digits at both bounds.
    sine, c2, q3 = jnp.sin(math.pi * jnp.where(w < 0.5, w, 1 - w)), c * c, q**3
    odd = (1.0, 2 * c, 4 * c2 - 1, 4 * c * (2 * c2 - 1))
    even = (c, 2 * c2 - 1, c * (4 * c2 - 3), 8 * c2 * (c2 - 1) + 1)
    size = (1.0, q3, q3 * q3 * q * q, q3**5)
    sums: list[Array] = []
    for n in range(5):
        total = jnp.zeros_like(s)
        for k, part, e in zip((1, 2, 3, 4), even if n % 2 else odd, size, strict=True):
            total = total + k ** (n + 1) * part * e
        sums.append(total)
    f = sums[0]
    by_w = (sums[1] / sine, -sums[2], -sums[3] / sine, sums[4])
    slopes = (math.pi ** (n + 1) * part / f for n, part in enumerate(by_w))
    return Slopes(math.log(math.pi) - 0.5 * math.pi**2 * s + jnp.log(sine) + jnp.log(f), *slopes)


def slopes_by_start(s: Array, w: Array) -> Slopes:
    """The log-density at the standardised time `s`, above 0, and derivatives of the density by the start.

    Examples
    --------
    >>> found = slopes_by_start(jnp.asarray(0.5), jnp.asarray(0.5))
    >>> round(float(found.log_f), 4), round(float(found.ww), 3)
    (-1.3227, -9.87)
    """
    early = s < MEET
    sooner, later = _early(jnp.where(early, s, MEET), w), _late(jnp.where(early, MEET, s), w)
    return Slopes(*(jnp.where(early, one, other) for one, other in zip(sooner, later, strict=True)))


def _known(s: Array, w: Array) -> Derived:
    f = slopes_by_start(s, w)
    mixed = 0.5 * (f.www - f.ww * f.w)
    second = ((0.25 * (f.wwww - f.ww**2), mixed), (mixed, f.ww - f.w**2))
    return Derived(f.log_f, (0.5 * f.ww, f.w), second)


@with_slopes(_known)
def log_standard_density(s: Array, w: Array) -> Array:
    """Log-density, in nats, of reaching the lower bound at the standardised time `s`, above 0.

    Examples
    --------
    >>> round(float(log_standard_density(jnp.asarray(0.5), jnp.asarray(0.5))), 4)
    -1.3227
    """
    return slopes_by_start(s, w).log_f

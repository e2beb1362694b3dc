"""Values with their first and second derivatives by a few inputs, carried through a formula (second-order Taylor arithmetic).

A formula is written once, and gives its value alone where nothing carries a derivative. Derivatives that are 0 are left out and
those that are 1 are the number 1, so that inputs and constants cost nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from jax import Array

Number = Array | float


@dataclass(frozen=True)
class Jet:
    """A value and its derivatives.

    Parameters
    ----------
    value
        Numbers, each of which depends on the inputs at its own place.
    first
        Derivatives by the inputs.
    second
        Derivatives by pairs of inputs, of which the first has the larger number, or the same.

    Examples
    --------
    >>> x, y = inputs(jnp.asarray(3.0), jnp.asarray(2.0))
    >>> z = x * x * y
    >>> float(z.value), [float(slope) for slope in z.first.values()], float(z.second[1, 0])
    (18.0, [12.0, 9.0], 6.0)
    """

    value: Array
    first: Mapping[int, Number] = field(default_factory=dict)
    second: Mapping[tuple[int, int], Number] = field(default_factory=dict)

    def __add__(self, other: Jet | Number) -> Jet:
        other = _jet(other)
        return chain(self.value + other.value, {0: 1.0, 1: 1.0}, {}, (self, other))

    def __sub__(self, other: Jet | Number) -> Jet:
        other = _jet(other)
        return chain(self.value - other.value, {0: 1.0, 1: -1.0}, {}, (self, other))

    def __mul__(self, other: Jet | Number) -> Jet:
        other = _jet(other)
        return chain(self.value * other.value, {0: other.value, 1: self.value}, {(1, 0): 1.0}, (self, other))

    def __truediv__(self, other: Jet | Number) -> Jet:
        other = _jet(other)
        one = 1 / other.value
        ratio = self.value * one
        slopes = {0: one, 1: -ratio * one}
        return chain(ratio, slopes, {(1, 0): -one * one, (1, 1): 2 * ratio * one * one}, (self, other))

    def __rtruediv__(self, other: Number) -> Jet:
        return _jet(other) / self

    def through(self, among: Sequence[Jet]) -> Jet:
        """Differentiate by what `among` are made of, where its own inputs are these."""
        return chain(self.value, self.first, self.second, among)

    __radd__, __rmul__ = __add__, __mul__


def inputs(*values: Array) -> tuple[Jet, ...]:
    """Return jets of values by which is differentiated, numbered from 0."""
    return tuple(Jet(value, {k: 1.0}) for k, value in enumerate(values))


def constants(*values: Array) -> tuple[Jet, ...]:
    """Return jets of values that carry no derivative."""
    return tuple(Jet(value) for value in values)


def anew(among: Sequence[Jet]) -> tuple[Jet, ...]:
    """Return the values of jets as inputs themselves, or as constants if none carries a derivative; see `Jet.through`."""
    values = [jet.value for jet in among]
    return inputs(*values) if any(jet.first for jet in among) else constants(*values)


def chain(
    value: Array, first: Mapping[int, Number], second: Mapping[tuple[int, int], Number], among: Sequence[Jet]
) -> Jet:
    """A function of the jets `among`, from its derivatives by these, by the chain rule.

    Examples
    --------
    >>> (x,) = inputs(jnp.asarray(2.0))
    >>> x = x * x
    >>> float(chain(x.value**3, {0: 3 * x.value**2}, {(0, 0): 6 * x.value}, (x,)).second[0, 0])
    480.0
    """
    slopes: dict[int, Number] = {}
    bends: dict[tuple[int, int], Number] = {}
    for a, slope in first.items():
        for k, way in among[a].first.items():
            _add(slopes, k, _product(slope, way))
        for pair, way in among[a].second.items():
            _add(bends, pair, _product(slope, way))
    for (a, b), bend in second.items():
        for i, one in among[a].first.items():
            part = _product(bend, one)
            for j, other in among[b].first.items():
                # Of a pair of different jets both orders count, and both are met, unless the input is the same.
                if a != b or i >= j:
                    twice = 2.0 if a != b and i == j else 1.0
                    _add(bends, (max(i, j), min(i, j)), _product(_product(part, other), twice))
    return Jet(value, slopes, bends)


def sqrt(jet: Jet) -> Jet:
    """Square root."""
    root = jnp.sqrt(jet.value)
    slope = 0.5 / root
    return chain(root, {0: slope}, {(0, 0): -2 * slope**3}, (jet,))


def log(jet: Jet) -> Jet:
    """Natural logarithm."""
    slope = 1 / jet.value
    return chain(jnp.log(jet.value), {0: slope}, {(0, 0): -slope * slope}, (jet,))


def where(condition: Array, one: Jet | Number, other: Jet | Number) -> Jet:
    """Choose `one` where the condition holds, and `other` elsewhere."""
    one, other = _jet(one), _jet(other)
    first = {
        k: _chosen(condition, one.first.get(k, 0.0), other.first.get(k, 0.0)) for k in {**one.first, **other.first}
    }
    pairs = {**one.second, **other.second}
    second = {pair: _chosen(condition, one.second.get(pair, 0.0), other.second.get(pair, 0.0)) for pair in pairs}
    return Jet(jnp.where(condition, one.value, other.value), first, second)


def larger(one: Jet | Number, other: Jet | Number, band: Jet) -> Jet:
    """The larger of two, with a smooth passage where they differ by less than `band`, 0.14 of which it is too large at most.

    Its first four derivatives have no jumps. Outside the passage it is exact.

    Examples
    --------
    >>> [round(float(larger(1.0, other, Jet(jnp.asarray(0.1))).value), 4) for other in (0.8, 1.0, 1.2)]
    [1.0, 1.0137, 1.2]
    """
    one, other = _jet(one), _jet(other)
    t = (other.value - one.value) / band.value
    beyond, t = t >= 1, jnp.clip(t, -1.0, 1.0)
    # The second derivative is a cubed parabola; the first, a polynomial from 0 to 1.
    u = t * t
    bend = 35 / 32 * (1 - u) ** 3 / band.value
    slope = 0.5 + 35 / 32 * t * (1 - u + 3 / 5 * u**2 - u**3 / 7)
    height = 35 / 256 + t / 2 + 35 / 32 * u * (1 / 2 - u / 4 + u**2 / 10 - u**3 / 56)
    value = jnp.where(beyond, other.value, one.value + band.value * height)
    first = {0: 1 - slope, 1: slope, 2: height - t * slope}
    second = {(0, 0): bend, (1, 0): -bend, (1, 1): bend, (2, 0): t * bend, (2, 1): -t * bend, (2, 2): u * bend}
    return chain(value, first, second, (one, other, band))


def log_sum_exp(jet: Jet) -> Jet:
    """Logarithm of the sum of exponentials over the first axis."""
    total = jax.nn.logsumexp(jet.value, axis=0)
    if not jet.first:
        return Jet(total)
    p = jnp.exp(jet.value - total)
    first = {k: (p * slope).sum(0) for k, slope in jet.first.items()}
    second: dict[tuple[int, int], Number] = {}
    for i, one in jet.first.items():
        for j, other in jet.first.items():
            if i >= j:
                within = one * other + jet.second.get((i, j), 0.0)
                second[i, j] = (p * within).sum(0) - first[i] * first[j]
    return Jet(total, first, second)


def _jet(value: Jet | Number) -> Jet:
    return value if isinstance(value, Jet) else Jet(jnp.asarray(value))


def _is_one(number: Number) -> bool:
    return isinstance(number, float) and number == 1.0


def _product(one: Number, other: Number) -> Number:
    return other if _is_one(one) else one if _is_one(other) else one * other


def _add(totals: dict, key: int | tuple[int, int], term: Number) -> None:
    totals[key] = totals[key] + term if key in totals else term


def _chosen(condition: Array, one: Number, other: Number) -> Number:
    same = isinstance(one, float) and isinstance(other, float) and one == other
    return one if same else jnp.where(condition, one, other)

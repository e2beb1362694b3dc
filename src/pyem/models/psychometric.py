"""Psychometric functions: how the probability of a response grows with the intensity of what is shown."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from pyem.model.distribution import Categorical
from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.record import Record
from pyem.model.times.tails import log_ndtr
from pyem.model.transform import Interval, Positive, Real
from pyem.models.judgement import judged, shown

Form = Literal["logistic", "normal", "weibull"]

THRESHOLD = Parameter("threshold", Real(), "intensity at which the function is half way up")
SCALE = Parameter("threshold", Positive(), "intensity at which the Weibull function is 63 % of the way up")
SLOPE = Parameter("slope", Positive(), "steepness, per unit of intensity", mean=0.7, sd=0.5)
SHAPE = Parameter("slope", Positive(), "shape of the Weibull function", mean=0.9, sd=0.4)
GUESS = Parameter("guess", Interval(0, 0.5), "probability of a positive response where nothing is seen", mean=-2.0)
LAPSE = Parameter("lapse", Interval(0, 0.5), "probability of a wrong response where all is seen", mean=-2.5)

_WICHMANN = "https://doi.org/10.3758/BF03194544"


def _log_way_up(form: Form, p: Record, intensity: Array) -> tuple[Array, Array]:
    """Logarithms of the height of the function, as a share of its range, and of the rest up to the top."""
    if form == "weibull":
        there = intensity > 0
        # Nothing is detected at intensity 0, the logarithm of which has no derivative.
        log_ratio = jnp.log(jnp.where(there, intensity, 1.0)) - jnp.log(p.threshold)
        log_rate = jnp.where(p.slope > 0, p.slope * log_ratio, 0.0)
        rate = jnp.where(there, jnp.exp(jnp.minimum(log_rate, 700.0)), 0.0)
        seen = jnp.where(there & (rate > 0), -jnp.expm1(-jnp.where(there, rate, 1.0)), 0.0)
        return jnp.where(seen > 0, jnp.log(jnp.where(seen > 0, seen, 1.0)), -jnp.inf), -rate
    z = p.slope * (intensity - p.threshold)
    if form == "normal":
        return log_ndtr(z), log_ndtr(-z)
    return jax.nn.log_sigmoid(z), jax.nn.log_sigmoid(-z)


@dataclasses.dataclass(frozen=True)
class _Psychometric:
    form: Form
    guess: float | None

    def log_chances(self, p: Record, trial: Record) -> Array:
        guess = p.guess if self.guess is None else self.guess
        up, left = (jnp.exp(one) for one in _log_way_up(self.form, p, trial.intensity))
        # Both sums are of positive terms, so that neither is lost to rounding.
        return jnp.log(jnp.stack([p.lapse * up + (1 - guess) * left, (1 - p.lapse) * up + guess * left]))

    def __call__(self, p: Record, trial: Record) -> Categorical:
        return Categorical(self.log_chances(p, trial))

    def latents(self, p: Record, trial: Record) -> dict[str, Array]:
        return {"p_positive": jnp.exp(self.log_chances(p, trial)[1])}


@dataclasses.dataclass(frozen=True)
class _IntensityScale:
    """Typical thresholds and slopes, on the scale of the intensities."""

    form: Form

    def __call__(self, model: Model, x: np.ndarray, y: np.ndarray) -> Model:
        values = np.asarray(x, float).ravel()
        size = float(values.std()) if values.size else 0.0
        if not size > 0:
            return model
        known: dict[str, tuple[float, float]] = {}
        if self.form != "weibull":
            known = {"threshold": (float(values.mean()), size), "slope": (float(np.log(2 / size)), 1.0)}
        elif (values > 0).any():
            known = {"threshold": (float(np.log(np.median(values[values > 0]))), 1.0)}
        parameters = (
            dataclasses.replace(one, mean=known[one.name][0], sd=known[one.name][1]) if one.name in known else one
            for one in model.parameters
        )
        return dataclasses.replace(model, parameters=tuple(parameters))


@functools.lru_cache
def psychometric(form: Form = "logistic", guess: float | None = None) -> Model:
    """The probability of a positive response (``choice`` 1: yes, right, longer) as a function of ``intensity``.

    P(choice = 1) = guess + (1 - guess - lapse) F(intensity), where F is logistic or normal in slope (intensity - threshold), or
    Weibull, 1 - exp(-(intensity / threshold)^slope), of intensities above 0.

    From 400 answers ``guess`` is hardly recovered (r .4 to .5): hold it at what guessing gives, ``psychometric(guess=0.5)`` of
    two alternatives, or at 0 where nobody guesses.

    Parameters
    ----------
    form
        ``"logistic"``, ``"normal"`` or ``"weibull"``.
    guess
        The probability of a right guess, given by the task: .5 between two alternatives, .25 of four. A free parameter, up to
        .5, if not given. With few trials near the ends, fix ``lapse`` as well: ``pyem.fix(model, lapse=0.02)``.

    References
    ----------
    Wichmann, F. A., & Hill, N. J. (2001). The psychometric function: I. Fitting, sampling, and goodness of fit. Perception &
    Psychophysics, 63(8), 1293-1313. https://doi.org/10.3758/BF03194544

    Examples
    --------
    >>> psychometric().names, psychometric("weibull", guess=0.5).names
    (('threshold', 'slope', 'guess', 'lapse'), ('threshold', 'slope', 'lapse'))
    """
    if form not in ("logistic", "normal", "weibull") or (guess is not None and not 0 <= guess < 1):
        raise ValueError(
            f"form={form!r}, guess={guess}; the form is 'logistic', 'normal' or 'weibull', and guess a probability below 1"
        )
    if guess is not None and guess > 0.5:
        raise ValueError(f"guess={guess}: with guesses that are mostly right, code the other response as 1")
    place = (SCALE, SHAPE) if form == "weibull" else (THRESHOLD, SLOPE)
    levels = (0.25, 0.5, 1.0, 2.0, 4.0) if form == "weibull" else (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0)
    return judged(
        "psychometric" if form == "logistic" else f"psychometric_{form}",
        (*place, *(() if guess is not None else (GUESS,)), LAPSE),
        _Psychometric(form, guess),
        options=2,
        inputs=("intensity",),
        autoscale=_IntensityScale(form),
        share=True,
        task=shown(0, intensity=levels),
        doc=f"{form} psychometric function with guesses and lapses",
        reference=_WICHMANN,
    )


MODELS: dict[str, Callable[..., Model]] = {
    "psychometric": psychometric,
    "psychometric_normal": functools.partial(psychometric, "normal"),
    "psychometric_weibull": functools.partial(psychometric, "weibull"),
}

"""The pyEM functions of the diffusion model: drift by the difference of two values, responses with their times."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from pyem.compat.adapt import Bundle, bundle, renamed
from pyem.compat.fields import Fields, Values, numbers, people_of, refuse, whole
from pyem.compat.first_passage import A_CAP, T0_CAP, T0_SHIFT
from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.record import Record
from pyem.model.times import Wiener
from pyem.model.transform import Interval, Real

NAMES = ("v_coef", "a", "t0", "z")
LARGEST_V = 20.0
IMPOSSIBLE = -1e3
"""Reported log-density of a trial where it is not finite."""

Offers = Callable[[np.random.Generator, tuple[int, int]], dict[str, np.ndarray]]
"""Function that draws random columns of a task, (S, T) each."""


@dataclasses.dataclass(frozen=True)
class Shifted:
    """A transform whose unconstrained scale is shifted."""

    limit: ClassVar[float] = Interval.limit
    inner: Interval
    by: float

    @property
    def bounds(self) -> tuple[float, float]:
        """Smallest and largest natural value."""
        return self.inner.bounds

    def __call__(self, x: Any) -> Any:
        """Map unconstrained to natural values."""
        return self.inner(x - self.by)

    def inv(self, y: Any) -> Any:
        """Map natural to unconstrained values."""
        return self.inner.inv(y) + self.by

    def log_det(self, x: Any) -> Any:
        """Log absolute derivative of the forward map at unconstrained `x`."""
        return self.inner.log_det(x - self.by)


@dataclasses.dataclass(frozen=True)
class _Diffusion:
    """Log-likelihood of each trial: of the choice with its time, or of the choice alone where the time is missing."""

    first: str
    second: str

    def __call__(self, p: Record, trials: Record) -> Array:
        dist = Wiener(p.v_coef * (trials[self.first] - trials[self.second]), p.a, p.z, p.t0)
        chosen = trials.choice.astype(int)
        alone = jax.nn.log_softmax(dist.logits)[jnp.arange(len(chosen)), chosen]
        return jnp.where(trials.timed == 1, dist.log_prob((chosen, trials.rt)), alone)


@functools.lru_cache
def _model(id: str, first: str, second: str) -> Model:
    return Model(
        id,
        (
            Parameter("v_coef", Real(), "drift per unit of the difference in value", mean=1.0, sd=1.0),
            Parameter("a", Interval(0, A_CAP), "separation of the bounds", mean=-0.5),
            Parameter("t0", Shifted(Interval(0, T0_CAP), T0_SHIFT), "non-decision time, in seconds", mean=1.0),  # type: ignore[arg-type]
            Parameter("z", Interval(0, 1), "start, as a share of the separation", sd=0.5),
        ),
        log_likelihood=_Diffusion(first, second),
        inputs=("rt", "timed", first, second),
        responses=("choice",),
    )


def diffusion(id: str, task: str, columns: tuple[str, str], desc: str, offers: Offers) -> Bundle:
    """The functions of a diffusion model.

    Parameters
    ----------
    id, desc
        Entries of the `ModelSpec`.
    task
        The task, in words.
    columns
        The two values of a trial; drift is by the first less the second, and the upper bound is the first.
    offers
        Random columns for simulations.
    """
    model = _model(id, *columns)
    kind = _Kind(model, columns, offers)
    return bundle(
        id,
        module="pyem.models.ddm",
        desc=desc,
        spec={
            "ddm": list(NAMES),
            "task": task,
            "boundaries": {"upper": columns[0].removeprefix("ev_"), "lower": columns[1]},
        },
        fields=_named(kind.fields, columns),
        model=lambda subjects, n_params: model,
        report=_named(kind.report, columns),
        simulate=_documented(kind.simulate, columns),
        allowed=kind.allowed,
    )


@dataclasses.dataclass(frozen=True)
class _Kind:
    """The columns, the report and the simulation of one task."""

    model: Model
    columns: tuple[str, str]
    offers: Offers

    def fields(self, rt: Any, choice: Any, first: Any, second: Any) -> Fields:
        """One subject's columns of the model, (1, T)."""
        given = {"rt": rt, "choice": choice, **dict(zip(self.columns, (first, second), strict=True))}
        found = {name: numbers(name, values) for name, values in given.items()}
        for name, values in found.items():
            if values.shape != found["rt"].shape or len(values) != 1:
                raise ValueError(
                    f"{name} must have shape (ntrials,), as many as rt, but rt has {np.shape(rt)} and {name} "
                    f"{np.shape(given[name])}"
                )
        codes, timed = found["choice"], ~np.isnan(found["rt"])
        # A time-out has neither choice nor time.
        answered = ~np.isnan(codes) & (codes != -1)
        odd = codes[answered & (codes != 0) & (codes != 1)]
        if len(odd):
            raise ValueError(f"choice has {odd[0]:g}; expected 1 for the upper and 0 for the lower bound, or NaN")
        return {
            **found,
            "choice": np.where(answered, codes, -1).astype(int),
            "rt": np.where(timed, found["rt"], 1.0),
            "timed": timed.astype(float),
        }

    def report(self, values: Values, rt: Any, choice: Any, first: Any, second: Any) -> dict[str, Any]:
        """Report (``output="all"``) of one subject."""
        v_coef, _, t0, _ = values.params
        columns = self.fields(rt, choice, first, second)
        drift = v_coef * (columns[self.columns[0]] - columns[self.columns[1]])[0]
        density = np.where((columns["timed"][0] == 1) & (columns["rt"][0] <= t0), IMPOSSIBLE, values.log_lik[0])
        density = np.where(np.isfinite(density), density, IMPOSSIBLE)
        density = np.where(columns["choice"][0] < 0, np.nan, density)
        shown = {"rt": rt, "choice": choice, self.columns[0]: first, self.columns[1]: second}
        return {**shown, "v": drift, "logdens": density, "nll": -float(np.nansum(density))}

    def allowed(self, params: np.ndarray, rt: Any, *others: Any) -> bool:
        """Whether parameters are in range, and every response is slower than the non-decision time."""
        v_coef, a, t0, z = params
        times = numbers("rt", rt)
        fine = abs(v_coef) <= LARGEST_V and 0 < a <= A_CAP and 0 <= t0 <= T0_CAP and 0 < z < 1
        return bool(fine and not (times[~np.isnan(times)] <= t0).any())

    def simulate(
        self,
        params: Any,
        ntrials: int = 150,
        dt: float = 1e-4,
        max_time: float = 8.0,
        rng: np.random.Generator | None = None,
        seed: int | None = None,
        **ignored: Any,
    ) -> dict[str, Any]:
        """Simulate people with these parameters."""
        del dt
        values, rng = within(params), generator(rng, seed)
        size = (len(values), whole("ntrials", ntrials))
        shown = self.offers(rng, size)
        v_coef, a, t0, z = values.T[:, :, None]
        drift = v_coef * (shown[self.columns[0]] - shown[self.columns[1]])
        choice, rt = _drawn(drift, a, z, t0, int(rng.integers(2**31 - 1)))
        late = rt - t0 > max_time
        return {
            "params": values,
            "rt": np.where(late, np.nan, rt),
            "choice": np.where(late, -1, choice).astype(int),
            **shown,
            "v": drift,
        }


@jax.jit
def _sampled(v: Array, a: Array, z: Array, t0: Array, key: Array) -> tuple[Array, Array]:
    return Wiener(v, a, z, t0).sample(key)


def _drawn(v: np.ndarray, a: Any, z: Any, t0: Any, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw choices and response times (S, T), exactly from their distribution."""
    with jax.enable_x64(True):
        choice, rt = _sampled(*np.broadcast_arrays(v, a, z, t0), jax.random.key(seed))
        return np.asarray(choice), np.asarray(rt)


def generator(rng: np.random.Generator | None, seed: int | None) -> np.random.Generator:
    """Return the given generator, or one made from a seed; without either, one seeded at random."""
    if rng is not None and seed is not None:
        raise ValueError("give either rng or seed, not both")
    return np.random.default_rng(seed) if rng is None else rng


def within(params: Any) -> np.ndarray:
    """Parameters (S, 4) of simulated people.

    Raises
    ------
    ValueError
        If they have another shape, or a value is out of bounds.
    """
    values = people_of(params, NAMES)
    v_coef, a, t0, z = values.T
    refuse(~(np.abs(v_coef) <= LARGEST_V), v_coef, "v_coef", f"v_coef out of bounds [-{LARGEST_V:g}, {LARGEST_V:g}]")
    refuse(~((a > 0) & (a <= A_CAP)), a, "a", f"a (boundary) out of bounds (0, {A_CAP}]")
    refuse(~((t0 >= 0) & (t0 <= T0_CAP)), t0, "t0", f"t0 out of bounds [0, {T0_CAP}]")
    refuse(~((z > 0) & (z < 1)), z, "z", "z (bias) must be in (0, 1)")
    return values


def high_and_low(rng: np.random.Generator, size: tuple[int, int]) -> dict[str, np.ndarray]:
    """Draw two sure amounts, of which the first is the larger one."""
    low = rng.uniform(1.0, 3.0, size)
    return {"value_high": low + rng.uniform(0.1, 1.5, size), "value_low": low}


def risky_and_safe(rng: np.random.Generator, size: tuple[int, int]) -> dict[str, np.ndarray]:
    """Draw the expected value of a gamble, and a sure amount near it."""
    risky = rng.uniform(0.1, 0.9, size) * rng.uniform(1.0, 4.0, size)
    return {"ev_risky": risky, "safe": risky - rng.uniform(-1.2, 1.2, size)}


def _named(function: Callable[..., Any], columns: tuple[str, str]) -> Callable[..., Any]:
    return renamed(function, first=columns[0], second=columns[1])


def _documented(simulate: Callable[..., Any], columns: tuple[str, str]) -> Callable[..., Any]:
    @functools.wraps(simulate)
    def documented(*args: Any, **kwargs: Any) -> dict[str, Any]:
        return simulate(*args, **kwargs)

    documented.__doc__ = _SIM_DOC.format(first=columns[0], second=columns[1])
    return documented


_SIM_DOC = """Simulate people whose choices and response times are those of a diffusion process.

Times are drawn from their distribution itself.

Parameters
----------
params
    Natural parameters, (S, 4): v_coef, a, t0, z. Noise has the standard deviation 1 per square root of a second.
ntrials
    Trials.
dt
    Has no effect: there are no steps.
max_time
    Seconds of a decision, at most; later ones are time-outs, with the choice -1 and no time.
rng, seed
    A generator, or a whole number.
**ignored
    Settings of other tasks.

Returns
-------
dict
    ``params`` (S, 4); ``rt`` in seconds, ``choice``, 1 for the upper bound, ``{first}, {second}``, and the drift ``v``, (S, T).
"""

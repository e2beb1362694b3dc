"""Models of behaviour: three pure functions of one trial, from which everything else is derived."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from pyem.model.design import BlockDesign, Slope
from pyem.model.parameter import Parameter, along, placed
from pyem.model.record import Record
from pyem.model.times.outliers import LONGEST
from pyem.model.transform import Transform

RESERVED = ("responded", "learn", "seen", "counted")
"""Masks that come with every trial, so that no column can have their names."""


Recipe = tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]
"""Recipe of a model: steps, each a name and its keyword arguments."""


@dataclasses.dataclass(frozen=True)
class Model:
    """A model of one subject's responses, one trial at a time.

    Give either `policy` (with `init` and `update` where there is something to learn) or `log_likelihood`.
    Instances are hashable and compare by value: two equal models share one compilation.

    Parameters
    ----------
    name
        Identifier, for example ``"rw1a1b"``.
    parameters
        The free parameters, in order.
    policy
        ``policy(p, state, trial)`` returns the distribution of the response on this trial (an object with
        ``log_prob`` and ``sample``), or a dict of them by response column; of a pair by its first column. Of a response that
        depends on what was done and shown earlier in the same trial (see `between`), the dict has a function of the trial in
        place of the distribution.
    init
        ``init(p)`` returns the state before the first trial of a block: an array, or a tuple or dict of arrays. A dict may have
        an entry ``"diverged"``, 0 until an update has no value and 1 from then on, which makes all later responses impossible.
        Entries whose names begin with an underscore are not shown among the latents.
    update
        ``update(p, state, trial)`` returns the state after the trial and a dict of what is worth plotting.
    log_likelihood
        ``log_likelihood(p, trials)`` returns the log-likelihood of each trial of a block, or their sum, in nats, for
        models without trial structure. ``trials`` has each field with the trials along the first axis and
        ``trials.responded``, False where a trial must not count.
    options
        Number of options of a categorical response.
    responses, outcomes, inputs
        Columns that the model explains, learns from, and is shown before it responds. A trial with a missing input or
        response is left out of the likelihood. A pair of responses is one joint response, ``(("choice", "rt"),)``: the policy
        returns one distribution of both (`pyem.model.joint.JointDistribution`), and where the second is missing the first one
        counts by itself.
    between
        Responses that follow on others of the same trial, and the columns that are shown just before them:
        ``(("choice2", ("state2",)),)``. ``policy`` is not shown these, but the function that it returns for the response is:
        ``{"choice1": dist, "choice2": lambda trial: ...}``. Where such a column is missing, only that response is left out of
        the likelihood. An earlier response among them says that there is no telling without it.
    updates
        On which trials the state moves on: those ``"responded"`` to, with every response, whose outcomes are known (a
        trial with a missed response teaches nothing); all those ``"shown"``, answered or not, for what is learned
        without a response; or ``"always"``.
    lagged
        Columns of earlier trials of the block that the policy needs too: ``(("y", 1),)`` for the last trial's y. A
        trial is left out of the likelihood where they are missing.
    input_codes
        Columns that are codes, apart from the first response, and how many codes each has: ``(("option_left", 4),)``.
    optional
        Columns that may be missing: they keep no trial from counting or teaching. ``trial.seen[name]`` says whether the
        value was there, and the model knows what to do without it. A response that is missing is left out of the
        likelihood itself in any case.
    share
        Look for decisions that were made in the same state of mind, and evaluate each state once (see `pyem.engine.contexts`).
        For models with few different trials, and blocks that start afresh.
    reward_range
        Lowest and highest outcome, which the functions find as ``p.reward_low`` and ``p.reward_high``; ``"auto"``: fits take it
        from the data, ``"auto_zero"``: from 0 to the largest size of an outcome where 0 is among them. Until then, 0 and 1.
        None: the functions do not ask for it.
    longest_outlier
        Seconds up to which outliers come, ``p.longest_outlier``; ``"auto"``: as late as the latest response of the data.
    autoscale
        Gives the typical population of these parameters on the scale of data; see `pyem.engine.scale`.
    standard
        Whether unconstrained values are deviations from the typical population in its sds, (P,); none if empty. Searches use it
        inside, where parameters have units.
    task
        Default task for simulations.
    doc, reference
        Description of the model, and its publication.
    fixed, tied
        Parameters held at a value, and parameters that copy another (see `fix` and `tie`).
    slopes
        Parameters that differ from trial to trial with columns of the data; made by a design (see `pyem.regress`).
    design
        Relation of the parameters of a block to the estimated ones; made by a design.
    joint
        The pairs among the responses; made of `responses`.
    seconds
        Columns that are response times in seconds: milliseconds, and times that are not above 0, are an error.
    from_zero
        Whether the range of rewards is one of their sizes, gains and losses alike; made of ``reward_range="auto_zero"``, and
        kept when that becomes numbers.
    recipe
        Steps by which `pyem.models.get`, `fix` and others made this model, so that a saved fit can name it: the registered
        name with its options, then each function with its arguments. Empty for models made otherwise.

    Examples
    --------
    >>> from pyem.models import get
    >>> get("rw1a1b").names
    ('beta', 'alpha')
    """

    name: str
    parameters: tuple[Parameter, ...]
    policy: Callable[..., Any] | None = None
    init: Callable[..., Any] | None = None
    update: Callable[..., Any] | None = None
    log_likelihood: Callable[..., Any] | None = None
    options: int | None = None
    responses: tuple[Any, ...] = ("choice",)
    outcomes: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    input_codes: tuple[tuple[str, int], ...] = ()
    between: tuple[tuple[str, tuple[str, ...]], ...] = ()
    updates: Literal["responded", "shown", "always"] = "responded"
    lagged: tuple[tuple[str, int], ...] = ()
    optional: tuple[str, ...] = ()
    share: bool = False
    reward_range: tuple[float, float] | Literal["auto", "auto_zero"] | None = None
    longest_outlier: float | Literal["auto"] | None = None
    autoscale: Callable[..., Any] | None = None
    standard: tuple[bool, ...] = ()
    task: Any = None
    doc: str = ""
    reference: str = ""
    fixed: tuple[tuple[str, float], ...] = ()
    tied: tuple[tuple[str, str], ...] = ()
    slopes: tuple[Slope, ...] = ()
    design: BlockDesign | None = None
    joint: tuple[tuple[str, str], ...] = ()
    seconds: tuple[str, ...] = ()
    from_zero: bool = False
    recipe: Recipe = dataclasses.field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", tuple(self.parameters))
        object.__setattr__(self, "from_zero", self.from_zero or self.reward_range == "auto_zero")
        self._take_pairs()
        if (self.policy is None) == (self.log_likelihood is None):
            raise ValueError(f"model {self.name!r} needs either policy= or log_likelihood=, and not both")
        if self.update is not None and self.init is None:
            raise ValueError(
                f"model {self.name!r} has update= but no init=; give init=lambda p: <state before trial 1>"
            )
        if self.updates not in ("responded", "shown", "always"):
            raise ValueError(
                f"model {self.name!r} has updates={self.updates!r}; choose 'responded', 'shown' or 'always'"
            )
        strange = [name for name, _ in self.between if name not in self.responses]
        if strange:
            raise ValueError(
                f"model {self.name!r} has between= for {', '.join(map(repr, strange))}, but its responses are "
                f"{', '.join(self.responses)}; say before which of them something is shown"
            )
        unknown = [name for name, _ in self.lagged if name not in self.columns]
        if unknown:
            raise ValueError(
                f"model {self.name!r} has lagged={unknown}, but its columns are {', '.join(self.columns)}; "
                "name them among inputs=, responses= or outcomes="
            )
        taken = [name for name in self.columns if name in RESERVED]
        if taken:
            raise ValueError(
                f"model {self.name!r} has a column {taken[0]!r}, but a trial has {', '.join(RESERVED)} of its own; name the "
                "column otherwise"
            )
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"model {self.name!r} has parameters of the same name: {', '.join(self.names)}")

    def _take_pairs(self) -> None:
        """Write pairs of responses one after another; the second may be missing, and follows on the first."""
        pairs = tuple(
            (str(first), str(second)) for first, second in (r for r in self.responses if not isinstance(r, str))
        )
        if not pairs:
            return
        flat = [name for r in self.responses for name in ((r,) if isinstance(r, str) else r)]
        follows = tuple((second, ()) for _, second in pairs)
        object.__setattr__(self, "responses", tuple(flat))
        object.__setattr__(self, "joint", pairs)
        object.__setattr__(self, "between", (*self.between, *follows))
        object.__setattr__(self, "optional", (*self.optional, *(second for _, second in pairs)))

    def __repr__(self) -> str:
        return f"Model({self.name!r}, parameters=({', '.join(self.names)}))"

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each free value, in the order of the unconstrained vector."""
        return tuple(name for parameter in self.parameters for name in parameter.names)

    @property
    def n_params(self) -> int:
        """Number of free values, P."""
        return len(self.names)

    @property
    def discrete(self) -> dict[str, tuple[float, ...]]:
        """The values of each discrete parameter."""
        return {one.name: one.values for one in self.parameters if one.values is not None}

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that a data set must have."""
        before = dict(self.between)
        shown = {name: [c for c in before.get(name, ()) if c not in self.responses] for name in self.responses}
        done = [column for name in self.responses for column in (*shown[name], name)]
        return (*self.inputs, *done, *self.outcomes)

    @property
    def shown_between(self) -> tuple[str, ...]:
        """Columns that are shown after one response of a trial and before another."""
        return tuple(column for _, columns in self.between for column in columns if column not in self.responses)

    @property
    def coded(self) -> tuple[tuple[str, int], ...]:
        """Columns that are codes 0, 1, ..., and how many codes each has."""
        response = () if self.options is None else ((self.responses[0], self.options),)
        return self.input_codes + response

    @property
    def typical(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and sd (P,) of a typical population on the unconstrained scale."""
        (mean, sd), (shift, scale) = self.in_units_typical, self.units
        return (mean - shift) / scale, sd / scale

    @property
    def in_units_typical(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and sd (P,) of a typical population in the units of the parameters, also of a `standard` model."""
        return np.asarray(self._each("mean"), float), np.asarray(self._each("sd"), float)

    @property
    def units(self) -> tuple[Any, Any]:
        """Shift and scale (P,) from unconstrained values to the units of the parameters, traced if they are traced values."""
        mean, sd, which = self._each("mean"), self._each("sd"), np.array(self.standard or (False,) * self.n_params)
        where: Any = jnp.where if isinstance(sd, Array) else np.where
        return where(which, mean, 0.0), where(which, sd, 1.0)

    def _each(self, name: str) -> Any:
        """Mean or sd of every value, (P,), traced if it is a traced value."""
        given = [getattr(parameter, name) for parameter in self.parameters]
        pairs = zip(self.parameters, given, strict=True)
        each = [v for p, one in pairs for v in (one if isinstance(one, tuple) else (one,) * len(p.names))]
        return jnp.stack(each) if any(isinstance(v, Array) for v in each) else each

    @property
    def range(self) -> tuple[Any, Any]:
        """Lowest and highest outcome; 0 and 1 until a fit takes them from data."""
        return self.reward_range if isinstance(self.reward_range, tuple) else (0.0, 1.0)

    @property
    def told(self) -> tuple[tuple[str, Any], ...]:
        """Numbers by name that the functions find among the parameters: held values, and those taken from data."""
        ends = () if self.reward_range is None else zip(("reward_low", "reward_high"), self.range, strict=True)
        longest = LONGEST if self.longest_outlier == "auto" else self.longest_outlier
        return (*self.fixed, *ends, *(() if longest is None else (("longest_outlier", longest),)))

    def in_units(self, x: Any) -> Any:
        """Convert unconstrained values of a `standard` model to the parameters' units; the first axis is the parameter."""
        if not self.standard:
            return x
        shift, scale = (jnp.asarray(part).reshape(-1, *[1] * (x.ndim - 1)) for part in self.units)
        return shift + scale * x

    def from_units(self, x: np.ndarray) -> np.ndarray:
        """Convert values in the units of the parameters to those of the model; the last axis is the parameter."""
        return (x - self.units[0]) / self.units[1] if self.standard else x

    @property
    def limits(self) -> np.ndarray:
        """Largest absolute unconstrained value of each parameter that a search may visit, (P,)."""
        return np.array([parameter.transform.limit for parameter in self.parameters for _ in parameter.names])

    def record(self, x: Array) -> Record:
        """Natural parameters by name from unconstrained `x`, whose first axis is the parameter."""
        values: dict[str, Any] = {}
        start, x = 0, self.in_units(x)
        for parameter in self.parameters:
            block = x[start : start + len(parameter.names)]
            values[parameter.name] = parameter.transform(block[0] if parameter.size is None else block)
            start += len(parameter.names)
        for slope in self.slopes:
            # A trial's value is computed from it on the unconstrained scale, see `pyem.model.design.on_trial`.
            values[slope.key] = jnp.stack([x[row] for row in slope.rows])
        values |= {name: jnp.full(x.shape[1:], value, x.dtype) for name, value in self.told}
        # The newest tie comes first, as its source may have been tied itself later on.
        for name, source in reversed(self.tied):
            values[name] = values[source]
        return Record(**values)

    def split_values(self) -> tuple[Model, tuple[Any, ...]]:
        """Split off the values of fixed parameters, values taken from data, and the typical population; return both parts.

        What is compiled for it serves all values; `join_values` puts them back. The likelihood depends on the typical
        population of a `standard` model only.

        Examples
        --------
        >>> import pyem
        >>> one, other = (pyem.fix(pyem.models.get("rw1a1b"), alpha=alpha) for alpha in (0.1, 0.2))
        >>> one == other, one.split_values()[0] == other.split_values()[0], one.split_values()[1]
        (False, True, (0.1, 0.0, 1.0))
        """
        return self._split

    @functools.cached_property
    def _split(self) -> tuple[Model, tuple[Any, ...]]:
        # Cached: making and comparing a model takes longer than most other parts of a call of compiled code.
        typical = (*self._each("mean"), *self._each("sd")) if self.standard else ()
        values = (*(value for _, value in self.told), *typical)
        name = self.name
        for parameter, value in self.fixed:
            # Names hold the numbers that `fix` wrote; numbers traced by JAX come from `join_values` and are in no name.
            if isinstance(value, float | int):
                name = name.replace(f"{parameter}={value:g}", parameter)
        without = tuple((parameter, 0.0) for parameter, _ in self.fixed)
        parameters = tuple(dataclasses.replace(parameter, mean=0.0, sd=1.0) for parameter in self.parameters)
        span = None if self.reward_range is None else (0.0, 1.0)
        told: Any = {"reward_range": span, "longest_outlier": None if self.longest_outlier is None else LONGEST}
        bare = dataclasses.replace(self, name=name, fixed=without, parameters=parameters, recipe=(), **told)
        return (bare if self.design is None else dataclasses.replace(bare, design=self.design.without_values())), values

    def join_values(self, values: Any) -> Model:
        """Put these values back: the inverse of `split_values`."""
        left = iter(values)
        fixed = tuple((name, next(left)) for name, _ in self.fixed)
        span = None if self.reward_range is None else (next(left), next(left))
        last = None if self.longest_outlier is None else next(left)
        whole = self.design and self.design.with_values(values)
        people = placed(self.parameters, values[-2 * self.n_params :]) if self.standard else self.parameters
        told: Any = {"reward_range": span, "longest_outlier": last}
        return dataclasses.replace(self, fixed=fixed, design=whole, parameters=people, **told)

    def natural(self, x: np.ndarray) -> np.ndarray:
        """Convert unconstrained to natural values; the last axis is the parameter."""
        return self._along_parameters(np.moveaxis(self._plain(x), 0, -1), lambda transform, block: transform(block))

    def unconstrained(self, values: np.ndarray) -> np.ndarray:
        """Convert natural to unconstrained values; the last axis is the parameter.

        Raises
        ------
        ValueError
            If a value is outside the range of its parameter.
        """
        values = np.asarray(values, float)
        x = self._along_parameters(values, lambda transform, block: transform.inv(block))
        bad = ~np.isfinite(x)
        if bad.any():
            index = tuple(np.argwhere(bad)[0])
            parameter = self._parameter_at(index[-1])
            raise ValueError(
                f"{self.names[index[-1]]} = {values[index]:g} is outside the open range {parameter.transform.bounds} "
                f"of model {self.name!r}; give a value inside it"
            )
        return self.from_units(x)

    def log_det(self, x: np.ndarray) -> np.ndarray:
        """Log derivative of each natural value by its unconstrained one; the last axis is the parameter."""
        scale = np.log(self.units[1])
        plain = np.moveaxis(self._plain(x), 0, -1)
        return scale + self._along_parameters(plain, lambda transform, block: transform.log_det(block))

    def _plain(self, x: np.ndarray) -> np.ndarray:
        """Convert to the units of the parameters, with the parameter first; the last axis of `x` is the parameter."""
        x = np.moveaxis(np.asarray(x, float), -1, 0)
        if not self.standard:
            return x
        with jax.enable_x64(True):
            return np.asarray(self.in_units(x))

    def _parameter_at(self, index: int) -> Parameter:
        return [parameter for parameter in self.parameters for _ in parameter.names][index]

    def _along_parameters(self, x: np.ndarray, apply: Callable[[Transform, np.ndarray], Any]) -> np.ndarray:
        x = np.moveaxis(np.asarray(x, float), -1, 0)
        if len(x) != self.n_params:
            raise ValueError(f"model {self.name!r} has {self.n_params} parameters, but was given {len(x)} values")
        return along(self.parameters, x, apply)

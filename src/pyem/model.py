"""Models of behaviour: three pure functions of one trial, from which everything else is derived."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from pyem.distribution import Categorical, log_probs
from pyem.transform import Interval, Real, Transform


@jax.tree_util.register_pytree_node_class
class Record(Mapping[str, Any]):
    """Named values with attribute access: the parameters of a subject (``p.alpha``) or a trial (``trial.reward``).

    Examples
    --------
    >>> Record(alpha=0.1).alpha
    0.1
    """

    __slots__ = ("_values",)

    def __init__(self, **values: Any) -> None:
        object.__setattr__(self, "_values", values)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(
                f"the model asks for {name!r}, but there are only {', '.join(self._values) or 'no fields'}; "
                "name it among the model's parameters, or map a column of the data to it"
            ) from None

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Record({', '.join(f'{k}={v!r}' for k, v in self._values.items())})"

    def with_values(self, **values: Any) -> Record:
        """A copy with some values replaced or added."""
        return Record(**{**self._values, **values})

    def tree_flatten(self) -> tuple[tuple[Any, ...], tuple[str, ...]]:
        """Children and names, for JAX."""
        return tuple(self._values.values()), tuple(self._values)

    @classmethod
    def tree_unflatten(cls, names: tuple[str, ...], children: Any) -> Record:
        """Rebuild from children and names, for JAX."""
        return cls(**dict(zip(names, children, strict=True)))


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A free parameter of a model.

    Parameters
    ----------
    name
        The field's usual name, for example ``"alpha"``.
    transform
        Bijection from the real line to the natural range.
    doc
        One line on what it means, with its unit.
    mean, sd
        A typical population on the unconstrained scale. Simulations without given values draw from it and fits start
        at its mean; no fit uses it as a prior unless asked.
    size
        Number of values, for vector parameters such as regression weights; None for a single number.

    Examples
    --------
    >>> Parameter("alpha", Interval(0, 1), "learning rate").name
    'alpha'
    """

    name: str
    transform: Transform = dataclasses.field(default_factory=Real)
    doc: str = ""
    mean: float = 0.0
    sd: float = 1.0
    size: int | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """One name for each value."""
        return (self.name,) if self.size is None else tuple(f"{self.name}{k}" for k in range(self.size))


RESERVED = ("responded", "learn", "seen")
"""Masks that come with every trial, so that no column can have their names."""

Recipe = tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]
"""Steps, each a name and its keyword arguments."""


@dataclasses.dataclass(frozen=True)
class Model:
    """A model of what one subject does, one trial at a time.

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
        ``log_prob`` and ``sample``), or a dict of them by response column.
    init
        ``init(p)`` returns the state before the first trial of a block: an array, or a tuple or dict of arrays.
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
        response counts no likelihood.
    updates
        On which trials the state moves on: those ``"responded"`` to whose outcomes are known (a missed trial teaches
        nothing); all those ``"shown"``, answered or not, for what is learned without a response; or ``"always"``.
    lagged
        Columns of earlier trials of the block that the policy needs too: ``(("y", 1),)`` for the last trial's y. A
        trial counts no likelihood where they are missing.
    input_codes
        Inputs and outcomes that are codes, and how many codes each has: ``(("option_left", 4),)``.
    optional
        Inputs and outcomes that may be missing: they keep no trial from counting or teaching. ``trial.seen[name]`` says
        whether the value was there, and the model knows what to do without it.
    share
        Look for decisions that were made in the same state of mind, and evaluate each state once (see `pyem.contexts`). For
        models with few different trials, and blocks that start afresh.
    task
        Default task for simulations.
    doc, reference
        What the model says, and where it is published.
    fixed, tied
        Parameters held at a value, and parameters that copy another (see `fix` and `tie`).
    recipe
        How `pyem.models.get` and functions such as `fix` made this model, so that a saved fit can name it: the registered
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
    responses: tuple[str, ...] = ("choice",)
    outcomes: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    input_codes: tuple[tuple[str, int], ...] = ()
    updates: Literal["responded", "shown", "always"] = "responded"
    lagged: tuple[tuple[str, int], ...] = ()
    optional: tuple[str, ...] = ()
    share: bool = False
    task: Any = None
    doc: str = ""
    reference: str = ""
    fixed: tuple[tuple[str, float], ...] = ()
    tied: tuple[tuple[str, str], ...] = ()
    recipe: Recipe = dataclasses.field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", tuple(self.parameters))
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
    def columns(self) -> tuple[str, ...]:
        """All columns that a data set must have."""
        return (*self.inputs, *self.responses, *self.outcomes)

    @property
    def coded(self) -> tuple[tuple[str, int], ...]:
        """Columns that are codes 0, 1, ..., and how many codes each has."""
        response = () if self.options is None else ((self.responses[0], self.options),)
        return self.input_codes + response

    @property
    def typical(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and sd (P,) of a typical population on the unconstrained scale."""
        sizes = [len(parameter.names) for parameter in self.parameters]
        return (
            np.repeat([p.mean for p in self.parameters], sizes).astype(float),
            np.repeat([p.sd for p in self.parameters], sizes).astype(float),
        )

    @property
    def limits(self) -> np.ndarray:
        """Largest absolute unconstrained value of each parameter that a search may visit, (P,)."""
        return np.array([parameter.transform.limit for parameter in self.parameters for _ in parameter.names])

    def record(self, x: Array) -> Record:
        """Natural parameters by name from unconstrained `x`, whose first axis is the parameter."""
        values: dict[str, Any] = {}
        start = 0
        for parameter in self.parameters:
            block = x[start : start + len(parameter.names)]
            values[parameter.name] = parameter.transform(block[0] if parameter.size is None else block)
            start += len(parameter.names)
        values |= {name: jnp.full(x.shape[1:], value, x.dtype) for name, value in self.fixed}
        # The newest first: what a parameter is tied to may have been tied itself later on.
        for name, source in reversed(self.tied):
            values[name] = values[source]
        return Record(**values)

    def natural(self, x: np.ndarray) -> np.ndarray:
        """Natural from unconstrained values; the last axis is the parameter."""
        return self._along_parameters(x, lambda transform, block: transform(block))

    def unconstrained(self, values: np.ndarray) -> np.ndarray:
        """Unconstrained from natural values; the last axis is the parameter.

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
        return x

    def log_det(self, x: np.ndarray) -> np.ndarray:
        """Log derivative of each natural value by its unconstrained one; the last axis is the parameter."""
        return self._along_parameters(x, lambda transform, block: transform.log_det(block))

    def _parameter_at(self, index: int) -> Parameter:
        return [parameter for parameter in self.parameters for _ in parameter.names][index]

    def _along_parameters(self, x: np.ndarray, apply: Callable[[Transform, np.ndarray], Any]) -> np.ndarray:
        x = np.moveaxis(np.asarray(x, float), -1, 0)
        if len(x) != self.n_params:
            raise ValueError(f"model {self.name!r} has {self.n_params} parameters, but was given {len(x)} values")
        out, start = np.empty_like(x), 0
        with jax.enable_x64(True), np.errstate(all="ignore"):
            for parameter in self.parameters:
                block = slice(start, start + len(parameter.names))
                out[block] = np.asarray(apply(parameter.transform, x[block]))
                start = block.stop
        return np.moveaxis(out, 0, -1)


# ---------------------------------------------------------------------------------------------------------------------
# Models out of models
# ---------------------------------------------------------------------------------------------------------------------


def fix(model: Model, **values: float) -> Model:
    """The same model with some parameters held at given natural values.

    Raises
    ------
    ValueError
        If there is no such free parameter, it has several values, or the value is outside its range.

    Examples
    --------
    >>> from pyem.models import get
    >>> fix(get("rw1a1b"), alpha=0.1).names
    ('beta',)
    """
    for name, value in values.items():
        if _free(model, name).size is not None:
            raise ValueError(f"{name!r} of model {model.name!r} has several values; only single ones can be fixed")
        low, high = _free(model, name).transform.bounds
        if not (np.isfinite(value) and low <= value <= high):
            raise ValueError(
                f"{name}={value} is outside the range ({low:g}, {high:g}) of model {model.name!r}; give a value inside it"
            )
    fixed = tuple((name, float(value)) for name, value in sorted(values.items()))
    label = ", ".join(f"{name}={value:g}" for name, value in fixed)
    return _derived(_without(model, values, label), "fix", fixed, fixed=model.fixed + fixed)


def tie(model: Model, **sources: str) -> Model:
    """The same model with some parameters equal to others: ``tie(model, alpha_neg="alpha_pos")``.

    Raises
    ------
    ValueError
        If a name is no free parameter of the model, a parameter is tied to itself, or the two differ in range or size.

    Examples
    --------
    >>> from pyem.models import get
    >>> tie(get("rw2a1b"), alpha_neg="alpha_pos").names
    ('beta', 'alpha_pos')
    """
    for name, source in sources.items():
        target, origin = _free(model, name), _free(model, source)
        if (target.transform, target.size) != (origin.transform, origin.size):
            raise ValueError(
                f"cannot tie {name!r} to {source!r} in model {model.name!r}: the one is {target.transform}, the other "
                f"{origin.transform}; tie parameters of the same range and size"
            )
        if source in sources:
            raise ValueError(f"cannot tie {name!r} to {source!r}, which is itself tied; tie both to a free parameter")
    tied = tuple(sorted(sources.items()))
    label = ", ".join(f"{name}={source}" for name, source in tied)
    return _derived(_without(model, sources, label), "tie", tied, tied=model.tied + tied)


def _derived(model: Model, step: str, arguments: tuple[tuple[str, Any], ...] = (), **changes: Any) -> Model:
    """`model` with `changes`, and with the function that makes them added to its recipe."""
    recipe = (*model.recipe, (step, arguments)) if model.recipe else ()
    return dataclasses.replace(model, **changes, recipe=recipe)


def _free(model: Model, name: str) -> Parameter:
    for parameter in model.parameters:
        if parameter.name == name:
            return parameter
    names = ", ".join(parameter.name for parameter in model.parameters)
    raise ValueError(f"model {model.name!r} has no free parameter {name!r}; it has {names}")


def _without(model: Model, names: Mapping[str, Any], label: str) -> Model:
    kept = tuple(parameter for parameter in model.parameters if parameter.name not in names)
    return dataclasses.replace(model, name=f"{model.name}[{label}]", parameters=kept)


@dataclasses.dataclass(frozen=True)
class _LapsePolicy:
    base: Callable[..., Any]

    def __call__(self, p: Record, state: Any, trial: Record) -> Categorical:
        log_p = log_probs(self.base(p, state, trial))
        guess = jnp.log(p.lapse) - jnp.log(log_p.shape[-1])
        return Categorical(jnp.logaddexp(jnp.log1p(-p.lapse) + log_p, guess))


def with_lapse(model: Model) -> Model:
    """The same model, except that with probability ``lapse`` the subject picks an option at random.

    Examples
    --------
    >>> from pyem.models import get
    >>> with_lapse(get("rw1a1b")).names
    ('beta', 'alpha', 'lapse')
    """
    _require_policy(model, "with_lapse")
    lapse = Parameter("lapse", Interval(0, 1), "probability of a random response", mean=-3.0)
    return _derived(
        model,
        "with_lapse",
        name=f"{model.name}+lapse",
        parameters=(*model.parameters, lapse),
        policy=_LapsePolicy(model.policy),  # type: ignore[arg-type]
    )


@dataclasses.dataclass(frozen=True)
class _StickyInit:
    base: Callable[..., Any] | None
    options: int

    def __call__(self, p: Record) -> dict[str, Any]:
        return {"value": self.base(p) if self.base else (), "last_choice": jnp.zeros(self.options)}


@dataclasses.dataclass(frozen=True)
class _StickyPolicy:
    base: Callable[..., Any]

    def __call__(self, p: Record, state: Any, trial: Record) -> Categorical:
        return Categorical(log_probs(self.base(p, state["value"], trial)) + p.stickiness * state["last_choice"])


@dataclasses.dataclass(frozen=True)
class _StickyUpdate:
    base: Callable[..., Any] | None
    response: str

    def __call__(self, p: Record, state: Any, trial: Record) -> tuple[Any, dict[str, Any]]:
        value, latents = self.base(p, state["value"], trial) if self.base else (state["value"], {})
        before = state["last_choice"]
        last = jax.nn.one_hot(trial[self.response], before.shape[-1], dtype=before.dtype)
        # A model may learn from a trial without a response, which leaves the last choice what it was.
        return {"value": value, "last_choice": jnp.where(trial.responded[self.response], last, before)}, latents


def with_stickiness(model: Model) -> Model:
    """The same model with ``stickiness`` nats added to the option chosen last (perseveration; below 0, alternation).

    References
    ----------
    Lau, B., & Glimcher, P. W. (2005). Dynamic response-by-response models of matching behavior in rhesus monkeys.
    Journal of the Experimental Analysis of Behavior, 84(3), 555-579. https://doi.org/10.1901/jeab.2005.110-04

    Examples
    --------
    >>> from pyem.models import get
    >>> with_stickiness(get("rw1a1b")).names
    ('beta', 'alpha', 'stickiness')
    """
    _require_policy(model, "with_stickiness")
    if model.options is None:
        raise ValueError(f"with_stickiness needs to know the number of options; make {model.name!r} with options=")
    stickiness = Parameter("stickiness", Real(), "nats added to the option chosen last")
    return _derived(
        model,
        "with_stickiness",
        name=f"{model.name}+stickiness",
        parameters=(*model.parameters, stickiness),
        init=_StickyInit(model.init, model.options),
        policy=_StickyPolicy(model.policy),  # type: ignore[arg-type]
        update=_StickyUpdate(model.update, model.responses[0]),
    )


DERIVATIONS: dict[str, Callable[..., Model]] = {f.__name__: f for f in (fix, tie, with_lapse, with_stickiness)}
"""What a recipe may name after the registered model."""


def _require_policy(model: Model, name: str) -> None:
    if model.policy is None:
        raise ValueError(f"{name} changes a policy, but model {model.name!r} is defined by log_likelihood=")


# ---------------------------------------------------------------------------------------------------------------------
# The scan over trials. Lanes are the last axis of every array, so that the fastest axis is the longest.
# ---------------------------------------------------------------------------------------------------------------------


def over_lanes(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` of one lane, applied to arrays whose last axis is the lane."""
    return jax.vmap(function, in_axes=-1, out_axes=-1)


def initial_state(model: Model, p: Record) -> Any:
    """The state of one lane before its first trial, with the floating-point type that updates will have."""
    state = model.init(p) if model.init else ()
    return jax.tree.map(lambda leaf: _as_float(jnp.asarray(leaf)), state)


def _as_float(leaf: Array) -> Array:
    # A counter that an update turns into a float would change the type of the scan's carry.
    return leaf if jnp.issubdtype(leaf.dtype, jnp.inexact) else leaf.astype(jnp.result_type(float))


def policies(model: Model, p: Record, state: Any, trial: Record) -> dict[str, Any]:
    """The distribution of every response of one lane on one trial."""
    policy = model.policy(p, state, trial)  # type: ignore[misc]
    dists = dict(policy) if isinstance(policy, dict) else {model.responses[0]: policy}
    if set(dists) != set(model.responses):
        raise TypeError(
            f"policy(p, state, trial) returned a distribution of {', '.join(map(str, dists))}, but the model's responses are "
            f"{', '.join(model.responses)}; return a dict with a distribution for each"
        )
    for name, dist in dists.items():
        if not hasattr(dist, "log_prob"):
            raise TypeError(
                f"policy(p, state, trial) returned {_kind(dist)} for {name!r}, but should return a distribution, such as "
                "pyem.Categorical(logits=...) or one of NumPyro's"
            )
    shape = jnp.shape(getattr(dists[model.responses[0]], "logits", 0.0))
    if model.options is not None and shape and shape[-1] != model.options:
        raise TypeError(
            f"policy(p, state, trial) returned a distribution of {shape[-1]} options, but the model has "
            f"options={model.options}; make them agree"
        )
    return dists


def _kind(value: Any) -> str:
    """A value for messages: arrays by their shape, as their contents are tracers."""
    return f"an array of shape {jnp.shape(value)}" if hasattr(value, "shape") else f"a {type(value).__name__}"


def updated(
    model: Model, p: Record, state: Any, trial: Record, learn: Array, *, state_only: bool = False
) -> tuple[Any, dict[str, Any]]:
    """The state of one lane after one trial (unchanged where `learn` is False), and the trial's latents.

    An update whose latents take much work may have a method `state_only`, called where they are not wanted.
    """
    if model.update is None:
        return state, {}
    bare = getattr(model.update, "state_only", None) if state_only else None
    out = model.update(p, state, trial) if bare is None else (bare(p, state, trial), {})
    if not (isinstance(out, tuple) and len(out) == 2 and isinstance(out[1], dict)):
        shown = f"({', '.join(map(_kind, out))})" if isinstance(out, tuple) else _kind(out)
        raise TypeError(
            f"update(p, state, trial) returned {shown}, but should return the new state and a dict of what is worth plotting: "
            "return new_state, {}"
        )
    new, latents = out
    _same_shapes(state, new)
    keep = lambda after, before: jnp.where(learn, after, before).astype(before.dtype)  # noqa: E731
    return jax.tree.map(keep, new, state), latents


def _same_shapes(state: Any, new: Any) -> None:
    before, after = ([jnp.shape(leaf) for leaf in jax.tree.leaves(tree)] for tree in (state, new))
    if before != after or jax.tree.structure(state) != jax.tree.structure(new):
        # Without this look, a number would silently become an array of equal values.
        before, after = (jax.tree.map(jnp.shape, tree) for tree in (state, new))
        raise TypeError(
            f"update(p, state, trial) returned a state of shape {after}, but that of init(p) has shape {before}; they must be "
            "the same"
        )


def rollout(model: Model, x: Array, trials: Record, *, full: bool = False) -> Any:
    """Log-likelihood of every lane; with `full`, of every trial, and its states and latents.

    Parameters
    ----------
    model
        The model.
    x
        Unconstrained parameters of each lane, (P, lane).
    trials
        The model's columns, (trial, ..., lane), with ``responded`` (one mask for each response column, a dict) and
        ``learn``, boolean (trial, lane).
    full
        Return what each trial gave instead of the sum.

    Returns
    -------
    Array or dict
        (lane,) in nats; or ``{"log_lik": (trial, lane), "state": ..., "latents": {...}, "log_probs": ...}``.
    """
    p = over_lanes(model.record)(x)
    if model.log_likelihood is not None:
        return _whole_lanes(model, p, trials, full)

    def lane_step(p: Record, state: Any, trial: Record) -> Any:
        dists = policies(model, p, state, trial)
        terms = [_count_if(trial.responded[k], k, d.log_prob(trial[k])) for k, d in dists.items()]
        new, latents = updated(model, p, state, trial, trial.learn, state_only=not full)
        # The log-probability of every option, where the response is one of several.
        first = getattr(dists[model.responses[0]], "logits", 0.0) if full else 0.0
        shown = [jax.nn.log_softmax(first)] if jnp.ndim(first) else []
        return new, sum(terms), latents, shown

    def body(carry: Any, trial: Record) -> Any:
        state, total = carry
        new, log_lik, latents, shown = over_lanes(lane_step)(p, state, trial)
        out = {"log_lik": log_lik, "state": state, "latents": latents, "log_probs": shown} if full else None
        return (new, total + log_lik), out

    state = over_lanes(lambda p: initial_state(model, p))(p)
    (_, total), out = lax.scan(body, (state, jnp.zeros(x.shape[-1], x.dtype)), trials)
    return out if full else total


def _count_if(responded: Array, name: str, log_p: Array) -> Array:
    if jnp.ndim(log_p):
        raise TypeError(
            f"the log-probability of {name!r} on one trial has shape {jnp.shape(log_p)}, but should be one number; policy(p, "
            "state, trial) must return the distribution of one response"
        )
    return jnp.where(responded, log_p, 0.0)


def _whole_lanes(model: Model, p: Record, trials: Record, full: bool) -> Any:
    def lane(p: Record, trials: Record) -> Array:
        mask = trials.responded[model.responses[0]]
        log_lik = jnp.asarray(model.log_likelihood(p, trials.with_values(responded=mask)))  # type: ignore[misc]
        if log_lik.ndim and log_lik.shape != mask.shape:
            raise TypeError(
                f"log_likelihood(p, trials) returned an array of shape {log_lik.shape}, but should return a number for each of "
                f"the {mask.shape[0]} trials of a block, or their sum"
            )
        if log_lik.ndim:
            return jnp.where(mask, log_lik, 0.0)
        # A sum over the block is kept on its first trial, so that the total over trials is right.
        return jnp.zeros(mask.shape, log_lik.dtype).at[0].set(log_lik)

    log_lik = over_lanes(lane)(p, trials)
    return {"log_lik": log_lik, "state": (), "latents": {}, "log_probs": []} if full else log_lik.sum(0)

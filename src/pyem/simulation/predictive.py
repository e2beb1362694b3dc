"""Behaviour simulated with parameters drawn from the posterior or the prior."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from pyem.data.dataset import Dataset
from pyem.data.masks import met
from pyem.engine.regress import on_data, takes_designs
from pyem.errors import counted, list_of, require_kind
from pyem.model.design import in_blocks, without_conditions
from pyem.model.joint import keys_of
from pyem.model.model import Model
from pyem.model.record import Record
from pyem.model.rollout import first_states, in_full, in_turn, over_lanes, policies, updated
from pyem.numerics.jit import compiled
from pyem.numerics.rng import as_key
from pyem.population.group import Group, spelled_out
from pyem.population.patterns import correlated_blocks
from pyem.population.population import Population, populate
from pyem.task.task import require_task, show_between

if TYPE_CHECKING:
    from pyem.results.fit import Fit


@dataclasses.dataclass(frozen=True, eq=False)
class Predicted:
    """Simulated responses for the trials of a data set.

    Parameters
    ----------
    model, data
        The model, and the data with the trials.
    source
        ``"posterior"`` or ``"prior"``.
    one_step
        Whether each response was drawn given what the person had really chosen and earned before.
    x
        Unconstrained parameters of each draw, (draw, S, P).
    responses
        Responses by column, (draw, trial, ..., lane); meaningful only where a response is in the likelihood.
    outcomes
        Simulated outcomes, and what was shown between the responses of a trial, (draw, trial, ..., lane); empty where they are
        the observed ones.
    """

    model: Model
    data: Dataset
    source: str
    one_step: bool
    x: np.ndarray = dataclasses.field(repr=False)
    responses: dict[str, np.ndarray] = dataclasses.field(repr=False)
    outcomes: dict[str, np.ndarray] = dataclasses.field(repr=False)

    @property
    def n_draws(self) -> int:
        """Number of simulated data sets."""
        return len(self.x)

    @property
    def params(self) -> np.ndarray:
        """Natural parameters of each draw, (draw, S, P)."""
        return self.model.natural(self.x)


def predictions(predicted: Any, what: str) -> Predicted:
    """Return the predictive draws that a function needs; raise a TypeError that explains how to make them from a fit."""
    if not isinstance(predicted, Predicted):
        raise TypeError(
            f"{what} takes predictive draws, not a {type(predicted).__name__}: {what}(pyem.posterior_predictive(fit, key=0))"
        )
    return predicted


def posterior_predictive(
    fit: Fit,
    *,
    draws: int = 200,
    key: Any,
    task: Any = None,
    payoffs: Mapping[str, str] | None = None,
    design: Dataset | None = None,
) -> Predicted:
    """Simulate every person's responses with parameters drawn from the posterior.

    Parameters
    ----------
    fit
        A fit by any method; parameters are those of ``fit.draws``.
    draws
        Number of simulated data sets.
    key
        Seed or JAX random key.
    task
        Play this task (one that is not tied to a person), for as many trials as each person had and with the same trials
        missed. Columns that it presents replace those of the data.
    payoffs
        Play each person's own trials: for each outcome, the field of the data that has what every option would have paid,
        ``{"reward": "payoff"}`` with ``payoff`` a field of one value for each option.
    design
        Other data of some of the same people, known by their labels, whose trials are simulated: another session, or trials
        that were held out. The fitted data if not given.

    Raises
    ------
    ValueError
        If nothing can be simulated from the model, `payoffs` do not suit it, or `design` has somebody who was not fitted.

    Notes
    -----
    Without `task` and `payoffs` every response is predicted one step ahead, given what the person had really chosen and
    earned before: nothing needs to be known about the task, but errors of the model do not add up over trials, so it is the
    milder check (Palminteri, Wyart & Koechlin, 2017).

    References
    ----------
    Palminteri, S., Wyart, V., & Koechlin, E. (2017). The importance of falsification in computational cognitive modeling.
    Trends in Cognitive Sciences, 21(6), 425-433. https://doi.org/10.1016/j.tics.2017.03.011

    Examples
    --------
    >>> import pyem
    >>> model = pyem.models.get("rw1a1b")
    >>> data = pyem.simulate(model, subjects=5, trials=20, key=1)
    >>> predicted = posterior_predictive(pyem.fit_em(model, data), draws=10, key=2)
    >>> predicted.responses["choice"].shape
    (10, 20, 5)
    """
    require_kind("fit", fit)
    x = fit.draws(draws, key=key).x
    # People without a regular posterior are shown where the fit has them.
    x = np.where(np.isfinite(x), x, fit.x)
    if design is None:
        return _predicted(fit.model, fit.data, x, "posterior", as_key(key), task, payoffs)
    from pyem.engine.validate import validate

    model, data = on_data(fit.model, design)
    validate(model, data)
    x = x[:, _places_of(data, fit.data)]
    return _predicted(model, data, x, "posterior", as_key(key), task, payoffs)


def _places_of(design: Dataset, data: Dataset) -> np.ndarray:
    """Index of each person of the design among those of the data."""
    place = {str(label): k for k, label in enumerate(data.subjects.tolist())}
    unknown = [label for label in design.subjects.tolist() if str(label) not in place]
    if unknown:
        raise ValueError(
            f"the design has {counted(len(unknown), 'person', 'people')} without a fit, {list_of(unknown, 4)}; give data of "
            "the people of the fit, or simulate others with pyem.simulate"
        )
    return np.array([place[str(label)] for label in design.subjects.tolist()])


@takes_designs
def prior_predictive(
    model: Model,
    data: Dataset,
    *,
    group: Group | None = Group(),  # noqa: B008 (a Group is frozen)
    priors: Mapping[str, Any] | None = None,
    draws: int = 200,
    key: Any,
    task: Any = None,
    payoffs: Mapping[str, str] | None = None,
) -> Predicted:
    """Simulate people drawn from the priors of `fit_nuts`, to see what these assume before the data are used.

    Parameters
    ----------
    model, data, group, priors
        See `fit_nuts`; of the data only the trials are used (and, without a task, what each response is drawn given).
    draws, key, task, payoffs
        Arguments as in `posterior_predictive`.

    Examples
    --------
    >>> import pyem
    >>> model = pyem.models.get("rw1a1b")
    >>> data = pyem.simulate(model, subjects=5, trials=20, key=1)
    >>> prior_predictive(model, data, draws=10, key=2).params.shape
    (10, 5, 2)
    """
    from pyem.engine.scale import scaled
    from pyem.engine.validate import validate

    validate(model, data)
    model = scaled(model, data)
    group = spelled_out(group, data.covariates)
    if draws < 1:
        raise ValueError(f"draws={draws}; at least 1 is needed")
    x = prior_draws(model, data, group, _known(model, data, group, priors), draws, key)["x"]
    return _predicted(model, data, x, "prior", as_key(key), task, payoffs)


def _known(model: Model, data: Dataset, group: Group | None, priors: Mapping[str, Any] | None) -> Any:
    from pyem.population.priors import hyper_priors, natural_priors

    return natural_priors(model, priors) if group is None else hyper_priors(model, _typical(model, data, group), priors)


def _typical(model: Model, data: Dataset, group: Group) -> Population:
    mean, sd = model.typical
    return populate(group, names=model.names, mean=mean, sd=sd, covariates=data.covariates, n_subjects=data.n_subjects)


def prior_draws(
    model: Model, data: Dataset, group: Group | None, known: Any, draws: int, key: Any
) -> dict[str, np.ndarray]:
    """Draws from `HyperPriors` or `NaturalPriors`, draw first: ``x`` (draw, S, P), the group's ``coef``, ``sd``, ``corr``."""
    from pyem.numerics.rng import generator

    if group is None:
        natural = known.sample(model, as_key(key), draws * data.n_subjects)
        return {"x": model.unconstrained(natural).reshape(draws, data.n_subjects, -1)}
    rng = generator(key)
    pop, n_params = _typical(model, data, group), model.n_params

    def draw(distributions: Any) -> np.ndarray:
        seeds = rng.integers(2**31, size=len(distributions))
        with jax.enable_x64(True):
            columns = [d.sample(jax.random.key(int(s)), (draws,)) for d, s in zip(distributions, seeds, strict=True)]
        return np.stack([np.asarray(column, float) for column in columns], axis=1) if columns else np.empty((draws, 0))

    coef = np.zeros((draws, *pop.coef.shape))
    coef[:, 0] = draw(known.mean) * pop.free[0]
    coef[:, np.r_[False, np.ones(len(pop.free) - 1, bool)][:, None] & pop.free] = draw(known.effect)
    sds = np.where(np.isnan(pop.given_sd), draw(known.sd), pop.given_sd)
    out = {"coef": coef, "sd": sds}
    corr = np.broadcast_to(np.eye(n_params), (draws, n_params, n_params)).copy()
    for block in correlated_blocks(pop.estimated):
        import numpyro.distributions as dist

        with jax.enable_x64(True):
            lkj = dist.LKJ(len(block), known.concentration)
            drawn = np.asarray(lkj.sample(jax.random.key(int(rng.integers(2**31))), (draws,)), float)
        corr[:, np.array(block)[:, None], block] = drawn
        out["corr"] = corr
    people = [
        group.sample(pop.design @ b, c * np.outer(s, s) + 1e-12 * np.eye(len(s)), 1, rng)[:, 0]
        for b, s, c in zip(coef, sds, corr, strict=True)
    ]
    return out | {"x": np.stack(people)}


# -- simulation -----------------------------------------------------------------------------------------------------------


def _predicted(
    model: Model, data: Dataset, x: np.ndarray, source: str, key: Array, task: Any, payoffs: Mapping[str, str] | None
) -> Predicted:
    if model.policy is None:
        raise ValueError(f"model {model.name!r} is defined by log_likelihood=, so nothing can be simulated from it")
    if task is not None:
        require_task(task)
    if task is not None and payoffs is not None:
        raise ValueError("give a task or the payoffs of people's own trials, not both")
    if payoffs is not None and model.shown_between:
        raise ValueError(
            f"model {model.name!r} is shown {', '.join(map(repr, model.shown_between))} after the first response of a trial; "
            "payoffs do not tell what would have been shown after another one: give a task"
        )
    paid = payoffs_of(model, data, payoffs)
    one_step = task is None and payoffs is None
    with jax.enable_x64(True):
        trials = jax.tree.map(jnp.asarray, _trials(model, data, one_step))
        lanes = jnp.asarray(np.moveaxis(x, 2, 1)[:, :, data.lane_subject])
        keys = jax.random.split(jax.random.fold_in(key, 2), len(x))
        responses, outcomes = play_draws(model, task, one_step, trials, paid, lanes, keys)
    drawn = {name: np.asarray(values) for name, values in responses.items()}
    first = model.responses[0]
    drawn[first] = _small(drawn[first], model)
    return Predicted(model, data, source, one_step, x, drawn, {n: np.asarray(v) for n, v in outcomes.items()})


def _trials(model: Model, data: Dataset, one_step: bool) -> Record:
    trials = data.trials(model)
    # Outcomes that are simulated are known, even where those of the data are missing.
    return trials if one_step else trials.with_values(learn=met(data, model))


def _small(values: np.ndarray, model: Model) -> np.ndarray:
    """Codes of the options of the first response in one byte each; other responses may be any number."""
    few = model.options is not None and model.options < 128 and values.dtype.kind in "iu"
    return values.astype(np.int8) if few else values


def payoffs_of(model: Model, data: Dataset, payoffs: Mapping[str, str] | None) -> dict[str, Array]:
    """Payments of each option, (trial, option, ..., lane), for each outcome.

    For models that do not choose among options it is what comes of any response, (trial, ..., lane).

    Raises
    ------
    ValueError
        If an outcome or a field is missing, or has not a value for each option.
    """
    if payoffs is None:
        return {}
    missing = [name for name in model.outcomes if name not in payoffs]
    if missing:
        raise ValueError(f"payoffs says nothing of {', '.join(map(repr, missing))}, which the model learns from")
    out = {}
    for name, field in payoffs.items():
        if field not in data.fields:
            raise ValueError(
                f"the data have no field {field!r} with the payoffs of {name!r}; they have {', '.join(data.fields)}"
            )
        values = data.fields[field]
        if model.options is not None and (values.ndim < 3 or values.shape[1] != model.options):
            raise ValueError(
                f"field {field!r} has values of shape {values.shape[1:-1]} in each trial, but {model.options} are expected, "
                "one for each option; map a list of columns to it"
            )
        with jax.enable_x64(True):
            out[name] = jnp.asarray(values)
    return out


@compiled(0, 1, 2)
def play_draws(
    model: Model, task: Any, one_step: bool, trials: Record, payoffs: dict[str, Array], x: Array, keys: Array
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Responses, outcomes and columns shown between responses, (draw, trial, lane), at parameters (draw, P, lane)."""
    n_lanes = x.shape[-1]
    outer, conditions, inner = model, trials, model if model.design is None else model.design.inner
    trials = without_conditions(trials)

    def respond(trial: Record, world: Any, paid: dict[str, Array], key: Array) -> tuple[Any, dict[str, Any]]:
        if task is not None:
            return task.respond(world, trial, key)
        chosen = ... if model.options is None else trial[model.responses[0]]
        return world, {name: values[chosen] for name, values in paid.items()}

    def lane_step(p: Record, states: Any, trial: Record, paid: dict[str, Array], key: Array) -> Any:
        state, world = states
        show, act, answer = jax.random.split(key, 3)
        if task is not None:
            trial = trial.with_values(**in_full(task.present(world, show)))
        own = keys_of(model.responses, model.joint, act)
        drawn: dict[str, Any] = {}
        observed = trial

        def draw(name: str, dist: Any) -> Any:
            value = dist.sample(own[name])
            drawn[name] = value if one_step else _made(value, name, observed)
            return drawn[name]

        if one_step:
            for name, dist in policies(inner, p, state, trial).items():
                draw(name, dist)
            state, _ = updated(inner, p, state, trial, trial.learn)
            return (state, world), (drawn, {})
        # What the person was shown followed from the person's own response.
        trial = Record(**{name: value for name, value in trial.items() if name not in model.shown_between})
        show_next = show_between(model, task, world, jax.random.fold_in(show, 1))
        _, trial = in_turn(inner, p, state, trial, show_next, draw)
        world, outcome = respond(trial, world, paid, answer)
        trial = trial.with_values(**in_full(outcome))
        state, _ = updated(inner, p, state, trial, trial.learn)
        seen = {name: trial[name] for name in model.shown_between}
        return (state, world), (drawn, outcome | seen)

    def one(args: tuple[Array, Array]) -> Any:
        x, key = args
        p = over_lanes(inner.record)(in_blocks(outer, x, conditions)[1])
        first, *each = jax.random.split(key, 2)
        begin = jax.random.split(first, n_lanes)
        world = () if task is None else over_lanes(task.init)(begin)
        state = first_states(inner, p, trials)
        n_trials = trials.learn.shape[0]
        keys = jax.random.split(each[0], (n_trials, n_lanes))
        body = lambda states, args: over_lanes(lane_step)(p, states, *args)  # noqa: E731
        return lax.scan(body, (state, world), (trials, payoffs, keys))[1]

    return lax.map(one, (x, keys))


def _made(drawn: Any, name: str, trial: Record) -> Array:
    """Return the drawn response, or that of the data where it was forced."""
    value = _like(drawn, trial[name])
    if "counted" not in trial:
        return value
    return jnp.where(trial.responded[name] & ~trial.counted, trial[name], value)


def _like(value: Any, column: Array) -> Array:
    """Convert a response to the type of its column, unless this holds only whole numbers and the response is none."""
    value = jnp.asarray(value)
    whole = jnp.issubdtype(column.dtype, jnp.integer) and jnp.issubdtype(value.dtype, jnp.floating)
    return value if whole else value.astype(column.dtype)

"""Simulated people: the same policy and update that the likelihood uses, playing a task."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from pyem.data.dataset import Dataset
from pyem.data.parts import chosen
from pyem.engine.design_columns import made_fields
from pyem.engine.regress import Regression, block_model, source_of
from pyem.engine.scale import chosen_range, observed_range
from pyem.errors import ModelError, warn
from pyem.model.joint import keys_of
from pyem.model.model import Model
from pyem.model.record import Record
from pyem.model.rollout import in_full, in_turn, initial_state, log_probs_of, over_lanes, updated
from pyem.numerics.jit import compiled
from pyem.numerics.rng import as_key, generator
from pyem.simulation.conditions import Planned, planned
from pyem.task.designs import REPLAYED, Design, Replay
from pyem.task.rescaled import Rescaled
from pyem.task.task import require_task, show_between

if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Simulation(Dataset):
    """A `Dataset` of simulated people, with their true parameters.

    Parameters
    ----------
    truth
        Unconstrained parameters of each subject, (S, P).
    log_lik
        Log-probability of each subject's simulated responses, (S,), in nats.
    model
        The model that made them.
    """

    truth: np.ndarray = dataclasses.field(default_factory=lambda: np.empty((0, 0)))
    log_lik: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0))
    model: Model | None = None

    @property
    def true_params(self) -> np.ndarray:
        """Natural parameters of each subject, (S, P)."""
        assert self.model is not None
        return self.model.natural(self.truth)

    def to_frame(self, *, labels: bool = True) -> pd.DataFrame:
        """The long table as `Dataset.to_frame` makes it, without the columns that a design made of those that are given."""
        frame = super().to_frame(labels=labels)
        return frame.drop(columns=[name for name in made_fields(self.model) if name in self.fields])

    def select(self, subjects: Sequence[Any] | np.ndarray) -> Simulation:
        """The data and the truth of some of the subjects, by index; see `Dataset.select`."""
        order = chosen(self.n_subjects, subjects)
        return dataclasses.replace(super().select(order), truth=self.truth[order], log_lik=self.log_lik[order])  # type: ignore[return-value]


def simulate(
    model: Model | Regression,
    params: Any = None,
    *,
    key: Any,
    subjects: int | None = None,
    blocks: int | None = None,
    trials: int | None = None,
    task: Any = None,
    missed: float = 0.0,
    covariates: dict[str, np.ndarray] | None = None,
    design: Dataset | None = None,
    payoffs: Mapping[str, str] | None = None,
    conditions: Mapping[str, Any] | None = None,
) -> Simulation:
    """Let simulated people do a task.

    Parameters
    ----------
    model
        Model of how people choose and learn.
    params
        Natural parameters, (S, P). Without them, `subjects` people are drawn from the model's typical population.
    key
        Seed (a whole number) or a JAX random key.
    subjects, blocks, trials
        Numbers of people, of blocks (independent sequences), and of trials in each. By default one block of 100 trials.
    task
        Task; by default the model's own. With a `Design` everyone has their own course of the experiment.
    missed
        Probability that a response is missed.
    covariates
        Values (S,) to keep with the data; those of the design if not given.
    design
        Data whose design is used instead: its people, blocks and numbers of trials, what was shown (all columns but responses
        and outcomes), forced choices, and which values are missing. Its responses may be missing altogether.
    payoffs
        Field of the design with the payments of all options, for each outcome: ``{"reward": "payoff"}``. If
        not given, the fields ``payoffs`` (of the one outcome) or ``reward_payoffs`` are used where the design has them, and
        otherwise outcomes come from the task, which a note tells.
    conditions
        Values of columns, such as those that the formulas of a design (`pyem.regress`) name: for each block ``(blocks,)``, each
        person's blocks ``(S, blocks)``, each person ``(S, 1)``, or each trial ``(S, blocks, trials)``. `params` of a design are
        in the order of its ``names``. With `design`, the columns are those of its data.

    Returns
    -------
    Simulation
        A data set that also knows the truth.

    Raises
    ------
    ValueError
        If there is no task, it has another number of options than the model, a parameter is outside its range, or a covariate
        has not one value for each subject; or if a design is given together with numbers of people, blocks or trials, lacks
        what the model is shown, or does not say what other choices would have brought.

    Examples
    --------
    >>> from pyem import models
    >>> data = simulate(models.get("rw1a1b"), [[5.0, 0.3], [2.0, 0.5]], key=1, blocks=4, trials=24)
    >>> data.n_trials
    192

    Other people in the same experiment:

    >>> simulate(models.get("rw1a1b"), key=2, design=data).n_subjects
    2
    """
    key = as_key(key)
    if design is not None:
        if conditions is not None:
            raise ValueError("conditions are those of the data of design=; leave one of the two out")
        return _designed(model, params, key, design, (subjects, blocks, trials), task, payoffs, missed, covariates)
    if payoffs is not None:
        raise ValueError("payoffs= names fields of a design; give design= too, or leave it out")
    blocks, trials = 1 if blocks is None else blocks, 100 if trials is None else trials
    n = subjects or (0 if params is None else len(np.asarray(params)))
    model, task, plan = _on_trials(model, task, conditions, (n, blocks, trials))
    if task is None or model.policy is None:
        raise ValueError(
            f"model {model.name!r} has no {'task' if task is None else 'policy'}, so it cannot be simulated"
        )
    if min(blocks, trials) < 1 or not 0 <= missed < 1:
        raise ValueError(
            f"blocks={blocks}, trials={trials}, missed={missed}: at least one of each, and 0 <= missed < 1"
        )
    offered = getattr(task, "n_options", model.options)
    if None not in (model.options, offered) and offered != model.options:
        raise ValueError(
            f"the task {type(task).__name__} has {offered} options, but model {model.name!r} chooses among {model.options}; "
            f"give a task with {model.options}, or make the model with options={offered}"
        )
    x = _parameters(model, params, subjects, key)
    known = _covariates(covariates, len(x))
    given = None
    if isinstance(task, Design):
        task, given = REPLAYED, task.lanes(len(x), blocks, trials)
    with jax.enable_x64(True):
        inner, lanes = _of_blocks(model, np.repeat(x.T, blocks, axis=1), plan)
        shown = {} if plan is None else plan.shown
        fields, responded, log_p = play_compiled(inner, task, trials, lanes, key, np.asarray(missed), given, shown)
    fields = {name: np.asarray(value) for name, value in fields.items()}
    if plan is not None:
        fields |= plan.bound.data.fields
    responded = np.asarray(responded)
    n = len(x)
    present = {name: np.ones((trials, n * blocks), bool) for name in fields}
    for name in model.responses:
        present[name] = responded
    simulation = Simulation(
        fields=fields,
        present=present,
        valid=np.ones((trials, n * blocks), bool),
        lane_subject=np.repeat(np.arange(n), blocks),
        lane_block=np.tile(np.arange(blocks), n),
        subjects=np.arange(n),
        covariates=known | ({} if plan is None else dict(plan.bound.data.covariates)),
        codes={} if plan is None else plan.bound.data.codes,
        truth=x,
        model=model,
    )
    _warn_of_other_units(model, simulation)
    # A trial may be left out of the likelihood because of what was missed before it.
    counts, _ = simulation.masks(model)
    log_lik = sum(np.where(counts[name], part, 0.0).sum(0) for name, part in log_p.items())
    return dataclasses.replace(simulation, log_lik=np.asarray(log_lik).reshape(n, blocks).sum(1))


def on_one_scale(model: Model, task: Any) -> tuple[Model, Any]:
    """The model and its task (its own if none is given), with outcomes in the same units.

    A model that was given its range of outcomes plays its own task in these units. A model whose range comes from the data
    takes that of the payoffs of a design, where there is one.
    """
    if task is None:
        known = isinstance(model.reward_range, tuple) and model.range != (0.0, 1.0)
        return model, Rescaled(model.task, *model.range) if known and model.task is not None else model.task
    require_task(task)
    if isinstance(model.reward_range, str) and isinstance(task, Design | Replay):
        paid = [np.asarray(values) for name, values in dict(task.payoffs).items() if name in model.outcomes]
        if paid:
            seen = min(float(one.min()) for one in paid), max(float(one.max()) for one in paid)
            found = chosen_range(seen, from_zero=model.reward_range == "auto_zero")
            model = model if found == (0.0, 1.0) else dataclasses.replace(model, reward_range=found)
    return model, task


def _warn_of_other_units(model: Model, data: Dataset) -> None:
    """Warn if outcomes of a user's task are far from the units in which the model was simulated."""
    seen = observed_range(model, data) if isinstance(model.reward_range, str) else None
    if (
        seen
        and chosen_range(seen, from_zero=model.reward_range == "auto_zero") != (0.0, 1.0)
        and max(map(abs, seen)) > 1
    ):
        warn(
            f"the task paid between {seen[0]:g} and {seen[1]:g}, but {model.name!r} was simulated as if outcomes were 0 to 1, "
            "while a fit will take their range from these data; make the model with reward_range= for both to agree"
        )


def _designed(
    model: Model | Regression,
    params: Any,
    key: Array,
    design: Dataset,
    sizes: tuple[int | None, ...],
    task: Any,
    payoffs: Mapping[str, str] | None,
    missed: float,
    covariates: dict[str, np.ndarray] | None,
) -> Simulation:
    from pyem.simulation.designed import payoff_fields, played

    said = [f"{name}={n}" for name, n in zip(("subjects", "blocks", "trials"), sizes, strict=True) if n is not None]
    if said:
        raise ValueError(f"{', '.join(said)}: the design says how many there are; leave that out, or give no design")
    source, model = source_of(model), block_model(model)
    if model.policy is None:
        raise ValueError(f"model {model.name!r} has no policy, so it cannot be simulated")
    if not 0 <= missed < 1:
        raise ValueError(f"missed={missed}: 0 <= missed < 1 is expected")
    if task is not None:
        require_task(task)
    if task is not None and payoffs is not None:
        raise ValueError("give a task or the payoffs of the design, not both")
    named = payoff_fields(model, design) if payoffs is None and task is None else payoffs
    own = task is None
    if named:
        paid = {name: design.fields[field] for name, field in named.items() if field in design.fields}
        model, _ = on_one_scale(model, Design(payoffs=paid))
    else:
        model, task = on_one_scale(model, task)
    if source is not None:
        bound = dataclasses.replace(source, model=model).bind(design, None)
        model, design = bound.model, bound.data
    x = _parameters(model, params, design.n_subjects, key)
    parts = played(model, design, x, key=key, task=task, payoffs=named, missed=missed, own=own)
    if covariates is not None:
        labels = {name: known for name, known in parts["codes"].items() if name in parts["fields"]}
        parts |= {"covariates": _covariates(covariates, len(x)), "codes": labels}
    return Simulation(**parts)


def _covariates(covariates: Mapping[str, Any] | None, n: int) -> dict[str, np.ndarray]:
    for name, values in (covariates or {}).items():
        if np.shape(values) != (n,):
            raise ValueError(
                f"covariate {name!r} has shape {np.shape(values)}, but there are {n} subjects; give one value for each"
            )
    return {name: np.asarray(values, float) for name, values in (covariates or {}).items()}


def _on_trials(
    model: Model | Regression, task: Any, conditions: Mapping[str, Any] | None, size: tuple[int, int, int]
) -> tuple[Model, Any, Planned | None]:
    """The model and the task on one scale; a design, or columns, with the values on people, blocks and trials."""
    source = source_of(model)
    if source is None and conditions is None:
        return *on_one_scale(block_model(model), task), None
    base, task = on_one_scale(block_model(model), task)
    known = conditions or {}
    plan = planned(dataclasses.replace(source or Regression(base, ()), model=base), known, *size)
    return base if source is None else plan.bound.model, task, plan


def _of_blocks(model: Model, lanes: np.ndarray, plan: Planned | None) -> tuple[Model, Any]:
    """The model of a block and the parameters of each, (P, lane)."""
    if plan is None or model.design is None:
        return model, lanes
    conditions = jnp.asarray(plan.conditions)
    weights = model.design.matrix(conditions, len(lanes))
    return model.design.inner, model.design.of_blocks(weights, conditions, jnp.asarray(lanes))


def _parameters(model: Model, params: Any, subjects: int | None, key: Array) -> np.ndarray:
    if params is None:
        if subjects is None or subjects < 1:
            raise ValueError(f"subjects={subjects}; say how many people to simulate, or give their params")
        return typical_people(model, subjects, generator(key))
    params = np.asarray(params, float)
    if params.ndim != 2:
        raise ValueError(f"params has shape {params.shape}; expected (subjects, {model.n_params} parameters)")
    if subjects not in (None, len(params)):
        raise ValueError(f"subjects={subjects}, but params has {len(params)} rows; leave subjects out")
    return model.unconstrained(params)


def typical_people(model: Model, subjects: int, rng: np.random.Generator) -> np.ndarray:
    """Unconstrained parameters (S, P) of people from the typical population; values of discrete ones are equally frequent.

    Examples
    --------
    >>> from pyem import models
    >>> typical_people(models.get("rw1a1b"), 3, np.random.default_rng(1)).shape
    (3, 2)
    """
    mean, sd = model.typical
    x = mean + sd * rng.normal(size=(subjects, model.n_params))
    for name, values in model.discrete.items():
        x[:, model.names.index(name)] = rng.choice(values, len(x))
    return x


def _require_inputs(model: Model, task: Any, shown: Sequence[str]) -> None:
    """Raise unless the task shows what the model is shown before its first response."""
    later = {column for _, columns in model.between for column in columns}
    if missing := [name for name in model.inputs if name not in {*shown, *model.optional, *later}]:
        raise ModelError(
            f"model {model.name!r} is shown {missing[0]!r} before the response, but its task {type(task).__name__} shows "
            f"{', '.join(shown) or 'nothing'}; give a task whose present() returns it, or data that have it as design="
        )


def _require_outcomes(model: Model, task: Any, paid: Sequence[str]) -> None:
    """Raise unless the task answers with all that the model learns from."""
    later = {column for _, columns in model.between for column in columns}
    if missing := [name for name in model.outcomes if name not in {*paid, *later}]:
        raise ModelError(
            f"model {model.name!r} learns from {missing[0]!r}, but its task {type(task).__name__} answers with "
            f"{', '.join(paid) or 'nothing'}; give a task whose respond() returns it"
        )


LITTLE = 50_000
"""Number of trials up to which running a simulation takes less time than optimising its code."""


def play_lanes(
    model: Model, task: Any, trials: int, x: Array, key: Array, missed: Array, given: Any, columns: dict[str, Array]
) -> tuple[dict[str, Array], Array, dict[str, Array]]:
    """Columns, whether there was a response, and the log-probability of each response; (trial, ..., lane).

    `x` are the unconstrained parameters of each lane, (P, lane); it can be traced by JAX, in double precision.
    """
    p = over_lanes(model.record)(x)
    keys = jax.random.split(jax.random.fold_in(key, 1), (trials + 1, x.shape[-1]))

    def start(p: Record, key: Array, given: Any, first: dict[str, Array]) -> Any:
        return initial_state(model, p, Record(**first)), task.init(key if given is None else given)

    def lane_step(p: Record, states: Any, key: Array, columns: dict[str, Array]) -> Any:
        state, world = states
        show, act, answer, miss = jax.random.split(key, 4)
        trial = Record(**in_full(task.present(world, show)), **columns)
        _require_inputs(model, task, list(trial))
        if model.optional:
            trial = trial.with_values(seen=dict.fromkeys(model.optional, jnp.ones((), bool)))
        keys = keys_of(model.responses, model.joint, act)
        show_next = show_between(model, task, world, jax.random.fold_in(show, 1))
        dists, trial = in_turn(model, p, state, trial, show_next, lambda name, dist: dist.sample(keys[name]))
        responded = ~jax.random.bernoulli(miss, missed)
        log_p = log_probs_of(dists, trial)
        world, outcome = task.respond(world, trial, answer)
        trial = trial.with_values(**in_full(outcome))
        _require_outcomes(model, task, list(outcome))
        learn = responded if model.updates == "responded" else jnp.ones_like(responded)
        masked = trial.with_values(responded=dict.fromkeys(dists, responded), learn=learn)
        state, _ = updated(model, p, state, masked, learn)
        played = {name: value for name, value in trial.items() if name != "seen"}
        return (state, world), (played, responded, log_p)

    first = {name: values[0] for name, values in columns.items()}
    begin = over_lanes(start)(p, keys[0], given, first)
    return lax.scan(lambda states, now: over_lanes(lane_step)(p, states, *now), begin, (keys[1:], columns))[1]


play_compiled = compiled(0, 1, 2, quick=lambda model, task, trials, x, *_: x.shape[1] * trials <= LITTLE)(play_lanes)
"""Compiled form of `play_lanes`, with options that JAX accepts only outside of other compiled functions."""

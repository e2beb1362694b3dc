"""A judgement beside a choice: confidence, a rating, a count, in the same trial."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from pyem.errors import require_kind
from pyem.model.distribution import log_probs
from pyem.model.model import Model
from pyem.model.record import Record
from pyem.model.rollout import initial_state
from pyem.task.together import Together

COMPUTED = ("intercept", "p_chosen", "entropy")
"""Predictors that are computed from the choice: 1, the probability of the choice, and the entropy in nats."""


@dataclasses.dataclass(frozen=True)
class _Seen:
    """The trial and the parameters as the judgement sees them, under its own names."""

    names: tuple[tuple[str, str], ...]
    """Names in the judgement, and in the joint model."""

    def __call__(self, record: Record) -> Record:
        known = dict(self.names)
        return record.with_values(**{own: record[there] for own, there in known.items() if there in record})


@dataclasses.dataclass(frozen=True)
class _Policy:
    base: Callable[..., Any]
    judgement: Callable[..., Any]
    choice: str
    seen: _Seen
    predictors: tuple[str, ...]
    responses: tuple[tuple[str, str], ...]

    def __call__(self, p: Record, state: Any, trial: Record) -> dict[str, Any]:
        first = self.base(p, state, trial)
        first = first if isinstance(first, dict) else {self.choice: first}

        def judged(own: str) -> Callable[[Record], Any]:
            def later(trial: Record) -> Any:
                shown = self.seen(trial)
                if self.predictors:
                    shown = shown.with_values(predictors=self._predictors(first[self.choice], trial))
                dist = self.judgement(self.seen(p), (), shown)
                plan = dist[own] if isinstance(dist, dict) else dist
                # In a judgement with two responses the later one may depend on the earlier one.
                return plan if hasattr(plan, "log_prob") else plan(shown)

            return later

        return first | {there: judged(own) for own, there in self.responses}

    def _predictors(self, dist: Any, trial: Record) -> Array:
        each = log_probs(dist)
        made = {
            "intercept": lambda: jnp.ones(()),
            "p_chosen": lambda: jnp.exp(each[trial[self.choice]]),
            "entropy": lambda: -(jnp.exp(each) * jnp.where(each > -jnp.inf, each, 0.0)).sum(),
        }
        return jnp.stack([jnp.asarray(made[name](), jnp.result_type(float)) for name in self.predictors])


def with_judgement(
    model: Model,
    judgement: Model,
    *,
    predictors: Sequence[str] = (),
    rename: Mapping[str, str] | Sequence[tuple[str, str]] = (),
) -> Model:
    """Add a judgement to the choice, explained by another model that learns nothing.

    The judgement is optional: trials without one count by their choices, and teach what they teach anyway.

    Parameters
    ----------
    model
        A model of choices.
    judgement
        A model such as ``pyem.models.get("beta_rating")``, ``"ordinal_logit"``, ``"binomial"``, ``"glm"`` or ``"sdt"``.
    predictors
        What the predictors of a regression are made of, in their order: ``"p_chosen"``, the probability that the model gave
        the choice that was made, ``"entropy"``, the entropy of the choice before it was made, in nats, or ``"intercept"``.
        Without them, predictors are a column of the data, as usual.
    rename
        Other names for columns and parameters of the judgement that both models have: ``{"choice": "report"}``.

    Raises
    ------
    ValueError
        If both have a column or a parameter of the same name, or the judgement learns.

    References
    ----------
    De Martino, B., Fleming, S. M., Garrett, N., & Dolan, R. J. (2013). Confidence in value-based choice. Nature Neuroscience,
    16(1), 105-110. https://doi.org/10.1038/nn.3279

    Examples
    --------
    >>> from pyem.models import get
    >>> both = with_judgement(get("rw1a1b"), get("ordinal_logit", levels=4, predictors=["p_chosen"]), predictors=["p_chosen"])
    >>> both.columns
    ('choice', 'rating_level', 'reward')
    >>> both.names
    ('beta', 'alpha', 'p_chosen', 'threshold0', 'threshold1', 'threshold2')
    """
    require_kind("model", model)
    require_kind("model", judgement)
    predictors = (predictors,) if isinstance(predictors, str) else tuple(predictors)
    _require(model, judgement, predictors)
    other = dict(rename)

    def named(name: str) -> str:
        return other.get(name, name)

    inputs = tuple(named(name) for name in judgement.inputs if not (predictors and name == "predictors"))
    responses = tuple((name, named(name)) for name in judgement.responses)
    parameters = tuple(dataclasses.replace(one, name=named(one.name)) for one in judgement.parameters)
    _apart(model, (*inputs, *(there for _, there in responses)), tuple(one.name for one in parameters), other)
    follows = {name: tuple(map(named, columns)) for name, columns in judgement.between}
    between = tuple((there, (*inputs, *follows.get(own, ()))) for own, there in responses)
    every = (*judgement.columns, *(one.name for one in judgement.parameters))
    seen = _Seen(tuple((name, named(name)) for name in every if name != named(name)))
    codes = tuple((named(name), n) for name, n in judgement.coded)
    arguments = (("judgement", judgement.recipe), ("predictors", predictors), ("rename", tuple(sorted(other.items()))))
    return dataclasses.replace(
        model,
        name=f"{model.name}+{judgement.name}",
        parameters=(*model.parameters, *parameters),
        policy=_Policy(model.policy, judgement.policy, model.responses[0], seen, predictors, responses),  # type: ignore[arg-type]
        responses=(*model.responses, *(there for _, there in responses)),
        between=(*model.between, *between),
        input_codes=(*model.input_codes, *codes),
        optional=(*model.optional, *(there for _, there in responses), *inputs),
        fixed=model.fixed + tuple((named(name), value) for name, value in judgement.fixed),
        tied=model.tied + tuple((named(name), named(source)) for name, source in judgement.tied),
        task=_both(model, judgement, inputs, responses, other),
        recipe=(*model.recipe, ("with_judgement", arguments)) if model.recipe and judgement.recipe else (),
    )


def _both(model: Model, judgement: Model, inputs: tuple[str, ...], responses: Any, other: dict[str, str]) -> Any:
    if model.task is None or not inputs:
        return model.task
    if judgement.task is None:
        return None
    later = Renamed(judgement.task, tuple(other.items()), inputs) if other else judgement.task
    return Together(model.task, later, (responses[0][1],))


@dataclasses.dataclass(frozen=True)
class Renamed:
    """A task whose columns have other names; only those `kept` are shown."""

    task: Any
    names: tuple[tuple[str, str], ...]
    kept: tuple[str, ...]

    def init(self, key: Array) -> Any:
        """Return the state of the task."""
        return self.task.init(key)

    def present(self, state: Any, key: Array) -> dict[str, Any]:
        """Return what the task shows, by other names."""
        shown = {dict(self.names).get(name, name): value for name, value in self.task.present(state, key).items()}
        return {name: value for name, value in shown.items() if name in self.kept}

    def respond(self, state: Any, trial: Record, key: Array) -> tuple[Any, dict[str, Any]]:
        """Return no outcome."""
        return state, {}


def _require(model: Model, judgement: Model, predictors: tuple[str, ...]) -> None:
    if model.policy is None or judgement.policy is None:
        raise ValueError("a judgement goes beside a choice where both models have a policy, not a log_likelihood")
    if judgement.outcomes or judgement.lagged or _has_state(judgement):
        raise ValueError(
            f"model {judgement.name!r} learns, so that it is no judgement that can go beside the choice of another"
        )
    strange = [name for name in predictors if name not in COMPUTED]
    if strange:
        raise ValueError(
            f"predictors={predictors}: {', '.join(map(repr, strange))} is not made of a choice; there are "
            f"{', '.join(COMPUTED)}. Columns of the data are mapped to 'predictors' as usual, without predictors= here"
        )
    if predictors and "predictors" not in judgement.inputs:
        raise ValueError(
            f"model {judgement.name!r} has no predictors; make it with them: "
            f"get({judgement.name!r}, predictors={list(predictors)})"
        )


def _has_state(model: Model) -> bool:
    """Whether anything is kept from one trial to the next."""
    start = lambda x: initial_state(model, model.record(x))  # noqa: E731
    return bool(jax.tree.leaves(jax.eval_shape(start, jax.ShapeDtypeStruct((model.n_params,), float))))


def _apart(model: Model, columns: tuple[str, ...], parameters: tuple[str, ...], other: dict[str, str]) -> None:
    for kind, mine, theirs in (
        ("a column", model.columns, columns),
        ("a parameter", (*(one.name for one in model.parameters), *dict(model.fixed), *dict(model.tied)), parameters),
    ):
        shared = [name for name in theirs if name in mine]
        if shared:
            raise ValueError(
                f"the choice and the judgement both have {kind} {shared[0]!r}; give that of the judgement another name: "
                f"rename={{{shared[0]!r}: {('report' if kind == 'a column' else shared[0] + '_judgement')!r}}}"
            )
    unused = [name for name in other if other[name] not in (*columns, *parameters)]
    if unused:
        raise ValueError(f"rename has {unused[0]!r}, which is no column or parameter of the judgement")

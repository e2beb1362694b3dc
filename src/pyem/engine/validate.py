"""Quick checks before every fit that a model suits its data."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from pyem.data.dataset import Dataset
from pyem.engine.ends import require_ends
from pyem.engine.fast_guesses import fast_guesses
from pyem.engine.opaque import PersonLogLik, is_opaque, people_trials
from pyem.engine.ranges import require_codes, require_in_time, require_seconds
from pyem.engine.responses import Response, response_of
from pyem.engine.supports import require_supported
from pyem.errors import DataError, ModelError, shown, warn
from pyem.model.model import Model
from pyem.model.record import Record
from pyem.model.rollout import initial_state, policies, rollout

_valid: weakref.WeakKeyDictionary[Dataset, set[Model]] = weakref.WeakKeyDictionary()


_traced: weakref.WeakKeyDictionary[Model, dict[Any, dict[str, Response]]] = weakref.WeakKeyDictionary()
"""Distributions of the responses of each model, by the shapes of the columns from which they were traced."""


def require_free(model: Model) -> None:
    """Raise unless the model has a parameter to estimate.

    Raises
    ------
    ModelError
        If it has none, or all of them are fixed; or if it has discrete parameters, which few methods can estimate.
    """
    if model.discrete:
        name, values = next(iter(model.discrete.items()))
        raise ModelError(
            f"model {model.name!r} has the discrete parameter {name!r} ({', '.join(f'{v:g}' for v in values)}), which this "
            f"method cannot estimate; fit_mle, fit_map and fit_em do, or hold it: pyem.fix(model, {name}={values[0]:g})"
        )
    if not model.n_params:
        raise ModelError(
            f"model {model.name!r} has no free parameter, so that there is nothing to fit; its log-likelihood is "
            "pyem.log_lik(model, data, np.zeros((data.n_subjects, 0))), and pyem.simulate takes it as it is"
        )


def validate(model: Model, data: Dataset) -> None:
    """Raise unless `data` has what `model` needs and the model can be evaluated on it.

    Warns
    -----
    FitWarning
        If single response times are milliseconds, or no decisions.

    Raises
    ------
    DataError
        If a column is missing, a code or an index is out of range, or a subject has no trial that counts.
    ModelError
        If the model's functions fail or return the wrong shapes.
    """
    known = _valid.setdefault(data, set())
    if model in known:
        return
    missing = [name for name in model.columns if name not in data.fields]
    if missing:
        raise DataError(
            f"model {model.name!r} needs the column {', '.join(map(repr, missing))}; the data has "
            f"{', '.join(map(repr, data.fields))}: map a column of the table to it, as in "
            f"columns={{{missing[0]!r}: <its name in the table>}}"
        )
    for name, n_codes in model.coded:
        require_codes(model, data, name, n_codes)
    counts = data.n_responses(model)
    if not counts.all():
        empty = data.subjects[counts == 0]
        needs = " and ".join(map(repr, model.inputs + model.responses))
        needs += "" if data.counted is None else " and counts (the column of count=)"
        raise DataError(
            f"subject {shown(empty[0])} has no trial that counts for model {model.name!r} ({len(empty)} such subjects in "
            f"all): no trial has a value of {needs}; fill them in, or leave the subject out with data.select"
        )
    for name in model.seconds:
        require_seconds(model, data, name)
    told = dry_run(model, data)
    for name, one in told.items():
        # Indices beyond the last option would be clipped without a word.
        if one.n_options is not None and name not in dict(model.coded):
            require_codes(model, data, name, one.n_options)
        if one.deadline is not None:
            pair = next(pair for pair in model.joint if pair[1] == name)
            require_in_time(model, data, pair, one.deadline)
    require_supported(model, data, {name: one.kind for name, one in told.items()})
    if guess := fast_guesses(model, data, told):
        warn(guess)
    guarded(model, "looking at its indices", lambda: require_ends(model, data))
    known.add(model)


def dry_run(model: Model, data: Dataset) -> dict[str, Response]:
    """Trace shapes without computing anything, and tell what is known of each response.

    The result is the same for all data with columns of these kinds; it is empty for likelihoods without responses of their own.
    """
    if is_opaque(model):
        guarded(
            model,
            "evaluating the likelihood",
            lambda: PersonLogLik(model)(model.typical[0], people_trials(model, data)[0]),
        )
        return {}
    with jax.enable_x64(True):
        trials = jax.tree.map(lambda a: jax.ShapeDtypeStruct((2, *a.shape[1:-1], 2), a.dtype), data.trials(model))
        kinds = tuple((path, one.shape, one.dtype) for path, one in jax.tree_util.tree_leaves_with_path(trials))
        known = _traced.setdefault(model, {})
        if kinds in known:
            return known[kinds]
        x = jax.ShapeDtypeStruct((model.n_params, 2), jnp.float64)
        # State that a function keeps outside of itself shows when it runs again.
        for _ in range(1 if known else 2):
            guarded(
                model,
                "evaluating the likelihood",
                # Probabilities of choices that have a time are the distribution's own, and take long to trace.
                lambda: jax.eval_shape(lambda x, t: rollout(model, x, t, full=True, probs=not model.joint), x, trials),
            )
        known[kinds] = _responses(model, jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:-1], a.dtype), trials))
        return known[kinds]


def _responses(model: Model, trial: Any) -> dict[str, Response]:
    """Distribution of each response on a trial of such a shape; empty for models without a policy."""
    if model.policy is None:
        return {}
    inner = model if model.design is None else model.design.inner
    found: dict[str, Response] = {}

    def look(x: Any, trial: Record) -> None:
        p = inner.record(x)
        for name, dist in policies(inner, p, initial_state(inner, p, trial), trial).items():
            found[name] = response_of(dist)

    jax.eval_shape(look, jax.ShapeDtypeStruct((inner.n_params,), jnp.float64), trial)
    return found


def guarded(model: Model, doing: str, call: Callable[[], Any]) -> Any:
    """Return `call()`, and explain errors inside the user's functions in words."""
    try:
        return call()
    except (DataError, ModelError):
        raise
    except (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError) as error:
        raise ModelError(
            f"model {model.name!r}, {doing}: a value that depends on parameters or data was used like a plain Python "
            "number (in an `if`, a loop, int() or NumPy). Use jnp.where instead of if, and jax.numpy instead of numpy"
            f" [{first_line(error)}]"
        ) from None
    except jax.errors.UnexpectedTracerError as error:
        raise ModelError(
            f"model {model.name!r}, {doing}: a function kept a value outside itself (a list, a global). The three functions "
            f"must be pure: return what should be kept, as the state or the latents [{first_line(error)}]"
        ) from None
    except (TypeError, ValueError, IndexError, AttributeError, KeyError) as error:
        raise ModelError(f"model {model.name!r}, {doing}: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """The first line of an error's message."""
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__

"""Checks of a user's own model by a series of dry runs."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from html import escape
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyem.data.dataset import Dataset
from pyem.engine.ends import look_at_all
from pyem.engine.evaluate import log_lik, value_grad_hess
from pyem.engine.layout import batch
from pyem.engine.opaque import is_opaque
from pyem.engine.regress import takes_designs
from pyem.engine.scale import scaled
from pyem.engine.validate import first_line, guarded, validate
from pyem.errors import DataError, ModelError
from pyem.model.model import Model
from pyem.model.modifiers import fix
from pyem.model.record import Record
from pyem.model.rollout import in_turn, initial_state, rollout
from pyem.numerics.lapack import one_by_one
from pyem.study.divergence import Line, diverges_along, diverges_at
from pyem.study.ez_check import ez_note
from pyem.study.fast_trials import faster_than_typical, outlier_note
from pyem.study.sampler import check_sampler


@dataclasses.dataclass(frozen=True)
class Rung:
    """One dry run of `check`."""

    name: str
    passed: bool
    detail: str


@dataclasses.dataclass(frozen=True)
class CheckReport:
    """Results of `check`, dry run by dry run; true if all passed."""

    model: str
    rungs: tuple[Rung, ...]

    def __bool__(self) -> bool:
        return all(rung.passed for rung in self.rungs)

    def __str__(self) -> str:
        lines = [f"{'ok  ' if rung.passed else 'FAIL'} {rung.name}: {rung.detail}" for rung in self.rungs]
        return f"check of {self.model}\n" + "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = [
            f"<tr><td>{'ok' if rung.passed else '<b>FAIL</b>'}</td><td>{escape(rung.name)}</td>"
            f'<td style="text-align: left">{escape(rung.detail)}</td></tr>'
            for rung in self.rungs
        ]
        return f"<p>check of {escape(self.model)}</p><table>{''.join(rows)}</table>"


@takes_designs
def check(model: Model, data: Dataset) -> CheckReport:
    """Check a model by a series of dry runs, which stops at the first failure.

    Columns and shapes, a finite value at typical parameters, no index beyond the ends of an array, the same value twice (no
    side effects), the gradient against finite differences where fits start and beside it, distributions of your own that are
    normalised and draw what their density says, and a simulated trial whose probability agrees with the likelihood. The draws
    have a fixed key, and the probability that a right distribution is said to be wrong is 1e-6.

    Examples
    --------
    >>> import pyem
    >>> model = pyem.models.get("rw1a1b")
    >>> bool(check(model, pyem.simulate(model, subjects=2, key=1)))
    True
    """
    # A likelihood need not have derivatives by discrete parameters.
    model = fix(model, **{name: values[0] for name, values in model.discrete.items()}) if model.discrete else model
    rungs: list[Rung] = []
    for name, climb in _LADDER:
        try:
            detail = guarded(model, f"checking the {name}", lambda climb=climb: climb(scaled(model, data), data))
            rungs.append(Rung(name, True, detail))
        except (DataError, ModelError) as error:
            rungs.append(Rung(name, False, str(error)))
            break
    return CheckReport(model.name, tuple(rungs))


def _of_block(model: Model) -> Model:
    """Return the model of one block, which has the parameters that its functions use."""
    return model if model.design is None else model.design.inner


def _typical(model: Model, data: Dataset, off: float = 0.1) -> np.ndarray:
    mean, _ = model.typical
    # Off the exact mean, where a derivative may be zero by symmetry.
    return np.tile(mean + off, (data.n_subjects, 1))


def _rung_shapes(model: Model, data: Dataset) -> str:
    validate(model, data)
    with jax.enable_x64(True):
        inner = _of_block(model)
        p = jax.eval_shape(inner.record, jax.ShapeDtypeStruct((inner.n_params,), jnp.float64))
        if model.log_likelihood is None and not inner.slopes:
            guarded(model, "init(p)", lambda: jax.eval_shape(lambda p: initial_state(inner, p), p))
    return f"columns {', '.join(model.columns)}; parameters {', '.join(model.names)}"


def _rung_value(model: Model, data: Dataset) -> str:
    value = log_lik(model, data, _typical(model, data))
    bad = np.flatnonzero(~np.isfinite(value))
    if len(bad):
        where = diverges_at(model, data, _typical(model, data))
        if where is not None:
            raise ModelError(
                f"model {model.name!r}: the update diverges at typical parameters, on {where}: it has no value there, and the "
                "likelihood is zero from then on; look for a variance that becomes negative or a belief that grows without "
                "bound, fix parameters where that does not happen, or take an update that diverges less often (update='ehgf' "
                "of hgf)"
            )
        raise ModelError(
            f"model {model.name!r}: the log-likelihood of subject {str(data.subjects[bad[0]])!r} is {value[bad[0]]} at "
            "typical parameters; look for a logarithm or a division of 0, or an outcome far out of scale"
        )
    notes = [f"log-likelihood {value.sum():.3f} at typical parameters", faster_than_typical(model, data)]
    notes += [outlier_note(model), ez_note(model, data)]
    return "; ".join(note for note in notes if note)


def _rung_indices(model: Model, data: Dataset) -> str:
    if is_opaque(model):
        return "skipped: the likelihood is a plain Python function, which reports them itself"
    look_at_all(model, data)
    return "none is beyond the ends of an array"


def _rung_gradient(model: Model, data: Dataset) -> str:
    if is_opaque(model):
        return "skipped: derivatives are differences, as the likelihood is a plain Python function"
    # Fits start at the typical mean itself, where a derivative that is wrong at a single point would hold them.
    for off in (0.0, 0.1):
        x = _typical(model, data, off)
        grad, hess = _finite_derivatives(model, data, x)
        _slopes_agree(model, data, x, grad, kinks=off == 0.0)
    few = data if data.n_subjects <= 50 else data.select(np.arange(50))
    lost = []
    for k, name in enumerate(model.names):
        line = _along(model, few, x[: few.n_subjects], k)
        lost += diverges_along(model, few, line)
        size, where = _jump(line)
        if size.max() > 1e-3:
            s = int(size.argmax())
            raise ModelError(
                f"model {model.name!r}: the log-likelihood of subject {str(few.subjects[s])!r} jumps by {size[s]:.3g} where "
                f"{name} passes {model.natural(where[s])[k]:.4g}; a rounding, an argmax or a comparison makes steps that no "
                "derivative can see: use a smooth function instead, such as a softmax"
            )
    flat = [name for k, name in enumerate(model.names) if not grad[:, k].any() and not hess[:, k].any()]
    notes = [f"no effect on these data: {', '.join(flat)}"] if flat else []
    return "; ".join(["agrees with finite differences", *lost, *notes])


def _finite_derivatives(model: Model, data: Dataset, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    _, grad, hess = value_grad_hess(model, data, x)
    if not (np.isfinite(grad).all() and np.isfinite(hess).all()):
        raise ModelError(
            f"model {model.name!r}: the value is finite but a derivative is not; look for sqrt or log at 0 inside "
            "jnp.where (make its argument safe first)"
        )
    return grad, hess


def _slopes_agree(model: Model, data: Dataset, x: np.ndarray, grad: np.ndarray, *, kinks: bool) -> None:
    """Raise unless derivatives are the slopes; with `kinks` they may be anything between the slopes on both sides."""
    value = log_lik(model, data, x) if kinks else None
    for k, name in enumerate(model.names):
        slope, bend, rounding = _slope(model, data, x, k, 1e-5, value)
        if kinks:
            _, nearer, _ = _slope(model, data, x, k, 0.25e-5, value)
            # The slopes on both sides of a kink differ equally from near and far; those of a step differ more from near.
            bend = np.where(nearer < 2 * bend, nearer, 0.0)
        gap = np.maximum(np.abs(slope - grad[:, k]) - bend - rounding, 0.0) / (1 + np.abs(slope))
        if gap.max() > 1e-4:
            at = f"{name} = {model.natural(x[0])[k]:.4g}"
            raise ModelError(
                f"model {model.name!r}: the derivative by {name} is {grad[gap.argmax(), k]:.6g}, but finite differences give "
                f"{slope[gap.argmax()]:.6g}, at {at}; the likelihood jumps there (a rounding, an argmax, a stop_gradient), or "
                "a function has a wrong derivative at this very point (as some have at exactly 0)"
            )


def _slope(
    model: Model, data: Dataset, x: np.ndarray, k: int, step: float, value: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Slope along parameter `k`, its difference from the slopes on both sides, and its rounding error, (S,)."""
    shift = step * np.eye(model.n_params)[k]
    above, below = log_lik(model, data, x + shift), log_lik(model, data, x - shift)
    bend = np.zeros(len(x)) if value is None else np.abs(above - 2 * value + below) / (2 * step)
    # Responses that are all but impossible at typical parameters make values of which a difference keeps few digits.
    rounding = 4 * np.finfo(float).eps * np.maximum(np.abs(above), np.abs(below)) / step
    return (above - below) / (2 * step), bend, rounding


def _along(model: Model, data: Dataset, x: np.ndarray, k: int) -> Line:
    """Log-likelihood and slope within 3 sd of `x` along parameter `k`."""
    direction = np.eye(model.n_params)[k]

    def at(t: np.ndarray) -> np.ndarray:
        value, grad, _ = value_grad_hess(model, data, x + t[:, None] * direction)
        return np.stack([value, grad[:, k]])

    grid = np.linspace(-3, 3, 49) * model.typical[1][k]
    return Line(k, x, grid, np.stack([at(np.full(len(x), t)) for t in grid]), at)


def _jump(line: Line) -> tuple[np.ndarray, np.ndarray]:
    """Largest step (S,) in each subject's log-likelihood along a line, and its place (S, P)."""
    grid, points, x = line.grid, line.points, line.x
    subjects, direction = np.arange(len(x)), np.eye(x.shape[1])[line.parameter]

    def gap(a: np.ndarray, b: np.ndarray, width: float) -> np.ndarray:
        # Part of a change that the slopes at both ends do not explain: third order in the width unless there is a step.
        with np.errstate(invalid="ignore"):
            return np.nan_to_num(np.abs(b[0] - a[0] - width * (a[1] + b[1]) / 2), posinf=0.0)

    width = grid[1] - grid[0]
    worst = np.stack([gap(a, b, width) for a, b in itertools.pairwise(points)]).argmax(0)
    low, below, above = grid[worst], points[worst, :, subjects].T, points[worst + 1, :, subjects].T
    for _ in range(30):
        width /= 2
        middle = line.at(low + width)
        right = gap(middle, above, width) > gap(below, middle, width)
        low = np.where(right, low + width, low)
        below, above = np.where(right, middle, below), np.where(right, above, middle)
    # Values of responses that are all but impossible keep few digits, and a bend of theirs is steep.
    small = _UNSEEN * np.maximum(np.abs(below[0]), np.abs(above[0]))
    return np.maximum(gap(below, above, width) - small, 0.0), x + low[:, None] * direction


def _rung_pure(model: Model, data: Dataset) -> str:
    x = _typical(model, data)
    anew = log_lik if is_opaque(model) else _evaluated_anew
    first, again = log_lik(model, data, x), anew(model, data, x)
    if np.allclose(first, again, rtol=1e-9, atol=1e-9):
        return "the same value when evaluated again"
    # What is computed in single precision (a function of whole numbers) is rounded otherwise in code of another shape, but in
    # the same way each time.
    rounded = np.allclose(first, again, rtol=1e-5) and np.array_equal(again, anew(model, data, x))
    if not rounded:
        raise ModelError(
            f"model {model.name!r} gives different values when evaluated twice; its functions must depend on their arguments "
            "only (no random numbers, no globals that change)"
        )
    return "the same value when evaluated again, in single precision (a function of whole numbers?)"


def _evaluated_anew(model: Model, data: Dataset, x: np.ndarray) -> np.ndarray:
    counted = batch(model, data).n_subjects
    with jax.enable_x64(True):
        trials = jax.tree.map(jnp.asarray, data.trials(model))
        # A new lambda is traced anew, so that the model's functions run again.
        fresh = jax.jit(one_by_one(lambda x, trials: rollout(model, x, trials)))(x.T[:, data.lane_subject], trials)
    return np.bincount(data.lane_subject, np.asarray(fresh), counted)


def _rung_simulation(model: Model, data: Dataset) -> str:
    from pyem.simulation.play import simulate

    if model.policy is None:
        return "skipped: the model has no policy to simulate"
    _policy_before_response(_of_block(model), data)
    if model.task is None:
        return "skipped: the model has no task to simulate"
    people = model.natural(_typical(model, data))
    again = lambda: simulate(model, people, design=data, key=0)  # noqa: E731
    plain = lambda: simulate(model, subjects=2, trials=10, key=0)  # noqa: E731
    simulated = guarded(model, "simulating", plain if model.design is None else again)
    validate(model, simulated)
    value = log_lik(model, simulated, simulated.truth)
    if not np.allclose(value, simulated.log_lik, rtol=1e-8, atol=1e-8):
        raise ModelError(
            f"model {model.name!r}: simulated choices had log-probability {simulated.log_lik[0]:.6f}, but the likelihood says "
            f"{value[0]:.6f}; policy or update uses the response before it is made, or the task's columns differ"
        )
    return "simulated choices have the probability that the likelihood says"


def _policy_before_response(model: Model, data: Dataset) -> None:
    before = dict(model.between)

    def dry(x: Any, inputs: dict[str, Any], later: dict[str, Any]) -> int:
        p = model.record(x)
        show = lambda name, _: {column: later[column] for column in before[name]}  # noqa: E731
        first = Record(**inputs)
        in_turn(model, p, initial_state(model, p, first), first, show, lambda name, _: later[name])
        return 0

    with jax.enable_x64(True):
        trials = data.trials(model)
        shapes = {n: jax.ShapeDtypeStruct(trials[n].shape[1:-1], trials[n].dtype) for n in model.columns}
        inputs: dict[str, Any] = {n: shapes[n] for n in model.inputs}
        # Presence of an optional input is known as soon as the input is.
        inputs["seen"] = {n: jax.ShapeDtypeStruct((), bool) for n in model.inputs if n in model.optional}
        try:
            jax.eval_shape(dry, jax.ShapeDtypeStruct((model.n_params,), jnp.float64), inputs, shapes)
        except AttributeError as error:
            asks = first_line(error).partition(", but")[0].removeprefix("the model ")
            raise ModelError(
                f"model {model.name!r}: policy(p, state, trial) comes before the response and is shown the inputs only "
                f"({', '.join(model.inputs) or 'none'}), but {asks}; name that column among inputs= if it is shown before the "
                "response; what depends on earlier responses and outcomes belongs into the state"
            ) from None


_UNSEEN = 1e-8
"""Share of a log-likelihood up to which a jump of it cannot be told from rounding, or from a kink within the last step."""
_LADDER: tuple[tuple[str, Callable[[Model, Dataset], str]], ...] = (
    ("shapes", _rung_shapes),
    ("value", _rung_value),
    ("indices", _rung_indices),
    ("purity", _rung_pure),
    ("gradient", _rung_gradient),
    ("sampling", lambda model, data: check_sampler(_of_block(model), data)),
    ("simulation", _rung_simulation),
)

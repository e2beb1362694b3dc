"""Tasks and data in the layout of pymdp; pymdp itself is not needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pyem.aif.tasks import POMDPTask, StepTask
from pyem.data.arrays import lanes_from_arrays
from pyem.data.dataset import Dataset
from pyem.model.model import Model


def as_task(task: Any, observations: Sequence[str], action: str = "action", controls: Sequence[int] = ()) -> Any:
    """Wrap an environment of pymdp as a task of this library; tasks of this library stay as they are.

    An environment that is nothing but its arrays A, B and D is played from these, others by their ``reset`` and ``step``, which
    need to know the number of `controls` of each factor.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if task is None or (hasattr(task, "present") and hasattr(task, "respond")):
        return task
    arrays: list[Any] = [getattr(task, kind, None) for kind in "ABD"]
    steps = hasattr(task, "reset") and hasattr(task, "step")
    if steps and controls and (_has_own_steps(task) or any(part is None for part in arrays)):
        return StepTask(task, tuple(observations), tuple(controls), action)
    if any(part is None for part in arrays):
        raise ValueError(
            f"the task {type(task).__name__} has neither arrays A, B and D nor reset and step; give one that has, or write a "
            "task (see pyem.task.Task)"
        )
    return POMDPTask(
        *arrays,
        A_dependencies=task.A_dependencies,
        B_dependencies=task.B_dependencies,
        observations=observations,
        action=action,
    )


def _has_own_steps(task: Any) -> bool:
    """Whether a class has its own `reset` or `step`: those of pymdp's PymdpEnv follow the arrays."""

    def owner(name: str) -> str:
        return next((cls.__name__ for cls in type(task).__mro__ if name in vars(cls)), "")

    return any(owner(name) not in ("PymdpEnv", "") for name in ("reset", "step"))


def pymdp_data(measurements: Mapping[str, Any], model: Model, *, subjects: Sequence[Any] | None = None) -> Dataset:
    """Convert data in the layout of pymdp's fits to a `Dataset`.

    Parameters
    ----------
    measurements
        ``"outcomes"``: for each modality an array (block, agent, step), -1 where nothing was observed; ``"multiactions"``
        (or ``"actions"``): controls (block, agent, step, factor), -1 where an action is missing. Observations may have one
        step more than actions; nothing is decided there, so it is left out.
    model
        A model of `from_pymdp` or `DiscretePOMDP.model`, whose columns the data get.
    subjects
        Labels of the agents.

    Raises
    ------
    ValueError
        If arrays are missing or their shapes do not belong together.

    Examples
    --------
    >>> import pyem
    >>> blocks, agents, steps = 4, 2, 5
    >>> outcomes = [np.zeros((blocks, agents, steps + 1), int)] * 3
    >>> made = {"outcomes": outcomes, "multiactions": np.zeros((blocks, agents, steps, 2), int)}
    >>> pymdp_data(made, pyem.models.get("aif_tmaze")).n_trials
    40
    """
    outcomes = measurements.get("outcomes", measurements.get("observations"))
    actions = measurements.get("multiactions", measurements.get("actions"))
    if outcomes is None or actions is None:
        raise ValueError(
            f"expected 'outcomes' and 'multiactions', but was given {', '.join(measurements) or 'nothing'}"
        )
    columns, controls = observed_columns(model), controls_of(model)
    actions = np.asarray(actions)
    if actions.ndim != 4 or actions.shape[3] != len(controls):
        raise ValueError(
            f"'multiactions' has shape {actions.shape}, but should be (block, agent, step, {len(controls)} factors)"
        )
    if len(outcomes) != len(columns):
        raise ValueError(f"there are {len(outcomes)} arrays of outcomes, but the model has {len(columns)} modalities")
    steps = actions.shape[2]
    fields = {}
    for column, array in zip(columns, outcomes, strict=True):
        array = np.asarray(array)
        array = array[..., 0] if array.ndim == 4 and array.shape[3] == 1 else array
        if array.shape[:2] != actions.shape[:2] or array.ndim != 3 or array.shape[2] not in (steps, steps + 1):
            raise ValueError(
                f"outcomes of {column!r} have shape {array.shape}, but should be {actions.shape[:2]} + ({steps} or {steps + 1} "
                "steps,), as 'multiactions' has"
            )
        fields[column] = array[:, :, :steps]
    missing = (actions < 0).any(-1)
    index = np.ravel_multi_index(tuple(np.moveaxis(np.maximum(actions, 0).astype(int), -1, 0)), controls)
    fields[model.responses[0]] = np.where(missing, -1, index)
    by_agent = {name: np.where(a < 0, np.nan, a).swapaxes(0, 1) for name, a in fields.items()}
    return Dataset(**lanes_from_arrays(by_agent, subjects, {}, {}))


def observed_columns(model: Model) -> tuple[str, ...]:
    """The columns of what an agent observes, one for each modality."""
    return tuple(name for name in model.inputs if name != "start")


def controls_of(model: Model) -> tuple[int, ...]:
    """The number of controls of each factor of an agent."""
    policy: Any = model.policy
    return getattr(policy, "controls", None) or policy.agent.structure.num_controls

"""Steps that NUTS and SVI share: preparing a posterior in good coordinates, and making a result from draws."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from pyem.data.dataset import Dataset
from pyem.engine.scale import ready_to_fit
from pyem.errors import FitWarning
from pyem.infer.alone import alone_args, alone_layout
from pyem.infer.em import fit_em
from pyem.infer.good_coordinates import args_from_points
from pyem.infer.hierarchy import PARAMETRIZATIONS, Parametrization, group_args, group_layout
from pyem.model.model import Model
from pyem.population.group import Group
from pyem.population.population import populate
from pyem.population.priors import described, natural_priors
from pyem.results.point import PointFit
from pyem.results.sample import SampleFit

Ahead = Callable[[Any, Any], object]
"""Function that compiles in advance, given a specification and arguments of the right shapes."""


def prepare(
    model: Model,
    data: Dataset,
    group: Group | None,
    priors: Mapping[str, Any] | None,
    mean: Any,
    sd: Any,
    start: PointFit | None,
    parametrization: Parametrization,
    ahead: Ahead | None = None,
) -> tuple[Any, Any]:
    """The posterior as a static specification and traced arguments, in good coordinates.

    They take a climb on points or a fit by EM, or the modes of people on their own. While that runs, `ahead` compiles in
    another thread: what is compiled depends on shapes only.
    """
    if parametrization not in PARAMETRIZATIONS:
        raise ValueError(f"parametrization={parametrization!r}; choose one of {', '.join(PARAMETRIZATIONS)}")
    model = ready_with_priors(model, data, group, priors, mean, sd)
    if group is None:
        if start is not None:
            raise ValueError("start is of use for a group only; leave it out with group=None")
        given = natural_priors(model, priors, mean=mean, sd=sd)
        layout = alone_layout(model, data, given)
        return _meanwhile(ahead, layout, lambda: alone_args(model, data, given))
    if start is not None:
        if (
            start.population is None
            or start.model != model
            or start.data is not data
            or start.population.group != group
        ):
            raise ValueError(
                "start must be a fit by fit_em of the same model, data and group; leave it out to have one made"
            )
        return group_args(model, data, group, priors, start, parametrization)
    mean, sd = model.typical
    pop = populate(group, names=model.names, mean=mean, sd=sd, covariates=data.covariates, n_subjects=data.n_subjects)
    layout = group_layout(model, data, group, priors, pop, parametrization)

    def args() -> tuple[Any, Any]:
        found = args_from_points(model, data, group, priors, pop, parametrization)
        return found or group_args(model, data, group, priors, _quick_em(model, data, group), parametrization)

    return _meanwhile(ahead, layout, args)


def ready_with_priors(model: Model, data: Dataset, group: Any, priors: Any, mean: Any, sd: Any) -> Model:
    """Return `model` on the scale of `data`, after checking that a sampler's arguments go together.

    Raises
    ------
    ValueError
        If group, priors, `mean` and `sd` do not, the data do not suit the model, or people are too few for a group.
    """
    if not (group is None or isinstance(group, Group)):
        raise ValueError(f"group={group!r}; a pyem.Group is expected, such as Group('student_t'), or None for no group")
    if not (priors is None or isinstance(priors, Mapping)):
        raise ValueError(
            f"priors={priors!r:.60}; a mapping is expected, such as {{'alpha': numpyro.distributions.Beta(1, 1)}}"
        )
    if group is not None and not (mean is None and sd is None):
        raise ValueError(
            "mean and sd are of the Gaussian prior of people on their own; pass group=None with them, or give priors of the "
            "group's parameters: priors={'mean': ..., 'sd': ...}"
        )
    model = ready_to_fit(model, data)
    if group is not None and data.n_subjects < 2:
        raise ValueError(
            "how people differ cannot be told from one subject; pass group=None and priors of the parameters"
        )
    return model


def _quick_em(model: Model, data: Dataset, group: Group) -> PointFit:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        return fit_em(model, data, group=group, tol=1e-4, max_iter=100, standard_errors=False, progress=False)


def _meanwhile(ahead: Ahead | None, layout: tuple[Any, Any], function: Callable[[], Any]) -> Any:
    """Call ``function()`` while `ahead` compiles."""
    if ahead is None:
        return function()
    with ThreadPoolExecutor(1, thread_name_prefix="pyem-compile") as pool:
        compiling: Future[object] = pool.submit(ahead, *layout)
        out = function()
        compiling.result()
    return out


def as_result(
    method: str,
    data: Dataset,
    group: Group | None,
    spec: Any,
    args: Any,
    values: dict[str, np.ndarray],
    stats: dict[str, np.ndarray],
    seconds: dict[str, float],
    trace: dict[str, np.ndarray],
    message: str,
    settings: Mapping[str, Any],
) -> SampleFit:
    """Make a result from draws (chain, draw, ...)."""
    free = None if group is None else np.array(spec.free)
    design = None if group is None else np.asarray(args.design)
    # The model on the scale of the data.
    model = spec.model
    priors = described(model, args.priors, group, free)
    return SampleFit(
        method,
        model,
        data,
        group,
        priors,
        values,
        stats,
        design,
        free,
        seconds,
        trace,
        message,
        settings=dict(settings),
    )


class Clock:
    """Stopwatch of the stages of a fit, in seconds."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def __call__(self, stage: str) -> None:
        """Note the end of a stage."""
        now = time.perf_counter()
        self.seconds[stage] = now - self._last
        self._last = now

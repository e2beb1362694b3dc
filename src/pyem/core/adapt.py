"""How a `Model` becomes the functions of the pyEM interface: a fit function, a simulation, and a `ModelSpec`.

A `FitFunction` behaves like any fit function ``f(params, *data, prior=None, output="npl")`` and also carries the model and
the layout of its data, so that `EMModel` can hand the whole group to the JAX engine.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import inspect
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pyem.core.modelspec import ModelSpec
from pyem.dataset import Dataset
from pyem.engine import log_lik, trial_values
from pyem.model import Model
from pyem.utils.math import calc_fval

Fields = dict[str, np.ndarray]
"""One subject's columns of the model, (block, trial, ...); NaN, or a code below 0, where missing."""


class Values(NamedTuple):
    """What a model gives for one subject."""

    params: np.ndarray
    """Natural parameters, (P,)."""
    nll: float
    """Negative log-likelihood, in nats."""
    log_lik: np.ndarray
    """Log-probability of each response, (block, trial)."""
    state: Any
    """State before each trial and after the last one, (block, trial + 1, ...)."""
    latents: dict[str, np.ndarray]
    """What the update reports, (block, trial, ...); NaN where the trial taught nothing."""
    log_probs: np.ndarray | None
    """Log-probabilities of the options, (block, trial, option), for a categorical response."""


class Named:
    """A callable that is pickled and copied by its name, like a function of its module."""

    def __init__(self, name: str, module: str, doc: str, like: Callable[..., Any]) -> None:
        self.__name__ = self.__qualname__ = name
        self.__module__ = module
        self.__doc__ = doc
        self.__wrapped__ = like

    def __reduce__(self) -> str:
        return self.__name__

    def __repr__(self) -> str:
        return f"<function {self.__module__}.{self.__name__}>"


class FitFunction(Named):
    """A fit function of the pyEM form for a `Model`: ``f(params, *data, prior=None, output="npl"|"nll"|"all")``.

    Parameters
    ----------
    name, module, doc
        Of the function, as it is exported.
    fields
        ``fields(*data)``: one subject's data as the model's columns. Its arguments are those of the fit function.
    model
        ``model(subjects, n_params, **options)``: the `Model` for subjects with these columns. Arguments after the first two
        are options of the fit function, given by name.
    report
        ``report(values, *data, **options)``: what ``output="all"`` returns for one subject besides ``params`` and ``nll``.
    """

    def __init__(
        self,
        name: str,
        *,
        module: str,
        doc: str,
        fields: Callable[..., Fields],
        model: Callable[..., Model],
        report: Callable[..., dict[str, Any]],
    ) -> None:
        super().__init__(name, module, doc, fields)
        self.fields = fields
        self.model = model
        self.report = report
        data = inspect.signature(fields).parameters.values()
        self.data_names = tuple(parameter.name for parameter in data)
        options = list(inspect.signature(model).parameters.values())[2:]
        self.option_names = tuple(parameter.name for parameter in options)
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        self.__signature__ = inspect.Signature(
            [
                inspect.Parameter("params", kind),
                *(p.replace(kind=kind) for p in data),
                inspect.Parameter("prior", kind, default=None),
                inspect.Parameter("output", kind, default="npl"),
                *(p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in options),
            ]
        )
        self._recent: collections.OrderedDict[bytes, tuple[Model, Dataset]] = collections.OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Negative log-posterior (``"npl"``) or log-likelihood (``"nll"``), or a dict (``"all"``), of one subject."""
        bound = self.__signature__.bind(*args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        data = tuple(given[name] for name in self.data_names)
        options = {name: given[name] for name in self.option_names}
        x = np.asarray(given["params"], float).ravel()
        output = given["output"]
        if output not in ("npl", "nll", "all"):
            raise ValueError(f"output={output!r}; expected 'npl', 'nll' or 'all'")
        model, dataset = self._laid_out(data, len(x), options)
        if output == "all":
            return self.reports([data], x[None], (model, dataset), **options)[0]
        nll = -float(log_lik(model, dataset, x[None])[0])
        return calc_fval(nll, x, prior=given["prior"], output=output)

    def layout(self, all_data: Sequence[Any], n_params: int, **options: Any) -> tuple[Model, Dataset]:
        """The model and the data of a group, from what the fit function takes of each subject.

        Raises
        ------
        ValueError
            If a subject's data are not what the function takes, or the number of parameters is another.
        """
        subjects = []
        for s, data in enumerate(all_data):
            if not isinstance(data, list | tuple) or len(data) != len(self.data_names):
                raise ValueError(
                    f"{self.__name__} takes [{', '.join(self.data_names)}] of each subject, but subject {s} has "
                    f"{len(data) if isinstance(data, list | tuple) else type(data).__name__}"
                )
            subjects.append(self.fields(*data))
        model = self.model(subjects, n_params, **options)
        if model.n_params != n_params:
            raise ValueError(
                f"{self.__name__} has {model.n_params} parameters ({', '.join(model.names)}), but was given {n_params}"
            )
        return model, dataset_of(subjects)

    def reports(
        self, all_data: Sequence[Any], x: np.ndarray, laid: tuple[Model, Dataset] | None = None, **options: Any
    ) -> list[dict[str, Any]]:
        """What ``output="all"`` returns, for every subject at unconstrained `x` (S, P)."""
        model, dataset = laid or self.layout(all_data, np.shape(x)[1], **options)
        out = []
        for data, values in zip(all_data, subject_values(model, dataset, np.asarray(x, float)), strict=True):
            out.append({"params": values.params, **self.report(values, *data, **options), "nll": values.nll})
        return out

    def _laid_out(self, data: tuple[Any, ...], n_params: int, options: dict[str, Any]) -> tuple[Model, Dataset]:
        # An optimiser calls with the same data again and again.
        key = _digest((*data, options) if options else data, n_params)
        with self._lock:
            found = self._recent.get(key)
        if found is None:
            found = self.layout([data], n_params, **options)
            with self._lock:
                self._recent[key] = found
                if len(self._recent) > 512:
                    self._recent.popitem(last=False)
        return found


def _digest(data: Any, n_params: int) -> bytes:
    digest = hashlib.blake2b(str(n_params).encode(), digest_size=16)

    def add(value: Any) -> None:
        if isinstance(value, Mapping):
            for name, part in value.items():
                digest.update(str(name).encode())
                add(part)
        elif isinstance(value, list | tuple) and any(isinstance(part, np.ndarray | Mapping) for part in value):
            for part in value:
                add(part)
        else:
            array = np.asarray(value)
            text = array.dtype.kind in "OUS"
            digest.update(f"{array.shape}{array.dtype}".encode())
            digest.update("\x1f".join(map(repr, array.ravel().tolist())).encode() if text else array.tobytes())

    add(data)
    return digest.digest()


# -- data ---------------------------------------------------------------------------------------------------------------


def dataset_of(subjects: Sequence[Fields]) -> Dataset:
    """The data of a group, from each subject's columns (block, trial, ...), which may differ in size."""
    names = list(subjects[0])
    shapes = [next(iter(fields.values())).shape[:2] for fields in subjects]
    for s, (fields, shape) in enumerate(zip(subjects, shapes, strict=True)):
        found = {name: array.shape for name, array in fields.items()}
        if any(array.shape[:2] != shape for array in fields.values()):
            raise ValueError(f"subject {s} has fields of different shapes {found}; expected the same (blocks, trials)")
        if 0 in shape:
            raise ValueError(f"subject {s} has no trials: shapes {found}")
    if len(set(shapes)) == 1:
        return Dataset.from_arrays({name: np.stack([fields[name] for fields in subjects]) for name in names})
    most = tuple(np.max(shapes, axis=0))
    padded = {name: np.stack([_padded(fields[name], most) for fields in subjects]) for name in names}
    data = Dataset.from_arrays(padded)
    blocks, trials = np.array(shapes).T
    real = data.lane_block < blocks[data.lane_subject]
    valid = np.arange(most[1])[:, None] < trials[data.lane_subject]
    return dataclasses.replace(
        data,
        fields={name: array[..., real] for name, array in data.fields.items()},
        present={name: (here & valid)[:, real] for name, here in data.present.items()},
        valid=valid[:, real],
        lane_subject=data.lane_subject[real],
        lane_block=data.lane_block[real],
    )


def _padded(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    extra = [(0, a - b) for a, b in zip(shape, array.shape, strict=False)]
    return np.pad(array, extra + [(0, 0)] * (array.ndim - 2), mode="edge")


def letters(name: str, values: Any, options: str) -> np.ndarray:
    """Codes (block, trial) of letters or of indices; -1 where missing (None, NaN or an empty text).

    Examples
    --------
    >>> letters("choices", [["A", "B", None]], "AB")
    array([[ 0,  1, -1]])
    """
    array = np.atleast_2d(np.asarray(values))
    if array.dtype.kind in "iufb":
        codes = np.where(np.isnan(array.astype(float)), -1, array).astype(int)
        bad = array[(codes >= len(options)) | ((codes != array) & (codes >= 0))]
    else:
        array = array.astype(object)
        codes = np.full(array.shape, -1)
        for code, letter in enumerate(options):
            codes[(array == letter) | (array == code)] = code
        bad = [value for value in array[codes < 0] if not (value is None or value == "" or value != value)]
    if len(bad):
        raise ValueError(f"{name} has {bad[0]!r}; expected {', '.join(map(repr, options))}, or None where missing")
    return codes


def numbers(values: Any) -> np.ndarray:
    """Values as floats (block, trial, ...), NaN where missing; one block may be given as (trial,)."""
    return np.atleast_2d(np.asarray(values, float))


# -- values -------------------------------------------------------------------------------------------------------------


def subject_values(model: Model, data: Dataset, x: np.ndarray) -> list[Values]:
    """What `model` gives for every subject at unconstrained `x` (S, P)."""
    stepwise = model.log_likelihood is None
    # One row more than there are trials shows the state after the last one.
    out = trial_values(model, _one_more(data) if stepwise else data, x)
    natural = model.natural(x)
    _, learn = data.masks(model)
    ends = np.searchsorted(data.lane_subject, np.arange(data.n_subjects + 1))
    first = {k: np.moveaxis(np.moveaxis(v, -1, 0), 1, 1) for k, v in out["latents"].items()}
    latents = {}
    for name, array in first.items():
        here = learn.T.reshape(*learn.T.shape, *[1] * (array.ndim - 2))
        latents[name] = np.where(here, array[:, : learn.shape[0]], np.nan)
    log_lik = np.moveaxis(out["log_lik"], -1, 0)
    probs = np.moveaxis(out["log_probs"][0], -1, 0) if out["log_probs"] else None

    def part(array: np.ndarray, s: int, extra: int = 0) -> np.ndarray:
        lanes = slice(ends[s], ends[s + 1])
        length = int(data.valid[:, lanes].sum(0).max())
        return array[lanes, : length + extra]

    return [
        Values(
            params=natural[s],
            nll=-float(log_lik[ends[s] : ends[s + 1]].sum()),
            log_lik=part(log_lik, s),
            state=_map(lambda a, s=s: part(np.moveaxis(a, -1, 0), s, 1), out["state"]),
            latents={name: part(array, s) for name, array in latents.items()},
            log_probs=None if probs is None else part(probs, s),
        )
        for s in range(data.n_subjects)
    ]


def _map(function: Callable[[np.ndarray], Any], tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {name: _map(function, part) for name, part in tree.items()}
    if isinstance(tree, tuple | list):
        return tuple(_map(function, part) for part in tree)
    return function(np.asarray(tree))


def _one_more(data: Dataset) -> Dataset:
    def longer(array: np.ndarray, fill: Any = None) -> np.ndarray:
        last = array[-1:] if fill is None else np.full_like(array[-1:], fill)
        return np.concatenate([array, last])

    return dataclasses.replace(
        _plain(data),
        fields={name: longer(array) for name, array in data.fields.items()},
        present={name: longer(here, False) for name, here in data.present.items()},
        valid=longer(data.valid, False),
        trial=None,
    )


def _plain(data: Dataset) -> Dataset:
    """Without what a subclass adds, such as the truth of a simulation."""
    return Dataset(**{field.name: getattr(data, field.name) for field in dataclasses.fields(Dataset)})


# -- bundles ------------------------------------------------------------------------------------------------------------


class SimFunction(Named):
    """A simulation of the pyEM form, ``f(params, ...)`` with natural parameters (S, P), pickled by its name."""

    def __init__(self, name: str, *, module: str, doc: str, function: Callable[..., Any]) -> None:
        super().__init__(name, module, doc, function)
        self.__signature__ = inspect.signature(function)
        self._function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Simulate."""
        return self._function(*args, **kwargs)


Bundle = tuple[SimFunction, FitFunction, ModelSpec]


def bundle(
    id: str,
    *,
    module: str,
    desc: str,
    spec: dict[str, Any],
    fields: Callable[..., Fields],
    model: Callable[..., Model],
    report: Callable[..., dict[str, Any]],
    simulate: Callable[..., Any],
) -> Bundle:
    """The three names ``<id>_sim, <id>_fit, <id>_model`` that `module` exports for a model.

    Parameters
    ----------
    id, desc, spec
        For the `ModelSpec`.
    module
        Name of the module in which the three are found, ``__name__`` there: they are pickled by it.
    fields, model, report
        See `FitFunction`.
    simulate
        ``simulate(params, ...)``, the simulation.
    """
    fit = FitFunction(
        f"{id}_fit",
        module=module,
        doc=f"Fit function of {id}: {desc}. See `pyem.core.adapt.FitFunction`.",
        fields=fields,
        model=model,
        report=report,
    )
    sim = SimFunction(f"{id}_sim", module=module, doc=simulate.__doc__ or f"Simulate {id}.", function=simulate)
    return sim, fit, ModelSpec(id=id, spec=spec, desc=desc, params=None, sim=sim, fit=fit)


def seed_of(seed: int | None) -> int:
    """A seed: the given one, or one from NumPy's global generator, so that ``np.random.seed`` governs a script."""
    return int(np.random.randint(2**31 - 1)) if seed is None else int(seed)  # noqa: NPY002


def inside(model: Model, params: Any) -> np.ndarray:
    """Natural parameters (S, P) with values on a bound moved a hair inside, where the unconstrained scale ends.

    Raises
    ------
    ValueError
        If they have another shape.
    """
    values = np.array(params, float)
    if values.ndim != 2 or values.shape[1] != model.n_params:
        raise ValueError(
            f"params has shape {values.shape}; expected (subjects, {model.n_params}): {', '.join(model.names)}"
        )
    bounds = [parameter.transform.bounds for parameter in model.parameters for _ in parameter.names]
    for k, (low, high) in enumerate(bounds):
        hair = 1e-12 * (high - low) if np.isfinite(high - low) else 1e-12
        values[values[:, k] == low, k] += hair
        values[values[:, k] == high, k] -= hair
    return values


def by_person(people: Dataset, name: str) -> np.ndarray:
    """A column of a simulation, (S, B, T, ...)."""
    lanes = np.moveaxis(people.fields[name], -1, 0)
    return lanes.reshape(people.n_subjects, -1, *lanes.shape[1:])

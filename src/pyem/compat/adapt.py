"""Functions of the pyEM interface made from a `Model`: a fit function, a simulation, and a `ModelSpec`.

A `FitFunction` behaves like any fit function ``f(params, *data, prior=None, output="npl")`` and also carries the model and
the layout of its data, so that `EMModel` can hand the whole group to the JAX engine.
"""

from __future__ import annotations

import collections
import hashlib
import inspect
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pyem.compat.fields import Fields, dataset_of, subject_values
from pyem.compat.math import LARGE, calc_fval
from pyem.compat.modelspec import ModelSpec
from pyem.data.dataset import Dataset
from pyem.engine.evaluate import log_lik
from pyem.model.model import Model


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
        Name, module and docstring of the function as it is exported.
    fields
        ``fields(*data)``: one subject's data as the model's columns. Its arguments are those of the fit function.
    model
        ``model(subjects, n_params, **options)``: the `Model` for subjects with these columns. Arguments after the first two
        are options of the fit function, given by name.
    report
        ``report(values, *data, **options)``: what ``output="all"`` returns for one subject besides ``params`` and ``nll``.
    allowed
        ``allowed(params, *data)``: whether natural parameters (P,) are within their range; outside, ``"npl"`` and ``"nll"``
        are 1e7.
    strict
        Refuse other words for `output`; otherwise they mean ``"nll"``, as they do in pyEM.
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
        allowed: Callable[..., bool] | None = None,
        strict: bool = False,
    ) -> None:
        super().__init__(name, module, doc, fields)
        self.fields = fields
        self.model = model
        self.report = report
        self.allowed = allowed
        self.strict = strict
        data = inspect.signature(fields).parameters.values()
        self.data_names = tuple(parameter.name for parameter in data)
        self.needed = sum(parameter.default is parameter.empty for parameter in data)
        options = list(inspect.signature(model).parameters.values())[2:]
        self.option_names = tuple(parameter.name for parameter in options)
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        self.__signature__ = inspect.Signature(
            [
                inspect.Parameter("params", kind),
                *(p.replace(kind=kind) for p in data),
                inspect.Parameter("prior", kind, default=None),
                inspect.Parameter("output", kind, default="npl"),
                *(p.replace(kind=kind) for p in options),
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
        if self.strict and output not in ("npl", "nll", "all"):
            raise ValueError(f"Unknown output {output!r}; expected 'npl', 'nll', or 'all'")
        model, dataset = self._laid_out(data, len(x), options)
        if output == "all":
            return self.reports([data], x[None], (model, dataset), **options)[0]
        if self.allowed is not None and not self.allowed(model.natural(x[None])[0], *data):
            return LARGE
        nll = -float(log_lik(model, dataset, x[None])[0])
        return calc_fval(nll, x, prior=given["prior"], output="npl" if output == "npl" else "nll")

    def layout(self, all_data: Sequence[Any], n_params: int, **options: Any) -> tuple[Model, Dataset]:
        """The model and the data of a group, from the data that the fit function takes of each subject.

        Raises
        ------
        ValueError
            If a subject's data are not what the function takes, or the number of parameters is another.
        """
        subjects = []
        for s, data in enumerate(all_data):
            if not isinstance(data, list | tuple) or not self.needed <= len(data) <= len(self.data_names):
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
        """Reports (``output="all"``) of every subject at unconstrained `x` (S, P)."""
        model, dataset = laid or self.layout(all_data, np.shape(x)[1], **options)
        out = []
        for data, values in zip(all_data, subject_values(model, dataset, np.asarray(x, float)), strict=True):
            found = {"params": values.params, **self.report(values, *data, **options)}
            out.append({**found, "nll": found.get("nll", values.nll)})
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


def _digest(data: tuple[Any, ...], n_params: int) -> bytes:
    digest = hashlib.blake2b(str(n_params).encode(), digest_size=16)

    def add(value: Any) -> None:
        if isinstance(value, Mapping):
            for name, part in value.items():
                digest.update(str(name).encode())
                add(part)
        elif isinstance(value, list | tuple) and any(isinstance(p, np.ndarray | Mapping | list | tuple) for p in value):
            digest.update(f"{len(value)}".encode())
            for part in value:
                add(part)
        else:
            array = np.asarray(value)
            text = array.dtype.kind in "OUS"
            digest.update(f"{array.shape}{array.dtype}".encode())
            digest.update("\x1f".join(map(repr, array.ravel().tolist())).encode() if text else array.tobytes())

    for part in data:
        add(part)
    return digest.digest()


def renamed(function: Callable[..., Any], **names: str | None) -> Callable[..., Any]:
    """Rename arguments of `function`, and leave out those that get None for a name.

    Examples
    --------
    >>> def power(base, exponent=2, unused=None):
    ...     return base**exponent
    >>> renamed(power, exponent="to", unused=None)(3, to=3)
    27
    """
    own = inspect.signature(function).parameters
    kept = {name: names.get(name, name) for name in own}
    back = {new: name for name, new in kept.items() if new is not None}
    signature = inspect.Signature([own[name].replace(name=new) for new, name in back.items()])

    def call(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        return function(**{back[name]: value for name, value in bound.arguments.items()})

    call.__signature__ = signature  # type: ignore[attr-defined]
    return call


# -- bundles -------------------------------------------------------------------------------------------------------------


class SimFunction(Named):
    """A simulation of the pyEM form, ``f(params, ...)`` with natural parameters (S, P), pickled by its name."""

    def __init__(self, name: str, *, module: str, doc: str, function: Callable[..., Any]) -> None:
        super().__init__(name, module, doc, function)
        self.__signature__ = inspect.signature(function)
        self._function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Simulate people with these parameters."""
        return self._function(*args, **kwargs)


Bundle = tuple[SimFunction, FitFunction, ModelSpec, str, dict[str, Any], str]


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
    allowed: Callable[..., bool] | None = None,
    strict: bool = False,
) -> Bundle:
    """The six names ``<id>_sim, <id>_fit, <id>_model, <id>_id, <id>_spec, <id>_desc`` that `module` exports for a model.

    Parameters
    ----------
    id, desc, spec
        Entries of the `ModelSpec`.
    module
        Name of the module in which they are found, ``__name__`` there: functions are pickled by it.
    fields, model, report, allowed, strict
        See `FitFunction`.
    simulate
        ``simulate(params, ...)``, the simulation.
    """
    fit = FitFunction(
        f"{id}_fit",
        module=module,
        doc=f"Fit function of {id}: {desc}. See `pyem.compat.adapt.FitFunction`.",
        fields=fields,
        model=model,
        report=report,
        allowed=allowed,
        strict=strict,
    )
    sim = SimFunction(f"{id}_sim", module=module, doc=simulate.__doc__ or f"Simulate {id}.", function=simulate)
    return sim, fit, ModelSpec(id=id, spec=spec, desc=desc, params=None, sim=sim, fit=fit), id, spec, desc

"""A run of the command line: the request, as plain values that a log can hold, and its execution."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import pyem
from pyem.cli import sources
from pyem.cli.designs import check_formulas, make_design
from pyem.cli.options import quoted, shell_quoted

if TYPE_CHECKING:
    import pandas as pd

    from pyem.data.dataset import Dataset
    from pyem.model.model import Model
    from pyem.simulation.play import Simulation

METHODS = ("em", "map", "mle", "bayes", "nuts", "svi", "hbi")
HIERARCHICAL = ("em", "bayes", "nuts", "svi")
RESUMED = ("em", "nuts", "svi")
"""Methods that save their state, so that a run can be resumed."""
_OF_RESPONSES, _OF_VALUES = ("lapse", "stickiness", "side_bias"), ("forgetting", "eligibility")
MODIFIERS = dict.fromkeys(_OF_RESPONSES, "response") | dict.fromkeys(_OF_VALUES, "values") | {"cues": "cues"}
"""Modifiers that may be added to a model's name, with the argument that a following value sets."""


@dataclasses.dataclass(frozen=True)
class Request:
    """Everything that decides what `pyem fit` computes. Field for field what the options of the command say.

    Examples
    --------
    >>> Request(data="data.csv", models=("rw1a1b",)).method
    'em'
    """

    data: str | tuple[str, ...]
    models: tuple[str, ...]
    subject: str = "subject"
    block: tuple[str, ...] = ()
    trial: str | None = None
    columns: Mapping[str, str | Sequence[str]] = dataclasses.field(default_factory=dict)
    codes: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    separator: str | None = None
    encoding: str | None = None
    decimal: str | None = None
    values: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    missing: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    missing_outcome: str = "skip"
    where: str | None = None
    exclude: tuple[str, ...] = ()
    pattern: str | None = None
    people: str | None = None
    unmatched: str = "error"
    reference: Mapping[str, str] = dataclasses.field(default_factory=dict)
    join_rows_by: tuple[str, ...] = ()
    count: str | Mapping[str, Sequence[str]] | None = None
    teach: str | Mapping[str, Sequence[str]] | None = None
    covariates: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    fix: Mapping[str, float] = dataclasses.field(default_factory=dict)
    formulas: tuple[str, ...] = ()
    common: tuple[str, ...] = ()
    missing_condition: str = "error"
    method: str = "em"
    group: str = "gaussian"
    covariance: str = "diagonal"
    df: float = 8.0
    max_iter: int = 500
    tol: float = 1e-7
    starts: int = 5
    draws: int = 1000
    warmup: int = 400
    chains: int = 4
    seed: int = 0

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Request:
        """Rebuild the request from `values` that ``dataclasses.asdict`` made, perhaps by way of JSON.

        Raises
        ------
        ValueError
            If there is an option that is not known.
        """
        unknown = set(values) - {field.name for field in dataclasses.fields(cls)}
        if unknown:
            raise ValueError(f"there are options that this pyem does not know: {', '.join(sorted(unknown))}")
        lists = ("models", "block", "exclude", "join_rows_by", "formulas", "common")
        several = {name: tuple(values.get(name, ())) for name in lists}
        data = values["data"] if isinstance(values["data"], str) else tuple(values["data"])
        return cls(**{**values, **several, "data": data})

    def command(self) -> str:
        """Write the command line that asks for the same, without ``--out``."""
        words = ["pyem", "fit", *([self.data] if isinstance(self.data, str) else self.data)]
        add = lambda option, value: words.extend([f"--{option}", str(value)])  # noqa: E731
        default = Request(self.data, self.models)
        for model in self.models:
            add("model", model)
        add("subject", self.subject)
        for column in self.block:
            add("block", column)
        for name, source in self.columns.items():
            add("column", f"{name}={_joined(_comma_quoted(source))}")
        for name, labels in self.codes.items():
            add("codes", f"{name}={_joined(_comma_quoted(labels))}")
        for name, worth in self.values.items():
            add("values", f"{name}={','.join(f'{quoted(word)}:{number!r}' for word, number in worth.items())}")
        for name, marks in self.missing.items():
            add("missing", f"{name}={_joined(_comma_quoted(marks))}")
        for label in self.exclude:
            add("exclude", label)
        for name, value in sources.words(self):
            add(name, value)
        for name, on in self.covariates.items():
            add("covariate", f"{quoted(name)}:{_joined(on)}" if on else quoted(name))
        for formula in self.formulas:
            add("formula", formula)
        for name in self.common:
            add("common", name)
        for name, value in self.fix.items():
            add("fix", f"{name}={value!r}")
        for name in _OPTIONAL:
            if getattr(self, name) != getattr(default, name):
                add(name.replace("_", "-"), getattr(self, name))
        add("seed", self.seed)
        return " ".join(map(shell_quoted, words))


_OPTIONAL = (
    "trial",
    "separator",
    "encoding",
    "decimal",
    "missing_outcome",
    "missing_condition",
    "where",
    "method",
    "group",
    "covariance",
    "df",
    "max_iter",
    "tol",
    "starts",
    "draws",
    "warmup",
    "chains",
)


def _comma_quoted(source: str | Sequence[str]) -> str | list[str]:
    quote = lambda name: name.replace(",", r"\,")  # noqa: E731
    return quote(source) if isinstance(source, str) else [quote(name) for name in source]


def _joined(values: str | Sequence[str]) -> str:
    return values if isinstance(values, str) else ",".join(values)


# -- models -------------------------------------------------------------------------------------------------------------


def make_model(spec: str) -> Model:
    """A model from its name on the command line: ``NAME[:OPTION=VALUE,...][+lapse][+stickiness][+forgetting][+cues=4]``.

    Of several responses one is named, as in ``two_step+lapse=choice1``. Ranges of parameters are options:
    ``rw1a1b:beta=0..50``. Several values have slashes: ``rlwm:capacity=2/3/4/5``.

    Raises
    ------
    ValueError
        If there is no such model, option or addition.

    Examples
    --------
    >>> make_model("rw1a1b:options=4+lapse").names
    ('beta', 'alpha', 'lapse')
    """
    head, *additions = spec.split("+")
    name, _, rest = head.partition(":")
    options = dict(_option(part, spec) for part in rest.split(",") if part)
    model = pyem.models.get(name, **options)
    for addition in additions:
        what, equals, value = addition.partition("=")
        if what not in MODIFIERS:
            raise ValueError(f"model {spec!r}: there is no addition {what!r}; choose of {', '.join(MODIFIERS)}")
        said = {MODIFIERS[what]: plain_value(value)} if equals else {}
        model = getattr(pyem, f"with_{what}")(model, **said)
    return model


def _option(text: str, spec: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        remedy = "such as options=4; several values have slashes, as capacity=2/3/4/5"
        raise ValueError(f"model {spec!r}: {text!r} should be OPTION=VALUE, {remedy}")
    return name, tuple(map(plain_value, value.split("/"))) if "/" in value else plain_value(value)


def plain_value(text: str) -> Any:
    """Read `text` as a number or truth value, or as a pair of numbers (``0..100``); else it stays text.

    Examples
    --------
    >>> plain_value("4"), plain_value("0.5"), plain_value("-1..1"), plain_value("left")
    (4, 0.5, (-1, 1), 'left')
    """
    ends = [plain_value(end) for end in text.split("..")] if text.count("..") == 1 else []
    if ends and all(isinstance(end, int | float) for end in ends):
        return tuple(ends)
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, int | float | bool) else text


def make_models(request: Request) -> list[Model]:
    """Make the requested models, with parameters fixed where they have them.

    Raises
    ------
    ValueError
        If a model is unknown or named twice, or a parameter to fix or to shift is in none of the models.
    """
    if len(set(request.models)) < len(request.models):
        raise ValueError(f"a model is named twice: {', '.join(request.models)}; name each once")
    models = [make_model(spec) for spec in request.models]
    _in_some_model("--fix", request.fix, models)
    check_formulas(request, models)
    _in_some_model("--common", [name.partition("[")[0] for name in request.common], models)
    for name, on in request.covariates.items():
        _in_some_model(f"--covariate {name}:{_joined(on)}", on, models, r"; a colon in a column's name is written \:")
    held = [{name: value for name, value in request.fix.items() if name in _parameters(model)} for model in models]
    return [pyem.fix(model, **values) if values else model for model, values in zip(models, held, strict=True)]


def names_of_fits(request: Request, models: Sequence[Model]) -> list[str]:
    """Name of each fit: the model's, or that of the command line where two models have the same."""
    names = [model.name for model in models]
    return names if len(set(names)) == len(names) else list(request.models)


def _parameters(model: Model) -> list[str]:
    return [parameter.name for parameter in model.parameters]


def _in_some_model(option: str, names: Any, models: list[Model], remedy: str = "") -> None:
    known = [name for model in models for name in (*_parameters(model), *model.names)]
    unknown = [name for name in names if name not in known]
    if unknown:
        told = "; ".join(f"{model.name} has {', '.join(_parameters(model))}" for model in models)
        raise ValueError(f"{option}: there is no parameter {unknown[0]!r}; {told}{remedy}")


def make_group(request: Request, model: Model) -> pyem.Group:
    """The group of a model: covariates shift those of their parameters that the model has.

    Raises
    ------
    ValueError
        If the model has none of the parameters that a covariate is to shift, or the family is unknown.
    """
    shifts = {}
    for name, on in request.covariates.items():
        mine = [parameter for parameter in on if parameter in model.names]
        if on and not mine:
            raise ValueError(
                f"covariate {name!r} is to shift {_joined(on)}, but {model.name} has {', '.join(model.names)}; "
                f"name one of these too (--covariate {name}:{_joined([*on, model.names[-1]])})"
            )
        shifts[name] = mine
    return pyem.Group(request.group, covariance=request.covariance, df=request.df, covariates=shifts)  # type: ignore[arg-type]


# -- fits ---------------------------------------------------------------------------------------------------------------


def kept_beside(out: Path, request: Request) -> Path:
    """Folder in which a fit saves its state until its results are written.

    Raises
    ------
    ValueError
        If the method keeps nothing.
    """
    if request.method not in RESUMED:
        raise ValueError(
            f"--resume is for --method {', '.join(RESUMED)}, which take long; leave it out for {request.method}"
        )
    out = out.resolve()
    return out.with_name(f".{out.name}.resume")


def run_fits(
    request: Request, models: Sequence[Model], data: Dataset, *, progress: bool = False, kept: Path | None = None
) -> Iterator[Any]:
    """Fit every model in turn; states are saved in the folder `kept` if it is given."""
    groups = [make_group(request, model) for model in models]
    designs: list[Any] = [make_design(request, model) for model in models]
    for k, (model, group) in enumerate(zip(designs, groups, strict=True)):
        shown: dict[str, Any] = {"progress": progress}
        long = shown | {"group": group, "checkpoint": None if kept is None else kept / str(k)}
        if request.method == "em":
            yield pyem.fit_em(model, data, max_iter=request.max_iter, tol=request.tol, **long)
        elif request.method == "bayes":
            yield pyem.fit_bayes(model, data, group=group, key=request.seed, **shown)
        elif request.method == "nuts":
            size = {"draws": request.draws, "warmup": request.warmup, "chains": request.chains}
            yield pyem.fit_nuts(model, data, key=request.seed, **size, **long)
        elif request.method == "svi":
            yield pyem.fit_svi(model, data, key=request.seed, **long)
        elif request.method == "map":
            yield pyem.fit_map(model, data, **shown)
        else:
            yield pyem.fit_mle(model, data, starts=request.starts, key=request.seed, **shown)


def check_request(request: Request) -> None:
    """Raise for combinations of options that are not possible, before anything is read.

    Raises
    ------
    ValueError
        If the method is unknown, or options of the group are given where there is none.
    """
    if request.method not in METHODS:
        raise ValueError(f"--method {request.method}; choose one of {', '.join(METHODS)}")
    default = Request(request.data, request.models)
    about_group = ("covariates", "group", "covariance", "df")
    of_group = [name for name in about_group if getattr(request, name) != getattr(default, name)]
    if request.method not in HIERARCHICAL and of_group:
        option = "covariate" if of_group[0] == "covariates" else of_group[0]
        raise ValueError(
            f"--{option} is about the group, which --method {request.method} does not have; use --method em"
        )


# -- simulated people -----------------------------------------------------------------------------------------------------


def simulate_people(
    model: Model,
    *,
    missed: float,
    effects: Sequence[tuple[str, str | None, float]],
    seed: int,
    subjects: int = 50,
    design: Dataset | None = None,
    **size: int,
) -> Simulation:
    """Simulate people from the model's typical population; each effect is a covariate that shifts a parameter.

    Parameters
    ----------
    model, missed, subjects, design, size
        As in `pyem.simulate`; a design says how many people, blocks and trials there are.
    effects
        Name of a standard normal covariate, the parameter it shifts (or None) and by how much on the unconstrained scale.
    seed
        Seed of people, covariates and their choices.

    Raises
    ------
    ValueError
        If there is no such parameter, or the model cannot be simulated.
    """
    from pyem.simulation import play

    rng = np.random.default_rng(seed)
    subjects = subjects if design is None else design.n_subjects
    x = play.typical_people(model, subjects, rng)
    covariates: dict[str, np.ndarray] = {}
    for name, parameter, effect in effects:
        values = covariates.setdefault(name, np.round(rng.normal(size=subjects), 3))
        if parameter is not None:
            if parameter not in model.names:
                known = ", ".join(model.names)
                raise ValueError(f"covariate {name!r} is to shift {parameter!r}, but {model.name} has {known}")
            if parameter in model.discrete:
                raise ValueError(f"{parameter} of {model.name} has one of a few values, which no covariate can shift")
            x[:, model.names.index(parameter)] += effect * values
    return pyem.simulate(
        model, model.natural(x), key=seed, design=design, missed=missed, covariates=covariates or None, **size
    )


def truth_table(data: Simulation) -> pd.DataFrame:
    """A row for each simulated person: the true natural parameters."""
    import pandas as pd

    assert data.model is not None
    return pd.DataFrame(data.true_params, index=pd.Index(data.subjects, name="subject"), columns=list(data.model.names))

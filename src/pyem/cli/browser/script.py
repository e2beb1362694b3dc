"""The Python script for the analysis chosen on the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pyem.cli import reading, runs
from pyem.cli.designs import make_design
from pyem.cli.runs import Request
from pyem.engine.regress import Regression
from pyem.plot.reports.repeat import VERBS, call, model_call
from pyem.population.group import Group

if TYPE_CHECKING:
    import pandas as pd

    from pyem.model.model import Model


def python_script(request: Request, frame: pd.DataFrame) -> str:
    """Lines of Python that give the same numbers as the command line of `request`.

    Parameters
    ----------
    request
        The request; its data is the name of the file that the script reads.
    frame
        The table, from which codes of columns are known.
    """
    models = runs.make_models(request)
    names = runs.names_of_fits(request, models)
    lines = ["import pyem", "", *reading.reading_lines(request, models, frame), "print(data)", ""]
    if request.method == "hbi":
        return "\n".join([*lines, *_together(request, names, models), ""])
    lines.append("fits = {}")
    for name, model in zip(names, models, strict=True):
        lines += [
            "",
            f"model = {_model(request, model)}",
            f"fits[{name!r}] = {_fit(request, model)}",
            f"print(fits[{name!r}])",
        ]
    if len(models) > 1:
        lines += ["", f"print({call('pyem.compare_fits', 'fits', key=request.seed)})"]
    return "\n".join([*lines, "", "pyem.report(fits, 'report.html')", ""])


def _model(request: Request, model: Model) -> str:
    text, design = model_call(model) or repr(model.name), make_design(request, model)
    if not isinstance(design, Regression):
        return text
    mine = [one for one in request.formulas if one.partition("~")[0].strip() in model.names]
    common = [name for name in request.common if name.partition("[")[0] in model.names]
    return call("pyem.regress", text, *map(repr, mine), **({"common": common} if common else {}))


def _together(request: Request, names: Sequence[str], models: Sequence[Model]) -> list[str]:
    """Lines that fit all models together."""
    each = [f"    {name!r}: {_model(request, model)}," for name, model in zip(names, models, strict=True)]
    fit = call("pyem.fit_hbi", "models", "data", max_iter=request.max_iter, key=request.seed)
    return ["models = {", *each, "}", f"fit = {fit}", "print(fit)", "", "pyem.report(fit, 'report.html')"]


def _fit(request: Request, model: Model) -> str:
    group = runs.make_group(request, model)
    settings: dict[str, Any] = {} if group == Group() or request.method not in runs.HIERARCHICAL else {"group": group}
    if request.method == "em":
        settings |= {"max_iter": request.max_iter, "tol": request.tol}
    elif request.method == "nuts":
        settings |= {"key": request.seed, "draws": request.draws, "warmup": request.warmup, "chains": request.chains}
    elif request.method == "mle":
        settings |= {"starts": request.starts, "key": request.seed}
    elif request.method != "map":
        settings["key"] = request.seed
    return call(f"pyem.{VERBS[request.method]}", "model", "data", **settings)

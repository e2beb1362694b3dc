"""`pyem fit --method hbi`: models and groups together, as one result of several fits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyem
from pyem.cli.spreadsheet import csv_bytes

if TYPE_CHECKING:
    from pyem.cli.runs import Request
    from pyem.data.dataset import Dataset
    from pyem.model.model import Model
    from pyem.results.hbi import HBIFit


def check_together(request: Request) -> None:
    """Raise for options that models fitted together cannot have, before anything is read.

    Raises
    ------
    ValueError
        If there is one model only, or formulas are asked for.
    """
    if request.method != "hbi":
        return
    if len(request.models) < 2:
        raise ValueError(
            f"--method hbi compares models, but there is only {', '.join(request.models)}; name others, too: --model ..."
        )
    if request.formulas:
        raise ValueError("--method hbi takes no --formula; use --method em for designs")


def fit_together(
    request: Request, names: Sequence[str], models: Sequence[Model], data: Dataset, *, progress: bool = False
) -> HBIFit:
    """The fit of all models that were asked for."""
    together = dict(zip(names, models, strict=True))
    return pyem.fit_hbi(together, data, max_iter=request.max_iter, key=request.seed, progress=progress)


def write_together(folder: Path, fit: HBIFit) -> None:
    """The models' frequencies, everybody's probability of each, the groups, and the fit itself."""
    (folder / "models.csv").write_bytes(csv_bytes(fit.models_table(), index=True))
    (folder / "responsibilities.csv").write_bytes(csv_bytes(fit.table(), index=True))
    (folder / "groups.csv").write_bytes(csv_bytes(fit.group_table(), index=True))
    fit.save(folder / "hbi.nc")

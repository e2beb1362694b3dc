"""Tables of a fit as Parquet files, partition by partition where the data are on the disk in partitions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyem.data.leftovers import folder_at_once
from pyem.data.partitioned import PartitionedDataset
from pyem.errors import Unavailable, require_kind
from pyem.results.fit import Fit
from pyem.results.latents import latents_at

if TYPE_CHECKING:
    import pandas as pd


def to_parquet(fit: Fit, folder: str | Path, *, latents: bool = False) -> Path:
    """Write the tables of a fit as Parquet files.

    Of data in partitions (`pyem.Dataset.open`) there is a file for each partition, which is written before the next one is
    computed; others are one partition.

    Parameters
    ----------
    fit
        The fit.
    folder
        Folder to write to, which does not exist yet or is empty. It appears under its name only when it is complete.
    latents
        Write the table of trials, ``fit.latents()``, too.

    Returns
    -------
    Path
        The folder, with ``people/part-00000.parquet``, ..., the rows of ``fit.table()``; ``group.parquet`` with
        ``fit.group_table()`` if there is a group; and ``latents/part-00000.parquet``, ... Each of the folders is one table for
        pandas, polars, Arrow and DuckDB.

    Raises
    ------
    Unavailable
        If the latents of a fit to partitions are asked for that are no point estimates.
    FileExistsError
        If the folder is there and is not empty.

    Examples
    --------
    >>> import tempfile, pandas as pd, pyem
    >>> model = pyem.models.get("rw1a1b")
    >>> fit = pyem.fit_map(model, pyem.simulate(model, subjects=3, trials=20, key=1))
    >>> folder = to_parquet(fit, tempfile.mkdtemp(), latents=True)
    >>> len(pd.read_parquet(folder / "people")), len(pd.read_parquet(folder / "latents"))
    (3, 60)
    """
    require_kind("fit", fit)
    target = Path(folder).resolve()

    def check() -> None:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise FileExistsError(f"{str(target)!r} is there and is not an empty folder; name another one")

    with folder_at_once(target, check) as made:
        for name in ("people", *(["latents"] if latents else [])):
            (made / name).mkdir()
        people = fit.table().reset_index()
        for k, (place, trials) in enumerate(_parts(fit, latents)):
            people.iloc[place].to_parquet(made / "people" / f"part-{k:05d}.parquet", index=False)
            if trials is not None:
                trials.to_parquet(made / "latents" / f"part-{k:05d}.parquet", index=False)
        if fit.population is not None:
            fit.group_table().reset_index().to_parquet(made / "group.parquet", index=False)
    return target


def _parts(fit: Fit, latents: bool) -> Iterator[tuple[slice, pd.DataFrame | None]]:
    """Yield the range of people in each partition, and the table of their trials."""
    data: Any = fit.data
    if not isinstance(data, PartitionedDataset):
        yield slice(0, len(np.asarray(data.subjects))), fit.latents() if latents else None
        return
    if latents and fit.method not in ("mle", "map", "em"):
        raise Unavailable(
            f"the latents of fit_{fit.method} are not written by partition; fit_em, fit_map and fit_mle have them"
        )
    for place, part in data.parts():
        yield place, latents_at(fit.model, part, fit.x[place]) if latents else None

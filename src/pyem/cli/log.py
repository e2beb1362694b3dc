"""The log of a run: its request, data and versions, from which the run can be repeated."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import platform
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import pyem
from pyem.cli import sources
from pyem.cli.report import LOG
from pyem.cli.runs import Request

if TYPE_CHECKING:
    from pyem.data.dataset import Dataset
    from pyem.results.fit import Fit

FORMAT = 1


class Log:
    """The record of a run for ``run.json``, from which the run can be repeated."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.warnings: list[str] = []
        self.reading: list[str] = []
        self._started = datetime.datetime.now(datetime.UTC)
        self._clock = time.perf_counter()

    def content(self, data: Dataset, fits: Mapping[str, Fit], folders: Mapping[str, str]) -> dict[str, Any]:
        """The log, as plain values."""
        files = sources.files_of(self.request)
        return {
            "format": FORMAT,
            "command": self.request.command(),
            "request": dataclasses.asdict(self.request),
            "data": {
                "file": files[0].name if len(files) == 1 else [file.name for file in files],
                "sha256": sources.digest(files),
                "subjects": data.n_subjects,
                "blocks": data.n_lanes,
                "trials": data.n_trials,
                "notes": list(data.notes),
            },
            "fits": {name: told_fit(fit) | {"folder": folders[name]} for name, fit in fits.items()},
            "reading": self.reading,
            "warnings": self.warnings,
            "versions": versions(),
            "platform": platform.platform(),
            "started": self._started.isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - self._clock, 3),
        }


def told_fit(fit: Fit) -> dict[str, Any]:
    """Values of a fit for the log."""
    return {
        "method": fit.method,
        "parameters": list(fit.model.names),
        "converged": bool(fit.converged),
        "message": fit.message,
        "log_lik": float(np.sum(fit.log_lik)),
        "log_evidence": None if fit.log_evidence is None else float(np.sum(fit.log_evidence)),
        "subjects_not_converged": int((fit.status != pyem.Status.CONVERGED).sum()),
    }


def versions() -> dict[str, str]:
    """Versions of the software on which a result depends."""
    packages = ("jax", "jaxlib", "numpy", "pandas", "scipy")
    return {"pyem": pyem.__version__, "python": platform.python_version()} | {name: version(name) for name in packages}


@contextlib.contextmanager
def told_warnings(log: Log, say: Callable[[str], None]) -> Iterator[None]:
    """Print warnings of the block in one line each, and keep them in the log."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        log.warnings.append(str(message))
        say(str(message))

    with warnings.catch_warnings():
        warnings.showwarning = show
        warnings.simplefilter("always", pyem.FitWarning)
        yield


def read_log(path: Path) -> dict[str, Any]:
    """The log of a run, from its file or its folder.

    Raises
    ------
    ValueError
        If there is none, it is no log of `pyem fit`, or has a newer format.
    """
    file = path / LOG if path.is_dir() else path
    try:
        log = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"there is no {str(file)!r}; give a folder that `pyem fit` wrote, or its {LOG}") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{str(file)!r} is no log of `pyem fit`: {error}") from None
    if not isinstance(log, dict) or not {"format", "request", "data", "versions"} <= set(log):
        raise ValueError(f"{str(file)!r} is no log of `pyem fit`; give the {LOG} that it wrote")
    if log["format"] > FORMAT:
        raise ValueError(f"{str(file)!r} has format {log['format']}, but this pyem knows up to {FORMAT}; update pyem")
    return log


def logged_request(log: Mapping[str, Any], data: str | None) -> Request:
    """The request of a logged run, for the same data.

    Parameters
    ----------
    log
        See `read_log`.
    data
        Present path of the data, if they were moved.

    Raises
    ------
    ValueError
        If the data file is missing or has changed.
    """
    request = Request.from_dict(log["request"])
    request = dataclasses.replace(request, data=data or request.data)
    if isinstance(request.data, str) and not Path(request.data).exists() and request.pattern is None:
        raise ValueError(f"there is no data file {request.data!r} (seen from here); say where it is with --data")
    found, expected = sources.digest(sources.files_of(request)), log["data"]["sha256"]
    if found != expected:
        raise ValueError(
            f"{sources.described(request.data)} is not the file that was fitted: its SHA-256 is {found[:12]}..., but the log "
            f"says {expected[:12]}...; give the original with --data, or use `pyem fit` for new data"
        )
    return request


def other_versions(log: Mapping[str, Any]) -> list[str]:
    """Lines that name versions which differ from those of a log."""
    now = versions()
    return [
        f"{name} is {now.get(name, 'missing')} now and was {then}; results may differ in the last digits"
        for name, then in log["versions"].items()
        if now.get(name) != then
    ]

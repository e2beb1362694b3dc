"""Results of a run: a folder of tables, figures and a log, which is either complete or not there at all."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyem.cli.spreadsheet import csv_bytes
from pyem.data.leftovers import file_at_once, folder_at_once, remove_leftovers

if TYPE_CHECKING:
    import pandas as pd

    from pyem.results.fit import Fit

LOG = "run.json"
FIT = "fit.nc"
FIGURES = ("parameters", "estimates", "choice_curves", "choice_curves_by_block", "trace", "comparison", "ppc")
CHECKS = ("ppc.csv", "ppc_curves.csv", "ppc_group.csv")
FIGURE_FORMATS = ("png", "pdf", "svg")
REPORTS = ("report.html", "report.md", "report.docx")


# -- folders ------------------------------------------------------------------------------------------------------------


def check_free(path: Path, *, force: bool) -> None:
    """Raise unless results can be written to `path`: it does not exist, is empty, or holds earlier results to replace.

    Raises
    ------
    ValueError
        If there is something that must not be overwritten, or the folder cannot be made.
    """
    path = path.resolve()
    if path in (Path(path.anchor), Path.cwd()):
        what = "the root of a disk" if path == Path(path.anchor) else "the folder you are in"
        raise ValueError(f"{str(path)!r} is {what}, which results cannot replace; give a folder in it with --out")
    above = next(parent for parent in path.parents if parent.exists())
    if not above.is_dir():
        raise ValueError(f"{str(path)!r} cannot be made: {str(above)!r} is a file; give another folder with --out")
    if not os.access(above, os.W_OK | os.X_OK):
        raise ValueError(f"{str(path)!r} cannot be made: no permission to write in {str(above)!r}; give another --out")
    if not path.exists():
        return
    if not path.is_dir():
        raise ValueError(f"{str(path)!r} is a file; give a folder with --out")
    if not any(path.iterdir()):
        return
    if not force:
        raise ValueError(
            f"{str(path)!r} exists and is not empty; give another --out, or --force to replace earlier results"
        )
    foreign = sorted(str(file.relative_to(path)) for file in _foreign(path))
    if foreign:
        more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        raise ValueError(
            f"{str(path)!r} holds {foreign[0]!r}{more}, which pyem did not write there; --force replaces nothing but "
            "results of pyem: move the files away, or give another --out"
        )


def _foreign(path: Path) -> list[Path]:
    """Files in a folder that were not written by a run of pyem."""
    try:
        log = json.loads((path / LOG).read_text(encoding="utf-8"))
        known = {path / name for name in log["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        known = set()
    # `pyem plot` adds figures later, in other formats too, and `pyem report` a report.
    drawn = {file.parent / f"{name}.{kind}" for file in known for name in FIGURES for kind in FIGURE_FORMATS}
    drawn |= {file.parent / name for file in known for name in (*CHECKS, *REPORTS)}
    return [file for file in path.rglob("*") if not file.is_dir() and file not in known | drawn]


@contextlib.contextmanager
def whole_folder(path: Path, *, force: bool = False) -> Iterator[Path]:
    """Yield a folder to write into that appears as `path` only when the block ends well; otherwise nothing is left.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "results"
    >>> with whole_folder(target) as folder:
    ...     size = (folder / "a.txt").write_text("done")
    ...     target.exists()
    False
    >>> (target / "a.txt").read_text()
    'done'
    """
    with folder_at_once(path.resolve(), partial(check_free, path, force=force)) as folder:
        yield folder


def whole_file(path: Path, content: bytes, *, force: bool = False) -> None:
    """Write a file that is complete as soon as it has its name.

    Raises
    ------
    ValueError
        If it exists and `force` is False, or its folder does not exist.
    """
    check_file(path, force=force)
    remove_leftovers(path)
    with file_at_once(path) as unnamed:
        unnamed.write_bytes(content)


def check_file(path: Path, *, force: bool) -> None:
    """Raise unless a file can be written to `path`.

    Raises
    ------
    ValueError
        If it exists and `force` is False, is a folder, or its folder does not exist.
    """
    if path.is_dir():
        raise ValueError(f"{str(path)!r} is a folder; give the path of a file")
    if path.exists() and not force:
        raise ValueError(f"{str(path)!r} exists; give another path, or --force to replace it")
    if not path.parent.is_dir():
        raise ValueError(f"there is no folder {str(path.parent)!r} to write {path.name!r} in; make it first")


def folder_name(model: str) -> str:
    """Turn the name of a model into the name of a folder that is safe in any shell.

    Examples
    --------
    >>> folder_name("rw1a1b[alpha=0.1]+lapse")
    'rw1a1b_alpha_0.1+lapse'
    """
    return "".join(c if c.isalnum() or c in "+-." else "_" for c in model.replace("]", "")).strip("_.")


# -- figures in a second process ------------------------------------------------------------------------------------------


class Artist:
    """Draws figures in a second process, which starts up while this one reads and fits.

    What that process does not deliver, for whatever reason, is drawn here.
    """

    def __init__(self) -> None:
        self._jobs: dict[str, tuple[str, dict[str, Any], str]] = {}
        self._answer = b""
        command = [sys.executable, "-P", "-m", "pyem.draw.figures"]
        # In a session of its own, so that Ctrl-C is handled here only; it ends when its input does.
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Artist:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                stream.close()  # type: ignore[union-attr]

    def _read(self) -> None:
        self._answer = self._process.stdout.read()  # type: ignore[union-attr]

    def draw(self, name: str, kind: str, numbers: dict[str, Any], file_format: str = "png") -> None:
        """Request a figure; `name` is that of its file."""
        self._jobs[name] = (kind, numbers, file_format)
        with contextlib.suppress(OSError):
            pickle.dump((name, kind, numbers, file_format), self._process.stdin)  # type: ignore[arg-type]
            self._process.stdin.flush()  # type: ignore[union-attr]

    def figures(self) -> dict[str, bytes]:
        """All figures that were asked for, by name, as the bytes of files."""
        from pyem.draw import figures as draw

        with contextlib.suppress(OSError):
            self._process.stdin.close()  # type: ignore[union-attr]
        self._reader.join()
        done = dict(_unpickled(self._answer))
        return {name: done[name] if name in done else draw.render(*job) for name, job in self._jobs.items()}


def _unpickled(answer: bytes) -> Iterator[tuple[str, bytes]]:
    stream = io.BytesIO(answer)
    # The last one may be cut short.
    with contextlib.suppress(EOFError, pickle.UnpicklingError):
        while True:
            yield pickle.load(stream)


# -- contents -----------------------------------------------------------------------------------------------------------


def has_effects(fit: Fit) -> bool:
    """Whether a fit has formulas, and a group."""
    return fit.model.design is not None and fit.population is not None


def _all_means(fit: Fit) -> pd.DataFrame:
    """Marginal means of every parameter with a formula, one below the other; columns that it does not name are empty."""
    import pandas as pd

    assert fit.model.design is not None
    parts = []
    for name, _ in fit.model.design.formulas:
        frame = fit.marginal_means(name).table().reset_index().drop(columns="index", errors="ignore")
        frame.insert(0, "parameter", name)
        parts.append(frame)
    whole = pd.DataFrame(pd.concat(parts, ignore_index=True))
    numbers = ["mean", "mean_low", "mean_high", "estimate", "se", "low", "high"]
    return whole.reindex(columns=[*(name for name in whole.columns if name not in numbers), *numbers])


def write_fit(folder: Path, fit: Fit) -> None:
    """Write the tables of a fit and the fit itself: ``group.csv``, ``subjects.csv``, ``latents.csv``, ``fit.nc``."""
    folder.mkdir(exist_ok=True)
    if fit.population is not None:
        (folder / "group.csv").write_bytes(csv_bytes(fit.group_table(), index=True))
    if has_effects(fit):
        (folder / "effects.csv").write_bytes(csv_bytes(fit.effects(), index=True))
        (folder / "marginal_means.csv").write_bytes(csv_bytes(_all_means(fit), index=False))
    (folder / "subjects.csv").write_bytes(csv_bytes(fit.table(), index=True))
    (folder / "latents.csv").write_bytes(csv_bytes(fit.latents(), index=False))
    fit.save(folder / FIT)


def write_log(folder: Path, content: dict[str, Any]) -> None:
    """Write ``run.json`` last, with the names of all files of the folder."""
    files = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
    text = json.dumps(content | {"files": [*files, LOG]}, indent=2, allow_nan=False)
    (folder / LOG).write_text(text + "\n", encoding="utf-8")


def find_fits(paths: list[Path]) -> list[Path]:
    """Saved fits among and below the given files and folders.

    A folder may be that of one fit, or of a run with several. Other files are passed over, so that a shell's ``results/*``
    may name everything there is.

    Raises
    ------
    ValueError
        If a path does not exist.
    """
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise ValueError(f"there is no file or folder {str(path)!r}; give folders that `pyem fit` wrote")
        if path.is_dir():
            here = [path / FIT] if (path / FIT).exists() else sorted(path.glob(f"*/{FIT}"))
        else:
            here = [path] if path.suffix == ".nc" else []
        found += [file for file in here if file not in found]
    return found


def name_fits(paths: list[Path], fits: list[Fit]) -> dict[str, Fit]:
    """The fits by the name of their model or, where two have the same, by that of their folder."""
    models = [fit.model.name for fit in fits]
    labels = models if len(set(models)) == len(models) else [str(path.parent) for path in paths]
    if len(set(labels)) < len(labels):
        labels = [str(path) for path in paths]
    return dict(zip(labels, fits, strict=True))

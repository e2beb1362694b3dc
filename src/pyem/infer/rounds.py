"""Rounds of a study: each with its own key, here or in a pool of processes, saved when finished, resumed after an interruption.

All studies run their rounds here. A study says what a round does, `work(*arguments)`, which returns arrays by name, and which
rounds there are. A round depends on its arguments alone, so that the result is the same whoever runs it, and in which order.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from pyem.data.leftovers import file_at_once, remove_leftovers
from pyem.errors import counted
from pyem.infer.progress import count_line, unless_asked
from pyem.numerics.pickles import unpickled
from pyem.population.priors import is_distribution

Found = dict[str, np.ndarray]
"""Result of a round: arrays by name."""
Work = Callable[..., Found]
"""Function that does a round, given its arguments."""
LOG = "study.json"
SECONDS_IDLE = 60
"""Seconds without work after which a study's worker processes end by themselves."""
CACHE_SETTINGS = (
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
)


@dataclasses.dataclass(frozen=True)
class Running:
    """Arguments that say how the rounds of a study are run, the same in every study.

    Parameters
    ----------
    pool
        None: one after the other, in this process. A whole number: in so many processes. Else anything with a method ``map``,
        such as an executor of `concurrent.futures`, a pool of `multiprocessing`, or a client of Dask.
    folder
        Folder for finished rounds, which the same study reads again; nothing is written if not given.
    progress
        Show how far it is; by default at an interactive prompt and in a notebook only.
    """

    pool: Any = None
    folder: str | os.PathLike[str] | None = None
    progress: bool | None = None

    def __post_init__(self) -> None:
        if isinstance(self.pool, bool) or (isinstance(self.pool, int) and self.pool < 1):
            raise ValueError(f"pool={self.pool!r}; give a number of processes of at least 1, or anything with .map")
        if self.pool is not None and not isinstance(self.pool, int) and not callable(getattr(self.pool, "map", None)):
            raise ValueError(f"pool={self.pool!r:.80} has no method map; give a number of processes or an executor")


def run_rounds(
    label: str,
    work: Work,
    rounds: Mapping[str, tuple[Any, ...]],
    running: Running,
    said: Mapping[str, Any],
) -> list[Found]:
    """Run all rounds, and return their results in order.

    Parameters
    ----------
    label
        Name of the study, for its progress.
    work
        ``work(*arguments)``: one round.
    rounds
        Arguments of each round by its name, which is that of its file.
    running
        Arguments on how and where the rounds are run.
    said
        Everything on which the study depends, in words and numbers: a folder with the rounds of another study is refused.

    Raises
    ------
    ValueError
        If the folder has the rounds of another study, or something else, or cannot be written to.
    """
    folder = None if running.folder is None else _opened(Path(running.folder), label, said)
    found = {} if folder is None else {name: _read(folder / f"{name}.npz") for name in rounds}
    found = {name: one for name, one in found.items() if one is not None}
    left = [name for name in rounds if name not in found]
    with count_line(running.progress, label, len(rounds), len(found)) as say:
        done = _run(work, [(name, rounds[name]) for name in left], running.pool, folder)
        for n, (name, one) in enumerate(done, len(found) + 1):
            found[name] = one
            if folder is not None and not (folder / f"{name}.npz").exists():
                _write(folder / f"{name}.npz", one)
            if say:
                say(n, f"{n} of {counted(len(rounds), 'round')}")
    return [found[name] for name in rounds]


# -- who runs them ----------------------------------------------------------------------------------------------------------


def _run(work: Work, jobs: Sequence[tuple[str, tuple[Any, ...]]], pool: Any, folder: Path | None) -> Iterator[Any]:
    if not jobs:
        return
    if pool is None:
        job = _Job(None, None if folder is None else str(folder), {})
        for name, arguments in jobs:
            yield name, job.done(work, name, arguments)
        return
    import cloudpickle

    # Models of users are often functions in a notebook, which plain pickle cannot handle.
    job = _Job(cloudpickle.dumps(work), None if folder is None else str(folder.resolve()), _cache_settings())
    with _workers(pool) as workers:
        results = workers.map(job, jobs)
        for (name, _), one in zip(jobs, _arrived(results), strict=True):
            yield name, one


@contextlib.contextmanager
def _workers(pool: Any) -> Iterator[Any]:
    """Yield an object with a method ``map``; processes made for the study end with it if it fails."""
    if not isinstance(pool, int):
        yield pool
        return
    from joblib.externals.loky import get_reusable_executor

    workers = get_reusable_executor(max_workers=pool, timeout=SECONDS_IDLE)
    try:
        yield workers
    except BaseException:
        workers.shutdown(wait=False, kill_workers=True)
        raise


def _arrived(results: Iterable[Any]) -> Iterator[Found]:
    """Yield results as they arrive; some pools return futures."""
    for one in results:
        yield one if isinstance(one, dict) else one.result()


def _cache_settings() -> dict[str, Any]:
    """Settings of the cache in which this process keeps compiled code, for worker processes to use it too."""
    settings = {name: getattr(jax.config, name) for name in CACHE_SETTINGS}
    return settings if settings[CACHE_SETTINGS[0]] else {}


@dataclasses.dataclass(frozen=True)
class _Job:
    """One round of a study, to be done in any process."""

    work: bytes | None
    folder: str | None
    cache: Mapping[str, Any]

    def __call__(self, job: tuple[str, tuple[Any, ...]]) -> Found:
        assert self.work is not None
        _use_cache(tuple(self.cache.items()))
        return self.done(_unpacked(self.work), *job)

    def done(self, work: Work, name: str, arguments: tuple[Any, ...]) -> Found:
        """Do a round, and return its result, which is also written to the folder where that can be reached."""
        try:
            with unless_asked():
                one = {key: np.asarray(value) for key, value in work(*arguments).items()}
        except Exception as error:
            error.add_note(f"in round {name!r} of the study")
            raise
        if self.folder is not None and Path(self.folder).is_dir():
            _write(Path(self.folder) / f"{name}.npz", one)
        return one


@functools.lru_cache(maxsize=1)
def _use_cache(settings: tuple[tuple[str, Any], ...]) -> None:
    for name, value in settings:
        jax.config.update(name, value)


@functools.lru_cache(maxsize=2)
def _unpacked(work: bytes) -> Work:
    # Once in a process: models unpacked twice would be compiled twice.
    return unpickled(work)


# -- files ------------------------------------------------------------------------------------------------------------------


def _opened(folder: Path, label: str, said: Mapping[str, Any]) -> Path:
    """Open the folder of this study; make it if there is none."""
    content = {"study": label} | {name: value for name, value in said.items()}
    text = json.dumps(content, indent=2, default=_plain) + "\n"
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"folder={str(folder)!r} is a file; give a folder for the rounds of the study")
    log = folder / LOG
    if log.exists():
        _require_same(log, json.loads(text))
    elif folder.exists() and any(folder.iterdir()):
        raise ValueError(f"folder={str(folder)!r} has other files than the rounds of a study; give a folder of its own")
    else:
        folder.mkdir(parents=True, exist_ok=True)
        with file_at_once(log) as partial:
            partial.write_text(text, encoding="utf-8")
    for path in folder.glob(".*.npz.*"):
        remove_leftovers(folder / f"{path.name[1:].partition('.npz')[0]}.npz")
    return folder


def _require_same(log: Path, wanted: Mapping[str, Any]) -> None:
    try:
        known = json.loads(log.read_text(encoding="utf-8"))
    except ValueError:
        raise ValueError(f"{str(log)!r} is damaged; give another folder, or remove this one") from None
    # More rounds of the same study may be asked for.
    other = [name for name in {**known, **wanted} if known.get(name) != wanted.get(name) and name != "rounds"]
    if other:
        name = other[0]
        raise ValueError(
            f"folder={str(log.parent)!r} has the rounds of another study: {name} is {known.get(name)!r:.100} there and "
            f"{wanted.get(name)!r:.100} here; give another folder, or remove this one"
        )


def _plain(value: Any) -> Any:
    """Convert a value that JSON cannot represent to plain values."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)


def _read(path: Path) -> Found | None:
    """Read the result of an earlier run; None if that did not reach this round, or the file is damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (FileNotFoundError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return None


def _write(path: Path, found: Found) -> None:
    with file_at_once(path) as partial, partial.open("wb") as file:
        np.savez(file, **found)  # type: ignore[arg-type]


# -- what a study depends on --------------------------------------------------------------------------------------------------


def in_words(value: Any) -> Any:
    """A value that a study depends on, as text and numbers that are the same in every process."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(name): in_words(one) for name, one in value.items()}
    if isinstance(value, functools.partial):
        return {"function": in_words(value.func), "arguments": in_words(list(value.args)), **in_words(value.keywords)}
    if isinstance(value, np.ndarray):
        return hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()[:16]
    if isinstance(value, list | tuple):
        return [in_words(one) for one in value]
    # Distributions can be called, too.
    if callable(value) and not dataclasses.is_dataclass(value) and not is_distribution(value):
        return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__name__)}"
    return _described(value)


def _described(value: Any) -> Any:
    """Name and parts of a model, a group, an experiment and the like."""
    if isinstance(getattr(value, "__array__", None), Callable):
        return in_words(np.asarray(value))
    if not dataclasses.is_dataclass(value):
        # For example, the numbers of a distribution.
        parts = {name: one for name, one in getattr(value, "__dict__", {}).items() if not name.startswith("_")}
        plain = {
            name: one for name, one in parts.items() if isinstance(one, int | float | str) or hasattr(one, "shape")
        }
        return {"kind": type(value).__name__} | _with_hidden(value, in_words(plain))
    parts = {
        field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.compare and field.repr
    }
    kept = {name: in_words(one) for name, one in parts.items() if one is not None}
    return {"kind": type(value).__name__} | kept


def _with_hidden(value: Any, plain: dict[str, Any]) -> dict[str, Any]:
    """Add the numbers inside a distribution's parts, such as a truncated distribution or a mixture, to its description."""
    numbers = [in_words(leaf) for leaf in jax.tree.leaves(value) if leaf is not value]
    hidden = [one for one in numbers if one not in plain.values()]
    return plain | ({"parts": hidden} if hidden else {})

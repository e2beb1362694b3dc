"""Cache of the command line: compiled code and the list of models.

Only the command line turns these on; `import pyem` in Python writes nothing anywhere.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from pyem.data.leftovers import file_at_once

VARIABLE = "PYEM_CACHE_DIR"


def cache_folder() -> Path | None:
    """The folder of the cache: ``PYEM_CACHE_DIR``, or the usual place of this system; None if turned off (set, but empty).

    Examples
    --------
    >>> from unittest import mock
    >>> with mock.patch.dict(os.environ, PYEM_CACHE_DIR="here"):
    ...     cache_folder()
    PosixPath('here')
    """
    if VARIABLE in os.environ:
        return Path(os.environ[VARIABLE]).expanduser() if os.environ[VARIABLE] else None
    try:
        if sys.platform == "win32":
            return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "pyem" / "cache"
        if sys.platform == "darwin":
            return Path.home() / "Library" / "Caches" / "pyem"
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pyem"
    except RuntimeError:
        # Some containers have no home folder.
        return None


def turn_on_compilation_cache() -> None:
    """Let JAX keep compiled code between processes. Without a place to write it compiles every time, as usual."""
    folder = cache_folder()
    if folder is None:
        return
    folder = folder / "compiled" / _processor()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    import jax

    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _processor() -> str:
    """A short name of this kind of processor: compiled code may use instructions that another does not have."""
    features = ""
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        features = next((line for line in file if line.startswith(("flags", "Features"))), "")
    return f"{platform.machine()}-{hashlib.sha256(features.encode()).hexdigest()[:8]}"


def model_catalogue() -> list[dict[str, Any]]:
    """Name, properties and required columns of every registered model, in the order of the registry.

    Kept in the cache as long as the source of the models stays the same, because importing them takes a second.
    """
    folder = cache_folder()
    file = None if folder is None else folder / "models" / f"{_source_digest()}.json"
    if file is not None:
        with contextlib.suppress(OSError, ValueError):
            return json.loads(file.read_text(encoding="utf-8"))
    catalogue = _described_models()
    if file is not None:
        with contextlib.suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            with file_at_once(file) as partial:
                partial.write_text(json.dumps(catalogue), encoding="utf-8")
    return catalogue


def _source_digest() -> str:
    here = Path(__file__).parents[1]
    sources = sorted([Path(__file__), *(here / "model").glob("*.py"), *(here / "models").glob("*.py")])
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _described_models() -> list[dict[str, Any]]:
    from pyem import models
    from pyem.models.finding import kinds_of

    words = {
        name: {
            "said": models.said(name),
            "equations": list(models.equations(name)),
            "kinds": [kind.name for kind in kinds_of(name)],
        }
        for name in models.names()
    }
    return [described(models.get(name)) | words[name] for name in models.names()]


def described(model: Any) -> dict[str, Any]:
    """Properties and required columns of a model."""
    return {
        "name": model.name,
        "doc": model.doc,
        "reference": model.reference,
        "responses": list(model.responses),
        "outcomes": list(model.outcomes),
        "inputs": list(model.inputs),
        "between": list(model.shown_between),
        "simulates": model.policy is not None and model.task is not None,
        "parameters": [
            {
                "name": parameter.name,
                "size": parameter.size,
                # JSON knows no infinity.
                "range": [None if abs(end) == float("inf") else end for end in parameter.transform.bounds],
                "doc": parameter.doc,
            }
            for parameter in model.parameters
        ],
    }

"""Running the command, in this process and in another."""

import os
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from pyem.cli import app

ROOT = Path(__file__).parents[2]
DATA_OPTIONS = (
    *("--subject", "id", "--block", "run", "--trial", "trial"),
    *("--column", "choice=response", "--column", "reward=feedback"),
)


def pyem_command(*words, code=0):
    """Run ``pyem`` in this process; the result has `stdout`, `stderr` and `output` (both)."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def python(program, *words, cache="", **options):
    """Run a program in a fresh Python."""
    environment = {**os.environ, "PYEM_CACHE_DIR": str(cache)}
    command = [sys.executable, "-c", program, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, **options)


def left(folder):
    """Names of everything in a folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir())

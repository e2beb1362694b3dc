"""The command line: ``pyem models | simulate | fit | repeat | compare | plot | ppc | study | report | app``.

Its modules import little, and its commands what they need, because ``pyem --help`` must not wait for JAX.
"""

# Commands are listed in the order in which these modules are imported.
from pyem.cli import commands, fitting, saved, studies, reporting, launching  # noqa: F401  # isort: skip
from pyem.cli.program import app, main

__all__ = ["app", "main"]

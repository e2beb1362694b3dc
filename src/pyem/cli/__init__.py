"""The command line: ``pyem models | simulate | fit | repeat | compare | plot``.

Its modules import little, and its commands what they need, because ``pyem --help`` must not wait for JAX.
"""

from pyem.cli.commands import app, main

__all__ = ["app", "main"]

"""`EMModel`, by the name of older pyEM scripts."""

from __future__ import annotations

from pyem.compat.api import EMModel

__all__ = ["EMModel"]

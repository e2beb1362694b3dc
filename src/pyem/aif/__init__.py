"""Active inference: agents that infer hidden states and choose policies of least expected free energy.

`DiscretePOMDP` makes such an agent a `pyem.Model`; `from_pymdp` does so with an agent written for pymdp. `TMaze`,
`POMDPTask` and `Episodes` are tasks for simulation. Models that are ready: ``pyem.models.get("aif_tmaze")``,
``"aif_bandit"``, ``"aif_reversal"``.

Examples
--------
>>> import pyem
>>> pyem.aif.TMaze().reward_probability
0.8
"""

from __future__ import annotations

import importlib
from typing import Any

_WHERE = {
    "DiscretePOMDP": "pomdp",
    "Episodes": "tasks",
    "Learning": "learning",
    "POMDPTask": "tasks",
    "TMaze": "maze",
    "from_pymdp": "adapter",
    "join_blocks": "blocks",
    "plot_posteriors": "figures",
    "pymdp_data": "measurements",
}

__all__ = list(_WHERE)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'pyem.aif' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"pyem.aif.{_WHERE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

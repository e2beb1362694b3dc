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

from pyem.numerics.first_use import on_first_use

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
__getattr__, __dir__ = on_first_use(__name__, _WHERE)

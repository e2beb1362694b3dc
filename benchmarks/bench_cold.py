"""First fits: EM of 100 people at the design of each model's paper, in a fresh process with nothing compiled.

``python -m benchmarks cold`` measures the models that take longest, and `rw1a1b`; ``python -m benchmarks.bench_cold MODEL ...``
those named, ``python -m benchmarks.bench_cold all`` every one.
"""

from __future__ import annotations

import sys

from benchmarks.measure import fresh, row
from benchmarks.recovery import DESIGNS

RACES = dict.fromkeys(("lba", "rdm", "lnr"), (1, 250))
"""Blocks and trials of what has no line in the table of recovery."""
LONGEST = ("rw1a1b", "lba", "rdm", "ddm_gonogo", "meta_d", "two_step", "hgf_continuous")
AIM = "10 s"
FIT = """
import json, time, warnings
import pyem
warnings.simplefilter("ignore", pyem.FitWarning)
model = pyem.models.get("{name}")
data = pyem.simulate(model, key=1, subjects=100, blocks={blocks}, trials={trials})
out = {{}}
for name in ("cold", "warm"):
    wall, cpu = time.perf_counter(), time.process_time()
    pyem.fit_em(data.model or model, data)
    out[name], out[name + " cpu"] = time.perf_counter() - wall, time.process_time() - cpu
print(json.dumps(out))
"""


def main(names: list[str] | None = None) -> None:
    """A row for each model: by the clock, and in processor seconds, which other work on the machine changes less."""
    for name in names or LONGEST:
        blocks, trials = (DESIGNS | RACES)[name]
        took = fresh(FIT.format(name=name, blocks=blocks, trials=trials))
        cold, warm = (f"{took[when]:.1f} s, {took[when + ' cpu']:.1f} processor s" for when in ("cold", "warm"))
        row(f"`{name}`, {blocks} x {trials}", f"{cold}; warm {warm}", AIM)


if __name__ == "__main__":
    main(list(DESIGNS | RACES) if sys.argv[1:] == ["all"] else sys.argv[1:])

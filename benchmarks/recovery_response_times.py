"""Recovery of the models of response times: 30 people with 200 trials each, the table of docs/response-times.md.

``python -m benchmarks.recovery_response_times [MODEL ...]``
"""

from __future__ import annotations

import sys
import time

import pyem

MODELS = ("ddm", "rdm", "lba", "lnr")


def main(names: list[str]) -> None:
    """A line for each model: correlations of true and estimated natural parameters, and the bias in sds of the people."""
    for name in names or MODELS:
        start = time.perf_counter()
        table = pyem.recovery(pyem.models.get(name), key=7, rounds=2, subjects=30, trials=200, fit=pyem.fit_em).table()
        print(f"{name}, {time.perf_counter() - start:.0f} s")
        print(table.round(3).to_string(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

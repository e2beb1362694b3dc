"""Reading long tables from CSV and Parquet files, beside pandas' own reading of the same files in the same run.

The number of rows is that of ``PYEM_BENCH_ROWS``, ten million if it is not set.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from benchmarks.measure import fresh, row

ROWS = int(os.environ.get("PYEM_BENCH_ROWS", "10_000_000"))

MAKE = """
import json
import numpy as np
import pandas as pd

rows, trials, blocks = {rows}, 250, 4
rng = np.random.default_rng(1)
sequence = np.arange(rows) // trials
table = pd.DataFrame(
    {{
        "id": pd.Categorical.from_codes(sequence // blocks, [f"s{{k:05d}}" for k in range(sequence[-1] // blocks + 1)]),
        "session": sequence % blocks + 1,
        "trial": np.arange(rows) % trials + 1,
        "response": pd.Categorical.from_codes(rng.integers(0, 2, rows), ["left", "right"]),
        "feedback": rng.integers(0, 2, rows),
        "rt": np.round(rng.gamma(4, 0.15, rows), 3),
    }}
)
table.loc[rng.random(rows) < 0.02, ["response", "rt"]] = None
table = table.astype({{"id": str, "response": object}})
table.to_csv("{folder}/data.csv", index=False)
table.to_parquet("{folder}/data.parquet", index=False)
print(json.dumps({{}}))
"""

READ = """
import json, time
from benchmarks.measure import peak_memory
import pandas as pd
import pyem
pyem.Dataset
before = peak_memory()
start, worked = time.perf_counter(), time.process_time()
made = {read}
spent = {{"seconds": time.perf_counter() - start, "processor": time.process_time() - worked}}
print(json.dumps(spent | {{"peak": peak_memory() - before}}))
"""

PYEM = (
    'pyem.Dataset.read("{path}", subject="id", block="session", trial="trial", '
    'columns={{"choice": "response", "reward": "feedback", "rt": "rt"}})'
)


UNPACKED = """
import json
import pyarrow.parquet
print(json.dumps({{"size": pyarrow.parquet.read_table("{path}").nbytes / 2**20}}))
"""


def main() -> None:
    """Seconds and memory beyond what is there after the imports, for both kinds of file."""
    with tempfile.TemporaryDirectory() as folder:
        fresh(MAKE.format(rows=ROWS, folder=folder))
        csv, parquet = (Path(folder) / name for name in ("data.csv", "data.parquet"))
        unpacked = fresh(UNPACKED.format(path=parquet))["size"]
        _compare(csv, f'pd.read_csv("{csv}")', "pandas alone", unpacked)
        _compare(csv, f'pd.read_csv("{csv}", engine="pyarrow")', 'pandas alone with engine="pyarrow"', unpacked)
        _compare(parquet, f'pd.read_parquet("{parquet}")', "pandas alone", unpacked)


def _compare(path: Path, read: str, name: str, unpacked: float) -> None:
    size = path.stat().st_size / 2**20
    theirs, ours = (fresh(READ.format(read=each)) for each in (read, PYEM.format(path=path)))
    row(
        f"{ROWS:,} rows of {path.suffix}, {size:.0f} MiB, six columns: `Dataset.read` / {name}",
        f"{ours['seconds']:.1f} / {theirs['seconds']:.1f} s = {ours['seconds'] / theirs['seconds']:.1f}, "
        f"processor seconds {ours['processor']:.1f} / {theirs['processor']:.1f}; peak memory "
        f"{ours['peak']:.0f} / {theirs['peak']:.0f} MiB, {ours['peak'] / size:.1f} times the file, "
        f"{ours['peak'] / unpacked:.1f} times the {unpacked:.0f} MiB of the table in Arrow's memory",
        "<= 2 times the seconds, 3 times the file",
    )

"""A million people on the disk beside a tenth of them in memory, and ten million trials of CSV that are opened.

The number of people is that of ``PYEM_BENCH_PEOPLE``, a million if it is not set; everybody has 100 trials.
"""

from __future__ import annotations

import os
import tempfile

from benchmarks.measure import fresh, row

PEOPLE = int(os.environ.get("PYEM_BENCH_PEOPLE", "1_000_000"))
TRIALS = 100

MAKE = """
import json
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

people, trials, files = {people}, {trials}, 10
rng = np.random.default_rng(1)
for k in range(files):
    n = people // files
    beta, alpha = 20 / (1 + np.exp(1.5 - 0.5 * rng.normal(size=n))), 1 / (1 + np.exp(0.8 - 0.8 * rng.normal(size=n)))
    q = np.full((n, 2), 0.5)
    choice, reward = np.empty((n, trials), np.int8), np.empty((n, trials), np.int8)
    rows = np.arange(n)
    for t in range(trials):
        chosen = (rng.random(n) < 1 / (1 + np.exp(-beta * (q[:, 1] - q[:, 0])))).astype(int)
        won = rng.random(n) < np.where(chosen, 0.75, 0.25)
        q[rows, chosen] += alpha * (won - q[rows, chosen])
        choice[:, t], reward[:, t] = chosen, won
    ids = pa.array(np.repeat(np.arange(k * n, (k + 1) * n), trials))
    table = pa.table({{"id": ids, "choice": choice.ravel(), "reward": reward.ravel()}})
    pq.write_table(table, "{folder}/part-%02d.parquet" % k)
print(json.dumps({{}}))
"""

WORK = """
import json, time
from benchmarks.measure import peak_memory
import pyem, jax
pyem.Dataset, pyem.fit_em
columns = {{"choice": "choice", "reward": "reward"}}
start, worked = time.perf_counter(), time.process_time()
data = {data}
opened = time.perf_counter() - start
fit = pyem.fit_em(pyem.models.get("rw1a1b"), data, tol=1e-6)
fitted = time.perf_counter() - start - opened
{more}
spent = {{"opened": opened, "fitted": fitted, "all": time.perf_counter() - start, "processor": time.process_time() - worked}}
spent |= {{"peak": peak_memory(), "people": data.n_subjects, "iterations": len(fit.trace["change"])}}
print(json.dumps(spent | {{"estimates": fit.group_table().estimate.tolist(), "errors": fit.group_table().se.tolist()}}))
"""

OPENED = 'pyem.Dataset.open("{folder}/*.parquet", subject="id", columns=columns)'
READ = 'pyem.Dataset.read(["{folder}/part-00.parquet"], subject="id", columns=columns)'

CSV = """
import json
import numpy as np
import pandas as pd
rows = 10_000_000
rng = np.random.default_rng(2)
table = pd.DataFrame({{"id": np.arange(rows) // 100, "choice": rng.integers(0, 2, rows), "reward": rng.integers(0, 2, rows)}})
table.to_csv("{folder}/trials.csv", index=False)
print(json.dumps({{}}))
"""

OPEN = """
import json, time
from benchmarks.measure import peak_memory
import pyem
pyem.Dataset
start = time.perf_counter()
data = pyem.Dataset.open("{folder}/trials.csv", subject="id", columns={{"choice": "choice", "reward": "reward"}})
print(json.dumps({{"seconds": time.perf_counter() - start, "peak": peak_memory(), "trials": data.n_trials}}))
"""


def main() -> None:
    """Seconds of a cold process, and its largest resident memory, everything included."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("PYEM_BENCH_FOLDER")) as folder:
        fresh(MAKE.format(people=PEOPLE, trials=TRIALS, folder=folder))
        tables = f'pyem.to_parquet(fit, "{folder}/results", latents=False)'
        on_disk = fresh(WORK.format(data=OPENED.format(folder=folder), more=tables))
        memory = fresh(WORK.format(data=READ.format(folder=folder), more=""))
        _tell(on_disk, "from Parquet, partitions on the disk; tables written", "<= 300 s, 4096 MiB")
        _tell(memory, "in memory", "")
        ratio = (on_disk["fitted"] / on_disk["people"]) / (memory["fitted"] / memory["people"])
        row("seconds of the fit per person, on the disk / in memory", f"{ratio:.2f}", "<= 1.5")
        fresh(CSV.format(folder=folder))
        opened = fresh(OPEN.format(folder=folder))
        row(
            f"`Dataset.open` of {opened['trials']:,} trials of CSV",
            f"{opened['seconds']:.1f} s; peak memory {opened['peak']:.0f} MiB",
            "<= 60 s, 2048 MiB",
        )


def _tell(done: dict, how: str, aim: str) -> None:
    estimates = ", ".join(
        f"{value:.4f} ({error:.4f})" for value, error in zip(done["estimates"], done["errors"], strict=True)
    )
    row(
        f"`fit_em` of {done['people']:,} people x {TRIALS} trials to 1e-6, {how}",
        f"{done['all']:.0f} s, of which {done['opened']:.0f} s to read and {done['fitted']:.0f} s to fit ({done['iterations']} "
        f"iterations); processor {done['processor']:.0f} s; peak memory {done['peak']:.0f} MiB; estimates (errors) {estimates}",
        aim,
    )

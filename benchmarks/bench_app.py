"""The page of ``pyem app`` in Chromium: its start, and a table of a million rows.

Needs the extras ``[app,browser]`` and /proc.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import pyem
from benchmarks.measure import ROOT, row

PEOPLE, TRIALS = 2000, 500
TICKS = os.sysconf("SC_CLK_TCK")
WAIT = 300_000
"""Milliseconds."""


def family(process: int) -> list[int]:
    """A process and what it has started."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [process, *(one for child in children for one in family(int(child)))]


def processor_seconds(process: int) -> float:
    """User and system time of a process and of what it has started."""
    each = [Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()[11:15] for one in family(process)]
    return sum(int(ticks) for four in each for ticks in four) / TICKS


def peak(process: int) -> float:
    """Largest resident memory so far of a process and of what it has started, in MiB."""
    lines = [line for one in family(process) for line in Path(f"/proc/{one}/status").read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def large_table(path: Path) -> None:
    """People who learn from rewards, with names and conditions in words."""
    frame = pyem.simulate(pyem.models.get("rw1a1b"), subjects=PEOPLE, blocks=1, trials=TRIALS, key=1).to_frame()
    frame = frame[["subject", "choice", "reward"]].astype(int)
    drug = pd.Categorical.from_codes(np.arange(len(frame)) // 250 % 2, ["placebo", "active"])
    frame.assign(subject="p" + frame["subject"].astype(str), drug=drug).to_csv(path, index=False)


@contextlib.contextmanager
def served(folder: Path) -> Iterator[tuple[int, str]]:
    """The process of the page, and its address."""
    with socket.socket() as one:
        one.bind(("localhost", 0))
        port = one.getsockname()[1]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "TMPDIR": str(folder), "HOME": str(folder)}
    words = [sys.executable, "-m", "pyem", "app", "--no-browser", "--port", str(port), "--max-upload", "20"]
    process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process.pid, f"http://localhost:{port}"
    finally:
        process.terminate()
        process.wait()


def answered(where: str) -> None:
    """Wait until the server is there."""
    for _ in range(6000):
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{where}/_stcore/health", timeout=5)
            return
        time.sleep(0.01)
    raise TimeoutError(f"nothing answers at {where}")


def main() -> None:
    """Steps in the order in which a user takes them."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if importlib.util.find_spec("playwright") is None or importlib.util.find_spec("streamlit") is None or not chromium:
        row("page of `pyem app`", "not measured: needs the extras [app,browser] and Chromium", "")
        return
    with tempfile.TemporaryDirectory() as folder:
        large_table(Path(folder) / "million.csv")
        steps(Path(folder), chromium)


def steps(folder: Path, chromium: str) -> None:
    """Start, upload, choose a model, fit."""
    sync_api: Any = importlib.import_module("playwright.sync_api")
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        start, before = time.perf_counter(), 0.0
        with served(folder) as (process, where):

            def told(work: str, text: str, aim: str = "") -> None:
                nonlocal start, before
                page.get_by_text(text).first.wait_for(timeout=WAIT)
                now, used = time.perf_counter(), processor_seconds(process)
                memory = peak(process)
                row(work, f"{now - start:.1f} s ({used - before:.1f} processor s), peak {memory:,.0f} MiB", aim)
                start, before = now, used

            answered(where)
            page.goto(where)
            told("from the command to the first page", "Choose a file, or tick the box", "5 s")
            page.locator("input[type=file]").set_input_files(folder / "million.csv")
            told("a million rows: upload, table, guesses", "1,000,000 rows")
            page.get_by_label("Models to fit").click()
            for key in ("rw1a1b", "Enter", "Escape"):
                (page.keyboard.type if key == "rw1a1b" else page.keyboard.press)(key)
            told("read for a model", "The data can be read")
            page.get_by_role("button", name="Fit", exact=True).click()
            told("fitted by EM, results shown", "Can the numbers be relied on?")
        browser.close()


if __name__ == "__main__":
    main()

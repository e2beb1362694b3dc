"""Processes that work for the page, which end when they are told to or when the browser's tab is closed."""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

GRACE = 5.0
"""Seconds after which a tab that has disappeared is not expected to return."""
PATIENCE = 3.0
"""Seconds that a process has to end when it is told to."""


@dataclasses.dataclass
class Job:
    """A command of ``pyem`` that runs in its own process.

    Parameters
    ----------
    process
        Process of the command, which leads its own process group.
    said, told
        Files of its output and of its errors.
    started
        Time of the start, by `time.monotonic`.
    """

    process: subprocess.Popen[bytes]
    said: Path
    told: Path
    started: float
    stopped: bool = False

    @classmethod
    def start(cls, words: Sequence[str], folder: Path, name: str) -> Job:
        """Start ``pyem WORDS...`` in a folder. Words are arguments, never a line for a shell."""
        said, told = folder / f"{name}.out", folder / f"{name}.err"
        with open(said, "wb") as out, open(told, "wb") as err:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "pyem", *words],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        return cls(process, said, told, time.monotonic())

    @property
    def running(self) -> bool:
        """Whether the process still runs."""
        return self.process.poll() is None

    @property
    def done(self) -> bool:
        """Whether the process ended well."""
        return self.process.poll() == 0

    @property
    def seconds(self) -> float:
        """Number of seconds since the start."""
        return time.monotonic() - self.started

    def output(self) -> str:
        """Output of the process so far."""
        return self.said.read_text(encoding="utf-8", errors="replace")

    def warnings(self) -> list[str]:
        """Warnings of the process so far."""
        lines = self.told.read_text(encoding="utf-8", errors="replace").splitlines()
        return [line.removeprefix("warning: ") for line in lines if line.startswith("warning: ")]

    def error(self) -> str:
        """Error message of a process that failed."""
        text = self.told.read_text(encoding="utf-8", errors="replace").strip()
        _, mark, message = text.rpartition("error: ")
        return message if mark else text or f"the process ended with {self.process.poll()}"

    def stop(self) -> None:
        """End the process, with all processes that it has started."""
        if not self.running:
            return
        self.stopped = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class Workplace:
    """The folder and the jobs of one tab, which no other tab uses."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pyem-app-"))
        self.jobs: dict[str, Job] = {}
        self.closed = False
        self._lock = threading.Lock()
        self._made: dict[str, tuple[Hashable, Any]] = {}
        self._making: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        # Where the server ends before the tab does.
        atexit.register(self.close)

    def start(self, name: str, words: Sequence[str]) -> Job:
        """Start a job; a running job of the same name is ended first."""
        with self._lock:
            if self.closed:
                raise RuntimeError("this tab was closed")
            if name in self.jobs:
                self.jobs[name].stop()
            self.jobs[name] = Job.start(words, self.folder, name)
            return self.jobs[name]

    def keep(self, name: str, content: bytes) -> Path:
        """Write a file of the user into the folder, under a name without any path."""
        path = self.folder / (Path(name.replace("\\", "/")).name or "data.csv")
        path.write_bytes(content)
        return path

    def remembered(self, name: str, key: Hashable, make: Callable[[], Any], *, wanted: Callable[[], object]) -> Any:
        """Return the result of `make`, called again only if `key` has changed since last time.

        Streamlit starts the page anew at every click and lets the run before it go on up to its next call of Streamlit. So a
        large table would be read once for every click, all at the same time. Here they wait for the first one, and what that
        one has made is kept although nobody waits for the rest of its page.

        Parameters
        ----------
        name
            What is made; of each name one at a time.
        key
            What it depends on.
        make
            Makes it.
        wanted
            Called before anything is made; raises in a run of the page that a later one has replaced.
        """
        with self._lock:
            making = self._making[name]
        with making:
            kept = self._made.get(name)
            if kept is None or kept[0] != key:
                wanted()
                # Two large tables are never held at once.
                self._made.pop(name, None)
                kept = self._made[name] = (key, make())
            return kept[1]

    def close(self) -> None:
        """End all jobs, and remove all files and what is kept in memory."""
        with self._lock:
            self.closed = True
            for job in self.jobs.values():
                job.stop()
            shutil.rmtree(self.folder, ignore_errors=True)
            self._made.clear()
        atexit.unregister(self.close)


def close_with(
    workplace: Workplace, is_there: Callable[[], bool], *, grace: float = GRACE, every: float = 0.5
) -> threading.Thread:
    """Close a workplace as soon as its tab has been gone for `grace` seconds.

    Parameters
    ----------
    workplace
        The workplace to close.
    is_there
        Whether the tab is connected.
    grace, every
        Seconds.
    """

    def watch() -> None:
        seen = time.monotonic()
        while time.monotonic() - seen < grace and not workplace.closed:
            if is_there():
                seen = time.monotonic()
            time.sleep(every)
        workplace.close()

    thread = threading.Thread(target=watch, daemon=True, name="pyem-app-watch")
    thread.start()
    return thread

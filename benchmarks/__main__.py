"""Run all benchmarks, or those named: ``python -m benchmarks core facade``."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from benchmarks.measure import machine


def main(names: list[str]) -> None:
    """Print a Markdown table for each benchmark."""
    found = sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))
    unknown = [name for name in names if name not in found]
    if unknown:
        sys.exit(f"there is no benchmark {', '.join(unknown)}; choose among {', '.join(found)}")
    print(f"Machine: {machine()}\n")
    for name in names or found:
        print(f"\n## {name}\n\n| work | measured | aim |\n|---|---|---|", flush=True)
        importlib.import_module(f"benchmarks.bench_{name}").main()


if __name__ == "__main__":
    main(sys.argv[1:])

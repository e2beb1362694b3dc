"""The figures of docs/designs.md: its five studies, run as they stand on the page."""

from __future__ import annotations

import io
import re
import sys
import warnings
from pathlib import Path

import matplotlib as mpl

import pyem

PAGE = Path(__file__).parents[1] / "docs" / "designs.md"
SAVED = re.compile(r"^(pyem\.plot\.\w+\(.*\))\.savefig\(\"(\w+)\.png\"\)$", re.MULTILINE)


def main(folder: str = "docs") -> None:
    """Run the page, and write ``designs-NAME.svg`` in place of each ``NAME.png``."""
    mpl.use("svg")
    # Letters as letters: as outlines they would be half of the file.
    mpl.rcParams.update({"svg.hashsalt": "pyem", "svg.fonttype": "none"})
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    known: dict[str, object] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pyem.FitWarning)
        for block in blocks:
            drawn = SAVED.findall(block)
            exec(SAVED.sub("", block.replace("print(", "str(")), known)
            for call, name in drawn:
                figure = eval(call, known)
                text = io.StringIO()
                figure.savefig(text, format="svg", metadata={"Date": None})
                # A hundredth of a point is enough.
                Path(folder, f"designs-{name}.svg").write_text(re.sub(r"(\.\d\d)\d+", r"\1", text.getvalue()))


if __name__ == "__main__":
    main(*sys.argv[1:])

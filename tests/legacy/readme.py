"""The code blocks of pyEM's README, read from the text that was kept of the page.

The page was flattened to text: indentation at the start of lines is gone, and the last line of a block runs into the sentence
after it. A block is therefore found by its first line and its last characters, and indentation is put back by three
rules, which are all that `indented` knows:

1. what is inside brackets or a triple-quoted string stays as it is;
2. the one statement after ``if ...:`` is its body;
3. all after ``for ...:`` or ``def ...:`` is its body, up to the next ``def``, the line that begins with `OUTSIDE`, or the
   block's end.
"""

from __future__ import annotations

import io
import tokenize
from pathlib import Path

SEEDS = Path(__file__).parents[3] / "shared" / "seeds"
README = SEEDS / "pyem-readme.txt"

BLOCKS = {
    "quick start": ("import numpy as np, matplotlib.pyplot as plt", "estimated_param, f'Estimated {param_label}')"),
    "shared parameters": ("import numpy as np", 'print(f"Convergence: {result.convergence}")'),
    "recovery": ("import numpy as np, matplotlib.pyplot as plt", "model.plot_recovery(recovery_dict, figsize=(10, 4))"),
    "comparison": ("import numpy as np", "display(comparison_df)"),
    "scores": ("# Compute integrated BIC", "lap, lme, good = model.compute_lme()"),
    "identifiability": ("from pyem import EMModel", 'mc.plot_identifiability(metric="BICint")'),
    "transforms": (
        "# Learning rate: 0 ≤ α ≤ 1",  # noqa: RUF001
        "# Bounded to [0,1]",
    ),
    "transforms of a model": ("# Access parameter transformations", "transformed_alpha = alpha_transform(0.3)"),
    "custom model": (
        "from pyem.core.modelspec import ModelSpec",
        "params=None, sim=my_model_sim, fit=my_model_fit,\n)",
    ),
}
"""First line and last characters of each block, in the order of the page."""

OUTSIDE = "# Wrapper metadata"
"""Beginning of the line after a function that does not belong to it."""


def blocks() -> dict[str, str]:
    """The source of each block, verbatim but for the indentation."""
    text, out, position = README.read_text(encoding="utf-8"), {}, 0
    for name, (first, last) in BLOCKS.items():
        start = text.index(f"\n{first}\n", position) + 1
        position = text.index(last, start) + len(last)
        out[name] = indented(text[start:position])
    return out


def indented(source: str) -> str:
    """`source` with its indentation put back."""
    depth, single, out = 0, 0, []
    for statement in _statements(source):
        head = statement.lstrip()
        if head.startswith("def ") or head.startswith(OUTSIDE):
            depth = 0
        lines = statement.splitlines()
        # Only the first line is moved: inside brackets and strings, indentation means nothing.
        out += ["    " * (depth + single) + lines[0], *lines[1:]]
        if not head.startswith("#"):
            single = 0
        code = head.split("#")[0].rstrip()
        if code.endswith(":") and not head.startswith("#"):
            if head.startswith("if "):
                single = 1
            else:
                depth += 1
    return "\n".join(out) + "\n"


def _statements(source: str) -> list[str]:
    """A statement with all lines of its brackets and strings, or a line of comment."""
    out, held = [], ""
    for line in source.splitlines():
        held += f"{line}\n"
        if _complete(held):
            out.append(held.rstrip("\n"))
            held = ""
    return out + [held] * bool(held)


def _complete(text: str) -> bool:
    try:
        list(tokenize.generate_tokens(io.StringIO(text).readline))
    except tokenize.TokenError:
        return False
    return True

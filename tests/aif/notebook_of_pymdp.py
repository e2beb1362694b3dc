"""The code cells of pymdp's fitting notebook, read from the text that was kept of it.

The page was flattened to text: prose, code and printed output follow each other without marks, and indentation is gone. A line
of code is told from prose by the first words of the lines that are not code (`PROSE`), and indentation is put back by rule:
what is inside brackets stays, and the body of ``def``, ``for`` and ``if`` ends before a line that begins as `OUTSIDE` says.
"""

from __future__ import annotations

import ast
from pathlib import Path

PAGE = Path(__file__).parents[3] / "shared" / "seeds" / "tmaze-active-inference-notebook.txt"

PROSE = (
    "%",
    'if "google.colab"',
    "The autoreload",
    "Fitting the parameters",
    "We set up",
    "We also parameterize",
    "Explanatory note",
    "Experimental data",
    "Depending on",
    "Because the word",
    "/var/",
    "Sample from the TMaze",
    "Inference Method",
    "Use ",
    "Plot ",
    "Transform the latent",
    "<matplotlib",
    "[<matplotlib",
    "reward-probability",
    "{'seed'",
)
"""What lines that are not code begin with."""

OUTSIDE = (
    "from jax import numpy",
    "key, _key",
    "frames = jnp.array",
    "plt.show",
    "plt.plot((ground_truth_z",
    "plt.ylabel",
    "reward_prob_samples =",
    "axes[0].scatter",
)
"""What the first lines after a body begin with."""

OLD = ("from pybefit.inference import", "from pybefit.inference.numpyro.likelihoods import")


def source() -> str:
    """The notebook as one script, its imports of pybefit replaced."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line and not line.startswith(PROSE)]
    text = indented("\n".join(lines))
    for old in OLD:
        text = text.replace(old, "from pyem.compat.pybefit import")
    return text


def indented(text: str) -> str:
    """`text` with its indentation put back."""
    out, depth, held = [], 0, ""
    for line in text.splitlines():
        if not held and line.startswith(OUTSIDE):
            depth = 0
        if not held and line.startswith(("elif", "else")):
            depth -= 1
        held += ("    " * depth if not held else "") + line + "\n"
        code = held.split("#")[0] if held.count("\n") == 1 else held
        if not _whole(code):
            continue
        out.append(held)
        depth += code.rstrip().endswith(":")
        held = ""
    return "".join(out) + held


def _whole(code: str) -> bool:
    """Whether the brackets of a statement are closed."""
    text = code.strip()
    text = text.removeprefix("el") if text.startswith("elif") else text
    text = "if True: pass\n" + text if text.startswith("else") else text
    try:
        ast.parse(text + " pass" if text.endswith(":") else text)
    except SyntaxError as error:
        return "return" in text and error.msg == "'return' outside function"
    return True

"""What the pages of the models say that the registry knows: ``python -m benchmarks.model_pages`` writes it into docs/models.

A page a family. Between ``<!-- generated: WHAT -->`` and ``<!-- end -->`` stand the models of the page with their parameters,
columns and references, four rows of a table as they need it, and on the page of all models which of them are for a task.
``python -m benchmarks.model_pages quick`` leaves the rows of tables as they are, which have to be simulated.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pyem
from pyem import models
from pyem.model.transform import Transform
from pyem.models.finding import KINDS, kinds_of

DOCS = Path(__file__).parents[1] / "docs"
INDEX = DOCS / "models.md"
PAGES: dict[str, str] = {
    "learning": r"rw[12]a1b|rw_forget",
    "prosocial": r"rw[34]a1b",
    "choice": r"bias|wsls|ck|rwck",
    "counterfactual": r"fictive.*|confirmation_bias",
    "rates": r"pearce_hall.*|ewa",
    "wins-losses": r"reward_punishment.*",
    "selection": r"probabilistic_selection",
    "exploration": r"kalman.*|ucb|thompson|hybrid|volatile_.*",
    "iowa": r"pvl_.*|vpp|orl",
    "balloons": r"bart.*",
    "cambridge": r"cambridge_.*",
    "two-step": r"two_step.*",
    "go-nogo": r"go_nogo_.*",
    "memory": r"rlwm",
    "times": r"ddm.*|shifted_wald|ex_gaussian|lba|rdm|lnr",
    "beliefs": r"bayes|hgf.*|rw_belief|change_point|hmm_reversal",
    "delays": r"[dps]d_.*",
    "risk": r"prospect.*|ambiguity|crra|mean_variance",
    "effort": r"effort_.*",
    "fairness": r"ultimatum_.*|peer_influence",
    "shocks": r"aversive",
    "happiness": r"happiness",
    "cards": r"card_sorting",
    "regression": r"glm.*|logit.*|poisson",
    "ratings": r"binomial|negative_binomial|beta_rating|ordinal_.*",
    "detection": r"sdt.*|two_afc|psychometric.*|meta_d",
    "active-inference": r"aif_.*",
}
"""The file of each page in docs/models, and its models as a regular expression."""
ANCHORS = {"fairness": "other-people-shocks-happiness-and-cards"}
"""What a section was called when all of them stood on one page, where the page is not called the same."""
_BLOCK = r"(<!-- generated: {name} -->\n).*?(<!-- end -->)"


def page_of(name: str) -> str:
    """The page of a model: its file's name without the ending."""
    return next(page for page, pattern in PAGES.items() if re.fullmatch(pattern, name))


def on_page(page: str) -> list[str]:
    """The models of a page, in the order of the registry."""
    return [name for name in models.names() if re.fullmatch(PAGES[page], name)]


def title_of(page: str) -> str:
    return (DOCS / "models" / f"{page}.md").read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")


def range_of(transform: Transform) -> str:
    """A range in words."""
    low, high = transform.bounds
    if math.isinf(low):
        return "real"
    return "positive" if math.isinf(high) else f"({low:g}, {high:g})"


def registry(page: str) -> str:
    """The models of a page with what the registry says of them."""
    lines = ["| model | what it says | parameters | columns | reference |", "|---|---|---|---|---|"]
    for name in on_page(page):
        model = models.get(name)
        parameters = ", ".join(f"`{p.name}` {range_of(p.transform)}" for p in model.parameters)
        columns = ", ".join(f"`{column}`" for column in model.columns)
        says = f"{model.doc[0].upper()}{model.doc[1:]}"
        lines.append(f"| `{name}` | {says} | {parameters} | {columns} | [{cited_as(name)}]({model.reference}) |")
    return "\n".join(lines) + "\n"


def cited_as(name: str) -> str:
    """Authors and year of a model's reference, as a text cites it."""
    where = models.get(name).reference
    told = [text for text in models.cited(name) if where in text]
    if not told:
        return where.removeprefix("https://doi.org/")
    authors, _, rest = told[0].partition(" (")
    surnames = re.findall(r"(?:^|, |& )([^,&]+?), [A-Z]\.", authors)
    more = len(surnames) > 2 or "et al" in authors
    return f"{f'{surnames[0]} et al.' if more else ' & '.join(surnames)} {rest[:4]}"


def references(page: str) -> str:
    """The publications of a page's models, each once, by name."""
    told = {text for name in on_page(page) for text in models.cited(name)}
    linked = [re.sub(r"(?<!<)(https?://\S+?)(?=[.,]?(\s|$))", r"<\1>", text) for text in sorted(told)]
    return "\n".join(f"- {text}" for text in linked) + "\n"


def rows(page: str) -> str:
    """Four rows of a table for each set of columns that models of the page need."""
    told: dict[tuple[str, ...], list[str]] = {}
    for name in on_page(page):
        columns = models.get(name).columns
        # What y is differs from one regression to another.
        told.setdefault((*columns, *(name.split("_")[:1] if "predictors" in columns else ())), []).append(name)
    return "\n".join(_rows(names) for names in told.values())


def _rows(names: list[str]) -> str:
    frame = pyem.simulate(models.get(names[0]), subjects=1, trials=4, key=1).to_frame()
    heading = ", ".join(f"`{name}`" for name in names)
    return f"{heading}\n\n```text\n{frame.round(3).to_string(index=False)}\n```\n"


def tasks(_: str) -> str:
    """Which models are for a kind of task."""
    lines = ["| what people do | kind of task | models |", "|---|---|---|"]
    for kind in KINDS:
        told = [f"[`{name}`](models/{page_of(name)}.md)" for name in models.names() if kind in kinds_of(name)]
        lines.append(f"| {kind.question} | {kind.name} | {', '.join(told)} |")
    return "\n".join(lines) + "\n"


def pages(_: str) -> str:
    """Which page is about which models."""
    lines = ["| page | models |", "|---|---|"]
    for page in PAGES:
        title = title_of(page)
        anchor = ANCHORS.get(page, re.sub(r"[^a-z0-9]+", "-", title.lower()))
        told = ", ".join(f"`{name}`" for name in on_page(page))
        lines.append(f'| <span id="{anchor}"></span>[{title}](models/{page}.md) | {told} |')
    return "\n".join(lines) + "\n"


GENERATED: dict[str, Callable[[str], str]] = {
    "models": registry,
    "rows": rows,
    "references": references,
    "tasks": tasks,
    "pages": pages,
}
"""What may be generated, by the word in its comment."""


def written(path: Path, without: tuple[str, ...] = ()) -> str:
    """The text of a page as it should be; what is named in `without` stays as it is."""
    text = path.read_text(encoding="utf-8")
    for name, make in GENERATED.items():
        if name not in without and f"<!-- generated: {name} -->" in text:
            block = f"\n{make(path.stem)}\n"
            text = re.sub(
                _BLOCK.format(name=name), lambda at, block=block: at[1] + block + at[2], text, flags=re.DOTALL
            )
    return text


def main(*words: str) -> None:
    """Write all pages."""
    for path in (*((DOCS / "models" / f"{page}.md") for page in PAGES), INDEX):
        path.write_text(written(path, ("rows",) if "quick" in words else ()), encoding="utf-8")
        print(path.name, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

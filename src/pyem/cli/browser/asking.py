"""Conversion of the page's choices to a request of the command line, and the place on the page where an error belongs."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pyem.cli.runs import Request

if TYPE_CHECKING:
    import pandas as pd

    from pyem.data.dataset import Dataset

METHODS = {
    "em": "Hierarchical: people and their group together (EM)",
    "map": "Each person under the same prior (MAP)",
    "mle": "Each person alone (maximum likelihood)",
    "bayes": "Full posterior of the group in seconds (bayes)",
    "nuts": "Full posterior by sampling, slower (NUTS)",
    "svi": "Full posterior, roughly, of large groups (variational, SVI)",
    "hbi": "Several models and their groups together (HBI)",
}
"""Methods that the page offers, and their names there."""


@dataclasses.dataclass(frozen=True)
class Answers:
    """The choices made on the page.

    Parameters
    ----------
    models
        Names of the models on the command line.
    subject, block, trial
        Columns of the table; None for none.
    columns
        The models' names for columns, and the table's.
    missing
        Values that mark a missing one, by the models' names for columns.
    where
        Condition on the rows that are used; empty for all.
    exclude
        People who are left out.
    terms
        Columns on which each parameter depends.
    together
        Parameters whose columns act on each other (an interaction).
    covariates
        Columns with one value for each person that shift all parameters of the group.
    method, seed
        Method of fitting, and seed of random numbers.
    """

    models: tuple[str, ...]
    subject: str | None
    block: str | None = None
    trial: str | None = None
    columns: Mapping[str, str | None] = dataclasses.field(default_factory=dict)
    missing: Mapping[str, str] = dataclasses.field(default_factory=dict)
    where: str = ""
    exclude: tuple[str, ...] = ()
    terms: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    together: tuple[str, ...] = ()
    covariates: tuple[str, ...] = ()
    method: str = "em"
    seed: int = 0


def formula(parameter: str, columns: Sequence[str], *, together: bool) -> str:
    """Write the formula of the columns on which a parameter depends.

    Examples
    --------
    >>> formula("alpha", ["drug", "age group"], together=True)
    'alpha ~ drug * `age group`'
    """
    words = [name if name.isidentifier() else f"`{name}`" for name in columns]
    return f"{parameter} ~ {(' * ' if together else ' + ').join(words)}"


def request_of(answers: Answers, path: str) -> Request:
    """Make the request for the chosen analysis of the file `path`.

    Examples
    --------
    >>> request_of(Answers(("rw1a1b",), "id", columns={"choice": "key", "reward": None}), "data.csv").command()
    'pyem fit data.csv --model rw1a1b --subject id --column choice=key --seed 0'
    """
    marks = {name: parts for name, text in answers.missing.items() if (parts := _parts(text))}
    formulas = [
        formula(parameter, columns, together=parameter in answers.together)
        for parameter, columns in answers.terms.items()
        if columns
    ]
    return Request(
        data=path,
        models=answers.models,
        subject=answers.subject or "subject",
        block=(answers.block,) if answers.block else (),
        trial=answers.trial,
        columns={name: column for name, column in answers.columns.items() if column},
        missing=marks,
        where=answers.where.strip() or None,
        exclude=answers.exclude,
        formulas=tuple(formulas),
        covariates={name: [] for name in answers.covariates},
        method=answers.method,
        seed=answers.seed,
    )


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def shown(request: Request, name: str) -> Request:
    """Return the request for a file that is called `name`, as the user knows it."""
    return dataclasses.replace(request, data=name)


def words(request: Request) -> list[str]:
    """Arguments of the command line for a request."""
    import shlex

    return shlex.split(request.command())[1:]


def possible(request: Request) -> None:
    """Raise for requests that are impossible, whatever the data are.

    Raises
    ------
    ValueError
        If options are combined that mean nothing.
    """
    from pyem.cli import concurrent, runs

    runs.check_request(request)
    concurrent.check_together(request)


def as_read(request: Request) -> Request:
    """Reduce a request to what matters for reading the data, so that requests that read them alike are equal.

    Examples
    --------
    >>> as_read(Request("data.csv", ("rw1a1b",), method="nuts", seed=3)) == as_read(Request("data.csv", ("rw1a1b",)))
    True
    """
    return dataclasses.replace(request, method="em", seed=0)


def checked(request: Request) -> tuple[Dataset, list[str]]:
    """Read the data as the models need them, and return what was inferred.

    Raises
    ------
    ValueError
        If the table, a column or a model is not what was expected.
    """
    from pyem.cli import reading, runs
    from pyem.cli.designs import make_design
    from pyem.engine.regress import on_data
    from pyem.engine.scale import ready_to_fit

    possible(request)
    models = runs.make_models(request)
    data = reading.read_data(request, models)
    for model in models:
        runs.make_group(request, model)
        ready_to_fit(*on_data(make_design(request, model), data))
    return data, list(data.notes)


def table_of(path: str) -> pd.DataFrame:
    """Read the table of a file, before its columns are assigned.

    Raises
    ------
    DataError
        If the file is no table.
    """
    from pyem.data.many_files import read_paths

    return read_paths(path, None, {"subject": "", "columns": {}})


PLACES = (
    ("--where", "where"),
    ("--exclude", "exclude"),
    ("--formula", "terms"),
    ("--covariate", "covariates"),
    ("--method", "method"),
)
"""Words in errors that tell which part of the page an error is about."""


def place_of(error: str, answers: Answers) -> str:
    """Part of the page that an error is about: ``"subject"``, ``"column:choice"``, ``"where"``, ... else ``"data"``.

    Examples
    --------
    >>> answers = Answers(("rw1a1b",), "id", columns={"choice": "key"})
    >>> place_of("column 'key' has code 3 for subject 's12', but rw1a1b has 2 options", answers)
    'column:choice'
    >>> place_of("the file is empty", answers)
    'data'
    """
    for word, place in PLACES:
        if word in error or re.match(rf"{word.removeprefix('--')}\b", error):
            return place
    named = re.findall(r"'([^']+)'", error)
    for text in named:
        for name, column in answers.columns.items():
            if text in (name, column):
                return f"column:{name}"
        for place in ("subject", "block", "trial"):
            if text == getattr(answers, place):
                return place
    return "data"


CALLED = {
    "subject": "the menu of whose trial a row is",
    "block": "the menu of sequences",
    "trial": "the menu of the order of trials",
    "where": "the rows that count",
    "exclude": "the people who are left out",
    "terms": "what parameters depend on",
    "covariates": "the covariates",
    "method": "the method",
}
"""Names of the parts of the page, for use in a sentence."""


def called(place: str) -> str:
    """Return the name of a part of the page, for use in a sentence.

    Examples
    --------
    >>> called("where"), called("column:choice")
    ('the rows that count', 'choice')
    """
    return CALLED.get(place, place.rpartition(":")[2])


def for_page(error: str, path: str = "") -> str:
    r"""An error with remedies that can be followed on the page, in place of options of Python and of the command line.

    Parameters
    ----------
    error
        The error's text.
    path
        The file of the tab, of which users know the name only.

    Examples
    --------
    >>> for_page("if 'late' marks a missing value, pass missing={'choice': ['late']} (--missing on the command line)")
    "if 'late' marks a missing value, write late into 'Marks a missing value' beside the column choice"
    >>> for_page("where=\"age > 'x'\" cannot be understood; write it as in where='age > 20'")
    '"age > \'x\'" cannot be understood; write it as in \'age > 20\''
    >>> for_page("rw1a1b needs the column 'choice'; say which one it is with --column choice=COLUMN")
    "rw1a1b needs the column 'choice'; say which one it is by its menu"
    >>> for_page("pass codes={'choice': ['a', 'b']} (--codes on the command line)")
    "pass codes={'choice': ['a', 'b']} (--codes on the command line); this page has no menu for --codes, the command line has"
    """

    def beside(found: re.Match[str]) -> str:
        values = ", ".join(map(str, ast.literal_eval(found[2])))
        return f"write {values} into 'Marks a missing value' beside the column {found[1]}"

    told = error.replace(path, Path(path).name) if path else error
    told = re.sub(r"(?:pass )?missing=\{'([^']+)': (\[[^\]]*\])\} \(--missing on the command line\)", beside, told)
    told = re.sub(r"\bwith (subject|block|trial)=", lambda found: f"by {CALLED[found[1]]}", told)
    told = re.sub(r"--method (\w+)", lambda found: f"the method '{METHODS.get(found[1], found[1])}'", told)
    for pattern, words in SAID_ON_PAGE:
        told = re.sub(pattern, words, told)
    options = dict.fromkeys(re.findall(r"(?<![\w-])--[a-z][a-z-]*", told))
    return f"{told}; this page has no menu for {' and '.join(options)}, the command line has" if options else told


SAID_ON_PAGE = (
    (r"\bwhere=(?=['\"])", ""),
    (r"\bwith --column \S+=COLUMN", "by its menu"),
    (r"\bname others, too: --model \.\.\.", "choose others, too"),
    (r"--formula (?=['\"])", "the formula "),
    (r"--formula\b", "formula"),
)
"""Patterns of options that the page has in another form, and what is said there."""

"""Options of the command line: names, help texts, and the reading of text of the form NAME=VALUE."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Method(StrEnum):
    """Method of fitting."""

    em = "em"
    map = "map"
    mle = "mle"
    bayes = "bayes"
    nuts = "nuts"
    svi = "svi"
    hbi = "hbi"


class Family(StrEnum):
    """Distribution of people around the group's mean."""

    gaussian = "gaussian"
    student_t = "student_t"
    laplace = "laplace"
    cauchy = "cauchy"


class Covariance(StrEnum):
    """Whether the parameters of a group may be correlated."""

    diagonal = "diagonal"
    full = "full"


class Unit(StrEnum):
    """Unit that cross-validation leaves out."""

    trial = "trial"
    block = "block"
    subject = "subject"


class MissingOutcome(StrEnum):
    """Treatment of trials that have a response but no outcome."""

    skip = "skip"
    error = "error"


class Format(StrEnum):
    """File formats of figures."""

    png = "png"
    pdf = "pdf"
    svg = "svg"


def option(
    panel: str, text: str, *names: str, metavar: str | None = None, many: bool = False, **more: object
) -> object:
    """Declare an option to typer: its panel, its text, and its names if they are not that of the argument."""
    factory = {"default_factory": list, "show_default": False} if many else {}
    return typer.Option(*names, help=text, metavar=metavar, rich_help_panel=panel, **factory, **more)  # type: ignore[arg-type]


DATA, MODEL, GROUP, SEARCH, OUTPUT = "The data", "The model", "The group", "The search", "The results"
MOST_STARTS, MOST_DRAWS, MOST_CHAINS = 1000, 1_000_000, 1000
"""Largest numbers of starts, draws and chains; larger ones are typing errors, or need more than any memory holds."""

Subject = Annotated[str, option(DATA, "Whose trial a row is.", metavar="COLUMN")]
Blocks = Annotated[
    list[str],
    option(DATA, "Starts a new independent sequence. May be repeated.", "--block", metavar="COLUMN", many=True),
]
Trial = Annotated[
    str | None, option(DATA, "Orders the trials of a block; else the order of the rows counts.", metavar="COLUMN")
]
Columns = Annotated[
    list[str],
    option(
        DATA,
        "The model's name for a column, and the file's; several for a vector: predictors=x1,x2. May be repeated. Columns of "
        "the same name (predictors, or predictors0, predictors1, ...) need none.",
        "--column",
        metavar="NAME=COLUMN",
        many=True,
    ),
]
Codes = Annotated[
    list[str],
    option(
        DATA,
        "Labels of the options in order: choice=left,right. May be repeated.",
        metavar="NAME=LABEL,...",
        many=True,
    ),
]
Separator = Annotated[str | None, option(DATA, "Text between the columns of the file, such as ';'.", metavar="TEXT")]
Encoding = Annotated[
    str | None, option(DATA, "Encoding of the file, such as cp1252; UTF-8 if not given.", metavar="TEXT")
]
Decimal = Annotated[
    str | None,
    option(DATA, "',' for decimal commas; recognised in files that are separated by semicolons.", metavar="TEXT"),
]
Values = Annotated[
    list[str],
    option(
        DATA,
        "What words are worth: reward=loss:0,win:1. May be repeated.",
        "--values",
        metavar="NAME=WORD:NUMBER,...",
        many=True,
    ),
]
Markers = Annotated[
    list[str],
    option(
        DATA,
        "Values that mark a missing one: 'choice=no response,0'. May be repeated.",
        "--missing",
        metavar="NAME=VALUE,...",
        many=True,
    ),
]
Where = Annotated[
    str | None,
    option(
        DATA,
        "Which rows count, by the columns of the file: \"phase == 'main' and not practice\".",
        metavar="CONDITION",
    ),
]
Exclude = Annotated[
    list[str],
    option(DATA, "A person who is left out. May be repeated.", "--exclude", metavar="PERSON", many=True),
]
Missing = Annotated[
    MissingOutcome, option(DATA, "Trials with a response but no outcome: they teach nothing, or are an error.")
]

Models = Annotated[
    list[str],
    typer.Option(
        "--model",
        metavar="MODEL",
        rich_help_panel=MODEL,
        help="What to fit; `pyem models` lists them. May be repeated. Options and additions follow the name: "
        "rw1a1b:options=4, rw1a1b+lapse, rw1a1b+stickiness.",
    ),
]
Fixed = Annotated[
    list[str],
    option(
        MODEL,
        "Hold a parameter at a value, in each model that has it. May be repeated.",
        "--fix",
        metavar="PARAMETER=VALUE",
        many=True,
    ),
]

Covariates = Annotated[
    list[str],
    option(
        GROUP,
        "Column with one value for each person that shifts the group's mean: age, or age:alpha for some parameters only. "
        "A colon that is part of a name is written \\:. May be repeated.",
        "--covariate",
        metavar="NAME[:PARAM,...]",
        many=True,
    ),
]
FamilyOption = Annotated[Family, option(GROUP, "How people are spread around the mean.", "--group")]
CovarianceOption = Annotated[Covariance, option(GROUP, "Full: with correlations of the parameters.", "--covariance")]
Df = Annotated[float, option(GROUP, "Degrees of freedom of a student_t group.", metavar="NUMBER")]

MethodOption = Annotated[
    Method,
    option(
        SEARCH,
        "em: hierarchical, a point estimate of the group; map: each person under a typical prior; mle: each person alone; "
        "bayes: hierarchical, draws from the posterior in seconds, and the marginal likelihood; nuts, svi: the same by other "
        "ways; hbi: several models and their groups together.",
        "--method",
    ),
]
MaxIter = Annotated[int, option(SEARCH, "EM iterations at most.", metavar="NUMBER", min=1)]
Tol = Annotated[float, option(SEARCH, "EM stops when the group changes by less.", metavar="NUMBER")]
Starts = Annotated[int, option(SEARCH, "Starting points of mle.", metavar="NUMBER", min=1, max=MOST_STARTS)]
Draws = Annotated[
    int, option(SEARCH, "Draws of each chain of nuts that are kept.", metavar="NUMBER", min=4, max=MOST_DRAWS)
]
Warmup = Annotated[int, option(SEARCH, "Draws before them that adapt nuts.", metavar="NUMBER", min=20, max=MOST_DRAWS)]
Chains = Annotated[int, option(SEARCH, "Chains of nuts.", metavar="NUMBER", min=1, max=MOST_CHAINS)]
Seed = Annotated[int, option(SEARCH, "Seed of the random numbers.", metavar="NUMBER", min=0)]

Out = Annotated[Path, option(OUTPUT, "Where results go; made when all is done.", metavar="FOLDER")]
Force = Annotated[bool, option(OUTPUT, "Replace earlier results.", "--force")]
Resume = Annotated[
    bool,
    option(
        OUTPUT,
        "Keep where the fit stands beside the results while it runs (em, nuts, svi), and go on from there if an earlier run "
        "was killed.",
        "--resume",
    ),
]
Figures = Annotated[bool, option(OUTPUT, "Draw figures.", "--figures/--no-figures")]


# -- options of the form NAME=VALUE -------------------------------------------------------------------------------------


def pairs(values: Sequence[str], option: str, example: str) -> dict[str, str]:
    """``["choice=response"]`` as a dict; anything else is wrong usage.

    Examples
    --------
    >>> pairs(["choice=response"], "--column", "choice=response")
    {'choice': 'response'}
    """
    out: dict[str, str] = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise typer.BadParameter(f"{text!r} should look like {example}", param_hint=option)
        if name in out:
            raise typer.BadParameter(f"{name!r} is given twice", param_hint=option)
        out[name] = value
    return out


def split_list(text: str) -> str | list[str]:
    r"""Split ``"a,b"`` into a list, and keep a single name as it is; a comma that belongs to a name is written ``\,``.

    Examples
    --------
    >>> split_list("x1,x2"), split_list("reward"), split_list(r"cost\, pence")
    (['x1', 'x2'], 'reward', 'cost, pence')
    """
    parts = [unquoted(part) for part in _parts(text)]
    return parts if len(parts) > 1 else parts[0]


def _parts(text: str) -> list[str]:
    """Split at commas, without spaces around the parts, as they are written."""
    return [part.strip() for part in re.split(r"(?<!\\),", text)]


def quoted(name: str) -> str:
    r"""A column's name as it is written where ``:`` and ``,`` separate names.

    Examples
    --------
    >>> print(quoted("STAI:trait"))
    STAI\:trait
    """
    return re.sub(r"[:,]", r"\\\g<0>", name)


def shell_quoted(word: str) -> str:
    """A word of a command line in as few marks as a reader can take in: double ones around single ones.

    Examples
    --------
    >>> print(shell_quoted("phase == 'main'"), shell_quoted("data.csv"), shell_quoted('say "$x"'))
    "phase == 'main'" data.csv 'say "$x"'
    """
    # What is left means itself between double marks, in every shell.
    plain = "'" in word and not set(word) & set('"$`\\!%\n')
    return f'"{word}"' if plain else shlex.quote(word)


def unquoted(text: str) -> str:
    r"""The name that `quoted` gave: ``\:`` and ``\,`` stand for the characters themselves."""
    return re.sub(r"\\([:,])", r"\1", text)


def _name_and_rest(text: str) -> tuple[str, str, str]:
    """Split off a covariate's name; return it, the colon if one that is no part of it follows, and the rest."""
    name, *rest = re.split(r"(?<!\\):", text, maxsplit=1)
    return unquoted(name), ":" * len(rest), "".join(rest)


def labels(values: Sequence[str], option: str, example: str) -> dict[str, list[str]]:
    """``["choice=left, right"]`` as lists of labels by name; spaces around a label do not count.

    Examples
    --------
    >>> labels(["choice=left, right"], "--codes", "choice=left,right")
    {'choice': ['left', 'right']}
    """
    given = pairs(values, option, example)
    return {name: [unquoted(label) for label in _parts(text)] for name, text in given.items()}


def worths(values: Sequence[str]) -> dict[str, dict[str, float]]:
    """Read ``["reward=loss:0,win:1"]`` as the values of words, by name.

    Examples
    --------
    >>> worths(["reward=loss:0, win:1"])
    {'reward': {'loss': 0.0, 'win': 1.0}}
    """
    out: dict[str, dict[str, float]] = {}
    for name, text in pairs(values, "--values", "reward=loss:0,win:1").items():
        out[name] = {}
        for part in _parts(text):
            word, colon, number = part.rpartition(":")
            try:
                out[name][unquoted(word.strip())] = float(number if colon else "")
            except ValueError:
                raise typer.BadParameter(
                    f"{part!r} should be a word and a number, as in reward=loss:0,win:1", param_hint="--values"
                ) from None
    return out


def shifts(values: Sequence[str]) -> dict[str, list[str]]:
    r"""Covariates and the parameters they shift; an empty list stands for all parameters.

    Examples
    --------
    >>> shifts(["age:alpha,beta", "sex"])
    {'age': ['alpha', 'beta'], 'sex': []}
    >>> shifts([r"STAI\:trait:alpha"])
    {'STAI:trait': ['alpha']}
    """
    out: dict[str, list[str]] = {}
    for text in values:
        name, _, on = _name_and_rest(text)
        if not name or text.endswith((":", ",")):
            raise typer.BadParameter(f"{text!r} should look like age or age:alpha", param_hint="--covariate")
        # A covariate that is once given without parameters shifts all parameters.
        out[name] = [] if not on or out.get(name) == [] else [*out.get(name, []), *on.split(",")]
    return out


def numbers(values: Sequence[str], option: str, example: str) -> dict[str, float]:
    """``["alpha=0.1"]`` as numbers by name.

    Examples
    --------
    >>> numbers(["alpha=0.1"], "--fix", "alpha=0.1")
    {'alpha': 0.1}
    """
    out = {}
    for name, value in pairs(values, option, example).items():
        try:
            out[name] = float(value)
        except ValueError:
            raise typer.BadParameter(f"{name}={value}: {value!r} is not a number", param_hint=option) from None
    return out


def parse_label(text: str, labels: Sequence[object]) -> object:
    """Find the label that a text on the command line stands for; the text itself if there is none.

    Examples
    --------
    >>> parse_label("1", [0, 1]), parse_label("left", ["left", "right"])
    (1, 'left')
    """
    return next((label for label in labels if str(label) == text), text)


def effect(text: str) -> tuple[str, str | None, float]:
    """Read a covariate for a simulation: its name, the parameter that it shifts, and by how much.

    Examples
    --------
    >>> effect("age:alpha=0.5"), effect("age")
    (('age', 'alpha', 0.5), ('age', None, 0.0))
    """
    name, colon, rest = _name_and_rest(text)
    if not name:
        raise typer.BadParameter(f"{text!r} should look like age or age:alpha=0.5", param_hint="--covariate")
    if not colon:
        return name, None, 0.0
    ((parameter, size),) = numbers([rest], "--covariate", "age:alpha=0.5").items()
    return name, parameter, size

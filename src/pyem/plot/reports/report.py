"""The report of one or several fits, as one file."""

from __future__ import annotations

import dataclasses
import datetime
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyem
from pyem.data.leftovers import file_at_once, remove_leftovers
from pyem.errors import UndefinedCriterion, counted
from pyem.plot.reports import citations, findings, lights, methods, sections
from pyem.plot.reports.content import Document, Items, Lights, Paragraph, Part, Section, code
from pyem.results.fit import is_fit
from pyem.results.hbi import HBIFit
from pyem.study.experiment import at_least_one

if TYPE_CHECKING:
    import pandas as pd

    from pyem.results.fit import Fit
    from pyem.study.parameter_recovery import Recovery
    from pyem.study.predictive_checks import PredictiveCheck


@dataclasses.dataclass(frozen=True)
class Origin:
    """Facts about a run besides its fits.

    Parameters
    ----------
    file, digest
        Name and SHA-256 of the data.
    command
        The command line that does the same.
    versions
        Versions with which it was computed; those of now if not given.
    warnings
        Warnings of the run.
    reading
        Lines of Python that read the data into ``data``.
    """

    file: str = ""
    digest: str = ""
    command: str = ""
    versions: Mapping[str, str] | None = None
    warnings: Sequence[str] = ()
    reading: str = ""


def report(
    fits: Fit | HBIFit | Mapping[str, Fit],
    path: str | Path,
    *,
    title: str | None = None,
    recovery: int = 0,
    checks: int = 200,
    key: Any = 0,
    origin: Origin | None = None,
) -> Path:
    """Write a report of fits: one file that needs nothing else.

    It says what was fitted to what, what was inferred from the table, whether the numbers can be relied on (with what to do
    where they cannot), the group, effects and marginal means, people, the comparison of models, predictive checks, recovery,
    figures with captions, paragraphs on methods and results in APA style with the numbers in them, the references, and how to
    do it again.

    Parameters
    ----------
    fits
        A fit, several by name, or the result of `pyem.fit_hbi`. Several have to be of the same data.
    path
        The file: ``.html`` for a page with everything in it, ``.md`` for Markdown, ``.docx`` for a word processor (needs the
        extra ``[docx]``). It appears when it is complete, and replaces one of that name.
    title
        Above everything.
    recovery
        Rounds of a study of recovery at the design of the data, for each model; 0 for none.
    checks
        Simulated data sets of predictive checks; 0 for none.
    key
        Seed of checks, recovery and integrals.
    origin
        Facts about the run: the command, the file and its digest, as `pyem report` reads them from a log.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        If the fits are of different data, or the file's ending is not known.

    References
    ----------
    American Psychological Association (2020). Publication manual of the American Psychological Association (7th ed.).
    https://doi.org/10.1037/0000165-000

    Examples
    --------
    >>> import tempfile
    >>> model = pyem.models.get("rw1a1b")
    >>> fit = pyem.fit_map(model, pyem.simulate(model, subjects=3, trials=20, key=1))
    >>> report(fit, Path(tempfile.mkdtemp()) / "report.md", checks=0).name
    'report.md'
    """
    # What was given is told before the path is looked at.
    _named(fits)
    path = Path(path)
    write = writer_of(path)
    document = document_of(fits, title=title, recovery=recovery, checks=checks, key=key, origin=origin)
    remove_leftovers(path)
    with file_at_once(path) as partial:
        partial.write_bytes(write(document))
    return path


def writer_of(path: Path) -> Callable[[Document], bytes]:
    """Function that writes a document in the format of a file's ending.

    Raises
    ------
    ValueError
        If there is none, what it needs is not installed, or the folder does not exist.
    """
    from pyem.plot.reports import html, markdown, word

    known = {".html": html.as_html, ".htm": html.as_html, ".md": markdown.as_markdown, ".docx": word.as_docx}
    if path.suffix.lower() not in known:
        raise ValueError(
            f"{path.name!r}: a report is written as {', '.join(known)}; give the file one of these endings"
        )
    if not path.parent.is_dir():
        raise ValueError(f"there is no folder {str(path.parent)!r} to write {path.name!r} in; make it first")
    if path.is_dir():
        raise ValueError(f"{str(path)!r} is a folder; give the path of a file")
    if path.suffix.lower() == ".docx":
        word.require()
    return known[path.suffix.lower()]


def document_of(
    fits: Fit | HBIFit | Mapping[str, Fit],
    *,
    title: str | None = None,
    recovery: int = 0,
    checks: int = 200,
    key: Any = 0,
    origin: Origin | None = None,
) -> Document:
    """The report as plain parts; see `report`."""
    named, origin = _named(fits), origin or Origin()
    comparison, frequencies, said = _compared(fits, named, key)
    order = list(named) if comparison is None else [str(name) for name in comparison.index]
    named = {name: named[name] for name in order}
    checked = {
        name: _tried(lambda fit=fit: _check(fit, checks, key)) if checks else None for name, fit in named.items()
    }
    studied = {
        name: _tried(lambda fit=fit: _study(fit, recovery, key)) if recovery else None for name, fit in named.items()
    }
    made = {name: value for name, value in checked.items() if value is not None and not isinstance(value, str)}
    best = order[0]
    parts = [sections.of_data(named[best], origin), sections.of_models(named)]
    if comparison is not None and len(comparison) > 1:
        parts.append(sections.of_comparison(comparison, frequencies, said))
    elif said:
        parts.append(Section("Which model explains the data best?", (Lights(tuple(lights.of_words(said))),)))
    if isinstance(fits, HBIFit):
        parts.append(sections.of_frequencies(fits))
    for k, (name, fit) in enumerate(named.items()):
        parts.append(sections.of_fit(name, fit, f"fit{k + 1}", checked[name], studied[name]))
    rounds = recovery if any(not isinstance(one, str) for one in studied.values() if one is not None) else 0
    study = studied[best] if not isinstance(studied[best], str) else None
    parts.append(_paper(named, comparison, frequencies, made, rounds, study))
    parts.append(Section("References", (Items(tuple(_references(named, comparison, frequencies, made, rounds))),)))
    parts.append(sections.of_repetition(named, origin))
    heading = title or f"Report: {', '.join(named)}"
    now = datetime.datetime.now(datetime.UTC).date().isoformat()
    return Document(
        heading, tuple(_lead(named, comparison, checked, studied)), tuple(parts), f"pyem {pyem.__version__}, {now}"
    )


def _named(fits: Fit | HBIFit | Mapping[str, Fit]) -> dict[str, Fit]:
    if isinstance(fits, HBIFit):
        # The most frequent model comes first.
        return {name: fits.fits[name] for name in sorted(fits.names, key=lambda name: -fits.frequency[name])}
    if is_fit(fits):
        return {fits.model.name: fits}  # type: ignore[union-attr]
    if not isinstance(fits, Mapping) or not fits or not all(is_fit(fit) for fit in fits.values()):
        raise TypeError(
            'report takes a fit, or fits by name such as {"one rate": fit, "two rates": other}, but was given '
            + f"{fits!r:.60}"
        )
    return dict(fits)


def _compared(
    given: Fit | HBIFit | Mapping[str, Fit], fits: Mapping[str, Fit], key: Any
) -> tuple[pd.DataFrame | None, pd.DataFrame | None, list[str]]:
    """Comparison of several fits, frequencies of the models, and the notes on both."""
    if isinstance(given, HBIFit) or len(fits) < 2:
        return None, None, []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", pyem.FitWarning)
        try:
            table = pyem.compare_fits(fits, key=key)
        except UndefinedCriterion as error:
            return None, None, [str(error)]
    return table, sections.frequencies_of(fits), [str(told.message) for told in caught]


def _tried(make: Callable[[], Any]) -> Any:
    """Return the result of `make`, or words why there is none: not every model can be simulated in every design."""
    try:
        return make()
    except (ValueError, NotImplementedError) as error:
        return str(error).rstrip(".")


def _check(fit: Fit, draws: int, key: Any) -> PredictiveCheck:
    return pyem.predictive_check(pyem.posterior_predictive(fit, draws=at_least_one(draws), key=key))


def _study(fit: Fit, rounds: int, key: Any) -> Recovery:
    who = fit if fit.population is not None else fit.params
    return pyem.recovery(fit.model, who, design=fit.data, rounds=rounds, key=key)


def _lead(
    fits: Mapping[str, Fit],
    comparison: pd.DataFrame | None,
    checked: Mapping[str, Any],
    studied: Mapping[str, Any],
) -> list[Part]:
    """Summary of the report in three lines."""
    best, fit = next(iter(fits.items()))
    lit = [*lights.of_data(fit), *sections.all_lights(fit, checked[best], studied[best])]
    what = code(best) if len(fits) == 1 else f"{counted(len(fits), 'model')} ({', '.join(map(code, fits))})"
    data = fit.data
    people, responses = counted(data.n_subjects, "person", "people"), int(data.n_responses(fit.model).sum())
    head = f"{what} fitted to {methods.large(responses)} responses of {people}."
    parts: list[Part] = [Paragraph(head)]
    if comparison is not None and len(comparison) > 1:
        parts.append(Paragraph(findings.of_comparison(comparison)))
    found = (
        [findings.of_means(fit), findings.of_conditions(fit)]
        if fit.population is not None
        else [findings.of_people(fit)]
    )
    parts.append(Paragraph(" ".join(filter(None, found))))
    return [*parts, Lights((lights.worst(lit),))]


def _paper(
    fits: Mapping[str, Fit],
    comparison: pd.DataFrame | None,
    frequencies: pd.DataFrame | None,
    checks: Mapping[str, PredictiveCheck],
    rounds: int,
    recovery: Recovery | None,
) -> Section:
    """Paragraphs to copy."""
    best, fit = next(iter(fits.items()))
    told = methods.paragraph(fits, comparison, frequencies, checks, rounds)
    found = findings.paragraph(fit, comparison, frequencies, checks.get(best), recovery)
    note = "To copy and edit; every number comes from the fit."
    return Section(
        "For the paper",
        (Paragraph(note),),
        (Section("Methods", (Paragraph(told),)), Section("Results", (Paragraph(found),))),
    )


def _references(
    fits: Mapping[str, Fit],
    comparison: pd.DataFrame | None,
    frequencies: pd.DataFrame | None,
    checks: Mapping[str, Any],
    rounds: int,
) -> list[str]:
    used = [one for fit in fits.values() for one in citations.of_fit(fit)]
    if comparison is not None:
        used += citations.OF_CRITERION.get(str(comparison.attrs.get("by", "")), ())
    used += [citations.STEPHAN, citations.RIGOUX] if frequencies is not None else []
    used += [citations.GELMAN] if checks else []
    used += [citations.WILSON] if rounds else []
    used += [citations.RHAT] if any(fit.method == "nuts" for fit in fits.values()) else []
    used += [citations.BATES] if any(fit.model.design is not None for fit in fits.values()) else []
    used += [citations.HOLM] if any(map(methods.has_pairs, fits.values())) else []
    return citations.alphabetical(used)

"""Checks of whether the numbers can be relied on, each with a light, a finding, and advice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pyem.engine.fast_guesses import fast_guesses
from pyem.engine.validate import dry_run
from pyem.errors import counted
from pyem.plot.reports.content import Level, Light, Lights, code, joined
from pyem.population.posterior import Status

if TYPE_CHECKING:
    from pyem.results.fit import Fit
    from pyem.study.parameter_recovery import Recovery
    from pyem.study.predictive_checks import PredictiveCheck

DRAWN = ("nuts", "svi", "bayes")
"""Methods with problems that are those of their draws: then no number of the fit can be relied on."""
MANY_LOST = 0.1
"""Share of people without a regular mode from which on the group is not that of all participants."""
MANY_MISSED = 0.2
"""Share of trials without a response from which on the reader should know the reason."""
RECOVERED, CONFUSED = 0.75, 0.5
"""Correlation of true and estimated values from which on people can be told apart, and the one below which they cannot."""
CHANCE = 0.05
"""Share of people outside the central 95 % of their simulations that is expected if the model is right."""


def said_and_remedy(problem: str) -> tuple[str, str]:
    """Split a problem into what it is and what to do about it, as sentences.

    Examples
    --------
    >>> said_and_remedy("too few draws; raise draws")
    ('Too few draws.', 'Raise draws.')
    """
    what, _, remedy = problem.partition("; ")
    return tuple(f"{text[0].upper()}{text[1:]}." if text else "" for text in (what, remedy))  # type: ignore[return-value]


def of_words(said: Sequence[str]) -> list[Light]:
    """Turn warnings into lights."""
    return [Light("look", *said_and_remedy(text.removeprefix("compare_fits: "))) for text in said]


def of_fit(fit: Fit) -> list[Light]:
    """Checks of how the search ended, whether everybody has an estimate, and of the fit's own problems."""
    regular = int((fit.status == Status.CONVERGED).sum())
    n, problems = fit.data.n_subjects, fit.problems()
    out = []
    if fit.converged and not (fit.method in DRAWN and problems):
        out.append(Light("good", f"The estimation ended as it should: {fit.message or 'it converged'}."))
    elif not problems:
        out.append(Light("stop", f"The estimation did not end as it should: {fit.message}.", "Raise max_iter."))
    if regular == n:
        out.append(Light("good", f"There is a regular estimate for each of {counted(n, 'person', 'people')}."))
    stopped = not fit.converged or fit.method in DRAWN or regular < (1 - MANY_LOST) * n
    for k, problem in enumerate(problems):
        # The first problem is the one that made the fit end badly.
        level: Level = "stop" if stopped and k == 0 else "look"
        out.append(Light(level, *said_and_remedy(problem)))
    return out


def answered(fit: Fit) -> int:
    """Number of trials with a response in the likelihood; with several responses, at least one."""
    return int(np.logical_or.reduce(list(fit.data.masks(fit.model)[0].values())).sum())


def of_data(fit: Fit) -> list[Light]:
    """Check whether many responses are missing, and whether some came before anybody can decide."""
    missed = 1 - answered(fit) / max(fit.data.n_trials, 1)
    if missed < MANY_MISSED:
        return [Light("good", f"{100 * (1 - missed):.1f} % of the trials have a response that counts."), *_guesses(fit)]
    return [
        Light(
            "look",
            f"{100 * missed:.0f} % of the trials have no response that counts.",
            "Look whether they were missed or marked as such by a slip, and say in the paper what was left out.",
        ),
        *_guesses(fit),
    ]


def _guesses(fit: Fit) -> list[Light]:
    text = fast_guesses(fit.model, fit.data, dry_run(fit.model, fit.data)) if fit.model.seconds else ""
    return [Light("look", *said_and_remedy(text))] if text else []


def of_check(check: PredictiveCheck) -> list[Light]:
    """Check whether people with the fitted parameters would have behaved as these people did."""
    rows, out = check.group.reset_index().to_dict("records"), []
    outside = [str(row["statistic"]) for row in rows if not row["low"] <= row["observed"] <= row["high"]]
    if outside:
        out.append(
            Light(
                "look",
                f"On average people differ from what the model predicts in {joined([code(name) for name in outside])}.",
                "The model misses something that people do; compare it with models that have it.",
            )
        )
    else:
        out.append(Light("good", "On average people behaved as the model predicts, in all that was looked at."))
    people = check.people.dropna(subset=["p"])
    share = len(check.surprising()) / max(len(people), 1)
    told = f"{100 * share:.0f} % of what single people did is outside the central 95 % of their simulations"
    if share > 2 * CHANCE:
        out.append(Light("look", f"{told}; 5 % are expected.", "Look at these people one by one."))
    else:
        out.append(Light("good", f"{told}; about 5 % are expected."))
    return out


def of_recovery(study: Recovery) -> list[Light]:
    """Check whether estimates tell people apart in this design."""
    out = []
    for name, r in study.table()["r"].to_dict().items():
        found = f"The estimates of {code(str(name))} correlate with the true values of simulated people by {r:.2f}"
        if np.isnan(r):
            out.append(
                Light("good", f"{code(str(name))} is the same for everybody, so it has nothing to correlate with.")
            )
        elif r >= RECOVERED:
            out.append(Light("good", f"{found}: they tell people apart."))
        else:
            remedy = "Do not correlate them with other things about people. Means of groups may still be right."
            out.append(Light("look" if r >= CONFUSED else "stop", f"{found}.", remedy))
    return out


def worst(lights: list[Light]) -> Light:
    """Sum up all checks in one line."""
    found = Lights(tuple(lights)).sorted[0].level
    n = sum(light.level == found for light in lights)
    if found == "good":
        return Light("good", f"All {len(lights)} checks came out well.")
    told = f"{n} of {counted(len(lights), 'check')} {'asks' if n == 1 else 'ask'} for a look"
    return Light(found, f"{told}." if found == "look" else f"{told} before any number here is used.")

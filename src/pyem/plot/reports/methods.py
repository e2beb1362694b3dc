"""The methods paragraph: models, data and methods of the fits, with numbers from the fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

import pyem
from pyem.errors import counted
from pyem.model.transform import Interval, OneOf, Ordered, Positive, Probit, Real
from pyem.plot.reports import citations, lights
from pyem.plot.reports.content import code, italic, joined
from pyem.selection import CRITERIA, has_draws

if TYPE_CHECKING:
    import pandas as pd

    from pyem.model.parameter import Parameter
    from pyem.population.population import Population
    from pyem.results.fit import Fit
    from pyem.study.predictive_checks import PredictiveCheck

SCALES: dict[type, str] = {
    Real: "as they are",
    Positive: "by their logarithm",
    Interval: "by the logit of their place in the range",
    Probit: "by the probit of their place in the range",
    Ordered: "by an ordered transformation",
    OneOf: "as one of a few values",
}
"""Transforms of values to the scale on which people are compared, in words."""
FAMILIES = {
    "gaussian": "normally distributed",
    "student_t": "distributed as Student's {t} with {df:g} degrees of freedom",
    "laplace": "distributed as Laplace",
    "cauchy": "distributed as Cauchy",
}
HOW = {
    "mle": "Each person's parameters were estimated by maximum likelihood{cite}",
    "map": "Each person's parameters were estimated by maximum a posteriori under the same prior for everybody{cite}",
    "em": "Parameters of people and of their group were estimated together by hierarchical expectation maximisation{cite}",
    "hbi": "Parameters, groups and frequencies of the models were estimated together by hierarchical Bayesian inference{cite}",
    "grid": "Parameters of people were integrated out on a grid{cite}",
    "nuts": "The joint posterior distribution of people and their group was sampled by Hamiltonian Monte Carlo{cite}",
    "svi": "The joint posterior distribution of people and their group was approximated by variational inference{cite}",
    "bayes": "The posterior distribution of the group was found by importance sampling, with people integrated out{cite}",
}


def large(n: int) -> str:
    """Write a count with commas.

    Examples
    --------
    >>> large(9136)
    '9,136'
    """
    return f"{n:,}"


def ends(parameter: Parameter) -> str:
    """Range of a parameter in words."""
    if parameter.values is not None:
        return joined([f"{value:g}" for value in parameter.values], "or")
    low, high = parameter.transform.bounds
    if np.isinf(low) and np.isinf(high):
        return "any number"
    if np.isinf(high):
        return f"above {low:g}"
    return f"{low:g} to {high:g}"


def of_data(fit: Fit) -> str:
    """Sentence about the people, blocks and trials of the data."""
    data, model = fit.data, fit.model
    responses = data.n_responses(model)
    missed = data.n_trials - lights.answered(fit)
    base = model.design.base if model.design else model
    what = joined([code(str(name)) for name in base.responses])
    who = counted(data.n_subjects, "person", "people")
    text = (
        f"The responses ({what}) of {who} were analysed: {large(int(responses.sum()))} in {large(data.n_lanes)} blocks"
    )
    if data.n_subjects > 1:
        text += (
            f" ({italic('Mdn')} = {np.median(responses):g} a person, from {responses.min():g} to {responses.max():g})"
        )
    if missed:
        was = "was" if missed == 1 else "were"
        text += f"; {counted(missed, 'trial')} without a response that counts {was} left out of the likelihood"
    return f"{text}."


def of_model(fit: Fit) -> str:
    """Sentences about the model and its free parameters."""
    model = fit.model
    base = model.design.base if model.design else model
    names = [
        f"{code(p.name)} ({p.doc.partition(':')[0].partition(';')[0] or 'free'}; {ends(p)})" for p in base.parameters
    ]
    about = "; ".join(part for part in (base.doc, citations.named(citations.of_model(model))) if part)
    text = f"Model {code(model.name)}{f' ({about})' if about else ''} has "
    text += f"{counted(len(names), 'free parameter')}: {joined(names)}." if names else "no free parameter."
    for name, formula in model.design.formulas if model.design else ():
        text += f" {code(name)} depended on {code(formula)}."
    return text


def of_scales(fits: Sequence[Fit]) -> str:
    """Sentence about the transforms of parameters to the scale on which people are compared."""
    by: dict[str, list[str]] = {}
    for fit in fits:
        base = fit.model.design.base if fit.model.design else fit.model
        for parameter in base.parameters:
            names = by.setdefault(SCALES.get(type(parameter.transform), "by a transformation"), [])
            names += [code(parameter.name)] if code(parameter.name) not in names else []
    told = [f"{how} ({joined(names)})" for how, names in by.items()]
    return (
        f"Parameters were estimated on an unconstrained scale, to which they were brought {'; '.join(told)}."
        if told
        else ""
    )


def of_group(population: Population) -> str:
    """Sentence about the assumed distribution of people."""
    group = population.group
    family = FAMILIES[group.family].format(t=italic("t"), df=group.df)
    correlated = (
        "independent parameters"
        if group.covariance == "diagonal"
        else "correlated parameters"
        if group.covariance == "full"
        else "correlations within blocks of parameters"
    )
    text = f"On that scale people were {family} around the mean of the group, with {correlated}"
    shifts = [
        f"{code(name)} (on {joined([code(one) for one in on])})" if on else code(name) for name, on in group.covariates
    ]
    if shifts:
        centred = ", centred at the mean of these people" if group.centred else ""
        text += f"; the mean depended linearly on {joined(shifts)}{centred}"
    if group.common:
        text += f"; {joined([code(name) for name in group.common])} had one value for everybody"
    return f"{text}."


def has_pairs(fit: Fit) -> bool:
    """Whether the report has p values of pairs of conditions, which are corrected for their number."""
    if fit.model.design is None or fit.population is None or has_draws(fit):
        return False
    return any(len(fit.marginal_means(name).cells) > 1 for name, _ in fit.model.design.formulas)


def of_designs(fits: Sequence[Fit]) -> str:
    """Sentence about formulas and the tests of conditions, if there are any."""
    if not any(fit.model.design is not None for fit in fits):
        return ""
    text = f"Formulas are written as those of mixed models{citations.cite([citations.BATES])}"
    if any(map(has_pairs, fits)):
        holm = citations.cite([citations.HOLM])
        text += f"; {italic('p')} values of pairs of conditions were corrected for their number{holm}"
    return f"{text}."


def of_method(fit: Fit) -> str:
    """Sentence about how parameters were estimated."""
    sources = list(citations.OF_METHOD.get(fit.method, ()))
    exact = "effective_nodes" in fit.trace
    how = HOW.get(fit.method, f"Parameters were estimated by {fit.method}{{cite}}")
    text = how.format(cite=citations.cite(sources))
    if fit.method == "em":
        by = f"adaptive quadrature{citations.cite([citations.BOCK])}" if exact else "Laplace approximation"
        text += f", with people integrated out by {by}; standard errors come from the observed information of the group"
    chains = fit.settings.get("chains")
    if fit.method == "nuts" and chains:
        text += (
            f", with {chains} chains of {fit.settings.get('draws')} draws after {fit.settings.get('warmup')} of warm-up"
            f"; convergence was judged by rank-normalised R̂ and effective sample sizes{citations.cite([citations.RHAT])}"
        )
    return f"{text}."


def of_comparison(table: pd.DataFrame) -> str:
    """Sentence about how the models were compared."""
    by = str(table.attrs.get("by", ""))
    title = CRITERIA[by].title if by in CRITERIA else by
    best = "largest" if by in CRITERIA and CRITERIA[by].sign > 0 else "smallest"
    return (
        f"Models were compared by {title}{citations.cite(citations.OF_CRITERION.get(by, ()))}, of which the {best} is best; "
        f"standard errors of differences are those over people."
    )


def of_frequencies() -> str:
    """Sentence about how the frequencies of models were estimated."""
    sources = citations.cite([citations.STEPHAN, citations.RIGOUX])
    how = "from everybody's log evidence by random-effects selection"
    return f"Frequencies of the models among people were estimated {how}{sources}."


def of_check(check: PredictiveCheck) -> str:
    """Sentence about how the predictive check was made."""
    how = "one step ahead" if check.predicted.one_step else "by playing the task"
    return (
        f"Behaviour was compared with {large(check.predicted.n_draws)} data sets simulated {how} from the fitted parameters"
        f"{citations.cite([citations.GELMAN])}."
    )


def of_software() -> str:
    """Sentence about the software."""
    told = [f"JAX {version('jax')}", f"NumPy {version('numpy')}", f"SciPy {version('scipy')}"]
    return f"Computations were made with pyem {pyem.__version__} ({', '.join(told)})."


def paragraph(
    fits: Mapping[str, Fit],
    comparison: pd.DataFrame | None,
    frequencies: pd.DataFrame | None,
    checks: Mapping[str, PredictiveCheck],
    rounds: int,
) -> str:
    """The whole paragraph."""
    each = list(fits.values())
    first = each[0]
    parts = [of_data(first), *(of_model(fit) for fit in each), of_designs(each), of_scales(each)]
    for fit in each:
        parts += [of_group(fit.population)] if fit.population is not None else []
        parts.append(of_method(fit))
    parts += [of_comparison(comparison)] if comparison is not None else []
    parts += [of_frequencies()] if frequencies is not None else []
    parts += [of_check(check) for check in checks.values()]
    if rounds:
        parts.append(
            f"Recovery of parameters was studied at this very design, in {counted(rounds, 'round')} of as many simulated people"
            f"{citations.cite([citations.WILSON])}."
        )
    return " ".join(dict.fromkeys(part for part in [*parts, of_software()] if part))

"""Do three Monte-Carlo evidences agree? Bridge sampling of NUTS, importance sampling of fit_bayes, annealing; prints a table.

``python -m benchmarks.evidence 3`` fits five models to 20 people each, three times anew (key 1, 2, 3); names after the number
are the models that are wanted.
"""

from __future__ import annotations

import sys
import warnings

import pyem

MODELS = ("rw1a1b", "rw2a1b", "wsls", "bias", "rw1a1b+lapse")
SIZE = {"subjects": 20, "blocks": 2, "trials": 40}


def made(name: str) -> pyem.Model:
    """A model of the registry, with a lapse where the name says so."""
    base, _, lapse = name.partition("+")
    model = pyem.models.get(base)
    return pyem.with_lapse(model) if lapse else model


def row(name: str, key: int) -> str:
    """Log marginal likelihoods of one model by all methods, and how many standard errors they are apart at most."""
    model = made(name)
    data = pyem.simulate(model, key=key, **SIZE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pyem.FitWarning)
        bayes = pyem.log_marginal_likelihood(pyem.fit_bayes(model, data, key=key))
        nuts = pyem.fit_nuts(model, data, draws=2000, key=key)
        bridge, annealed = pyem.bridge_evidence(nuts, key=key), pyem.annealed_evidence(nuts, key=key)
    pairs = [(bayes.total, bayes.error), (bridge.total, bridge.se), (annealed.total, annealed.se)]
    apart = max(abs(a - b) / (s**2 + t**2) ** 0.5 for a, s in pairs for b, t in pairs if a is not b)
    return f"| {name} | {key} | {' | '.join(f'{value:.2f} ({se:.2f})' for value, se in pairs)} | {apart:.1f} |"


def main(keys: int | str = 1, *names: str) -> None:
    """Print the table of the documentation."""
    print("| model | key | `fit_bayes` | bridge, NUTS | annealing | apart (se) |\n|---|---|---|---|---|---|")
    for name in names or MODELS:
        for key in range(1, int(keys) + 1):
            print(row(name, key), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

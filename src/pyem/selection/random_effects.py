"""Random-effects model selection: people may differ in the model that holds for them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyem.numerics.dirichlet import exceedance, free_energy, variational
from pyem.selection.evidence_table import evidence_table, families_of

if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass(frozen=True, eq=False)
class ModelFrequencies:
    """Frequencies of models, or of families of models, in the population.

    Parameters
    ----------
    alpha
        The posterior of the frequencies is a Dirichlet distribution with these parameters, (M,).
    frequency
        Expected frequency of each model, (M,).
    exceedance
        Probability that a model is more frequent than all others, (M,).
    protected_exceedance
        Exceedance probability which allows that frequencies differ by chance only, (M,).
    omnibus_risk
        Probability that all models are equally frequent ("Bayesian omnibus risk"); with families, that families are,
        and the models within each.
    attribution
        Probability that a subject's data came from each model, (S, M).
    log_evidence, log_evidence_null
        Log evidence of the random-effects model (a lower bound), and of equal frequencies, in nats.
    names
        Names of the models, (M,).
    subjects
        Labels of the subjects, (S,).
    families
        The same for families of models, if they were named: each family is as probable beforehand as any other, however many
        models it has.
    """

    alpha: np.ndarray
    frequency: np.ndarray
    exceedance: np.ndarray
    protected_exceedance: np.ndarray
    omnibus_risk: float
    attribution: np.ndarray = dataclasses.field(repr=False)
    log_evidence: float
    log_evidence_null: float
    names: tuple[str, ...] = ()
    subjects: np.ndarray = dataclasses.field(default_factory=lambda: np.arange(0), repr=False)
    families: ModelFrequencies | None = None

    @property
    def frequency_sd(self) -> np.ndarray:
        """Posterior standard deviation of each frequency, (M,)."""
        total = self.alpha.sum()
        return np.sqrt(self.frequency * (1 - self.frequency) / (total + 1))

    def table(self) -> pd.DataFrame:
        """A row for each model: expected number of people, frequency with its sd, and exceedance probabilities."""
        import pandas as pd

        columns = {
            "people": self.attribution.sum(0),
            "frequency": self.frequency,
            "frequency_sd": self.frequency_sd,
            "exceedance": self.exceedance,
            "protected_exceedance": self.protected_exceedance,
        }
        return pd.DataFrame(columns, index=pd.Index(self.names, name="model"))

    def people(self) -> pd.DataFrame:
        """A row for each subject: the probability of each model, and the most probable one."""
        import pandas as pd

        table = pd.DataFrame(self.attribution, index=pd.Index(self.subjects, name="subject"), columns=list(self.names))
        return table.assign(model=np.array(self.names, object)[self.attribution.argmax(1)])


def random_effects_bms(
    log_evidence: Any,
    *,
    families: Mapping[str, Sequence[str]] | None = None,
    by: str | None = None,
    draws: int = 1000,
    key: Any = 0,
    prior: float = 1.0,
    tol: float = 1e-10,
) -> ModelFrequencies:
    """Random-effects Bayesian model selection, of models and of families of them.

    Parameters
    ----------
    log_evidence
        Log evidence of each model for each subject, in nats, (S, M), a data frame with a column for each model, or fits of the
        same people by name. If only BIC is at hand, ``-bic(fit).subject / 2``.
    families
        Names of the models of each family, ``{"rl": ["rw1a1b", "rw2a1b"], "heuristics": ["wsls"]}``: each model in one.
    by, draws, key
        For fits: whose parts are the evidence, as in `compare_fits`; draws and seed of integrals.
    prior
        Parameter of the Dirichlet distribution over frequencies: how many subjects of each model were seen before, so to say.
        With families, of each family; its models share it.
    tol
        Stop when no parameter changes by more.

    Raises
    ------
    ValueError
        If the evidence is not a table of finite numbers with two models or more, or a model is not in one family.

    Notes
    -----
    Evidence that was computed with group parameters fitted under the assumption that the model holds for everybody (as by EM)
    favours no model by itself, but the group is then not that of the model's own people; `fit_hbi` estimates both together.

    References
    ----------
    Stephan, K. E., Penny, W. D., Daunizeau, J., Moran, R. J., & Friston, K. J. (2009). Bayesian model selection for group
    studies. NeuroImage, 46(4), 1004-1017. https://doi.org/10.1016/j.neuroimage.2009.03.025

    Penny, W. D., Stephan, K. E., Daunizeau, J., Rosa, M. J., Friston, K. J., Schofield, T. M., & Leff, A. P. (2010). Comparing
    families of dynamic causal models. PLoS Computational Biology, 6(3), e1000709.
    https://doi.org/10.1371/journal.pcbi.1000709

    Rigoux, L., Stephan, K. E., Friston, K. J., & Daunizeau, J. (2014). Bayesian model selection for group studies - revisited.
    NeuroImage, 84, 971-985. https://doi.org/10.1016/j.neuroimage.2013.08.065

    Examples
    --------
    >>> found = random_effects_bms([[0.0, -9.0]] * 9 + [[-9.0, 0.0]])
    >>> found.frequency.round(2).tolist()
    [0.83, 0.17]
    """
    found = evidence_table(log_evidence, by, draws, key)
    if not prior > 0:
        raise ValueError(f"prior={prior}; it must be above 0")
    share = None if families is None else families_of(found.names, families)
    return frequencies(found.values, found.names, found.subjects, prior, tol, share, tuple(families or ()))


def frequencies(
    table: np.ndarray,
    names: tuple[str, ...],
    subjects: np.ndarray,
    prior: float = 1.0,
    tol: float = 1e-10,
    share: np.ndarray | None = None,
    families: tuple[str, ...] = (),
) -> ModelFrequencies:
    """Frequencies of models from log evidence (S, M); `share` (M,) is the place of each model's family in `families`."""
    size = np.ones(table.shape[1]) if share is None else np.bincount(share)[share]
    start = prior / size
    alpha, attribution = variational(table, start, tol)
    bound = free_energy(table, start, alpha, attribution)
    beforehand = np.log(start / start.sum())
    null = float(np.logaddexp.reduce(table + beforehand, axis=1).sum())
    grouped = None
    if share is not None:
        member = (share[:, None] == np.arange(len(families))).astype(float)
        fixed = variational(table, start, tol, share=share)
        # Under the null all families are equally frequent, whatever the models within them are.
        null_family = free_energy(table, start, *fixed, share=share)
        grouped = _said(alpha @ member, attribution @ member, bound, null_family, families, subjects)
    return dataclasses.replace(_said(alpha, attribution, bound, null, names, subjects), families=grouped)


def _said(
    alpha: np.ndarray, attribution: np.ndarray, bound: float, null: float, names: tuple[str, ...], subjects: np.ndarray
) -> ModelFrequencies:
    from scipy.special import expit

    risk = float(expit(null - bound))
    exceeds = exceedance(alpha)
    return ModelFrequencies(
        alpha=alpha,
        frequency=alpha / alpha.sum(),
        exceedance=exceeds,
        protected_exceedance=exceeds * (1 - risk) + risk / len(alpha),
        omnibus_risk=risk,
        attribution=attribution,
        log_evidence=float(bound),
        log_evidence_null=float(null),
        names=names,
        subjects=subjects,
    )

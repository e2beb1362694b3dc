"""Choice of the most informative design: about the parameters of a model, or about which model holds."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from pyem.data.dataset import Dataset
from pyem.errors import DataError, FitWarning, require_method, require_whole, told_briefly
from pyem.infer.point import fit_map
from pyem.infer.progress import unless_asked
from pyem.model.model import Model
from pyem.numerics.dirichlet import softmax
from pyem.numerics.rng import as_key, plain_key
from pyem.study.experiment import Experiment, Fitter, experiment_of, to_fit
from pyem.study.model_recovery import named_models

if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass(frozen=True, eq=False)
class DesignChoice:
    """Information of designs about one person, the best first.

    Parameters
    ----------
    by
        ``"information"``, of parameters, or ``"error"`` or ``"chernoff"``, of models.
    values
        Measures of each simulated person, (n,) by name, for each design.
    """

    by: str
    values: Mapping[str, Mapping[str, np.ndarray]]

    def table(self) -> pd.DataFrame:
        """A row for each design, the best first, with Monte-Carlo standard errors.

        Of one model, ``information``: how many nats the data of a person tell about the parameters, on average. Of several,
        ``information`` about which model holds; ``error``, how often the most probable model of a person is the wrong one; and
        ``chernoff``, a bound of that error.
        """
        import pandas as pd

        rows = {name: self._row(values) for name, values in self.values.items()}
        table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("design")
        return table.sort_values(self.by, ascending=self.by != "information", kind="stable")

    def _row(self, values: Mapping[str, np.ndarray]) -> dict[str, float]:
        row = {}
        for name, each in values.items():
            row |= {name: float(each.mean()), f"{name}_se": float(each.std(ddof=1) / len(each) ** 0.5)}
        return row

    @property
    def best(self) -> str:
        """Name of the most informative design."""
        return str(self.table().index[0])

    def __repr__(self) -> str:
        what = "parameters" if self.by == "information" else "models"
        return f"Designs by what they tell of {what}\n{self.table().to_string(float_format='{:.3g}'.format)}"


def choose_design(
    what: Model | Sequence[Model] | Mapping[str, Model],
    designs: Mapping[str, Experiment | Dataset],
    *,
    key: Any,
    subjects: int = 200,
    fit: Fitter = fit_map,
) -> DesignChoice:
    """Choose the most informative design about the parameters of a model, or about which of several models holds.

    Parameters
    ----------
    what
        A model, or several.
    designs
        Designs by name: experiments with other tasks, payoffs, numbers of trials, or data.
    key
        Seed or JAX random key; the same people do all designs.
    subjects
        Simulated people for each design, and of each model.
    fit
        ``fit(model, data)`` with a prior and a log evidence: `fit_map`, or a partial of it.

    Raises
    ------
    ValueError
        If there are fewer than two designs.

    Notes
    -----
    People are drawn from the typical population. Of a model, the expected information is the mean gain from prior to posterior,
    ``(log det prior covariance - log det posterior covariance) / 2``, by the Laplace approximation. Of several, posterior
    probabilities of the models come from their Laplace evidence; the bound of the error is half the entropy of the models that
    is left on average, as in the Laplace-Chernoff risk of Daunizeau et al. (2011), here with simulated data in place of their
    Gaussian approximation.

    References
    ----------
    Daunizeau, J., Preuschoff, K., Friston, K., & Stephan, K. (2011). Optimizing experimental design for comparing models of
    brain function. PLoS Computational Biology, 7(11), e1002280. https://doi.org/10.1371/journal.pcbi.1002280

    Examples
    --------
    >>> import pyem
    >>> level = pyem.fix(pyem.models.get("glm", predictors=1), sigma=1.0)
    >>> designs = {"short": pyem.Experiment(trials=6), "long": pyem.Experiment(trials=12)}
    >>> pyem.study.choose_design(level, designs, key=1, subjects=5).best
    'long'
    """
    require_whole(subjects=(subjects, 2))
    require_method(fit)
    if not isinstance(designs, Mapping) or not all(isinstance(one, Experiment | Dataset) for one in designs.values()):
        raise DataError(
            'designs by name are expected, such as {"short": pyem.Experiment(trials=50), "long": data}, but '
            f"{told_briefly(designs)} was given"
        )
    if len(designs) < 2:
        raise ValueError(f"{len(designs)} design was given; at least two are needed to choose")
    plans = {name: one if isinstance(one, Experiment) else experiment_of(one) for name, one in designs.items()}
    seed = plain_key(key)
    found = {name: told(what, plan, subjects, seed, fit) for name, plan in plans.items()}
    return DesignChoice("information" if isinstance(what, Model) else "error", found)


def told(
    what: Model | Sequence[Model] | Mapping[str, Model], plan: Experiment, subjects: int, key: Any, fit: Fitter
) -> dict[str, np.ndarray]:
    """Information of a design about each simulated person: ``information``, and for several models ``error``, ``chernoff``.

    Parameters
    ----------
    what, subjects, key, fit
        Arguments as in `choose_design`.
    plan
        The design.
    """
    if isinstance(what, Model):
        return {"information": _gain(what, plan, subjects, key, fit)}
    return _told_apart(named_models(what), plan, subjects, key, fit)


def _fitted(fit: Fitter, model: Any, data: Dataset) -> Any:
    with warnings.catch_warnings(), unless_asked():
        warnings.simplefilter("ignore", FitWarning)
        return fit(model, data)


def _gain(model: Model, plan: Experiment, subjects: int, key: Any, fit: Fitter) -> np.ndarray:
    """Information (n,) of each person's data about the parameters, in nats."""
    n = plan.n_subjects(None, subjects)
    data = plan.round(model, None, n, 0, key)
    found = _fitted(fit, to_fit(model, data), data)
    sd = model.typical[1] if found.prior is None else np.sqrt(np.diag(found.prior[1]))
    _, log_det = np.linalg.slogdet(found.cov)
    gain = np.log(sd).sum() - 0.5 * log_det
    return gain[np.isfinite(gain)]


def _told_apart(
    models: Mapping[str, Any], plan: Experiment, subjects: int, key: Any, fit: Fitter
) -> dict[str, np.ndarray]:
    """Whether another model is more probable, and information about the model in nats, for each person of each model."""
    n = plan.n_subjects(None, subjects)
    wrong, told = [], []
    for m, model in enumerate(models.values()):
        data = plan.round(model, None, n, 0, jax.random.fold_in(as_key(key), m))
        evidence = [
            _fitted(fit, to_fit(one, data) if one is model else one, data).log_evidence for one in models.values()
        ]
        share = softmax(np.column_stack(evidence))
        share = share[np.isfinite(share).all(1)]
        wrong.append(share.argmax(1) != m)
        told.append(np.log(len(models)) + (share * np.log(np.maximum(share, 1e-300))).sum(1))
    information = np.concatenate(told)
    chernoff = (np.log(len(models)) - information) / 2
    return {"error": np.concatenate(wrong).astype(float), "information": information, "chernoff": chernoff}

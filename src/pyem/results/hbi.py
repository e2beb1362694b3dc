"""The result of `fit_hbi`: models, their frequencies, and each model's group."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np

from pyem import __version__
from pyem.errors import Unavailable
from pyem.numerics.dirichlet import exceedance
from pyem.results.archive import Packer
from pyem.results.files import FORMAT
from pyem.results.identity import identity
from pyem.results.netcdf import packed_section, to_json, write_sections
from pyem.results.open_ends import open_ended, positive
from pyem.results.point import PointFit
from pyem.results.point_problems import people_problems

if TYPE_CHECKING:
    import pandas as pd

EARLY = 0.01
"""Change of the group's means, in sds of the group, at which the published rule stops."""
FELL = 0.1
"""Nats by which the bound may fall in a step, because Laplace approximations are not exactly a bound."""


@final
@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class HBIFit:
    """A fit by hierarchical Bayesian inference: several models, and for each the group of the people whose model it is.

    Parameters
    ----------
    fits
        Everybody's estimates under each model, and its group, as a `PointFit`.
    responsibilities
        Probability that each person's data came from each model, (S, M); NaN for people for whom no model has a finite
        likelihood.
    alpha
        Parameters of the Dirichlet posterior of the models' frequencies, (M,).
    groups
        For each model the Gaussian-Gamma posterior of its group on the unconstrained scale: ``mean`` (P,), ``beta``, ``shape``,
        ``rate`` (P,).
    bound
        Lower bound of the log evidence of everything, in nats.
    bound_null
        The bound if all models are equally frequent; None if that was not asked for.
    converged
        Whether the groups stopped moving.
    trace
        The path of the iteration, a row for each step: ``bound``, ``change``, ``alpha``, ``responsibilities``, and the ``mean
        of`` and ``precision of`` every group in units of the search.
    early
        The iteration (from 0) where the published rule would have stopped.
    settings
        All keyword arguments that repeat the fit.
    """

    fits: Mapping[str, PointFit]
    responsibilities: np.ndarray
    alpha: np.ndarray
    groups: Mapping[str, Mapping[str, Any]]
    bound: float
    bound_null: float | None
    converged: bool
    trace: Mapping[str, np.ndarray]
    early: int
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the models."""
        return tuple(self.fits)

    @property
    def frequency(self) -> dict[str, float]:
        """Expected frequency of each model in the population."""
        return dict(zip(self.names, (self.alpha / self.alpha.sum()).tolist(), strict=True))

    @property
    def exceedance(self) -> dict[str, float]:
        """Probability that a model is more frequent than all others."""
        return dict(zip(self.names, exceedance(self.alpha).tolist(), strict=True))

    @property
    def omnibus_risk(self) -> float:
        """Probability that all models are equally frequent.

        Raises
        ------
        pyem.errors.Unavailable
            If the fit was made with ``null=False``.
        """
        if self.bound_null is None:
            raise Unavailable("the fit with equal frequencies was not asked for; use fit_hbi(..., null=True)")
        from scipy.special import expit

        return float(expit(self.bound_null - self.bound))

    @property
    def protected_exceedance(self) -> dict[str, float]:
        """Exceedance probabilities that allow for equal frequencies.

        Raises
        ------
        pyem.errors.Unavailable
            If the fit was made with ``null=False``.
        """
        risk = self.omnibus_risk
        return {name: value * (1 - risk) + risk / len(self.names) for name, value in self.exceedance.items()}

    # -- tables -----------------------------------------------------------------------------------------------------------

    def table(self) -> pd.DataFrame:
        """A row for each person: the probability of each model, and the most probable one."""
        import pandas as pd

        first = self.fits[self.names[0]]
        index = pd.Index(first.data.subjects, name="subject")
        table = pd.DataFrame(self.responsibilities, index=index, columns=list(self.names))
        known = np.asarray(np.isfinite(self.responsibilities).all(1))
        best = np.array(self.names, object)[np.nan_to_num(self.responsibilities).argmax(1)]
        return table.assign(model=[name if one else None for name, one in zip(best, known, strict=True)])

    def models_table(self) -> pd.DataFrame:
        """A row for each model: expected number of people, frequency with its sd, and exceedance probabilities.

        ``early_frequency`` is the frequency where the published rule stops.
        """
        import pandas as pd

        total = self.alpha.sum()
        share = self.alpha / total
        said = {"people": np.nansum(self.responsibilities, axis=0), "frequency": share}
        said |= {
            "frequency_sd": np.sqrt(share * (1 - share) / (total + 1)),
            "exceedance": list(self.exceedance.values()),
        }
        if self.bound_null is not None:
            said["protected_exceedance"] = list(self.protected_exceedance.values())
        then = self.trace["alpha"][self.early]
        return pd.DataFrame(said | {"early_frequency": then / then.sum()}, index=pd.Index(self.names, name="model"))

    def group_table(self) -> pd.DataFrame:
        """A row for each parameter of each model's group, on the unconstrained scale.

        ``mean`` with its hierarchical error bar ``se``, a 95 % interval ``low``, ``high`` by Student's t with ``df`` degrees of
        freedom, the mean and interval in ``natural`` units, and the ``sd`` between people.
        """
        import pandas as pd
        from scipy.special import stdtrit

        rows = []
        for model, name, mean, se, df, sd in self._group_rows():
            reach = stdtrit(df, 0.975) * se
            x = {"natural": mean, "natural_low": mean - reach, "natural_high": mean + reach}
            natural = {label: self._natural(model, name, value) for label, value in x.items()}
            owner = self.fits[model].model
            if positive(owner.parameters)[owner.names.index(name)]:
                natural["natural_low"], natural["natural_high"] = open_ended(*natural.values())
            row = {"model": model, "parameter": name, "mean": mean, "se": se, "low": mean - reach, "high": mean + reach}
            rows.append(row | {"df": df} | natural | {"sd": sd})
        return pd.DataFrame(rows).set_index(["model", "parameter"])

    def _group_rows(self) -> list[tuple[str, str, float, float, float, float]]:
        rows = []
        for model, group in self.groups.items():
            se = np.sqrt(group["rate"] / (group["shape"] * group["beta"]))
            sd = np.sqrt(group["rate"] / group["shape"])
            names = self.fits[model].model.names
            parts = zip(names, group["mean"], se, sd, strict=True)
            rows += [(model, name, float(m), float(e), 2.0 * group["shape"], float(d)) for name, m, e, d in parts]
        return rows

    def _natural(self, model: str, name: str, value: float) -> float:
        group, owner = self.groups[model], self.fits[model].model
        x = np.array(group["mean"], float)
        x[owner.names.index(name)] = value
        return float(owner.natural(x)[owner.names.index(name)])

    def t_test(self, model: str, parameter: str, value: float) -> dict[str, float]:
        """Test of a group's mean against a natural `value`, with the effective degrees of freedom of the model's people.

        Returns
        -------
        dict
            ``t``, ``df`` and the two-sided ``p``.

        Raises
        ------
        ValueError
            If there is no such model or parameter, or the value is outside its range.
        """
        from scipy.special import stdtr

        if model not in self.groups or parameter not in self.fits[model].model.names:
            known = "; ".join(f"{name} has {', '.join(fit.model.names)}" for name, fit in self.fits.items())
            raise ValueError(f"there is no parameter {parameter!r} of a model {model!r}; {known}")
        owner, group = self.fits[model].model, self.groups[model]
        k = owner.names.index(parameter)
        natural = owner.natural(group["mean"])
        natural[k] = value
        against = owner.unconstrained(natural)[k]
        df = 2.0 * group["shape"]
        t = float((group["mean"][k] - against) / np.sqrt(group["rate"][k] / (group["shape"] * group["beta"])))
        return {"t": t, "df": df, "p": float(2 * stdtr(df, -abs(t)))}

    # -- saying it --------------------------------------------------------------------------------------------------------

    def problems(self) -> list[str]:
        """Descriptions of what is wrong; empty if nothing is."""
        said = []
        if not self.converged:
            said.append(f"not converged after {len(self.trace['bound'])} iterations; raise max_iter")
        fell = -np.diff(self.trace["bound"]).min(initial=0.0)
        if fell > FELL:
            said.append(
                f"the bound of the log evidence fell by {fell:.3g} nats in a step: somebody's mode became another one, or "
                "Laplace approximations are poor; raise starts, or compare with fit_bayes"
            )
        for name, fit in self.fits.items():
            said += [f"{name}: {text}" for text in people_problems(fit.data.subjects, fit.status)]
        return said

    def summary(self) -> str:
        """Description of the fit and its results, as text."""
        first = self.fits[self.names[0]]
        lines = [f"hierarchical Bayesian inference of {len(self.names)} models, {first.data.n_subjects} subjects"]
        lines.append(f"bound of the log evidence {self.bound:.3f}, {len(self.trace['bound'])} iterations")
        return "\n".join([*lines, self.models_table().round(3).to_string(), *self.problems()])

    def __repr__(self) -> str:
        return self.summary()

    def save(self, path: str | Path) -> Path:
        """Write the fit to a file that `pyem.load` reads, if the models came from `pyem.models.get`.

        Raises
        ------
        ValueError
            If there is no such folder, or it holds something that cannot be written.
        """
        path, pack = Path(path), Packer(identity)
        contents = {
            "model": identity(self.fits[self.names[0]].model, pack),
            "fit": pack(self),
            "versions": {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "numpy", "scipy")},
        }
        own = {"pyem_format": FORMAT, "pyem_version": __version__, "pyem_kind": "HBIFit"}
        write_sections(path, {"pyem": packed_section(to_json(contents), pack.arrays)}, own)
        return path

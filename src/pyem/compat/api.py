"""`EMModel`: fit, simulate, recover and score a model of the pyEM form."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyem.compat.em import EMConfig, EMfit, checked_data, fit_group
from pyem.compat.fit_result import FitResult, NotFittedError
from pyem.compat.groupdist import GroupRule, make_group
from pyem.compat.optim import OptimConfig, maximum_likelihood
from pyem.compat.outputs import data_of, reports, stacked, with_posterior
from pyem.compat.posterior import parameter_recovery
from pyem.compat.priors import GaussianPrior, Prior
from pyem.compat.stats import calc_BICint, calc_LME
from pyem.errors import FitWarning

if TYPE_CHECKING:
    from matplotlib.figure import Figure


__all__ = ["EMModel", "EMfit", "FitResult", "GaussianPrior", "NotFittedError", "Prior"]

GONE = ("estep_maxit", "convergence_type")
"""Settings of `EMModel.fit` that older scripts give, which have no effect."""


class EMModel:
    """A model of the pyEM form with its data.

    Parameters
    ----------
    all_data
        A list for each subject of the arrays that `fit_func` takes, or one DataFrame. May be None until `fit`.
    fit_func
        ``f(params, *data, prior=None, output="npl"|"nll"|"all")`` with unconstrained parameters (P,). Models of this library,
        and functions of ``jax.numpy``, are fitted with exact derivatives, all subjects at once; any other Python
        function with differences.
    param_names
        One name for each parameter, in order.
    param_xform
        Functions from the unconstrained to the natural scale, one for each parameter; None where the scales are the same.
    simulate_func
        ``f(params, ...)`` with natural parameters (S, P), for `simulate` and `recover`.

    Examples
    --------
    >>> from pyem.models.rl import rw1a1b_fit, rw1a1b_sim
    >>> from pyem.compat.math import norm2alpha, norm2beta
    >>> params = np.column_stack([np.linspace(1, 8, 30), np.linspace(0.1, 0.9, 30)])
    >>> sim = rw1a1b_sim(params, nblocks=4, ntrials=24, seed=1)
    >>> all_data = [[c, r] for c, r in zip(sim["choices"], sim["rewards"])]
    >>> model = EMModel(all_data, rw1a1b_fit, ["beta", "alpha"], [norm2beta, norm2alpha])
    >>> model.fit(verbose=0).convergence
    True
    >>> model.subject_params().shape
    (30, 2)
    """

    def __init__(
        self,
        all_data: Sequence[Any] | None,
        fit_func: Callable[..., Any],
        param_names: Sequence[str],
        param_xform: Sequence[Callable[[Any], Any]] | None = None,
        simulate_func: Callable[..., Any] | None = None,
    ) -> None:
        names = [param_names] if isinstance(param_names, str) else list(param_names)
        xform = None if param_xform is None else list(param_xform)
        if xform is not None and len(xform) != len(names):
            raise ValueError(f"param_xform length ({len(xform)}) must match param_names length ({len(names)})")
        self.all_data = all_data
        self.fit_func = fit_func
        self.param_names = names
        self.param_xform = xform
        self.simulate_func = simulate_func
        self._fitted: dict[str, Any] | None = None
        self._outfit: dict[str, Any] | None = None
        self._group: GroupRule = make_group()

    @property
    def _out(self) -> dict[str, Any] | None:
        return self._fitted

    @_out.setter
    def _out(self, out: dict[str, Any] | None) -> None:
        self._fitted, self._outfit = None if out is None else with_posterior(out), None
        self._group = make_group()

    @property
    def group(self) -> GroupRule:
        """The family of the group's distribution in the last fit."""
        return self._group

    # -- fitting --------------------------------------------------------------------------------------------------------

    def fit(
        self,
        *,
        verbose: int = 1,
        mstep_maxit: int = 200,
        convergence_method: str = "sum",
        convergence_custom: str | None = None,
        convergence_crit: float = 1e-3,
        convergence_precision: int = 6,
        njobs: int = -2,
        optim_method: str = "BFGS",
        optim_options: Mapping[str, Any] | None = None,
        max_restarts: int = 2,
        seed: int | None = None,
        prior_mu: Any = None,
        prior_sigma: Any = None,
        prior: Any = None,
        mstep: Any = "gaussian",
        **older: Any,
    ) -> FitResult:
        """Fit all subjects and their group by hierarchical EM.

        Parameters
        ----------
        verbose
            0 prints nothing, 1 every tenth iteration, 2 all.
        mstep_maxit, convergence_method, convergence_custom, convergence_crit, convergence_precision, njobs, seed, mstep
            See `pyem.compat.em.EMConfig`.
        optim_method, optim_options, max_restarts
            See `pyem.compat.optim.OptimConfig`.
        prior, prior_mu, prior_sigma
            The prior of the first E-step: an object of `pyem.compat.priors`, or its mean and *variance* (P,). If not given,
            variance 100 and a mean near 0. It is a start: M-steps replace it.
        **older
            ``estep_maxit`` and ``convergence_type`` of older scripts, which are ignored with a warning.

        Raises
        ------
        ValueError
            If there are no data or parameters, or the prior is given twice or by halves.
        TypeError
            If a setting is unknown, or the prior has no moments to start from.
        """
        if strange := [name for name in older if name not in GONE]:
            raise TypeError(f"EMModel.fit() got an unexpected keyword argument {strange[0]!r}")
        if older:
            warnings.warn(f"EMModel.fit has no {' and no '.join(older)} any more; ignored", FitWarning, stacklevel=2)
        out = fit_group(
            self.all_data,
            self.fit_func,
            self.param_names,
            config=EMConfig(
                mstep_maxit=mstep_maxit,
                convergence_method=convergence_method,
                convergence_custom=convergence_custom,
                convergence_crit=convergence_crit,
                convergence_precision=convergence_precision,
                njobs=njobs,
                optim=OptimConfig(optim_method, optim_options, max_restarts),
                seed=seed,
                mstep=mstep,
            ),
            prior=prior,
            prior_mu=prior_mu,
            prior_sigma=prior_sigma,
            verbose=verbose,
        )
        self._out, self._group = out, make_group(mstep)
        # A copy, so that what is done to the result is not done to the model.
        out = copy.deepcopy(out)
        posterior = out.pop("posterior")
        return FitResult(posterior_mu=posterior["mu"], posterior_sigma=posterior["sigma"], **out)

    def EMfit(self, **settings: Any) -> dict[str, Any]:
        """Fit as `fit` does, and return the result as a dict."""
        return self.fit(**settings).__dict__

    def scipy_minimize(self, seed: int | None = None) -> dict[str, Any]:
        """Maximum-likelihood estimates of each subject alone, the best of several starts.

        Returns
        -------
        dict
            ``m, inv_h, NPL, NLPrior, convergence`` as of `fit`; ``posterior`` has the estimates (P, S) and the diagonals of
            ``inv_h``, (P, S); ``individual_fit`` is True. The model itself stays as it is.
        """
        best = maximum_likelihood(self.fit_func, checked_data(self.all_data), len(self.param_names), seed=seed)
        inv_h = np.moveaxis(best.cov, 0, -1).copy()
        return {
            "m": best.mode.T.copy(),
            "inv_h": inv_h,
            "posterior": {"mu": best.mode.T.copy(), "sigma": np.einsum("pps->ps", inv_h).copy()},
            "NPL": -best.log_lik,
            "NLPrior": np.zeros(len(best.log_lik)),
            "convergence": True,
            "individual_fit": True,
        }

    def simulate(self, *args: Any, **kwargs: Any) -> Any:
        """Call `simulate_func` and return its result.

        Raises
        ------
        AttributeError
            If the model was made without one.
        """
        if self.simulate_func is None:
            raise AttributeError("No simulate_func provided. Pass simulate_func= when making the model.")
        return self.simulate_func(*args, **kwargs)

    # -- what was fitted ------------------------------------------------------------------------------------------------

    def fitted_output(self) -> dict[str, Any]:
        """Result of the last fit: the dict itself, not a copy.

        Raises
        ------
        NotFittedError
            If there is none.
        """
        if self._out is None:
            raise NotFittedError("The model has not been fitted. Call fit() first.")
        return self._out

    def posterior(self) -> dict[str, np.ndarray]:
        """Mean ``mu`` and variance ``sigma`` of the group, (P,) each, copies."""
        return {name: np.array(value) for name, value in self.fitted_output()["posterior"].items()}

    def get_param_transform(self, param_name_or_index: str | int) -> Callable[[Any], Any]:
        """Return the function in `param_xform` for a parameter, given by name or index.

        Raises
        ------
        ValueError
            If there is none.
        """
        if self.param_xform is None:
            raise ValueError("param_xform was not provided to the model")
        param = param_name_or_index
        if isinstance(param, str):
            if param not in self.param_names:
                raise ValueError(f"Parameter '{param}' not found in param_names")
            param = self.param_names.index(param)
        if not 0 <= param < len(self.param_xform):
            raise ValueError(f"Index {param} out of range for param_xform")
        return self.param_xform[param]

    def subject_params(self) -> np.ndarray:
        """Every subject's estimates, (S, P): natural if the model has `param_xform`, else unconstrained. A copy."""
        x = np.array(self.fitted_output()["m"], float).T
        return self.natural(x)

    def natural(self, x: np.ndarray) -> np.ndarray:
        """Convert unconstrained to natural parameters, (S, P) each, by `param_xform`; without that, return a copy."""
        if self.param_xform is None:
            return x.copy()
        return np.column_stack([_transformed(f, column) for f, column in zip(self.param_xform, x.T, strict=True)])

    @property
    def outfit(self) -> dict[str, Any]:
        """Result of `get_outfit`."""
        return self.get_outfit()

    def get_outfit(self) -> dict[str, Any]:
        """Reports of the fit function at every subject's estimates, stacked over subjects.

        Returns
        -------
        dict
            Each entry of ``fit_func(..., output="all")`` with the subject as the first axis: (S,) of numbers, (S, ...) of
            lists and arrays, else an object array (S,), as where subjects have different shapes. Kept until the next fit.
        """
        x = np.asarray(self.fitted_output()["m"], float).T
        if self._outfit is None:
            self._outfit = stacked(reports(self.fit_func, checked_data(self.all_data), x))
        return self._outfit

    def compute_lme(self) -> tuple[np.ndarray, float, np.ndarray]:
        """Laplace-approximated log evidence: of each subject (S,), their sum less a penalty, and which are usable (S,).

        See `pyem.compat.stats.calc_LME`.
        """
        out = self.fitted_output()
        return calc_LME(out["inv_h"], out["NPL"])

    def compute_integrated_bic(
        self,
        nsamples: int = 500,
        func_output: str = "all",
        nll_key: str = "nll",
        ntrials_total: int | None = None,
    ) -> float:
        """Integrated BIC of the fit, over the family of groups that was fitted; smaller is better.

        See `pyem.compat.stats.calc_BICint`.
        """
        group = self.fitted_output()["posterior"]
        return calc_BICint(
            checked_data(self.all_data),
            self.param_names,
            group["mu"],
            group["sigma"],
            self.fit_func,
            nsamples=nsamples,
            func_output=func_output,
            nll_key=nll_key,
            ntrials_total=ntrials_total,
            group=self._group,
        )

    # -- recovery -------------------------------------------------------------------------------------------------------

    def recover(
        self,
        true_params: Any,
        pr_inputs: Sequence[str],
        simulate_func: Callable[..., Any] | None = None,
        fit_kwargs: Mapping[str, Any] | None = None,
        **sim_kwargs: Any,
    ) -> dict[str, Any]:
        """Simulate people with known parameters, fit them, and compare estimates with the truth.

        The model then has the simulated data and their fit, which is said in a line.

        Parameters
        ----------
        true_params
            Natural parameters, (S, P).
        pr_inputs
            Names of the entries of the simulation that the fit function takes, in order.
        simulate_func
            Instead of the model's own.
        fit_kwargs
            Settings of `fit`.
        **sim_kwargs
            Settings of the simulation.

        Returns
        -------
        dict
            ``true_params, estimated_params`` (S, P), ``sim``, ``fit_result``, ``correlation`` (P,), ``recovery_model``.

        Raises
        ------
        TypeError
            If the simulation gives no dict.
        AttributeError
            If there is no simulation.
        ValueError
            If it lacks an entry of `pr_inputs`, or these are of unequal length.
        """
        true_params = np.asarray(true_params, float)
        simulate = simulate_func or self.simulate
        sim = simulate(true_params, **sim_kwargs)
        model = EMModel(
            data_of(sim, pr_inputs),
            self.fit_func,
            self.param_names,
            self.param_xform,
            simulate_func or self.simulate_func,
        )
        result = model.fit(**(fit_kwargs or {}))
        estimated = model.subject_params()
        self.all_data, self._out, self._group = model.all_data, model._out, model._group
        print("recover(): the model now holds the simulated data and their fit.", flush=True)
        return {
            "true_params": true_params,
            "estimated_params": estimated,
            "sim": sim,
            "fit_result": result,
            "correlation": parameter_recovery(true_params, estimated).corr,
            "recovery_model": model,
        }

    def plot_recovery(
        self,
        recovery_dict: Mapping[str, Any],
        show_line: bool = True,
        figsize: tuple[float, float] | None = None,
        show: bool = True,
    ) -> Figure:
        """True against estimated parameters, a panel for each and three panels a row."""
        from pyem.compat.plotting import plot_recovery

        return plot_recovery(recovery_dict, self.param_names, show_line=show_line, figsize=figsize, show=show)


def _transformed(function: Callable[[Any], Any] | None, column: np.ndarray) -> np.ndarray:
    """Transform one parameter of all subjects, also by a function of one number, such as those of `math`."""
    if function is None:
        return column
    try:
        values = np.asarray(function(column), float)
    except (TypeError, ValueError):
        values = np.empty(0)
    return values if values.shape == column.shape else np.array([float(function(value)) for value in column])

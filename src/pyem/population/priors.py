"""Prior distributions: of natural parameters for people on their own, and of the group's parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from pyem.model.model import Model
from pyem.model.transform import Ordered
from pyem.numerics.rng import generator
from pyem.population.group import Group
from pyem.population.patterns import correlated_blocks, covariance_pattern
from pyem.population.population import Population
from pyem.population.ranges import (
    draws_in_order,
    draws_within,
    log_kept,
    require_in_range,
    require_mean,
    require_sd,
)

if TYPE_CHECKING:
    from numpyro.distributions import Distribution

GROUP_PRIORS = ("mean", "effect", "sd", "correlation")
"""Parameters of a group that can be given a prior in a hierarchical fit."""


class HyperPriors(NamedTuple):
    """Priors of the group's parameters, on the unconstrained scale of the model's parameters; a pytree.

    The defaults state no more than the units of the model: with ``m`` and ``s`` the mean and sd of its typical population,

    - group mean ~ Normal(m, 2 s),
    - effect of a covariate ~ Normal(0, s) for each sd of the covariate,
    - group sd ~ HalfNormal(s),
    - correlations ~ LKJ(2).
    """

    mean: tuple[Distribution, ...]
    """Prior of the group mean of each parameter, (P,)."""
    effect: tuple[Distribution, ...]
    """Prior of each regression weight that is estimated, in the order of ``Population.free[1:]``."""
    sd: tuple[Distribution, ...]
    """Prior of the group sd of each parameter, (P,)."""
    concentration: Any
    """Concentration of the LKJ distribution of correlations (1 is uniform, more is closer to none)."""


def hyper_priors(model: Model, population: Population, priors: Mapping[str, Any] | None) -> HyperPriors:
    """The default priors of the group's parameters, with some replaced.

    Parameters
    ----------
    model, population
        The model, and its group.
    priors
        ``{"mean": ..., "effect": ..., "sd": ..., "correlation": 2.0}``; each a NumPyro distribution for all
        parameters, or a mapping from the name of a parameter (of a covariate, for effects) to a distribution.

    Raises
    ------
    ValueError
        If a name is unknown, the prior of an sd allows negative values or excludes positive ones, or that of a mean excludes
        typical ones.
    """
    import numpyro.distributions as dist

    priors = dict(priors or {})
    unknown = [name for name in priors if name not in GROUP_PRIORS]
    if unknown:
        raise ValueError(
            f"priors has {', '.join(map(repr, unknown))}, but a group has {', '.join(GROUP_PRIORS)}; give priors of natural "
            "parameters with group=None"
        )
    typical_mean, typical_sd = model.typical
    means = [dist.Normal(m, 2 * s) for m, s in zip(typical_mean, typical_sd, strict=True)]
    sds = [dist.HalfNormal(s) for s in typical_sd]
    effects, owners = [], []
    for k, (covariate, _) in enumerate(population.group.covariates, start=1):
        for j in np.flatnonzero(population.free[k]):
            effects.append(dist.Normal(0.0, typical_sd[j] / population.design[:, k].std()))
            owners.append(covariate)
    means = _replaced(means, priors.get("mean"), _labels(model), "mean")
    sds = _replaced(sds, priors.get("sd"), _labels(model), "sd")
    effects = _replaced(effects, priors.get("effect"), [(owner,) for owner in owners], "effect")
    for name, prior in zip(model.names, sds, strict=True):
        require_sd(prior, float(np.max(typical_sd)), f"the group sd of {name}")
    for name, prior, m, s in zip(model.names, means, typical_mean, typical_sd, strict=True):
        require_mean(prior, np.array([m - s, m, m + s]), f"the group mean of {name}")
    concentration = priors.get("correlation", 2.0)
    if not (isinstance(concentration, int | float) and concentration > 0):
        raise ValueError(
            f"priors['correlation'] is the concentration of an LKJ prior, a number above 0, not {concentration!r}"
        )
    return as_arrays(HyperPriors(tuple(means), tuple(effects), tuple(sds), float(concentration)))


def _labels(model: Model) -> list[tuple[str, ...]]:
    """Names that each value may be called by: its own and its parameter's."""
    return [(name, parameter.name) for parameter in model.parameters for name in parameter.names]


def _replaced(defaults: list[Any], given: Any, labels: list[tuple[str, ...]], what: str) -> list[Any]:
    if given is None:
        return defaults
    if not isinstance(given, Mapping):
        _require_distribution(given, f"priors[{what!r}]")
        return [given] * len(defaults)
    known, where = {name for names in labels for name in names}, f"priors[{what!r}]" if what else "priors"
    for name, prior in given.items():
        if name not in known:
            raise ValueError(f"{where} names {name!r}, but there is {', '.join(sorted(known)) or 'none'}")
        _require_distribution(prior, f"{where}[{name!r}]")
    return [
        next((given[name] for name in names if name in given), default)
        for names, default in zip(labels, defaults, strict=True)
    ]


def is_distribution(value: Any) -> bool:
    """Whether a value is a distribution of NumPyro, or one like them."""
    return all(hasattr(value, name) for name in ("log_prob", "sample", "event_shape", "arg_constraints"))


def _require_distribution(prior: Any, what: str) -> None:
    if not is_distribution(prior):
        raise ValueError(
            f"{what} is {prior!r}, but a NumPyro distribution is expected, such as numpyro.distributions.Beta(1, 1)"
        )
    if prior.batch_shape or prior.event_shape:
        raise ValueError(
            f"{what} is a distribution of shape {(*prior.batch_shape, *prior.event_shape)}, but one of a single number is "
            "expected; name the parameters, each with its own"
        )


def as_arrays(tree: Any) -> Any:
    """Convert the leaves of a pytree to float64 arrays, so that equal kinds of priors share a compilation."""
    with jax.enable_x64(True):
        return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf, float)), tree)


# -- natural parameters --------------------------------------------------------------------------------------------------


class NaturalPriors(NamedTuple):
    """Priors of one person's parameters; a pytree. None stands for a Gaussian on the unconstrained scale."""

    given: tuple[Distribution | None, ...]
    """Prior of each value on the natural scale, or None, (P,)."""
    typical: tuple[Array, Array]
    """Mean and sd of Gaussian priors on the unconstrained scale, (P,), for values whose prior is None."""
    log_kept: Array
    """Log of the mass of the given priors that is within the ranges of their parameters: the rest is cut off."""

    def log_prob(self, model: Model, x: Array) -> Array:
        """Log-density of unconstrained `x` (P, S) for each subject, (S,): the transforms' Jacobian is included."""
        mean, sd = self.typical
        total, plain, (_, scale) = jnp.zeros(x.shape[1:], x.dtype) - self.log_kept, model.in_units(x), model.units
        for parameter, block in _blocks(model):
            natural, log_det = parameter.transform(plain[block]), parameter.transform.log_det(plain[block])
            for row, k in enumerate(range(block.start, block.stop)):
                prior = self.given[k]
                if prior is None:
                    total = total - 0.5 * ((x[k] - mean[k]) / sd[k]) ** 2 - jnp.log(sd[k]) - 0.5 * np.log(2 * np.pi)
                else:
                    total = total + prior.log_prob(natural[row]) + log_det[row] + jnp.log(scale[k])
        return total

    def sample(self, model: Model, key: Array, n: int) -> np.ndarray:
        """`n` draws of natural parameters, (n, P), from the priors cut off at the range of each parameter."""
        rng = generator(key)
        mean, sd = (np.asarray(part) for part in self.typical)
        x = mean + sd * rng.normal(size=(n, model.n_params))
        out = model.natural(x)
        for parameter, block in _blocks(model):
            low, high = parameter.transform.bounds
            priors = self.given[block]
            if isinstance(parameter.transform, Ordered) and any(priors):
                out[:, block] = draws_in_order(priors, rng, n, parameter.name)
                continue
            for k, prior in zip(range(block.start, block.stop), priors, strict=True):
                if prior is not None:
                    out[:, k] = draws_within(prior, rng, n, low, high, model.names[k])
        return out


def _blocks(model: Model) -> list[tuple[Any, slice]]:
    stops = np.cumsum([len(parameter.names) for parameter in model.parameters])
    return [
        (parameter, slice(int(stop) - len(parameter.names), int(stop)))
        for parameter, stop in zip(model.parameters, stops, strict=True)
    ]


def unconstrained_gaussian(model: Model, mean: Any, sd: Any) -> tuple[np.ndarray, np.ndarray]:
    """Mean and sd (P,) of a Gaussian prior on the unconstrained scale: given, or those of the model's typical population.

    Raises
    ------
    ValueError
        If there is not one number for all or one for each, a number is not finite, or an sd is not above 0.
    """
    shape = (model.n_params,)
    both = []
    for name, given, typical in zip(("mean", "sd"), (mean, sd), model.in_units_typical, strict=True):
        values = np.asarray(typical if given is None else given, float)
        if values.shape not in ((), shape):
            raise ValueError(
                f"{name} has shape {values.shape}; one number, or one for each of {', '.join(model.names)} is expected"
            )
        both.append(np.broadcast_to(values, shape))
    centre, spread = both
    if not (np.isfinite(centre).all() and np.isfinite(spread).all() and (spread > 0).all()):
        raise ValueError(f"the prior needs finite means and sds above 0, but was given mean={centre}, sd={spread}")
    if model.standard:
        return model.from_units(centre), spread / model.units[1]
    return centre, spread


def natural_priors(
    model: Model, priors: Mapping[str, Any] | None, *, mean: Any = None, sd: Any = None, told: bool = True
) -> NaturalPriors:
    """Priors of natural parameters by name; those that are not named have a Gaussian on the unconstrained scale.

    Parameters
    ----------
    model
        Model with the parameters.
    priors
        NumPyro distributions by name.
    mean, sd
        Mean and sd of that Gaussian; the model's typical population if not given.
    told
        Whether to warn of priors of which more than a tenth is outside of the range of their parameter.

    Raises
    ------
    ValueError
        If a name is unknown, a prior has no density or excludes part of its parameter's range, or almost all of it is outside.

    Examples
    --------
    >>> import numpyro.distributions as dist
    >>> from pyem.models import get
    >>> priors = natural_priors(get("rw1a1b"), {"alpha": dist.Beta(1, 1)})
    >>> priors.given[0] is None
    True
    """
    if not (priors is None or isinstance(priors, Mapping)):
        raise ValueError(
            f"priors={priors!r:.60}; a mapping is expected, such as {{'alpha': numpyro.distributions.Beta(1, 1)}}"
        )
    labels = _labels(model)
    given = _replaced([None] * model.n_params, dict(priors or {}), labels, "")
    for parameter, block in _blocks(model):
        for prior, name in zip(given[block], model.names[block], strict=True):
            if prior is not None:
                require_in_range(prior, parameter, name)
    kept = log_kept(model, tuple(given), told=told)
    return as_arrays(NaturalPriors(tuple(given), unconstrained_gaussian(model, mean, sd), kept))  # type: ignore[arg-type]


# -- as text, for tables and files ----------------------------------------------------------------------------------------

Described = dict[str, tuple[str, dict[str, float]]]
"""Name and arguments of a distribution for each parameter: ``{"alpha": ("Beta", {...})}``."""


def described(
    model: Model, priors: HyperPriors | NaturalPriors, group: Group | None, free: np.ndarray | None
) -> Described:
    """Priors as names and numbers: of the group's parameters, or of the natural ones."""
    if isinstance(priors, NaturalPriors):
        mean, sd = (np.asarray(part) for part in priors.typical)
        typical = lambda k: ("Normal", {"loc": float(mean[k]), "scale": float(sd[k]), "unconstrained": 1.0})  # noqa: E731
        return {
            name: typical(k) if prior is None else in_words(prior)
            for k, (name, prior) in enumerate(zip(model.names, priors.given, strict=True))
        }
    assert group is not None
    assert free is not None
    estimated, held = covariance_pattern(group, model.names)
    out = {f"mean of {name}": in_words(prior) for name, prior in zip(model.names, priors.mean, strict=True)}
    labels = _effect_labels(model, group, free)
    out |= {label: in_words(prior) for label, prior in zip(labels, priors.effect, strict=True)}
    out |= {f"sd of {name}": in_words(prior) for name, prior in zip(model.names, priors.sd, strict=True)}
    out = {name: prior for name, prior in out.items() if name not in _without_sd(model, held)}
    if correlated_blocks(estimated):
        out["correlations"] = ("LKJ", {"concentration": float(priors.concentration)})
    return out


def _without_sd(model: Model, held: np.ndarray) -> set[str]:
    """Labels of standard deviations that are not estimated."""
    return {f"sd of {name}" for name, sd in zip(model.names, held, strict=True) if not np.isnan(sd)}


def _effect_labels(model: Model, group: Group, free: np.ndarray) -> list[str]:
    return [
        f"effect of {covariate} on {model.names[j]}"
        for (covariate, _), row in zip(group.covariates, free[1:], strict=True)
        for j in np.flatnonzero(row)
    ]


def in_words(prior: Any) -> tuple[str, dict[str, float]]:
    """Name of a distribution, and its arguments that are numbers."""
    values = {name: getattr(prior, name, None) for name in prior.arg_constraints}
    return type(prior).__name__, {k: float(v) for k, v in values.items() if v is not None and np.ndim(v) == 0}


def prior_text(name: str, arguments: Mapping[str, float]) -> str:
    """A described prior in one line.

    Examples
    --------
    >>> prior_text("Normal", {"loc": 0.0, "scale": 2.0})
    'Normal(loc=0, scale=2)'
    """
    shown = ", ".join(f"{key}={value:g}" for key, value in arguments.items() if key != "unconstrained")
    return f"{name}({shown})" + (", unconstrained" if "unconstrained" in arguments else "")


def rebuilt(
    model: Model, known: Described, group: Group | None = None, free: np.ndarray | None = None
) -> HyperPriors | NaturalPriors:
    """Rebuild the priors from the result of `described`.

    Raises
    ------
    ValueError
        If NumPyro has no such distribution with these arguments.
    """
    made = {name: _made(name, *prior) for name, prior in known.items() if "unconstrained" not in prior[1]}
    if group is None:
        mean, sd = (np.array(typical) for typical in model.typical)
        for k, name in enumerate(model.names):
            if name in known and name not in made:
                mean[k], sd[k] = known[name][1]["loc"], known[name][1]["scale"]
        return natural_priors(model, made, mean=mean, sd=sd, told=False)
    assert free is not None
    labels = _effect_labels(model, group, free)
    concentration = known.get("correlations", ("LKJ", {"concentration": 2.0}))[1]["concentration"]
    return as_arrays(
        HyperPriors(
            tuple(made[f"mean of {name}"] for name in model.names),
            tuple(made[label] for label in labels),
            # An sd that is not estimated has no prior; its placeholder is not used.
            tuple(made.get(f"sd of {name}", made[f"mean of {name}"]) for name in model.names),
            concentration,
        )
    )


def _made(name: str, kind: str, arguments: Mapping[str, float]) -> Any:
    if kind == "LKJ":
        return None
    try:
        return from_words(kind, arguments)
    except (AttributeError, TypeError):
        raise ValueError(
            f"the prior {prior_text(kind, arguments)} of {name!r} cannot be made again from its description"
        ) from None


def from_words(kind: str, arguments: Mapping[str, float]) -> Any:
    """Make the distribution of NumPyro from the result of `in_words`."""
    import numpyro.distributions as dist

    return getattr(dist, kind)(**arguments)

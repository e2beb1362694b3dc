"""Stochastic variational inference: the closest of a family of Gaussians to the posterior, in standardised coordinates."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.flatten_util import ravel_pytree

from pyem.data.dataset import Dataset
from pyem.engine.opaque import require_traceable
from pyem.engine.regress import takes_designs
from pyem.errors import renamed, require_number, require_whole, warn, without
from pyem.infer.checkpoint import Checkpoint, Kept, restored, stored
from pyem.infer.correction import corrected
from pyem.infer.nuts import unpacked
from pyem.infer.progress import progress_line
from pyem.infer.setup import Clock, as_result, prepare
from pyem.infer.words import SAMPLED
from pyem.model.model import Model
from pyem.numerics.jit import TRACES, compiled
from pyem.numerics.rng import as_key, plain_key
from pyem.population.group import Group, spelled_out
from pyem.results.point import PointFit
from pyem.results.sample import SampleFit

Guide = Literal["subject", "diagonal", "low_rank", "full"]
GUIDES: tuple[Guide, ...] = ("subject", "diagonal", "low_rank", "full")
BLOCK = 50
"""Number of steps in one call of the compiled optimiser; the stopping rule looks at their mean after each call."""
WINDOW = 4
"""Number of blocks that are compared with as many before them."""
RATES = (1.0, 0.3, 0.1)
"""Factors of the learning rate, each used until the ELBO has stopped rising; after the last the optimiser stops."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of the optimiser that are fixed when it is compiled."""

    guide: Guide
    rank: int
    particles: int


@without(**SAMPLED)
@renamed(max_steps="max_iter")
@takes_designs
def fit_svi(
    model: Model,
    data: Dataset,
    *,
    group: Group | None = Group(),  # noqa: B008 (a Group is frozen)
    priors: Mapping[str, Any] | None = None,
    mean: Any = None,
    sd: Any = None,
    guide: Guide = "subject",
    rank: int = 10,
    draws: int = 2000,
    max_iter: int = 10_000,
    particles: int = 4,
    learning_rate: float = 0.03,
    correct: bool = True,
    integration_draws: int = 512,
    key: Any = 0,
    start: PointFit | None = None,
    checkpoint: str | Path | None = None,
    progress: bool | None = None,
) -> SampleFit:
    """Approximate the joint posterior of a group and its people by a Gaussian in standardised coordinates.

    The coordinates are those of `fit_nuts`: people are written relative to what their data let expect *given the group*.
    A Gaussian in these is no Gaussian in the parameters, and it has the dependence of people on the group built in.

    Parameters
    ----------
    model, data, group, priors, mean, sd, start, checkpoint
        Arguments as in `fit_nuts`.
    guide
        Form of the Gaussian. ``"subject"``: a full covariance for the group's parameters and one for each person's;
        ``"diagonal"``: none (mean field); ``"low_rank"``: a diagonal and `rank` directions of all coordinates together;
        ``"full"``: a full covariance of all coordinates, for few people.
    rank
        Number of directions of the low-rank guide.
    draws
        Draws from the approximation.
    max_iter
        Steps of the optimiser, at most.
    particles
        Draws for each estimate of the gradient.
    learning_rate
        Learning rate of Adam at first. It falls when the evidence lower bound (ELBO) has stopped rising, twice; then the
        fit ends.
    correct
        Weight draws of the group's parameters by importance, with the people integrated out, and draw people anew given
        the group. What is left of the approximation's error is then Monte-Carlo error. Without it, draws are from the
        Gaussian, which tends to be too narrow. With common parameters or given sds there is no correction, which the fit
        says; `fit_nuts` has no such error.
    integration_draws
        Number of points for each person in the correction.
    key
        Seed or JAX random key.
    progress
        Show how far it is; by default at an interactive prompt and in a notebook only.

    Warns
    -----
    FitWarning
        If the bound was still rising at `max_iter`, or the approximation does not cover the posterior well enough to be
        corrected (Pareto k above 0.7; the draws are then those of the Gaussian).

    Raises
    ------
    ValueError
        As `fit_nuts`, and if the guide is unknown or too large.

    Notes
    -----
    ``fit.trace`` has the bound (``elbo``, in nats: on average no larger than the log evidence, of data and group) at ``step``,
    where the first is that of the start, ``people_k``, the Pareto k of each person's integral in the correction, and
    ``pareto_k``, the largest of these and that of the group.

    References
    ----------
    Kucukelbir, A., Tran, D., Ranganath, R., Gelman, A., & Blei, D. M. (2017). Automatic differentiation variational inference.
    Journal of Machine Learning Research, 18(14), 1-45.

    Yao, Y., Vehtari, A., Simpson, D., & Gelman, A. (2018). Yes, but did it work? Evaluating variational inference.
    Proceedings of Machine Learning Research, 80, 5581-5590.

    Examples
    --------
    >>> import pyem
    >>> model = pyem.models.get("rw1a1b")
    >>> data = pyem.simulate(model, subjects=10, key=1, trials=40)
    >>> fit = pyem.fit_svi(model, data, key=2)  # doctest: +SKIP
    """
    require_traceable(model, "fit_svi")
    group = spelled_out(group, data.covariates)
    chosen = {"group": group, "priors": priors, "mean": mean, "sd": sd, "guide": guide, "rank": rank, "draws": draws}
    chosen |= {"max_iter": max_iter, "particles": particles, "learning_rate": learning_rate, "correct": correct}
    chosen |= {"integration_draws": integration_draws, "key": plain_key(key), "start": start}
    kept = None if checkpoint is None else Checkpoint.of(checkpoint, model, data, chosen)
    key = as_key(key)
    require_whole(
        draws=(draws, 1),
        max_iter=(max_iter, 1),
        integration_draws=(integration_draws, 64),
        particles=(particles, 1),
        rank=(rank, 1),
    )
    require_number(learning_rate=(learning_rate, 1e-12))
    if guide not in GUIDES:
        raise ValueError(f"guide={guide!r}; choose one of {', '.join(GUIDES)}")
    clock = Clock()
    settings = Settings(guide, rank, particles)
    spec, args = prepare(
        model, data, group, priors, mean, sd, start, "standardized", partial(_compiled, settings=settings)
    )
    clock("start")
    with jax.enable_x64(True):
        go, take = jax.random.split(key)
        state = _compiled(spec, args, settings=settings, key=go)
        clock("compile")
        with progress_line(progress, f"SVI {model.name}") as report:
            params, trace, done = _climb(
                spec, settings, args, state, learning_rate, max_iter, report, kept and kept.part(0)
            )
        clock("optimise")
        positions = _drawn(spec, settings, args, params, jax.random.split(take, draws))
        positions = jax.tree.map(lambda leaf: np.asarray(leaf)[None], positions)
    values = unpacked(spec, args, positions)
    how, problems = (
        "not corrected",
        [] if done else [f"the evidence lower bound was still rising after {max_iter} steps; raise max_iter"],
    )
    if correct and group is not None and (group.common or group.sd):
        how = "not corrected, because of common parameters or given sds"
    elif correct:
        found = corrected(spec, args, data, values, positions, n=integration_draws, key=take)
        values, how = found.values, "corrected by importance weights" if found.done else "not corrected"
        trace |= {"pareto_k": np.array(max(found.pareto_k, found.people_k.max())), "people_k": found.people_k}
        problems += found.problems(data)
    clock("draws")
    trace["problems"] = np.array(problems, object)
    message = f"{guide} Gaussian, {trace['step'][-1]} steps, ELBO {trace['elbo'][-WINDOW:].mean():.2f}, {how}"
    fit = as_result("svi", data, group, spec, args, values, {}, clock.seconds, trace, message, chosen)
    for problem in fit.problems():
        warn(f"fit_svi of {model.name!r}: {problem}")
    return fit


def _compiled(spec: Any, args: Any, *, settings: Settings, key: Array | None = None) -> Any:
    """Compile everything that the optimiser needs, and return the first state."""
    with jax.enable_x64(True):
        key = jax.random.key(0) if key is None else key
        _check_size(settings.guide, spec.start(args, key))
        state = _begin(spec, settings, args, key)
        jax.block_until_ready(_advance(spec, settings, args, state, jnp.asarray(0.0), jnp.asarray(0)))
    return state


def _check_size(guide: Guide, position: Any) -> None:
    size = sum(leaf.size for leaf in jax.tree.leaves(position))
    if guide == "full" and size > 2000:
        raise ValueError(
            f"guide='full' of {size} coordinates has a covariance of {size**2} numbers; use 'subject' or 'low_rank'"
        )


# -- guides ---------------------------------------------------------------------------------------------------------------


def _guide_sites(settings: Settings, position: Any) -> dict[str, Any]:
    """The guide's distributions by site, with their parameters declared to NumPyro; sites are those of the program."""
    import numpyro
    import numpyro.distributions as dist
    from numpyro.distributions import constraints
    from numpyro.distributions.transforms import LowerCholeskyAffine

    def gaussian(name: str, shape: tuple[int, ...]) -> Any:
        """Gaussian distribution with a full covariance of the last axis."""
        n = shape[-1]
        loc: Any = numpyro.param(f"{name}_loc", jnp.zeros(shape))
        start = jnp.broadcast_to(jnp.eye(n), (*shape, n))
        scale: Any = numpyro.param(f"{name}_scale", start, constraint=constraints.scaled_unit_lower_cholesky)
        # As a transform of standard normals, its density at its own draws needs no inverse.
        standard = dist.Normal(jnp.zeros(shape), 1.0).to_event(1)
        return dist.TransformedDistribution(standard, LowerCholeskyAffine(loc, scale))

    def independent(name: str, shape: tuple[int, ...]) -> Any:
        loc = numpyro.param(f"{name}_loc", jnp.zeros(shape))
        scale = numpyro.param(f"{name}_scale", jnp.ones(shape), constraint=constraints.softplus_positive)
        return dist.Normal(loc, scale).to_event(len(shape))

    if settings.guide in ("full", "low_rank"):
        n = sum(leaf.size for leaf in jax.tree.leaves(position))
        if settings.guide == "full":
            return {"all": gaussian("all", (n,))}
        loc = numpyro.param("all_loc", jnp.zeros(n))
        diag: Any = numpyro.param("all_scale", 0.9 * jnp.ones(n), constraint=constraints.softplus_positive)
        # Small and unequal at first, so that directions can grow apart.
        rng = np.random.default_rng(0).normal(size=(n, min(settings.rank, n)))
        factor = numpyro.param("all_factor", 0.05 * jnp.asarray(rng))
        return {"all": dist.LowRankMultivariateNormal(loc, factor, diag**2)}
    out: dict[str, Any] = {}
    for name, leaf in position.items():
        if settings.guide == "diagonal":
            out[name] = independent(name, leaf.shape)
        elif name == "group":
            out[name] = gaussian(name, leaf.shape)
        else:
            # People are independent given the group: a small covariance for each.
            out[name] = gaussian(name, leaf.shape[::-1]).to_event(1)
    return out


def _shaped(settings: Settings, values: dict[str, Array], position: Any) -> Any:
    """Make a position from the values of the guide's sites."""
    if "all" in values:
        return ravel_pytree(position)[1](values["all"])
    if settings.guide == "diagonal":
        return values
    return values | {"people": values["people"].T}


def _programs(spec: Any, settings: Settings, args: Any) -> tuple[Any, Any]:
    """Model and guide as NumPyro programs."""
    import numpyro
    import numpyro.distributions as dist

    prototype = jax.eval_shape(lambda key: spec.start(args, key), jax.random.key(0))
    prototype = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), prototype)

    def guide(args: Any) -> None:
        for name, distribution in _guide_sites(settings, prototype).items():
            numpyro.sample(name, distribution)

    shapes = {name: site.event_shape for name, site in _guide_sites(settings, prototype).items()}

    def program(args: Any) -> None:
        values = {}
        for name, shape in shapes.items():
            flat = dist.ImproperUniform(dist.constraints.real, (), event_shape=shape)
            values[name] = numpyro.sample(name, flat)
        numpyro.factor("joint", spec.log_density(args, _shaped(settings, values, prototype)))

    return program, guide


def _svi(spec: Any, settings: Settings, args: Any, rate: Any) -> Any:
    from numpyro.infer import SVI, Trace_ELBO
    from numpyro.optim import Adam

    program, guide = _programs(spec, settings, args)
    loss = Trace_ELBO(num_particles=settings.particles, vectorize_particles=True)
    return SVI(program, guide, Adam(step_size=lambda _: rate), loss)


# -- the optimiser --------------------------------------------------------------------------------------------------------


@compiled(0, 1, quick=True)
def _begin(spec: Any, settings: Settings, args: Any, key: Array) -> Any:
    return _svi(spec, settings, args, 0.0).init(key, args)


@compiled(0, 1)
def _advance(spec: Any, settings: Settings, args: Any, state: Any, rate: Array, n: Array) -> tuple[Any, Any]:
    """Take `n` steps; return their mean ELBO, its standard error, and the mean of the guide's parameters over the steps."""
    TRACES[spec.model.name, "svi"] += 1
    svi = _svi(spec, settings, args, rate)
    # SVI learns the constraints of its parameters when it is initialised; nothing is computed here.
    jax.eval_shape(lambda key: svi.init(key, args), jax.random.key(0))

    def body(_: Array, carry: Any) -> Any:
        state, total, squares, params = carry
        state, loss = svi.update(state, args)
        params = jax.tree.map(jnp.add, params, svi.optim.get_params(state.optim_state))
        return state, total - loss, squares + loss**2, params

    zero = jax.tree.map(jnp.zeros_like, svi.optim.get_params(state.optim_state))
    state, total, squares, params = lax.fori_loop(0, n, body, (state, jnp.zeros(()), jnp.zeros(()), zero))
    count = jnp.maximum(n, 1)
    mean = total / count
    error = jnp.sqrt(jnp.maximum(squares / count - mean**2, 0.0) / count)
    return state, (mean, error, jax.tree.map(lambda leaf: leaf / count, params))


def _climb(
    spec: Any, settings: Settings, args: Any, state: Any, rate: float, max_steps: int, report: Any, kept: Kept | None
) -> tuple[Any, dict[str, np.ndarray], bool]:
    """Take steps until the ELBO stays the same, at falling rates; return the parameters averaged over the last steps."""
    # Steps of length zero measure the bound at the start.
    _, (mean, error, _) = _advance(spec, settings, args, state, jnp.asarray(0.0), jnp.asarray(BLOCK))
    elbo, errors = [float(mean)], [float(error)]
    level, since = 0, 1
    recent: list[Any] = []
    if kept is not None and (known := kept.read()) is not None:
        arrays, recent, (elbo, errors, level, since) = known["state"], known["recent"], known["path"]
        state = restored(arrays, state)
    while True:
        if kept is not None and recent:
            kept.write({"state": stored(state), "recent": recent, "path": (elbo, errors, level, since)})
        state, (mean, error, params) = _advance(
            spec, settings, args, state, jnp.asarray(rate * RATES[level]), jnp.asarray(BLOCK)
        )
        if not np.isfinite(float(mean)):
            raise ValueError(
                f"the evidence lower bound of {spec.model.name!r} is not finite after {len(elbo) * BLOCK} steps; lower "
                "learning_rate"
            )
        elbo.append(float(mean))
        errors.append(float(error))
        recent = [*recent, jax.tree.map(np.asarray, params)][-WINDOW:]
        if report:
            report((len(elbo) - 1) * BLOCK, f"step {(len(elbo) - 1) * BLOCK}, ELBO {elbo[-1]:.2f}")
        flat = len(elbo) - since >= 2 * WINDOW and _flat(elbo, errors)
        if flat:
            level, since = level + 1, len(elbo)
        done = level == len(RATES)
        if done or (len(elbo) - 1) * BLOCK >= max_steps:
            break
    mean = jax.tree.map(lambda *leaves: sum(leaves) / len(leaves), *recent)
    steps = BLOCK * np.arange(len(elbo))
    return mean, {"elbo": np.array(elbo), "elbo_se": np.array(errors), "step": steps}, done


def _flat(elbo: list[float], errors: list[float]) -> bool:
    """Whether the last window is no better than the one before, up to noise."""
    late, early = np.array(elbo[-WINDOW:]), np.array(elbo[-2 * WINDOW : -WINDOW])
    noise = np.sqrt((np.array(errors[-2 * WINDOW :]) ** 2).sum()) / WINDOW
    return bool(late.mean() - early.mean() < 2 * noise)


@compiled(0, 1, quick=True)
def _drawn(spec: Any, settings: Settings, args: Any, params: Any, keys: Array) -> Any:
    """Draw positions from the guide."""
    import numpyro

    svi = _svi(spec, settings, args, 0.0)
    jax.eval_shape(lambda key: svi.init(key, args), jax.random.key(0))
    constrained = svi.constrain_fn(params)
    prototype = jax.tree.map(jnp.zeros_like, spec.start(args, keys[0]))

    def one(key: Array) -> Any:
        with numpyro.handlers.substitute(data=constrained):
            sites = _guide_sites(settings, prototype)
        each = jax.random.split(key, len(sites))
        values = {name: site.sample(k) for (name, site), k in zip(sites.items(), each, strict=True)}
        return _shaped(settings, values, prototype)

    return lax.map(one, keys)

"""Runs of NUTS and of variational inference with dictionaries of options."""

from __future__ import annotations

import copy
import functools
import importlib.util
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from pyem.compat.pybefit.loops import climbed, drawn, in_turn
from pyem.compat.pybefit.priors import Sites
from pyem.compat.pybefit.program import NumpyroGuide, NumpyroModel
from pyem.numerics.jit import compiled

default_dict_nuts: dict[str, Any] = {
    "seed": 0,
    "num_samples": 1000,
    "num_warmup": 100,
    "sampler_kwargs": {"kernel": {}, "mcmc": {}},
}
"""Default options of `run_nuts`."""

default_dict_numpyro_svi: dict[str, Any] = {
    "seed": 0,
    "enumerate": False,
    "iter_steps": 10_000,
    "optim": None,
    "optim_kwargs": {"learning_rate": 1e-3},
    "elbo_kwargs": {"num_particles": 10, "max_plate_nesting": 1},
    "svi_kwargs": {"progress_bar": True, "stable_update": True},
    "sample_kwargs": {"num_samples": 100},
}
"""Default options of `run_svi`."""


def run_nuts(
    model: Any, data: Mapping[str, Any], *, opts: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], Any]:
    """Draw from the posterior by NUTS.

    Parameters
    ----------
    model
        A `NumpyroModel`, or a program of NumPyro that takes the data.
    data
        ``{"outcomes": [...], "multiactions": ...}`` as of `pyem.aif.pymdp_data`.
    opts
        ``seed, num_samples, num_warmup, sampler_kwargs={"kernel": {...}, "mcmc": {...}}``; what is not said is as in
        `default_dict_nuts`. The last two go to ``numpyro.infer.NUTS`` and ``MCMC``.

    Returns
    -------
    tuple
        The draws by site, ``z`` being (draw, agent, parameter) with all chains one after another; and NumPyro's ``MCMC``.

    Notes
    -----
    It runs in double precision; the draws are given in single precision, as the rest of such scripts expects. Chains that run
    one after another, as one does, are compiled with this library's options; draws are those of ``MCMC.run``, to rounding.
    """
    from numpyro.infer import MCMC, NUTS

    said = _options(opts, default_dict_nuts)
    kernel, chains = ({**(said["sampler_kwargs"].get(part) or {})} for part in ("kernel", "mcmc"))
    program = _bound(model, data)
    with jax.enable_x64(True):
        mcmc = MCMC(NUTS(program, **kernel), num_warmup=said["num_warmup"], num_samples=said["num_samples"], **chains)
        run = functools.partial(drawn, mcmc) if in_turn(mcmc) else mcmc.run
        run(jax.random.PRNGKey(said["seed"]))
        samples = mcmc.get_samples()
    return _single(samples), mcmc


def run_svi(
    model: Any, guide: Callable[..., Any], data: Mapping[str, Any], *, opts: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], Any, Any]:
    """Fit a variational posterior by stochastic optimisation of the evidence lower bound.

    Parameters
    ----------
    model, data
        Arguments as in `run_nuts`.
    guide
        A `NumpyroGuide`, or a guide of NumPyro.
    opts
        Options that replace those of `default_dict_numpyro_svi`: ``seed``; ``enumerate`` (over discrete sites, by funsor);
        ``iter_steps``; ``optim``, an optimiser of optax or NumPyro, or a function that makes one of ``optim_kwargs`` (None:
        ``optax.adabelief``, with ``eps`` and ``eps_root`` of 1e-8 if not said); ``elbo_kwargs``; ``svi_kwargs``, the options of
        ``SVI.run``; ``sample_kwargs``. Particles are worked on in turn unless ``elbo_kwargs`` say ``vectorize_particles=True``.

    Returns
    -------
    tuple
        Draws from the guide by site, ``z`` being (draw, agent, parameter); NumPyro's ``SVI``; and the results of its run, with
        ``losses`` (step,), the negative evidence lower bound in nats, and ``params``.
    """
    from numpyro.infer import SVI, Predictive

    said = _options(opts, default_dict_numpyro_svi)
    program = _bound(model, data)
    posterior = lambda: guide(data)  # noqa: E731
    with jax.enable_x64(True):
        key, draw = jax.random.split(jax.random.PRNGKey(said["seed"]))
        svi = SVI(program, posterior, _optimiser(said["optim"], said["optim_kwargs"]), loss=_elbo(said))
        ours = _are_ours(model, guide)
        results = climbed(svi, key, said["iter_steps"], at_once=ours, **said["svi_kwargs"])
        sampled = lambda params, key: Predictive(posterior, params=params, **said["sample_kwargs"])(key)  # noqa: E731
        samples = (compiled(quick=True)(sampled) if ours else sampled)(results.params, draw)
    return _single(samples), svi, _single(results)


def _options(given: Mapping[str, Any] | None, default: dict[str, Any]) -> dict[str, Any]:
    unknown = [name for name in given or {} if name not in default]
    if unknown:
        raise ValueError(f"unknown option {unknown[0]!r}; there are {', '.join(default)}")
    # What the user gave may hold objects that cannot be copied; only our own defaults are at stake.
    return copy.deepcopy(default) | dict(given or {})


def _are_ours(model: Any, guide: Any) -> bool:
    """Whether priors and posteriors are those of this module, of which all is known before they run."""
    return (
        isinstance(model, NumpyroModel)
        and isinstance(model.prior, Sites)
        and isinstance(guide, NumpyroGuide)
        and isinstance(guide.guide, Sites)
    )


def _bound(model: Any, data: Mapping[str, Any]) -> Callable[[], Any]:
    return model.given(data) if isinstance(model, NumpyroModel) else lambda: model(data)


def _elbo(said: Mapping[str, Any]) -> Any:
    from numpyro.infer import Trace_ELBO, TraceEnum_ELBO

    if said["enumerate"]:
        if importlib.util.find_spec("funsor") is None:
            raise ImportError(
                "enumerate=True sums over discrete sites with funsor; install it with: pip install funsor"
            )
        return TraceEnum_ELBO(**said["elbo_kwargs"])
    # Nesting of plates matters only for enumerated sites. One particle fills the processor's cache.
    options = {name: value for name, value in said["elbo_kwargs"].items() if name != "max_plate_nesting"}
    return Trace_ELBO(**({"vectorize_particles": False} | options))


def _optimiser(optim: Any, options: Mapping[str, Any]) -> Any:
    from numpyro.optim import optax_to_numpyro

    if isinstance(optim, type) or not (optim is None or hasattr(optim, "init")):
        optim = optim(**options)
    if optim is None:
        import optax  # pyright: ignore[reportMissingImports]

        said: dict[str, Any] = {"eps": 1e-8, "eps_root": 1e-8} | dict(options)
        optim = optax.adabelief(**said)
    return optim if hasattr(optim, "eval_and_update") else optax_to_numpyro(optim)


def _single(tree: Any) -> Any:
    """Convert double to single precision, with which JAX works unless it is told otherwise."""

    def one(a: Any) -> Array:
        a = jnp.asarray(a)
        return a.astype(jnp.float32) if a.dtype == jnp.float64 else a

    return jax.tree.map(one, tree)

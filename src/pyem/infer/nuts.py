"""The No-U-Turn sampler for whole groups."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from pyem.data.dataset import Dataset
from pyem.engine.opaque import require_traceable
from pyem.engine.regress import takes_designs
from pyem.errors import require_whole, warn, without
from pyem.infer.checkpoint import Checkpoint, Kept, restored, stored
from pyem.infer.hierarchy import Parametrization
from pyem.infer.progress import Report, progress_bar
from pyem.infer.setup import Clock, as_result, prepare
from pyem.infer.words import SAMPLED
from pyem.model.model import Model
from pyem.numerics.jit import TRACES, compiled
from pyem.numerics.rng import as_key, plain_key
from pyem.numerics.threads import n_cores
from pyem.population.group import Group, spelled_out
from pyem.results.point import PointFit
from pyem.results.sample import SampleFit

ChainMethod = Literal["auto", "parallel", "vectorized"]
BLOCK = 50
"""Number of iterations in one call of the compiled sampler; progress is reported after each call."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of the sampler that are fixed when it is compiled."""

    warmup: int
    target_accept: float
    max_tree_depth: int


@without(**SAMPLED)
@takes_designs
def fit_nuts(
    model: Model,
    data: Dataset,
    *,
    group: Group | None = Group(),  # noqa: B008 (a Group is frozen)
    priors: Mapping[str, Any] | None = None,
    mean: Any = None,
    sd: Any = None,
    draws: int = 1000,
    warmup: int = 400,
    chains: int = 4,
    key: Any = 0,
    start: PointFit | None = None,
    parametrization: Parametrization = "standardized",
    target_accept: float = 0.8,
    max_tree_depth: int = 10,
    chain_method: ChainMethod = "auto",
    checkpoint: str | Path | None = None,
    progress: bool | None = None,
) -> SampleFit:
    """Draw from the joint posterior of a group and its people with the No-U-Turn sampler.

    Parameters
    ----------
    model, data
        The model, and the data to fit.
    group
        The population distribution; Gaussian with independent parameters if not given. None: every person is on their own,
        with the priors given (also for one person).
    priors
        With a group, priors of its parameters on the unconstrained scale, see `pyem.population.priors.hyper_priors`:
        ``{"mean": {"alpha": Normal(0, 1)}, "sd": HalfNormal(1)}``. With ``group=None``, NumPyro distributions of the natural
        parameters by name: ``{"alpha": Beta(1, 1), "beta": HalfNormal(10)}`` (the Jacobian of the transforms is added; a
        prior that goes beyond the range of its parameter is cut off there); the Gaussian of `mean` and `sd` for the others.
    mean, sd
        Gaussian prior (P,) if ``group=None``, on the unconstrained scale; the model's typical population if not given.
    draws, warmup, chains
        Draws of each chain that are kept, iterations before them that adapt the sampler, and number of chains. Coordinates come
        from the group's posterior with people integrated out (or from EM), so that little is left to adapt.
    key
        Seed or JAX random key.
    start
        A fit of the same model and data by `fit_em`, to shape the coordinates and to start from. Without it, they come from
        points that people are integrated over, as in `fit_bayes`; where these do not suit, from a fit by EM that is made.
    parametrization
        Coordinates of the people. ``"standardized"``: non-centred around what a Gaussian approximation of each person's
        posterior expects given the group; ``"noncentered"``: standard deviations from the group mean;
        ``"centered"``: the parameters themselves. The posterior is the same, the speed is not.
    target_accept, max_tree_depth
        Settings of the sampler: raise the first if there are divergences.
    chain_method
        ``"parallel"``: as many chains at a time as there are cores, each in a thread of its own; ``"vectorized"``: all chains
        in one program, which waits for the longest trajectory; ``"auto"``: the first on a CPU (it compiles twice as fast
        and no chain waits for another), the second on a GPU.
    checkpoint
        A folder in which the chains keep where they stand after every 50 iterations. The same call goes on from there after it
        was killed, and gives the same draws. Remove the folder when it is not needed any more.
    progress
        Show how far the sampler is; by default at an interactive prompt and in a notebook only.

    Warns
    -----
    FitWarning
        If chains disagree (Rhat), are too short (effective sample size) or diverged, with what to do.

    Raises
    ------
    ValueError
        If the data do not suit the model, a prior is not usable, or a number is out of range.

    References
    ----------
    Hoffman, M. D., & Gelman, A. (2014). The No-U-Turn sampler: Adaptively setting path lengths in Hamiltonian Monte Carlo.
    Journal of Machine Learning Research, 15, 1593-1623.

    Phan, D., Pradhan, N., & Jankowiak, M. (2019). Composable effects for flexible and accelerated probabilistic programming
    in NumPyro. https://doi.org/10.48550/arXiv.1912.11554

    Examples
    --------
    >>> import pyem
    >>> model = pyem.models.get("rw1a1b")
    >>> data = pyem.simulate(model, subjects=10, key=1, trials=40)
    >>> fit = pyem.fit_nuts(model, data, draws=200, warmup=200, chains=2, key=2)  # doctest: +SKIP
    >>> fit.group_table()  # doctest: +SKIP
    """
    require_traceable(model, "fit_nuts")
    group = spelled_out(group, data.covariates)
    settings = {"group": group, "priors": priors, "mean": mean, "sd": sd, "draws": draws, "warmup": warmup}
    settings |= {"chains": chains, "key": plain_key(key), "start": start, "parametrization": parametrization}
    settings |= {"target_accept": target_accept, "max_tree_depth": max_tree_depth, "chain_method": chain_method}
    kept = None if checkpoint is None else Checkpoint.of(checkpoint, model, data, settings)
    key = as_key(key)
    require_whole(draws=(draws, 1), warmup=(warmup, 20), chains=(chains, 1), max_tree_depth=(max_tree_depth, 1))
    if chain_method not in ("auto", "parallel", "vectorized"):
        raise ValueError(f"chain_method={chain_method!r}; choose 'auto', 'parallel' or 'vectorized'")
    if not 0 < target_accept < 1:
        raise ValueError(f"target_accept={target_accept}; an acceptance rate is between 0 and 1")
    clock = Clock()
    fixed = Settings(warmup, target_accept, max_tree_depth)
    together = chains_together(chains, chain_method)
    ahead = partial(compile_ahead, settings=fixed, together=together)
    spec, args = prepare(model, data, group, priors, mean, sd, start, parametrization, ahead)
    clock("start")
    with progress_bar(progress, f"NUTS {model.name}", chains * (warmup + draws)) as report:
        how = {"chains": chains, "draws": draws, "together": together, "report": report, "kept": kept}
        run = sample(spec, fixed, args, key=key, **how)
    values = unpacked(spec, args, run.pop("position"))
    seconds = clock.seconds | {"compile": run.pop("compile_seconds"), "sample": run.pop("sample_seconds")}
    message = f"{chains} chains of {draws} draws after {warmup} iterations of warm-up"
    fit = as_result("nuts", data, group, spec, args, values, run, seconds, {}, message, settings)
    for problem in fit.problems():
        warn(f"fit_nuts of {model.name!r}: {problem}")
    return fit


# -- the sampler ----------------------------------------------------------------------------------------------------------


def _kernel(spec: Any, settings: Settings, args: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    from numpyro.infer.hmc import hmc
    from numpyro.infer.util import ParamInfo

    init, step = hmc(potential_fn_gen=lambda args: lambda z: -spec.log_density(args, z), algo="NUTS")

    def begin(position: Any, key: Array) -> Any:
        names = set(position.z if isinstance(position, ParamInfo) else position)
        size = sum(leaf.size for leaf in jax.tree.leaves(position))
        # Dense for a group alone, or for a few people. Beside 97 people, a dense metric made draws of their group worth 13 %
        # more and theirs 17 % less, at the same number of gradients.
        dense: Any = [("group",)] if "people" not in names else [("people",)] if len(names) == 1 and size <= 12 else []
        return init(
            position,
            num_warmup=settings.warmup,
            step_size=min(1.0, 1.5 * size**-0.25),
            dense_mass=dense,
            target_accept_prob=settings.target_accept,
            max_tree_depth=settings.max_tree_depth,
            # NumPyro's own default is a number, which NUTS ignores.
            trajectory_length=None,  # pyright: ignore[reportArgumentType]
            model_args=(args,),
            model_kwargs={},
            rng_key=key,
        )

    return begin, lambda state: step(state, (args,), {})


@compiled(0, 1, quick=True)
def _begin(spec: Any, settings: Settings, args: Any, keys: Array) -> Any:
    """States of several chains at random positions; nearer to the middle where the density is not finite."""
    from numpyro.infer.util import ParamInfo

    TRACES[spec.model.name, "nuts_begin"] += 1

    def one(key: Array) -> Any:
        where, go = jax.random.split(key)

        def at(size: Array) -> tuple[Any, ...]:
            position = spec.start(args, where, size)
            return position, *jax.value_and_grad(lambda z: -spec.log_density(args, z))(position)

        tried = lax.map(at, jnp.array([1.0, 0.5, 0.2, 0.0]))
        slopes = [jnp.isfinite(leaf).reshape(len(leaf), -1).all(1) for leaf in jax.tree.leaves(tried[2])]
        finite = jnp.isfinite(tried[1]) & jnp.stack(slopes).all(0)
        first = jax.tree.map(lambda leaf: leaf[jnp.argmax(finite)], tried)
        return _kernel(spec, settings, args)[0](ParamInfo(*first), go), finite.any()

    return _over_chains(one, keys)


def _over_chains(function: Callable[..., Any], tree: Any) -> Any:
    """``vmap(function)(tree)``; a single chain is not mapped, which halves the time of compilation."""
    if len(jax.tree.leaves(tree)[0]) > 1:
        return jax.vmap(function)(tree)
    return jax.tree.map(lambda leaf: leaf[None], function(jax.tree.map(lambda leaf: leaf[0], tree)))


@compiled(0, 1)
def _advance(spec: Any, settings: Settings, args: Any, states: Any, n: Array) -> tuple[Any, dict[str, Any]]:
    """Advance several chains by `n` (at most `BLOCK`) iterations, and return their draws (iteration, chain, ...)."""
    TRACES[spec.model.name, "nuts_advance"] += 1
    begin, step = _kernel(spec, settings, args)
    # The kernel learns its settings when it is initialised; nothing is computed here.
    jax.eval_shape(begin, jax.tree.map(lambda leaf: leaf[0], states.z), jax.random.key(0))

    def kept(states: Any) -> dict[str, Any]:
        return {
            "position": states.z,
            "lp": -states.potential_energy,
            "energy": states.energy,
            "acceptance_rate": states.accept_prob,
            "n_steps": states.num_steps,
            "diverging": states.diverging,
            "step_size": states.adapt_state.step_size,
        }

    def body(i: Array, carry: Any) -> Any:
        states, buffer = carry
        states = _over_chains(step, states)
        return states, jax.tree.map(lambda rows, row: rows.at[i].set(row), buffer, kept(states))

    buffer = jax.tree.map(lambda leaf: jnp.zeros((BLOCK, *leaf.shape), leaf.dtype), kept(states))
    return lax.fori_loop(0, n, body, (states, buffer))


def sample(
    spec: Any,
    settings: Settings,
    args: Any,
    *,
    key: Array,
    chains: int,
    draws: int,
    together: int = 1,
    report: Report | None = None,
    kept: Checkpoint | None = None,
) -> dict[str, Any]:
    """Draws of all chains, `together` in one program, (chain, draw, ...): positions, statistics, and the seconds it took."""
    begun = time.perf_counter()
    with jax.enable_x64(True):
        keys = jax.random.split(key, chains).reshape(-1, together)
        groups = [_begin(spec, settings, args, some) for some in keys]
        if not all(bool(finite.all()) for _, finite in groups):
            raise ValueError(
                f"model {spec.model.name!r}: the posterior is not finite anywhere near its mode; run pyem.check(model, data)"
            )
        compile_sampler(spec, settings, args, groups[0][0])
    compiled = time.perf_counter()
    stop = threading.Event()
    run = partial(_run_group, spec, settings, args, draws, report, stop)
    files = [None if kept is None else kept.part(k) for k in range(len(groups))]
    with ThreadPoolExecutor(min(len(groups), n_cores()), thread_name_prefix="pyem-nuts") as pool:
        going = [pool.submit(run, file, states) for file, (states, _) in zip(files, groups, strict=True)]
        try:
            # The first chain that fails, or Ctrl-C, stops all chains before the pool is closed, which would wait for them.
            for ended in wait(going, return_when=FIRST_EXCEPTION).done:
                ended.result()
        finally:
            stop.set()
        parts = [ended.result() for ended in going]
    out = jax.tree.map(lambda *leaves: np.swapaxes(np.concatenate(leaves, axis=1), 0, 1), *parts)
    return out | {"compile_seconds": compiled - begun, "sample_seconds": time.perf_counter() - compiled}


def compile_sampler(spec: Any, settings: Settings, args: Any, states: Any) -> None:
    """Compile the sampler, if it is not yet."""
    # Run no iteration: only compile.
    jax.block_until_ready(_advance(spec, settings, args, states, jnp.asarray(0)))


def compile_ahead(spec: Any, args: Any, *, settings: Settings, together: int) -> None:
    """Compile everything that `sample` needs for arguments of these shapes."""
    with jax.enable_x64(True):
        states, _ = _begin(spec, settings, args, jax.random.split(jax.random.key(0), together))
        compile_sampler(spec, settings, args, states)


def chains_together(chains: int, method: ChainMethod) -> int:
    """Number of chains that are vectorised in one call."""
    if method == "auto":
        method = "parallel" if jax.default_backend() == "cpu" else "vectorized"
    return chains if method == "vectorized" else 1


def _run_group(
    spec: Any,
    settings: Settings,
    args: Any,
    draws: int,
    report: Report | None,
    stop: threading.Event,
    kept: Kept | None,
    states: Any,
) -> dict[str, Any]:
    with jax.enable_x64(True):
        known = None if kept is None else kept.read()
        done, blocks = (0, []) if known is None else (known["done"], known["blocks"])
        states = states if known is None else restored(known["states"], states)
        for k, (stage, n) in enumerate(stages(settings.warmup, draws)[done:], start=done + 1):
            if stop.is_set():
                raise KeyboardInterrupt
            states, out = _advance(spec, settings, args, states, jnp.asarray(n))
            out = jax.tree.map(lambda leaf, n=n: np.asarray(leaf)[:n], out)
            if stage == "draws":
                blocks.append(out)
            if kept is not None:
                kept.write({"done": k, "blocks": blocks, "states": stored(states)})
            if report:
                report(n * out["lp"].shape[1], news(stage, out))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *blocks)


def stages(warmup: int, draws: int) -> list[tuple[str, int]]:
    """Stage of each call of the sampler, and its number of iterations.

    Examples
    --------
    >>> stages(60, 50)
    [('warm-up', 50), ('warm-up', 10), ('draws', 50)]
    """
    stages = (("warm-up", warmup), ("draws", draws))
    return [(stage, min(BLOCK, total - done)) for stage, total in stages for done in range(0, total, BLOCK)]


def news(stage: str, out: dict[str, Any]) -> dict[str, Any]:
    """Numbers that a progress bar shows after a block of iterations."""
    return {
        "stage": stage,
        "steps": float(out["n_steps"].mean()),
        "accept": float(out["acceptance_rate"].mean()),
        "divergent": int(out["diverging"].sum()) if stage == "draws" else 0,
    }


@compiled(0, quick=True)
def _values(spec: Any, args: Any, positions: Any) -> Any:
    return lax.map(lambda position: spec.values(args, position), positions)


def unpacked(spec: Any, args: Any, positions: Any) -> dict[str, np.ndarray]:
    """Parameters of people and group, (chain, draw, ...), at positions (chain, draw, ...)."""
    with jax.enable_x64(True):
        chains = [
            _values(spec, args, jax.tree.map(lambda leaf, c=c: leaf[c], positions)) for c in range(_n_chains(positions))
        ]
    return jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *chains)


def _n_chains(positions: Any) -> int:
    return len(jax.tree.leaves(positions)[0])

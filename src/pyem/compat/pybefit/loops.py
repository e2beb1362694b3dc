"""The loops of NumPyro's NUTS and variational inference, compiled with the options of this library.

NumPyro compiles with JAX's options, with which the many small sums of mean-field sweeps take up to twice as long as with those
of `pyem.numerics.jit`. The numbers are NumPyro's, to rounding. With full effort the compiler would take twice the time and a
quarter of a GiB more, for loops that are hardly quicker.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from pyem.infer.nuts import BLOCK, news, stages
from pyem.infer.progress import Report, count_line, progress_bar
from pyem.numerics.jit import compiled

# -- variational inference ----------------------------------------------------------------------------------------------


def climbed(
    svi: Any,
    key: Array,
    num_steps: int,
    *,
    progress_bar: bool = True,
    stable_update: bool = False,
    forward_mode_differentiation: bool = False,
    init_state: Any = None,
    init_params: Any = None,
    at_once: bool = False,
) -> Any:
    """Run variational inference with the options and the result of ``svi.run``.

    With `at_once` the start is compiled as one program, for guides and models whose constraints hold no computed values.
    """
    from numpyro.infer.svi import SVIRunResult

    if num_steps < 1:
        raise ValueError(f"iter_steps={num_steps}; there is at least one step")
    update = svi.stable_update if stable_update else svi.update

    @compiled(light=True)
    def advance(state: Any, n: Array) -> tuple[Any, Array]:
        def step(i: Array, carry: tuple[Any, Array]) -> tuple[Any, Array]:
            state, losses = carry
            state, loss = update(state, forward_mode_differentiation=forward_mode_differentiation)
            return state, losses.at[i].set(loss)

        return lax.fori_loop(0, n, step, (state, jnp.zeros(BLOCK)))

    state = init_state
    if state is None:
        # Not compiled in general: guides of NumPyro keep what they see when they are called first.
        start = lambda key: svi.init(key, init_params=init_params)  # noqa: E731
        state = (compiled(quick=True)(start) if at_once else start)(key)
    losses = []
    with count_line(progress_bar, "SVI", num_steps) as report:
        for done in range(0, num_steps, BLOCK):
            n = min(BLOCK, num_steps - done)
            state, some = advance(state, jnp.asarray(n))
            losses.append(np.asarray(some)[:n])
            if report:
                report(done + n, f"loss {losses[-1].mean():.2f}")
    return SVIRunResult(svi.get_params(state), state, jnp.asarray(np.concatenate(losses)))


# -- NUTS -----------------------------------------------------------------------------------------------------------------


def in_turn(mcmc: Any) -> bool:
    """Whether the chains of an ``MCMC`` run one after another, as a single chain does."""
    return mcmc.num_chains == 1 or mcmc.chain_method == "sequential"


def drawn(mcmc: Any, key: Array) -> None:
    """Run an ``MCMC`` without arguments whose chains run in turn, as ``mcmc.run(key)`` does."""
    kernel = mcmc.sampler
    keys = [key] if mcmc.num_chains == 1 else list(jax.random.split(key, mcmc.num_chains))

    @compiled(light=True)
    def advance(state: Any, n: Array) -> tuple[Any, Any]:
        def step(i: Array, carry: tuple[Any, Any]) -> tuple[Any, Any]:
            state, rows = carry
            state = kernel.sample(state, (), {})
            return state, jax.tree.map(lambda a, row: a.at[i].set(row), rows, _kept(state))

        rows = jax.tree.map(lambda a: jnp.zeros((BLOCK, *a.shape), a.dtype), _kept(state))
        return lax.fori_loop(0, n, step, (state, rows))

    @compiled(quick=True)
    def constrained(z: Any) -> Any:
        made = mcmc.postprocess_fn or kernel.postprocess_fn((), {})
        return jax.vmap(jax.vmap(made))(z)

    total = mcmc.num_warmup + mcmc.num_samples
    with progress_bar(mcmc.progress_bar, "NUTS", len(keys) * total) as report:
        chains = [_chain(mcmc, advance, key, report) for key in keys]
    last, rows = jax.tree.map(lambda *leaves: jnp.stack(leaves), *chains) if len(chains) > 1 else chains[0]
    if len(chains) == 1:
        rows = jax.tree.map(lambda a: a[None], rows)
    # `MCMC` has no public way to be given draws; these are what its methods and ArviZ read.
    mcmc._states = {"z": constrained(rows["z"]), "diverging": rows["diverging"]}
    mcmc._last_state, mcmc._states_flat, mcmc._args, mcmc._kwargs = last, None, (), {}


def _kept(state: Any) -> dict[str, Any]:
    statistics = {"diverging": state.diverging, "n_steps": state.num_steps, "acceptance_rate": state.accept_prob}
    return {"z": state.z, **statistics}


def _chain(mcmc: Any, advance: Any, key: Array, report: Report | None) -> tuple[Any, Any]:
    """Run one chain; return its last state, and the values that are kept, (draw, ...)."""
    state = mcmc.sampler.init(key, mcmc.num_warmup, None, (), {})
    # Numbers that could be of another type would compile the loop twice.
    state = jax.tree.map(lambda a: jnp.asarray(a, jnp.result_type(a)), state)
    blocks = []
    for stage, n in stages(mcmc.num_warmup, mcmc.num_samples):
        state, rows = advance(state, jnp.asarray(n))
        rows = jax.tree.map(lambda a, n=n: np.asarray(a)[:n], rows)
        if stage == "draws":
            blocks.append(rows)
        if report:
            report(n, news(stage, rows))
    rows = jax.tree.map(lambda *parts: np.concatenate(parts), *blocks)
    # The last of as many draws as are made for one.
    return state, jax.tree.map(lambda a: a[len(a) % mcmc.thinning + mcmc.thinning - 1 :: mcmc.thinning], rows)

"""Compilation of functions that threads call side by side."""

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import jax
import jax.numpy as jnp
import pytest

from pyem.numerics import jit


def test_threads_that_begin_together_compile_one_program(monkeypatch):
    made, together = [], Barrier(2)

    def slow(effort):
        made.append(effort)
        time.sleep(0.05)
        return {}

    monkeypatch.setattr(jit, "_options", slow)
    twice = jit.compiled()(lambda x: 2 * x)

    def call(x):
        together.wait()
        return float(twice(jnp.asarray(x)))

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(call, [1.0, 2.0])) == [2.0, 4.0]
    assert made == ["full"]


@pytest.mark.parametrize("effort", ["full", "light", "quick"])
def test_flags_of_the_environment_hold_whatever_the_effort(effort, monkeypatch):
    """The tests compile without optimisation: each program that sets a level itself would take them twice as long."""
    name = "xla_backend_optimization_level"
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    assert (name in jit._options.__wrapped__(effort)) == (effort != "full")
    monkeypatch.setenv("XLA_FLAGS", f"--xla_dump_to=none --{name}=1")
    asked = jit._options.__wrapped__(effort)
    assert name not in asked
    assert ("xla_cpu_use_fusion_emitters" in asked) == (effort != "full")


def test_what_was_compiled_ahead_is_what_a_call_uses(caplog):
    traced = []

    @jit.compiled(0)
    def times(factor, x):
        traced.append(factor)
        return factor * x

    with jax.log_compiles():
        times.lower(3, jnp.ones(2)).compile()
        assert float(times(3, jnp.ones(2))[0]) == 3.0
    assert traced == [3]
    compiled = [one for one in caplog.messages if "Finished XLA compilation" in one and "times" in one]
    assert len(compiled) == 1

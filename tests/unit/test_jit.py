"""Compilation of functions that threads call side by side."""

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import jax.numpy as jnp

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

"""Student's t distribution."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def log_t(squared: Any, df: float, dim: int) -> Any:
    """Log-density of a standard Student-t in `dim` dimensions at squared distances from its centre (NumPy or JAX)."""
    log1p = jnp.log1p if isinstance(squared, jax.Array) else np.log1p
    constant = math.lgamma((df + dim) / 2) - math.lgamma(df / 2) - 0.5 * dim * math.log(df * math.pi)
    return constant - 0.5 * (df + dim) * log1p(squared / df)

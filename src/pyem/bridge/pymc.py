"""The likelihood of a model inside a user's own PyMC model (``pip install 'pyem-behavior[pymc]'``)."""

from __future__ import annotations

import importlib
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyem.bridge.numpyro import Likelihood
from pyem.data.dataset import Dataset
from pyem.engine.differentiable import log_lik
from pyem.errors import require_kind
from pyem.model.model import Model
from pyem.numerics.jit import compiled


def pymc_logp(model: Model, data: Dataset) -> PyMCLikelihood:
    """The likelihood of `data` as PyTensor expressions of natural parameters, with gradients.

    Parameters
    ----------
    model, data
        The model, and the data that it explains.

    Raises
    ------
    ImportError
        If PyMC is not installed.

    Notes
    -----
    The likelihood is compiled by JAX. Sample with ``nuts_sampler="numpyro"``, which runs everything in JAX, or with PyMC's own
    sampler and ``cores=1`` or ``mp_ctx="spawn"``: a forked process cannot use the parent's JAX, and is told so.

    Examples
    --------
    >>> import pymc as pm  # doctest: +SKIP
    >>> likelihood = pymc_logp(model, data)  # doctest: +SKIP
    >>> with pm.Model():  # doctest: +SKIP
    ...     alpha = pm.Beta("alpha", 1, 1, shape=data.n_subjects)
    ...     beta = pm.HalfNormal("beta", 10, shape=data.n_subjects)
    ...     likelihood.observed("choice", alpha=alpha, beta=beta)
    ...     trace = pm.sample(cores=1)
    """
    require_kind("model", model)
    require_kind("data", data)
    _optional("pymc")
    return PyMCLikelihood(Likelihood(model, data))


_PROCESS = os.getpid()
"""Process in which this module was imported; a forked process has its parent's number."""


def require_own_process() -> None:
    """Raise in a forked process: JAX would wait there for ever for the parent's threads.

    Raises
    ------
    RuntimeError
        If this process was forked off after the module was imported.
    """
    if os.getpid() != _PROCESS:
        raise RuntimeError(
            "the likelihood is compiled by JAX, which does not work in a forked process; sample with pm.sample(cores=1), with "
            'mp_ctx="spawn", or with nuts_sampler="numpyro"'
        )


def _optional(module: str) -> Any:
    """Import a module of PyMC by name, so that types are checked without it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ImportError("pymc_logp needs PyMC; install it with: pip install 'pyem-behavior[pymc]'") from None


class PyMCLikelihood:
    """The likelihood of a data set as PyTensor expressions."""

    def __init__(self, likelihood: Likelihood) -> None:
        self.likelihood = likelihood

    def by_subject(self, **params: Any) -> Any:
        """Log-likelihood of each subject, a vector (S,), in nats; its sum is for ``pm.Potential``."""
        return _op(self.likelihood, False)(self._stacked(params))

    def by_response(self, **params: Any) -> Any:
        """Log-likelihood of each response, a vector (n_obs,), in nats."""
        return _op(self.likelihood, True)(self._stacked(params))

    def potential(self, name: str = "log_lik", **params: Any) -> Any:
        """Add the log-likelihood to the model of the context as a potential: no pointwise values, no predictions."""
        pm = _optional("pymc")

        return pm.Potential(name, self.by_subject(**params).sum())

    def observed(self, name: str | None = None, **params: Any) -> Any:
        """Add the responses to the model of the context as an observed variable with a value for each response.

        Leave-one-out cross-validation works on it, and predictive sampling, one step ahead.
        """
        pm = _optional("pymc")

        likelihood = self.likelihood
        op = _op(likelihood, True)

        def random(
            x: np.ndarray, place: np.ndarray, rng: np.random.Generator | None = None, size: Any = None
        ) -> np.ndarray:
            return _drawn(likelihood, np.asarray(x), rng or np.random.default_rng(), size)

        return pm.CustomDist(
            name or likelihood.model.responses[0],
            self._stacked(params),
            # PyMC learns the number of responses from an argument that has as many.
            np.arange(likelihood.n_obs),
            logp=lambda value, x, place: op(x),
            random=random,
            signature="(p,s),(n)->(n)",
            dtype=str(likelihood.observed.dtype),
            observed=likelihood.observed,
        )

    def _stacked(self, params: dict[str, Any]) -> Any:
        """Natural values as a matrix (P, S)."""
        pt = _optional("pytensor.tensor")

        model, n = self.likelihood.model, self.likelihood.data.n_subjects
        names = [parameter.name for parameter in model.parameters]
        if set(names) != set(params):
            raise ValueError(
                f"model {model.name!r} has the parameters {', '.join(names)}, but was given {', '.join(params)}"
            )
        rows = []
        for parameter in model.parameters:
            value = pt.as_tensor_variable(params[parameter.name])
            shape = (n,) if parameter.size is None else (n, parameter.size)
            if value.ndim > len(shape):
                raise ValueError(
                    f"parameter {parameter.name!r} has {value.ndim} dimensions; expected shape {shape} or less"
                )
            value = pt.broadcast_to(value.astype("float64"), shape)
            rows.append(value[None] if parameter.size is None else value.T)
        return pt.concatenate(rows, axis=0)


def _drawn(likelihood: Likelihood, x: np.ndarray, rng: np.random.Generator, size: Any) -> np.ndarray:
    """Responses one step ahead at natural values (..., P, S)."""
    many = x.reshape(-1, *x.shape[-2:])
    out = []
    with jax.enable_x64(True):
        for one in many:
            by_name = _by_name(likelihood.model, one)
            out.append(np.asarray(likelihood.sample(jax.random.key(int(rng.integers(2**31))), **by_name)))
    drawn = np.stack(out).reshape(*x.shape[:-2], -1)
    return drawn if size is None else np.broadcast_to(drawn, (*np.atleast_1d(size), drawn.shape[-1]))


def _by_name(model: Model, x: np.ndarray) -> dict[str, np.ndarray]:
    out, start = {}, 0
    for parameter in model.parameters:
        stop = start + len(parameter.names)
        out[parameter.name] = x[start] if parameter.size is None else x[start:stop].T
        start = stop
    return out


# -- PyTensor -------------------------------------------------------------------------------------------------------------


def _op(likelihood: Likelihood, pointwise: bool) -> Any:
    """A PyTensor operation from natural values (P, S) to log-likelihoods; equal ones are made once."""
    key = f"_pytensor_{'response' if pointwise else 'subject'}"
    if not hasattr(likelihood, key):
        setattr(likelihood, key, _make_op(likelihood, pointwise))
    return getattr(likelihood, key)


def _make_op(likelihood: Likelihood, pointwise: bool) -> Any:
    pt = _optional("pytensor.tensor")
    apply, op = _optional("pytensor.graph.basic").Apply, _optional("pytensor.graph.op").Op

    if pointwise:
        value = lambda x: likelihood.by_response(**_by_name(likelihood.model, x))  # noqa: E731
    else:
        value = lambda x: log_lik(likelihood._natural, likelihood._people, x)  # noqa: E731
    pull = lambda x, g: jax.vjp(value, x)[1](g)[0]  # noqa: E731
    run_value, run_pull = _numpy(value), _numpy(pull)

    class LogLik(op):
        """Log-likelihoods at natural values (P, S)."""

        def make_node(self, x: Any) -> Any:
            return apply(self, [pt.as_tensor_variable(x)], [pt.vector(dtype="float64")])

        def perform(self, node: Any, inputs: Any, outputs: Any) -> None:
            outputs[0][0] = run_value(inputs[0])

        def infer_shape(self, fgraph: Any, node: Any, shapes: Any) -> Any:
            return [(likelihood.n_obs if pointwise else likelihood.data.n_subjects,)]

        def L_op(self, inputs: Any, outputs: Any, output_grads: Any) -> Any:
            return [Pull()(inputs[0], output_grads[0])]

    class Pull(op):
        """Gradient by the natural values, from the gradient by the log-likelihoods."""

        def make_node(self, x: Any, g: Any) -> Any:
            return apply(self, [pt.as_tensor_variable(x), pt.as_tensor_variable(g)], [pt.matrix(dtype="float64")])

        def perform(self, node: Any, inputs: Any, outputs: Any) -> None:
            outputs[0][0] = run_pull(*inputs)

        def infer_shape(self, fgraph: Any, node: Any, shapes: Any) -> Any:
            return [shapes[0]]

    _for_jax(LogLik, value)
    _for_jax(Pull, pull)
    return LogLik()


def _numpy(function: Any) -> Any:
    jitted = compiled()(function)

    def run(*args: Any) -> np.ndarray:
        require_own_process()
        with jax.enable_x64(True):
            return np.asarray(jitted(*(jnp.asarray(arg, float) for arg in args)))

    return run


def _for_jax(kind: Any, function: Any) -> None:
    """Register the function for PyMC's samplers that run in JAX."""

    @_optional("pytensor.link.jax.dispatch").jax_funcify.register(kind)
    def _(op: Any, **options: Any) -> Any:
        return function

"""The documented algorithm in its plain form: no acceleration, no group distributions of ours, no solver of ours."""

from __future__ import annotations

import numpy as np

from pyem.engine.evaluate import value_grad_hess


def modes(model, data, x, mu, var):
    """Every person's mode by Newton's method with step halving, and the inverse Hessian there."""
    eye = np.eye(len(mu))

    def negative_log_posterior(x):
        value, grad, hess = value_grad_hess(model, data, x)
        npl = -value + 0.5 * ((x - mu) ** 2 / var + np.log(2 * np.pi * var)).sum(1)
        return npl, -grad + (x - mu) / var, -hess + eye / var

    npl, grad, hess = negative_log_posterior(x)
    damping = np.zeros(len(x))
    for _ in range(200):
        values, vectors = np.linalg.eigh(hess)
        size = np.abs(values) + 1e-12 + damping[:, None]
        step = -np.einsum("spi,si,sqi,sq->sp", vectors, 1 / size, vectors, grad)
        if np.abs(grad * step).sum(1).max() < 1e-18:
            break
        step /= np.maximum(1, np.abs(step).max(1) / 2)[:, None]
        tried = negative_log_posterior(x + step)
        better = tried[0] <= npl + 1e-12 * np.abs(npl)
        x = np.where(better[:, None], x + step, x)
        npl, grad, hess = (
            np.where(better.reshape(-1, *[1] * (new.ndim - 1)), new, old)
            for new, old in zip(tried, (npl, grad, hess), strict=True)
        )
        damping = np.where(better, damping / 10, np.maximum(10 * damping, 1e-2))
    return x, npl, np.linalg.inv(hess)


def plain_em(model, data, *, every=20, restarts=2, tol=1e-9, max_iter=4000):
    """Mean and variance of the group at the fixed point of E-steps (with random restarts now and then) and M-steps."""
    n = (data.n_subjects, model.n_params)
    rng = np.random.default_rng(0)
    mu, var, x = np.zeros(n[1]), np.full(n[1], 100.0), np.zeros(n)
    for iteration in range(max_iter):
        x, npl, inverse = modes(model, data, x, mu, var)
        if iteration % every == every - 1:
            for _ in range(restarts):
                start = mu + np.sqrt(var) * rng.standard_normal(n)
                other, other_npl, other_inverse = modes(model, data, start, mu, var)
                take = other_npl < npl - 1e-6
                x, inverse = np.where(take[:, None], other, x), np.where(take[:, None, None], other_inverse, inverse)
                npl = np.where(take, other_npl, npl)
        new_mu = x.mean(0)
        new_var = (x**2 + np.diagonal(inverse, axis1=1, axis2=2)).mean(0) - new_mu**2
        change = max(np.abs(new_mu - mu).max(), np.abs(new_var - var).max())
        mu, var = new_mu, new_var
        if change < tol and iteration % every != every - 1:
            return mu, var, x, npl
    raise AssertionError(f"the plain iteration did not settle in {max_iter} iterations: last change {change:.2g}")

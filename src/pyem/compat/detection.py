"""The pyEM functions of signal detection with equal variances, of old and new items."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from pyem.compat.adapt import Bundle, bundle
from pyem.compat.fields import Fields, Values, numbers, people_of, refuse, seed_of, whole
from pyem.compat.ranges import WIDE, in_ranges
from pyem.models.detection import sdt

NAMES = ("dprime", "criterion")
LEAST = 1e-5
MODEL = dataclasses.replace(in_ranges(sdt(), {"d_prime": WIDE}), name="sdt")


def _codes(name: str, values: Any) -> np.ndarray:
    """Codes (1, T) of 0 and 1; -1 where missing."""
    if np.ndim(values) != 1:
        raise ValueError(f"{name} must have shape (ntrials,), but has {np.shape(values)}")
    found = numbers(name, values)
    odd = found[~np.isnan(found) & (found != 0) & (found != 1)]
    if len(odd):
        raise ValueError(f"{name} has {odd[0]:g}; expected 0 and 1, or NaN where missing")
    return np.where(np.isnan(found), -1, found).astype(int)


def _fields(is_old: Any, resp_old: Any) -> Fields:
    found = {"signal": _codes("is_old", is_old), "choice": _codes("resp_old", resp_old)}
    if found["signal"].shape != found["choice"].shape:
        raise ValueError(
            f"is_old has {found['signal'].shape[1]} trials and resp_old {found['choice'].shape[1]}; expected as many"
        )
    return found


def _report(values: Values, is_old: Any, resp_old: Any) -> dict[str, Any]:
    assert values.log_probs is not None
    return {"is_old": is_old, "resp_old": resp_old, "p_old": np.exp(values.log_probs[0, :, 1])}


def _simulate(params: Any, ntrials: int = 200, seed: int | None = None, **ignored: Any) -> dict[str, Any]:
    """Simulate people who say of items whether they are old.

    Half of the items are, in an order of each person's own.

    Parameters
    ----------
    params
        Natural parameters, (S, 2): dprime, criterion.
    ntrials
        Trials.
    seed
        Whole number; without it NumPy's global generator decides.
    **ignored
        Settings of other tasks.

    Returns
    -------
    dict
        ``params`` (S, 2); ``is_old``, ``resp_old``, 0 or 1, and the ``evidence`` that is held against the criterion, (S, T).
    """
    values, n = people_of(params, NAMES), whole("ntrials", ntrials)
    dprime, criterion = values.T[:, :, None]
    bad = ~((values[:, 0] >= LEAST) & (values[:, 0] <= 20))
    refuse(bad, values[:, 0], "dprime", "dprime values out of bounds [1e-5,20]")
    refuse(~np.isfinite(values[:, 1]), values[:, 1], "criterion", "criterion values must be finite")
    rng = np.random.default_rng(seed_of(seed))
    old = rng.permuted(np.tile((np.arange(n) < n // 2).astype(float), (len(values), 1)), axis=1)
    evidence = dprime * (old - 0.5) + rng.standard_normal(old.shape)
    return {"params": values, "is_old": old, "resp_old": (evidence > criterion).astype(float), "evidence": evidence}


def signal_detection() -> Bundle:
    """The functions of the model."""
    return bundle(
        "sdt",
        module="pyem.models.sdt",
        desc="Signal detection with equal variances: is an item old or new?",
        spec={"sdt": {"sensitivity": ["dprime"], "bias": ["criterion"]}},
        fields=_fields,
        model=lambda subjects, n_params: MODEL,
        report=_report,
        simulate=_simulate,
        allowed=lambda params, *data: bool(params[0] >= LEAST),
    )

"""Choice of the option that curves of choices show: the same rule for all figures and checks."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pyem.data.dataset import Dataset
from pyem.model.model import Model


class Shown(NamedTuple):
    """The option that a curve shows."""

    code: int
    label: str
    why: str
    """Reason why the option is shown; empty if it was asked for."""


def shown_option(model: Model, data: Dataset, option: Any = None) -> Shown:
    """Return the option that is asked for or, if none is, the one with the best outcomes on average.

    Where a response has no outcome that is a single number, it is the option that was chosen most often.

    Parameters
    ----------
    model, data
        The model, which has options, and its data.
    option
        Label of an option, or its text.

    Raises
    ------
    ValueError
        If the model has no options, or not this one.

    Examples
    --------
    >>> import pyem
    >>> data = pyem.Dataset.from_arrays({"choice": [[[0, 0, 1]]], "reward": [[[0, 0, 1]]]})
    >>> shown_option(pyem.models.get("rw1a1b"), data)
    Shown(code=1, label='1', why='the best on average')
    """
    if model.options is None:
        raise ValueError(
            f"model {model.name!r} has no options to choose among, so there is no proportion of choices to show"
        )
    name = model.responses[0]
    labels = list(data.codes.get(name, range(model.options)))
    if option is not None:
        return _asked_for(labels, option)
    responded, learn = data.masks(model)
    here = responded[name]
    paid = _outcome(model, data)
    if paid is not None and data.fields[name].ndim == 2 and (here & learn).any():
        codes = data.fields[name][here & learn].astype(int)
        count = np.bincount(codes, minlength=model.options)
        means = np.bincount(codes, paid[here & learn], model.options) / np.maximum(count, 1)
        code, why = int(np.argmax(np.where(count > 0, means, -np.inf))), "the best on average"
    else:
        codes = np.moveaxis(data.fields[name], -1, 1)[here].ravel().astype(int)
        code, why = int(np.bincount(codes, minlength=model.options).argmax()), "chosen most often"
    return Shown(code, str(labels[code]), why)


def _asked_for(labels: list[Any], option: Any) -> Shown:
    text = [str(label) for label in labels]
    code = labels.index(option) if option in labels else text.index(str(option)) if str(option) in text else None
    if code is None:
        raise ValueError(f"there is no option {str(option)!r}; the options are {', '.join(text)}")
    return Shown(code, text[code], "")


def _outcome(model: Model, data: Dataset) -> np.ndarray | None:
    """The first outcome, if it is a single number in each trial."""
    values = data.fields[model.outcomes[0]] if model.outcomes else None
    return None if values is None or values.ndim != 2 else values

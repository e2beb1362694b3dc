"""Properties of the responses of a model that need no computation."""

from __future__ import annotations

from typing import Any, NamedTuple

from pyem.model.distribution import option_count
from pyem.model.joint import Second
from pyem.model.times.outliers import deadline, delayed, untimed_option


class Response(NamedTuple):
    """Properties of a response that need no computation."""

    kind: type
    """Type of its distribution."""
    n_options: int | None
    """Number of options, if it is one of several."""
    deadline: tuple[float, int] | None
    """Seconds by which it has to come, and the option that it did not."""
    delayed: bool = False
    """Whether it is a time that is never below the non-decision time."""
    untimed: int | None = None
    """The option whose time is not looked at."""


def response_of(dist: Any) -> Response:
    """Properties of a response by its distribution.

    Examples
    --------
    >>> import numpy as np, pyem
    >>> response_of(pyem.Categorical(logits=np.zeros(2))).n_options
    2
    """
    if not isinstance(dist, Second):
        return Response(type(dist), option_count(dist), None, delayed(dist))
    both = dist.joint
    return Response(type(dist), option_count(dist), deadline(both), delayed(both), untimed_option(both))

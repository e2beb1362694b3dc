"""Named values with attribute access: the parameters of a person, the columns of a trial."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jax


@jax.tree_util.register_pytree_node_class
class Record(Mapping[str, Any]):
    """Named values with attribute access: the parameters of a subject (``p.alpha``) or a trial (``trial.reward``).

    Examples
    --------
    >>> Record(alpha=0.1).alpha
    0.1
    """

    __slots__ = ("_values",)

    def __init__(self, **values: Any) -> None:
        object.__setattr__(self, "_values", values)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(
                f"the model asks for {name!r}, but there are only {', '.join(self._values) or 'no fields'}; "
                "name it among the model's parameters, or map a column of the data to it"
            ) from None

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Record({', '.join(f'{k}={v!r}' for k, v in self._values.items())})"

    def with_values(self, **values: Any) -> Record:
        """A copy with some values replaced or added."""
        return Record(**{**self._values, **values})

    def tree_flatten(self) -> tuple[tuple[Any, ...], tuple[str, ...]]:
        """Children and names, for JAX."""
        return tuple(self._values.values()), tuple(self._values)

    @classmethod
    def tree_unflatten(cls, names: tuple[str, ...], children: Any) -> Record:
        """Rebuild from children and names, for JAX."""
        return cls(**dict(zip(names, children, strict=True)))

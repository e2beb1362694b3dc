"""CSV files that a spreadsheet can open without reading a name as a formula."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)


def csv_bytes(table: pd.DataFrame, *, index: bool) -> bytes:
    """A table as CSV, with numbers to full precision.

    Text that a spreadsheet would take for a formula, because it begins with ``=``, ``+``, ``-`` or ``@``, has an apostrophe
    before it; numbers have not.

    Examples
    --------
    >>> import pandas as pd
    >>> csv_bytes(pd.DataFrame({"subject": ["=1+1", "-5"], "alpha": [-0.5, 0.25]}), index=False).decode().split()
    ['subject,alpha', "'=1+1,-0.5", '-5,0.25']
    """
    import pandas as pd

    safe = table.copy(deep=False)
    safe.columns = [_cell(name) for name in table.columns]
    for k, dtype in enumerate(table.dtypes):
        if not pd.api.types.is_numeric_dtype(dtype):
            safe.isetitem(k, table.iloc[:, k].astype(object).map(_cell))
    if index:
        safe.index = _index(table.index)
    return safe.to_csv(index=index, lineterminator="\n").encode()


def _index(labels: pd.Index) -> pd.Index:
    import pandas as pd

    if isinstance(labels, pd.MultiIndex):
        return labels.set_levels([_index(level) for level in labels.levels])
    if pd.api.types.is_numeric_dtype(labels.dtype):
        return labels
    return pd.Index([_cell(label) for label in labels], name=labels.name, dtype=object)


def _cell(value: Any) -> Any:
    formula = isinstance(value, str) and value.startswith(_FORMULA) and not _NUMBER.fullmatch(value)
    return f"'{value}" if formula else value

"""Values that one tab keeps between two runs of the page."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import streamlit as st  # pyright: ignore[reportMissingImports]
from streamlit.runtime import exists, get_instance  # pyright: ignore[reportMissingImports]
from streamlit.runtime.scriptrunner import get_script_run_ctx  # pyright: ignore[reportMissingImports]

from pyem.cli.browser.jobs import Workplace, close_with


def workplace() -> Workplace:
    """Return the folder and the jobs of this tab, which end with it."""
    kept = st.session_state.get("workplace")
    if kept is None or kept.closed:
        # A tab that comes back after it was taken for gone begins anew: its files are no more.
        for name in [name for name in st.session_state if str(name).startswith(("fitted", "reported"))]:
            del st.session_state[name]
        place = Workplace()
        st.session_state["workplace"] = place
        context = get_script_run_ctx()
        # Tests of the page run it without a server.
        if exists() and context is not None:
            runtime, session = get_instance(), context.session_id
            close_with(place, lambda: runtime.is_active_session(session))
    return st.session_state["workplace"]


def remembered(name: str, key: Hashable, make: Callable[[], Any]) -> Any:
    """Return the result of `make`, called again only if `key` has changed since last time; kept for this tab alone."""
    # Streamlit ends a run of the page that another one has replaced where its state is looked at.
    return st.session_state["workplace"].remembered(name, key, make, wanted=lambda: st.session_state["workplace"])


def attempted(make: Callable[[], Any]) -> tuple[Any, str]:
    """Return the result of `make` and no error; or None, and words about what is wrong with the input."""
    try:
        return make(), ""
    except (ValueError, OSError) as error:
        return None, str(error)
    except MemoryError:
        return None, "there is not enough memory for this; choose fewer rows or a smaller model"

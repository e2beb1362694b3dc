"""The sections of the page about a fit: checking the data, running it, stopping it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st  # pyright: ignore[reportMissingImports]

from pyem.cli.browser import asking
from pyem.cli.browser.jobs import Job, Workplace
from pyem.cli.browser.state import attempted, remembered
from pyem.cli.runs import Request

if TYPE_CHECKING:
    import pandas as pd

OUT = "results"
"""Folder of a tab for results."""


def check_section(request: Request, answers: asking.Answers, slots: Mapping[str, Any], stamp: Any) -> bool:
    """Read the data as the models need them; show what was inferred, or what is wrong, in its place."""
    with st.spinner("Checking the data for these models ..."):
        _, error = attempted(lambda: asking.possible(request))
        found = None
        if not error:
            # A change of the method of fitting does not read a large table again.
            read = asking.as_read(request)
            found, error = remembered("check", (read.command(), stamp), lambda: attempted(lambda: _summary(read)))
    if error:
        place = asking.place_of(error, answers)
        slots.get(place, slots["data"]).error(asking.for_page(error, str(request.data)), icon=":material/warning:")
        if place != "data":
            slots["data"].warning(f"Look below: something is wrong with {asking.called(place)}.")
        return False
    size, notes = found or ("", [])
    slots["data"].success(f"The data can be read: {size}.")
    with slots["notes"].expander("What was inferred from the table"):
        for note in notes or ["Nothing had to be inferred."]:
            st.markdown(f"- {note}")
    return True


def _summary(request: Request) -> tuple[str, list[str]]:
    data, notes = asking.checked(request)
    sizes = (
        (data.n_subjects, "person", "people"),
        (data.n_lanes, "block", "blocks"),
        (data.n_trials, "trial", "trials"),
    )
    return ", ".join(f"{n:,} {one if n == 1 else many}" for n, one, many in sizes), notes


def run_section(place: Workplace, request: Request, *, ready: bool) -> Path | None:
    """Start and stop the fit; return the folder of results of this very request, or None."""
    job = place.jobs.get("fit")
    running = job is not None and job.running
    left, right = st.columns(2)
    if left.button("Fit", type="primary", disabled=running or not ready, key="start", width="stretch"):
        words = [*asking.words(request), "--out", OUT, "--force"]
        place.start("fit", words)
        st.session_state["fitted"] = request.command()
        st.rerun()
    if right.button("Stop", disabled=not running, key="stop", width="stretch") and job is not None:
        job.stop()
        st.rerun()
    if job is None:
        return None
    if job.running:
        _progress(place, len(request.models))
        return None
    return _ended(place, job, request)


@st.fragment(run_every=1.0)
def _progress(place: Workplace, models: int) -> None:
    """Show the progress, updated every second."""
    job = place.jobs["fit"]
    if not job.running:
        st.rerun()
    fitted = job.output().count(" fitted by ")
    st.progress(min(fitted / models, 1.0), f"{fitted} of {models} models fitted, {job.seconds:.0f} s")


def _ended(place: Workplace, job: Job, request: Request) -> Path | None:
    if job.stopped:
        st.warning("The fit was stopped; nothing of it was kept.")
        return None
    if not job.done:
        st.error(asking.for_page(job.error(), str(request.data)), icon=":material/warning:")
        return None
    if st.session_state.get("fitted") != request.command():
        st.info(
            "Something was changed since this fit: the results below are those of before. Fit again to see the new ones."
        )
    for text in job.warnings():
        st.warning(text)
    return place.folder / OUT


def same_section(request: Request, frame: pd.DataFrame, name: str) -> None:
    """Show the command line and the script that do the same."""
    from pyem.cli.browser.script import python_script

    told = asking.shown(request, name)
    st.subheader("The same without this page")
    st.caption("On the command line, in the folder of the file:")
    st.code(told.command(), language=None, wrap_lines=True)
    script, error = remembered("script", told.command(), lambda: attempted(lambda: python_script(told, frame)))
    if error:
        st.error(error)
        return
    with st.expander("In Python"):
        st.code(script, language="python")
    st.download_button("Download the Python script", script, "fit.py", "text/x-python", key="script", on_click="ignore")

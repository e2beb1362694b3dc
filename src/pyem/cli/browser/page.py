"""The page itself, which ``streamlit run`` runs from top to bottom whenever something is chosen."""

from __future__ import annotations

import streamlit as st  # pyright: ignore[reportMissingImports]

from pyem.cli.browser import asking, data_page, fit_page, results_page
from pyem.cli.browser.state import workplace
from pyem.cli.cache import model_catalogue


def main() -> None:
    """Show all sections that can be filled in so far."""
    st.set_page_config(page_title="pyem", layout="centered")
    st.title("pyem")
    st.caption("Models of behaviour, fitted to a group of people. Everything stays on this machine.")
    place = workplace()
    found = data_page.file_section(place)
    if found is None:
        return
    path, frame = found
    catalogue = model_catalogue()
    models = data_page.models_section(catalogue)
    if not models:
        st.info("Choose a model to go on.")
        return
    entries = [entry for entry in catalogue if entry["name"] in models]
    mapping, slots = data_page.mapping_section(frame, entries)
    rows, more = data_page.rows_section(frame, mapping["subject"])
    conditions, about = data_page.conditions_section(frame, entries, mapping)
    how, below = data_page.method_section()
    slots |= more | about | below
    answers = data_page.answers_of(models, mapping, rows, conditions, how)
    request = asking.request_of(answers, str(path))
    if mapping["subject"] is None:
        slots["subject"].error("Say which column tells whose trial a row is.", icon=":material/warning:")
        return
    ready = fit_page.check_section(request, answers, slots, path.stat().st_mtime_ns)
    folder = fit_page.run_section(place, request, ready=ready)
    if ready:
        fit_page.same_section(request, frame, path.name)
    if folder is not None:
        results_page.results_section(place, folder)


# Streamlit runs the file as the main module.
if __name__ == "__main__":
    main()

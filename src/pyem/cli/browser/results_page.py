"""The sections of the page about results: checks, tables, figures, people, comparison, report and downloads."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st  # pyright: ignore[reportMissingImports]

from pyem.cli.browser.jobs import Workplace
from pyem.cli.browser.state import attempted, remembered

if TYPE_CHECKING:
    import pandas as pd

    from pyem.results.fit import Fit

SHOWN = {"good": st.success, "look": st.warning, "stop": st.error}
ICONS = {"good": ":material/check_circle:", "look": ":material/warning:", "stop": ":material/dangerous:"}
FORMATS = {"html": "text/html", "md": "text/markdown", "docx": "application/octet-stream"}


def loaded(folder: Path) -> dict[str, Fit]:
    """The fits of a folder of results."""
    import pyem
    from pyem.cli.report import find_fits, name_fits

    files = find_fits([folder])
    return name_fits(files, [pyem.load(file) for file in files])


def results_section(place: Workplace, folder: Path) -> None:
    """Show all results."""
    st.header("6. Results")
    stamp = (folder / "run.json").stat().st_mtime_ns
    with st.spinner("Loading the results ..."):
        fits, error = remembered("fits", stamp, lambda: attempted(lambda: loaded(folder)))
    if error:
        st.error(error)
        return
    if (folder / "models.csv").is_file():
        _frequencies(folder)
    elif len(fits) > 1:
        _comparison(folder)
    for name, tab in zip(fits, st.tabs(list(fits)), strict=True):
        with tab:
            _fit(name, fits[name], folder)
    report_section(place, stamp)
    _downloads(folder, stamp)


def _comparison(folder: Path) -> None:
    import pandas as pd

    st.subheader("Which model explains the data best?")
    if not (folder / "comparison.csv").is_file():
        st.caption("These fits have no criterion in common; the warnings above say why.")
        return
    st.dataframe(_rounded(pd.read_csv(folder / "comparison.csv")), hide_index=True)
    _image(folder / "comparison.png")


def _rounded(table: pd.DataFrame) -> pd.DataFrame:
    """Round the numbers as in a paper; the files that are downloaded have all digits."""
    import pyem

    return pyem.to_apa(table.set_index("model")).reset_index()


def _frequencies(folder: Path) -> None:
    """Show the results of models that were fitted together: their frequencies, and each person's model."""
    import pandas as pd

    st.subheader("How frequent is each model?")
    st.dataframe(_rounded(pd.read_csv(folder / "models.csv")), hide_index=True)
    with st.expander("Everybody's probability of each model"):
        st.dataframe(pd.read_csv(folder / "responsibilities.csv"), hide_index=True, height=240)


def _fit(name: str, fit: Fit, folder: Path) -> None:
    import pyem
    from pyem.plot.reports.content import plain
    from pyem.plot.reports.lights import of_fit

    st.markdown("**Can the numbers be relied on?**")
    for light in of_fit(fit):
        SHOWN[light.level](f"**{light.word}**: {plain(light.what)} {plain(light.remedy)}", icon=ICONS[light.level])
    if fit.population is not None:
        st.markdown("**The group**")
        st.dataframe(pyem.to_apa(fit.group_table()).reset_index(), hide_index=True, key=f"group {name}")
        if fit.model.design is not None:
            st.markdown("**Effects**")
            st.dataframe(pyem.to_apa(fit.effects()).reset_index(), hide_index=True, key=f"effects {name}")
    st.markdown("**People**")
    st.dataframe(fit.table().reset_index(), hide_index=True, height=240, key=f"people {name}")
    st.markdown("**Figures**")
    where = folder / name if (folder / name).is_dir() else folder
    for file in sorted(where.glob("*.png")):
        if file.stem != "comparison":
            _image(file)
    _simulated(name, fit)


def _image(file: Path) -> None:
    if file.is_file():
        # What a figure shows in numbers is in the tables beside it, and in the report.
        name = file.stem.replace("_", " ")
        st.image(file.read_bytes(), caption=name, alt=f"Figure: {name}")


def _simulated(name: str, fit: Fit) -> None:
    """Show simulated people with these parameters, in the design of the data."""
    if not st.button("Simulate people like these in this design", key=f"simulate {name}"):
        return
    import pyem

    made, error = attempted(lambda: pyem.simulate(fit.model, fit.params, design=fit.data, key=1).to_frame())
    if error:
        st.error(error)
        return
    # A download must not take its own button away.
    st.download_button(
        "Download the simulated table",
        made.to_csv(index=False),
        "simulated.csv",
        "text/csv",
        key=f"made {name}",
        on_click="ignore",
    )


def report_section(place: Workplace, stamp: int) -> None:
    """Ask for a report, with or without a study of recovery at this design, and show it."""
    st.subheader("Report")
    left, middle, right = st.columns(3)
    kind = str(left.selectbox("Format", list(FORMATS), key="format"))
    rounds = middle.number_input(
        "Rounds of recovery", 0, 100, 0, key="rounds", help="Could this design have told? 0: not asked."
    )
    right.caption("Tables, figures, checks, methods and results in APA style, references.")
    if right.button("Write the report", key="report", width="stretch"):
        words = ["report", "results", "--out", f"report.{kind}", "--recovery", str(rounds), "--force"]
        place.start("report", words)
        st.session_state["reported"] = (stamp, kind)
        st.rerun()
    job = place.jobs.get("report")
    if job is None or st.session_state.get("reported", (None,))[0] != stamp:
        return
    if job.running:
        _writing(place)
        return
    if not job.done:
        st.error(job.error(), icon=":material/warning:")
        return
    kind = st.session_state["reported"][1]
    content = (place.folder / f"report.{kind}").read_bytes()
    st.download_button(
        "Download the report", content, f"report.{kind}", FORMATS[kind], key="download report", on_click="ignore"
    )
    if kind == "html":
        st.iframe(content.decode("utf-8"), height=700)


@st.fragment(run_every=1.0)
def _writing(place: Workplace) -> None:
    """Show whether the report is being written, updated every second."""
    job = place.jobs["report"]
    if not job.running:
        st.rerun()
    st.info(f"The report is being written ({job.seconds:.0f} s) ...")
    if st.button("Stop", key="stop report"):
        job.stop()
        st.rerun()


def _downloads(folder: Path, stamp: int) -> None:
    """Offer all results as one file: tables, figures, the fits and the log."""
    packed = remembered("packed", stamp, lambda: _packed(folder))
    st.download_button(
        "Download tables, figures and fits", packed, "results.zip", "application/zip", key="zip", on_click="ignore"
    )


def _packed(folder: Path) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                file.write(path, Path("results") / path.relative_to(folder))
    return out.getvalue()

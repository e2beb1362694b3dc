"""The sections of the page about the data: file, models, columns, rows, and the columns on which parameters depend."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st  # pyright: ignore[reportMissingImports]

from pyem.cli.browser import guesses
from pyem.cli.browser.asking import METHODS, Answers, table_of
from pyem.cli.browser.jobs import Workplace
from pyem.cli.browser.state import attempted, remembered

if TYPE_CHECKING:
    import pandas as pd

FILE = "PYEM_APP_FILE"
"""Environment variable with the file that ``pyem app FILE`` was started with."""
KINDS = ["csv", "tsv", "txt", "parquet", "xlsx"]
NONE = "(none)"
ROWS_SHOWN = 20


def file_section(place: Workplace) -> tuple[Path, pd.DataFrame] | None:
    """Upload or choose a file; its path and its table, or None until there is one."""
    st.header("1. Data")
    given = st.file_uploader(
        "A table with a row for each trial (CSV, TSV, Parquet, Excel)",
        type=KINDS,
        key="upload",
        help="The file stays on this machine: it is kept in a folder of this tab, which is removed when the tab is closed.",
    )
    example = st.checkbox("Use the example: 100 simulated people who learn which of two options pays", key="example")
    path = _chosen(place, given, example)
    if path is None:
        st.info("Choose a file, or tick the box above to look around with an example.")
        return None
    with st.spinner("Reading the table ..."):
        stamp = (str(path), path.stat().st_mtime_ns, path.stat().st_size)
        frame, error = remembered("table", stamp, lambda: attempted(lambda: table_of(str(path))))
    if error:
        st.error(error)
        return None
    st.caption(f"{path.name}: {len(frame):,} rows, {len(frame.columns)} columns. The first {ROWS_SHOWN} rows:")
    st.dataframe(frame.head(ROWS_SHOWN), height=220, hide_index=True)
    with st.expander("What the columns hold"):
        st.dataframe(remembered("described", stamp, lambda: guesses.described(frame)), hide_index=True)
    return path, frame


def _chosen(place: Workplace, given: Any, example: bool) -> Path | None:
    if given is not None:
        # Written again only if it is another upload.
        return remembered("upload", given.file_id, lambda: place.keep(given.name, given.getvalue()))
    if example:
        return remembered("example", "example", lambda: _example(place))
    named = os.environ.get(FILE)
    return Path(named) if named else None


def _example(place: Workplace) -> Path:
    """Write a file of simulated people, for a demonstration."""
    import numpy as np

    import pyem

    rng = np.random.default_rng(1)
    x = np.array([-1.0, -0.5]) + np.array([0.6, 0.8]) * rng.normal(size=(100, 2))
    model = pyem.models.get("rw1a1b")
    frame = pyem.simulate(model, model.natural(x), blocks=4, trials=24, key=1).to_frame()
    return place.keep("example.csv", frame.to_csv(index=False).encode())


def models_section(catalogue: Sequence[Mapping[str, Any]]) -> list[str]:
    """Choose models by their task or by words; their names."""
    st.header("2. Models")
    kinds = list(dict.fromkeys(kind for entry in catalogue for kind in entry["kinds"]))
    left, right = st.columns(2)
    kind = left.selectbox("What people did", ["any task", *kinds], key="task")
    words = right.text_input("Words that the model's description has", key="search", placeholder="learning rate")
    names = [entry["name"] for entry in catalogue if _fits(entry, str(kind), words)]
    if not names:
        st.caption("No model's description has all of these words; take one away.")
    kept = [name for name in st.session_state.get("models", []) if name not in names]
    known = {entry["name"]: entry for entry in catalogue}
    chosen = st.multiselect(
        "Models to fit",
        [*kept, *names],
        key="models",
        format_func=lambda name: f"{name}: {known[name]['doc']}",
        placeholder="Choose one, or several to compare",
    )
    for name in chosen:
        with st.expander(f"{name}: what it says, its parameters, and the columns that it needs"):
            _about(known[name])
    return chosen


def _fits(entry: Mapping[str, Any], kind: str, words: str) -> bool:
    text = f"{entry['name']} {entry['doc']} {entry['said']} {entry['parameters']} {entry['kinds']}".lower()
    return (kind == "any task" or kind in entry["kinds"]) and all(word in text for word in words.lower().split())


def _about(entry: Mapping[str, Any]) -> None:
    st.text(entry["said"] or entry["doc"])
    rows = [
        {
            "parameter": one["name"],
            "what it is": one["doc"],
            "from": "-∞" if one["range"][0] is None else f"{one['range'][0]:g}",
            "to": "∞" if one["range"][1] is None else f"{one['range'][1]:g}",
        }
        for one in entry["parameters"]
    ]
    st.dataframe(rows, hide_index=True)
    st.caption(f"Columns: {', '.join(columns_of([entry]))}. Reference: {entry['reference'] or 'none'}")


def columns_of(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """The columns that models need, each once."""
    roles = ("inputs", "responses", "between", "outcomes")
    return list(dict.fromkeys(str(name) for entry in entries for role in roles for name in entry[role]))


def mapping_section(frame: pd.DataFrame, entries: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Assign columns; return the choices, and a place below each menu for what is wrong with it."""
    st.header("3. Columns")
    needed = columns_of(entries)
    found = guesses.guessed([str(name) for name in frame.columns], ["subject", "block", "trial", *needed])
    chosen: dict[str, Any] = {"columns": {}, "missing": {}}
    slots: dict[str, Any] = {"data": st.empty(), "notes": st.container()}
    said = {
        "subject": "Whose trial a row is",
        "block": "What starts a new, independent sequence (optional)",
        "trial": "What orders the trials (optional; else the order of the rows)",
    }
    for name, text in said.items():
        chosen[name] = _menu(text, frame, found[name], name)
        slots[name] = st.empty()
    for name in needed:
        left, right = st.columns([2, 1])
        with left:
            chosen["columns"][name] = _menu(f"The models' column `{name}`", frame, found[name], f"column {name}")
        chosen["missing"][name] = right.text_input(
            "Marks a missing value", key=f"missing {name}", placeholder="-1, no response", help="Several with commas."
        )
        slots[f"column:{name}"] = st.empty()
    return chosen, slots


def _menu(text: str, frame: pd.DataFrame, guess: str | None, key: str) -> str | None:
    options = [NONE, *(str(name) for name in frame.columns)]
    value = st.selectbox(
        text, options, index=options.index(guess) if guess else 0, key=f"{key} of {list(frame.columns)}"
    )
    return None if value == NONE else value


def rows_section(frame: pd.DataFrame, subject: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Choose rows and people; return the choices, and places for what is wrong with them."""
    slots: dict[str, Any] = {}
    # What leaves rows out, or is wrong with that, is never hidden: another model's section above would close this one.
    at_work = bool(st.session_state.get("where") or st.session_state.get("exclude"))
    with st.expander("Leave rows or people out", expanded=at_work):
        where = st.text_input(
            "Rows that count",
            key="where",
            placeholder="phase == 'main' and not practice",
            help="A condition on columns of the table.",
        )
        slots["where"] = st.empty()
        people = [] if subject is None else [str(label) for label in frame[subject].dropna().unique()[:5000]]
        exclude = st.multiselect("People who are left out", people, key="exclude")
        slots["exclude"] = st.empty()
    return {"where": where, "exclude": tuple(exclude)}, slots


def conditions_section(
    frame: pd.DataFrame, entries: Sequence[Mapping[str, Any]], chosen: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Choose the columns on which parameters depend, by menus that write the formula."""
    from pyem.cli.browser.asking import formula

    st.header("4. Conditions and groups")
    used = {**chosen["columns"], **{name: chosen[name] for name in ("subject", "block", "trial")}}
    key = (tuple(frame.columns), len(frame), tuple(used.items()))
    columns = remembered("conditions", key, lambda: guesses.conditions(frame, used, chosen["subject"]))
    slots: dict[str, Any] = {"terms": st.empty(), "covariates": st.empty()}
    out: dict[str, Any] = {"terms": {}, "together": (), "covariates": ()}
    names = list(dict.fromkeys(one["name"] for entry in entries for one in entry["parameters"]))
    if not columns and not any(st.session_state.get(f"terms {name}") for name in names):
        st.caption("The table has no other column with few values, or with one number for each person.")
        return out, slots
    st.caption("A parameter that depends on nothing has one distribution over people.")
    together = []
    for name in names:
        # A choice is not taken back where another menu makes it impossible: then it has an error, not a silent end.
        kept = [one for one in st.session_state.get(f"terms {name}", []) if one in frame.columns and one not in columns]
        terms = st.multiselect(f"`{name}` depends on", [*columns, *kept], key=f"terms {name}")
        if len(terms) > 1 and st.checkbox("... and they may act on each other", key=f"together {name}"):
            together.append(name)
        if terms:
            out["terms"][name] = terms
            st.code(formula(name, terms, together=name in together), language=None)
    return out | {"together": tuple(together)}, slots


def method_section() -> tuple[dict[str, Any], dict[str, Any]]:
    """Choose the method of fitting; return the choice, and a place for what is wrong with it."""
    st.header("5. Fit")
    left, right = st.columns([3, 1])
    method = left.selectbox("Method", list(METHODS), key="method", format_func=lambda name: METHODS[name])
    seed = right.number_input(
        "Seed",
        min_value=0,
        value=0,
        step=1,
        key="seed",
        help="Seed of the random numbers: the same seed gives the same results.",
    )
    return {"method": method, "seed": int(seed)}, {"method": st.empty()}


def answers_of(models: Sequence[str], *parts: Mapping[str, Any]) -> Answers:
    """Collect the choices of all sections."""
    told: dict[str, Any] = {}
    for part in parts:
        told |= part
    return Answers(models=tuple(models), **told)

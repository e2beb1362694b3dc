"""`pyem fit` and what is done with its results: the same numbers as in Python, complete, repeatable."""

import hashlib
import json
import shlex
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

import pyem
from tests.cli.run import DATA_OPTIONS, left, pyem_command

TABLES = ["fit.nc", "group.csv", "latents.csv", "run.json", "subjects.csv"]
FIGURES = ["choice_curves.png", "estimates.png", "parameters.png"]


@pytest.fixture(scope="module")
def in_python(frame):
    """The same fit without the command line."""
    data = pyem.Dataset.from_frame(
        frame,
        subject="id",
        block="run",
        trial="trial",
        columns={"choice": "response", "reward": "feedback"},
        covariates=["age"],
    )
    return pyem.fit_em(pyem.models.get("rw1a1b"), data, group=pyem.Group(covariates=["age"]))


def table(path, index):
    return pd.read_csv(path, index_col=index)


# -- what is written ----------------------------------------------------------------------------------------------------


def test_one_model_has_its_files_in_one_folder(one):
    out, _ = one
    assert left(out) == sorted(TABLES + FIGURES)
    assert left(out.parent) == ["results"]


def test_several_models_have_folders_beside_the_comparison(two):
    out, _ = two
    assert left(out) == ["comparison.csv", "run.json", "rw1a1b", "rw2a1b"]
    for name in ("rw1a1b", "rw2a1b"):
        assert left(out / name) == [file for file in TABLES if file != "run.json"]


def test_tables_hold_what_python_says_to_the_last_digit(one, in_python):
    out, _ = one
    expected = {"group.csv": in_python.group_table(), "subjects.csv": in_python.table()}
    pd.testing.assert_frame_equal(table(out / "group.csv", [0, 1]), expected["group.csv"], check_exact=True)
    subjects = table(out / "subjects.csv", 0)
    pd.testing.assert_frame_equal(subjects, expected["subjects.csv"], check_exact=True, check_dtype=False)
    latents = pd.read_csv(out / "latents.csv")
    pd.testing.assert_frame_equal(latents, in_python.latents(), check_exact=True, check_dtype=False)


def test_the_saved_fit_is_the_fit(one, in_python):
    loaded = pyem.load(one[0] / "fit.nc")
    np.testing.assert_array_equal(loaded.x, in_python.x)
    assert loaded.converged == in_python.converged
    assert loaded.data.fingerprint(loaded.model) == in_python.data.fingerprint(in_python.model)


def test_figures_are_pictures(one):
    for name in FIGURES:
        content = (one[0] / name).read_bytes()
        assert content.startswith(b"\x89PNG")
        assert len(content) > 10_000


def test_the_terminal_shows_data_group_and_files(one, in_python):
    text = one[1].stdout
    for part in ("16 people, 32 blocks, 960 trials", "effect of age on alpha", "95 % interval", "Results are in"):
        assert part in text
    assert f"{in_python.group_table().loc[('mean', 'alpha'), 'estimate']:.4g}" in text
    assert one[1].stderr == ""


def test_the_comparison_is_printed_and_written(two):
    out, result = two
    fits = {name: pyem.load(out / name / "fit.nc") for name in ("rw1a1b", "rw2a1b")}
    expected = pyem.compare_fits(fits)
    written = table(out / "comparison.csv", 0)
    pd.testing.assert_frame_equal(written, expected, check_dtype=False, rtol=1e-9)
    assert "Comparison by integrated BIC" in result.stdout
    assert f"{expected['integrated_bic'].iloc[0]:.1f}" in result.stdout


# -- the log ------------------------------------------------------------------------------------------------------------


def test_the_log_says_what_was_done(one, data_file):
    log = json.loads((one[0] / "run.json").read_text())
    assert log["data"]["file"] == data_file.name
    assert log["data"]["sha256"] == hashlib.sha256(data_file.read_bytes()).hexdigest()
    assert {"pyem", "python", "jax", "jaxlib", "numpy"} <= set(log["versions"])
    assert log["request"]["columns"] == {"choice": "response", "reward": "feedback"}
    assert log["request"]["seed"] == 0
    assert log["fits"]["rw1a1b"]["converged"] is True
    assert sorted(log["files"]) == left(one[0])


def test_the_command_of_the_log_gives_the_same_group(one, tmp_path):
    log = json.loads((one[0] / "run.json").read_text())
    program, *words = shlex.split(log["command"])
    assert program == "pyem"
    pyem_command(*words, "--out", tmp_path / "again", "--no-figures")
    assert (tmp_path / "again" / "group.csv").read_bytes() == (one[0] / "group.csv").read_bytes()


def test_repeat_gives_the_same_results(two, tmp_path):
    pyem_command("repeat", two[0], "--out", tmp_path / "again", "--no-figures")
    for name in ("comparison.csv", "rw1a1b/group.csv", "rw2a1b/group.csv", "rw2a1b/subjects.csv", "rw1a1b/latents.csv"):
        assert (tmp_path / "again" / name).read_bytes() == (two[0] / name).read_bytes()


def test_repeat_finds_data_that_were_moved_but_not_changed(one, data_file, tmp_path):
    moved, changed = tmp_path / "moved.csv", tmp_path / "changed.csv"
    moved.write_bytes(data_file.read_bytes())
    changed.write_bytes(data_file.read_bytes().replace(b",20", b",21"))
    pyem_command("repeat", one[0] / "run.json", "--data", moved, "--out", tmp_path / "a", "--no-figures")
    assert (tmp_path / "a" / "group.csv").read_bytes() == (one[0] / "group.csv").read_bytes()
    refused = pyem_command("repeat", one[0], "--data", changed, "--out", tmp_path / "b", code=1)
    assert "is not the file that was fitted: its SHA-256 is" in refused.stderr
    gone = pyem_command("repeat", one[0], "--data", tmp_path / "gone.csv", "--out", tmp_path / "b", code=1)
    assert "say where it is with --data" in gone.stderr
    assert left(tmp_path) == ["a", "changed.csv", "moved.csv"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is no log of `pyem fit`"),
        ('{"format": 1}', "give the run.json that it wrote"),
        ('{"format": 99, "request": {}, "data": {}, "versions": {}}', "has format 99"),
        ('{"format": 1, "request": {"colour": 1}, "data": {}, "versions": {}}', "does not know: colour"),
    ],
)
def test_repeat_refuses_what_is_no_log(tmp_path, text, said):
    (tmp_path / "run.json").write_text(text)
    assert said in pyem_command("repeat", tmp_path, "--out", tmp_path / "again", code=1).stderr


def test_repeat_warns_of_other_versions(one, tmp_path):
    log = json.loads((one[0] / "run.json").read_text())
    log["versions"]["numpy"] = "1.0"
    (tmp_path / "run.json").write_text(json.dumps(log))
    result = pyem_command("repeat", tmp_path / "run.json", "--out", tmp_path / "again", "--no-figures")
    assert "warning: numpy is" in result.stderr
    assert "and was 1.0" in result.stderr


# -- options ------------------------------------------------------------------------------------------------------------


def fitted(data_file, out, *words, model="rw1a1b"):
    pyem_command("fit", data_file, "--model", model, *DATA_OPTIONS, *words, "--out", out, "--no-figures")
    return pyem.load(out / "fit.nc")


def test_a_covariate_for_one_parameter(data_file, tmp_path):
    fit = fitted(data_file, tmp_path / "r", "--covariate", "age:alpha")
    assert [name for kind, name in fit.group_table().index if kind == "effect of age"] == ["alpha"]


def test_a_parameter_that_is_fixed(data_file, tmp_path):
    fit = fitted(data_file, tmp_path / "r", "--fix", "alpha=0.3")
    assert fit.model == pyem.fix(pyem.models.get("rw1a1b"), alpha=0.3)


def test_parameters_are_fixed_in_the_models_that_have_them(data_file, tmp_path):
    models = ("--model", "rw1a1b", "--model", "rw2a1b")
    pyem_command(
        "fit", data_file, *models, *DATA_OPTIONS, "--fix", "alpha=0.3", "--out", tmp_path / "r", "--no-figures"
    )
    assert left(tmp_path / "r") == ["comparison.csv", "run.json", "rw1a1b_alpha_0.3", "rw2a1b"]
    assert pyem.load(tmp_path / "r" / "rw1a1b_alpha_0.3" / "fit.nc").model.names == ("beta",)


def test_one_model_with_other_options_is_another_fit(data_file, tmp_path):
    models = ("--model", "rw1a1b", "--model", "rw1a1b:start=0")
    result = pyem_command("fit", data_file, *models, *DATA_OPTIONS, "--out", tmp_path / "r", "--no-figures")
    assert left(tmp_path / "r") == ["comparison.csv", "run.json", "rw1a1b", "rw1a1b_start_0"]
    compared = table(tmp_path / "r" / "comparison.csv", 0)
    assert sorted(compared.index) == ["rw1a1b", "rw1a1b:start=0"]
    assert compared["log_lik"].nunique() == 2
    assert "rw1a1b:start=0" in result.stdout


def test_group_options(data_file, tmp_path):
    fit = fitted(data_file, tmp_path / "r", "--group", "student_t", "--df", 5, "--covariance", "full")
    assert fit.population.group == pyem.Group("student_t", df=5, covariance="full")


def test_additions_to_a_model(data_file, tmp_path):
    assert fitted(data_file, tmp_path / "r", model="rw1a1b+stickiness").model.names == ("beta", "alpha", "stickiness")


@pytest.mark.parametrize("method", ["map", "mle"])
def test_methods_without_a_group(data_file, tmp_path, method):
    fit = fitted(data_file, tmp_path / "r", "--method", method, "--seed", 4)
    expected = pyem.fit_map(fit.model, fit.data) if method == "map" else pyem.fit_mle(fit.model, fit.data, key=4)
    np.testing.assert_array_equal(fit.x, expected.x)
    assert "group.csv" not in left(tmp_path / "r")


def test_maximum_likelihood_fits_are_compared_by_bic(data_file, tmp_path):
    models = ("--model", "rw1a1b", "--model", "rw2a1b", "--method", "mle")
    result = pyem_command("fit", data_file, *models, *DATA_OPTIONS, "--out", tmp_path / "r", "--no-figures")
    assert "Comparison by BIC" in result.stdout
    # Trials are few, so that some people have no maximum: this is said in one line, and in the log.
    warned = json.loads((tmp_path / "r" / "run.json").read_text())["warnings"]
    assert all(f"warning: {text}" in result.stderr for text in warned)


def test_text_codes_and_another_separator(frame, tmp_path):
    told = frame.assign(response=frame["response"].map({0: "left", 1: "right"}))
    told.to_csv(tmp_path / "data.csv", index=False, sep=";")
    words = ("--separator", ";", "--codes", "choice=right,left")
    fit = fitted(tmp_path / "data.csv", tmp_path / "r", *words)
    assert fit.data.codes["choice"] == ("right", "left")


def test_codes_are_numbers_where_the_column_holds_numbers(data_file, tmp_path):
    assert fitted(data_file, tmp_path / "r", "--codes", "choice=1,0").data.codes["choice"] == (1, 0)


def test_columns_of_the_models_name_need_no_mapping(frame, tmp_path):
    named = {"response": "choice", "feedback": "reward", "id": "subject"}
    frame.rename(columns=named).to_csv(tmp_path / "data.csv", index=False)
    words = ("--model", "rw1a1b", "--block", "run", "--trial", "trial", "--out", tmp_path / "r", "--no-figures")
    pyem_command("fit", tmp_path / "data.csv", *words)
    assert pyem.load(tmp_path / "r" / "fit.nc").data.n_subjects == 16


def test_a_fit_that_does_not_converge_is_said_and_kept(data_file, tmp_path):
    words = ("--model", "rw1a1b", *DATA_OPTIONS, "--max-iter", 2, "--out", tmp_path / "r", "--no-figures")
    result = pyem_command("fit", data_file, *words)
    assert "warning: fit_em of 'rw1a1b': not converged after 2 iterations" in result.stderr
    assert "NOT CONVERGED" in result.stdout
    log = json.loads((tmp_path / "r" / "run.json").read_text())
    assert log["fits"]["rw1a1b"]["converged"] is False
    assert any("not converged" in text for text in log["warnings"])


# -- compare and plot ---------------------------------------------------------------------------------------------------


def test_compare_takes_whatever_the_shell_finds(two):
    out, fitted_by = two
    by_star = pyem_command("compare", *sorted(out.iterdir())).stdout
    assert by_star == pyem_command("compare", out).stdout
    assert by_star == pyem_command("compare", *sorted(out.glob("*/fit.nc"))).stdout
    shown = fitted_by.stdout[fitted_by.stdout.index("Comparison") :]
    assert shown.startswith(by_star.rstrip())


def test_compare_names_fits_of_one_model_by_their_folders(one, two, tmp_path):
    out = tmp_path / "table.csv"
    pyem_command("compare", one[0], two[0] / "rw1a1b", "--out", out)
    assert sorted(table(out, 0).index) == sorted([str(one[0]), str(two[0] / "rw1a1b")])
    assert "exists" in pyem_command("compare", one[0], two[0], "--out", out, code=1).stderr


def test_compare_by_another_criterion(two):
    assert "Comparison by log model evidence" in pyem_command("compare", two[0], "--by", "lme").stdout
    assert "choose one of" in pyem_command("compare", two[0], "--by", "looks", code=1).stderr


def test_compare_says_how_frequent_models_and_families_are(two, frame, tmp_path):
    fits = {path.parent.name: pyem.load(path) for path in sorted(two[0].glob("*/fit.nc"))}
    first, second = fits
    people = tmp_path / "people.csv"
    names = pd.unique(frame["id"]).tolist()
    pd.DataFrame({"who": names, "side": ["left", "right"] * (len(names) // 2)}).to_csv(people, index=False)
    asked = (
        "--family",
        f"one={first}",
        "--family",
        f"other={second}",
        "--groups",
        f"{people}:side",
        "--subject",
        "who",
    )
    done = pyem_command("compare", two[0], "--by", "lme", *asked, "--details", tmp_path / "d")
    assert "frequencies of families" in done.stdout
    assert "probability that groups differ" in done.stdout
    found = pyem.random_effects_bms(fits, by="lme")
    written = pd.read_csv(tmp_path / "d" / "frequencies.csv", index_col=0)
    np.testing.assert_allclose(written["frequency"], found.frequency)
    assert len(pd.read_csv(tmp_path / "d" / "people.csv")) == len(names)
    assert (tmp_path / "d" / "responsibilities.png").read_bytes()[:4] == b"\x89PNG"
    same = pyem_command("compare", "--by", "lme", "--condition", f"day 1={two[0]}", "--condition", f"day 2={two[0]}")
    assert "share of people with the same model in all conditions" in same.stdout
    sets = [word for name in ("drug,gain", "none,gain") for word in ("--condition", f"{name}={two[0]}")]
    by_factor = pyem_command("compare", "--by", "lme", *sets, "--factors", "substance,stake", code=1)
    assert "no two conditions differ in stake only" in by_factor.output.replace("\n", " ")


@pytest.mark.parametrize(
    ("words", "message", "code"),
    [
        (("--family", "one"), "'one' should look like rl=rw1a1b,rw2a1b", 2),
        (("--family", "a=b", "--family", "a=c"), "'a' is given twice", 2),
        (("--condition", "a=b", "--condition", "a=c"), "'a' is given twice", 2),
        (("--family", "one=nobody"), "is in no family", 1),
        (("--groups", "shoe"), "neither a covariate of the fits", 1),
        (("--condition", "a=b", "--condition", "c=d"), "leave out RESULTS", 1),
        (("--factors", "a,b"), "names the factors of conditions; give these", 1),
    ],
)
def test_frequencies_that_cannot_be_are_refused(two, words, message, code):
    assert message in " ".join(pyem_command("compare", two[0], *words, code=code).output.replace("│", " ").split())


def test_compare_refuses_other_data_and_too_few_fits(one, frame, tmp_path):
    frame.assign(response=1 - frame["response"]).to_csv(tmp_path / "other.csv", index=False)
    fitted(tmp_path / "other.csv", tmp_path / "r")
    refused = pyem_command("compare", one[0], tmp_path / "r", code=1)
    assert "fits of different data cannot be compared" in refused.stderr
    assert "1 saved fits were found" in pyem_command("compare", one[0], code=1).stderr
    assert "there is no file or folder" in pyem_command("compare", one[0], tmp_path / "none", code=1).stderr


def test_a_saved_fit_that_was_cut_short(one, tmp_path):
    whole = (one[0] / "fit.nc").read_bytes()
    (tmp_path / "fit.nc").write_bytes(whole[: len(whole) // 2])
    result = pyem_command("compare", one[0], tmp_path, code=1)
    assert result.stderr.startswith("error: ")
    assert "fit.nc" in result.stderr
    assert result.stdout == ""


def test_plot_draws_again_what_fit_drew_and_more(one, tmp_path):
    out = tmp_path / "figures"
    listed = pyem_command("plot", one[0], "--by-block", "--out", out).stdout.split()
    assert [path.rpartition("/")[2] for path in listed] == [
        *("parameters.png", "estimates.png", "choice_curves.png", "trace.png", "choice_curves_by_block.png")
    ]
    for name in FIGURES:
        assert (out / name).read_bytes() == (one[0] / name).read_bytes()


def test_plot_writes_beside_the_fits_and_overwrites_nothing(two, tmp_path):
    out = tmp_path / "results"
    shutil.copytree(two[0], out)
    pyem_command("plot", out, "--format", "svg")
    assert (out / "rw2a1b" / "trace.svg").read_text().lstrip().startswith("<?xml")
    # The same figures again do no harm; another file of the name would be lost.
    pyem_command("plot", out, "--format", "svg")
    (out / "rw2a1b" / "trace.svg").write_text("mine")
    assert "exists; give another path" in pyem_command("plot", out, "--format", "svg", code=1).stderr
    assert (out / "rw2a1b" / "trace.svg").read_text() == "mine"
    pyem_command("plot", out, "--format", "gif", code=2)


# -- designs --------------------------------------------------------------------------------------------------------------


def test_a_formula_is_part_of_the_command_that_repeats_it():
    from pyem.cli.runs import Request

    request = Request("d.csv", ("rw1a1b",), formulas=("alpha ~ drug + (1 | subject)",), common=("beta",))
    words = shlex.split(request.command())
    assert words[words.index("--formula") + 1] == "alpha ~ drug + (1 | subject)"
    assert Request.from_dict(json.loads(json.dumps(request.__dict__))) == request


@pytest.mark.parametrize(
    "where", ["phase == 'main'", 'phase == "main"', "name == 'O`Brien' or cost == '$5'", "a != 'b!'"]
)
def test_a_shell_reads_the_command_that_repeats_it(where):
    from pyem.cli.runs import Request

    line = Request("d.csv", ("rw1a1b",), where=where, missing={"choice": ["it's late"]}).command()
    read = subprocess.run(["sh", "-c", f"printf '%s\\n' {line}"], capture_output=True, text=True, check=True)
    words = read.stdout.splitlines()
    assert words == shlex.split(line)
    assert words[words.index("--where") + 1] == where
    assert words[words.index("--missing") + 1] == "choice=it's late"
    if where == "phase == 'main'":
        assert "--where \"phase == 'main'\"" in line


@pytest.mark.slow
def test_a_formula_writes_effects_and_marginal_means(frame, tmp_path):
    frame.assign(late=np.where(frame["trial"] > frame["trial"].median(), "late", "early")).to_csv(tmp_path / "d.csv")
    words = ("--model", "rw1a1b", "--formula", "beta ~ late + (1 | subject)", "--out", tmp_path / "out")
    said = pyem_command("fit", tmp_path / "d.csv", *DATA_OPTIONS, *words).stdout
    assert "late" in said
    effects = pd.read_csv(tmp_path / "out" / "effects.csv", index_col=[0, 1])
    assert list(effects.loc["beta"].index) == ["Intercept", "late"]
    means = pd.read_csv(tmp_path / "out" / "marginal_means.csv")
    assert means["late"].tolist() == ["early", "late"]
    assert (tmp_path / "out" / "effects.png").is_file()


@pytest.mark.parametrize("formula", ["alpha ~ (1 | subject)", "alpha ~ 0 + C(run)"])
def test_effects_that_are_tested_against_nothing_are_printed(formula):
    from pyem.cli.terminal import effects_table

    data = pyem.simulate(pyem.models.get("rw1a1b"), subjects=6, blocks=2, trials=20, key=1)
    data = pyem.Dataset.from_frame(
        data.to_frame().assign(run=lambda table: table["block"]),
        columns={"choice": "choice", "reward": "reward", "run": "run"},
        **{name: name for name in ("subject", "block", "trial")},
    )
    fit = pyem.fit_em(pyem.regress(pyem.models.get("rw1a1b"), formula), data)
    headers = [str(column.header) for column in effects_table(fit).columns]
    assert headers == ["parameter", "effect", "estimate", "95 % interval", "scale"]


COLUMNS = {"subject": "id", "block": ("run",), "columns": {"choice": "response", "reward": "feedback"}}


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("gamma ~ age", "--formula 'gamma ~ age': there is no parameter 'gamma'; rw1a1b has beta, alpha"),
        ("alpha age", "--formula 'alpha age' is no formula; .*--formula 'alpha ~ drug'"),
        (
            "alpha ~ dose",
            "--formula 'alpha ~ dose' names the column 'dose', but '.*d.csv' has 'id', .*name one of these",
        ),
        ("alpha ~ tryal", "do you mean 'trial'"),
    ],
)
def test_errors_of_formulas_are_told_in_the_words_of_the_command_line(frame, tmp_path, formula, message):
    from pyem.cli.reading import read_data
    from pyem.cli.runs import Request, make_models

    frame.to_csv(tmp_path / "d.csv", index=False)
    request = Request(str(tmp_path / "d.csv"), ("rw1a1b",), formulas=(formula,), **COLUMNS)
    with pytest.raises(ValueError, match=message):
        read_data(request, make_models(request))


def test_formulas_may_name_columns_of_the_table_of_people(frame, tmp_path):
    from pyem.cli.reading import read_data
    from pyem.cli.runs import Request, make_models

    frame.to_csv(tmp_path / "d.csv", index=False)
    people = frame[["id"]].drop_duplicates()
    people.assign(dx=np.where(people["id"] % 2, "patient", "control")).to_csv(tmp_path / "people.tsv", sep="\t")
    given = {"formulas": ("alpha ~ dx",), "people": str(tmp_path / "people.tsv")}
    request = Request(str(tmp_path / "d.csv"), ("rw1a1b",), **COLUMNS, **given)
    data = read_data(request, make_models(request))
    assert data.codes["dx"] == ("control", "patient")
    assert data.fields["dx"][0, data.lane_subject == 1].tolist() == [int(data.subjects[1]) % 2] * 2

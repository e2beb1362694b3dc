"""The example data and `make demo`."""

import html
import runpy
import shlex

import numpy as np
import pandas as pd
import pytest

import pyem
from pyem.cli.report import check_free
from tests.cli.run import ROOT, pyem_command

DEMO = ROOT / "examples" / "data" / "demo.csv"


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(ROOT / "examples" / "make_demo_data.py"))


def recipe(start):
    """The words that `make demo` gives to ``pyem`` in the line with this beginning."""
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    (line,) = [line for line in makefile.splitlines() if f"$(BIN)/pyem {start}" in line]
    return shlex.split(line)[1:]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What `make demo` fits, with another folder for the results."""
    words = recipe("fit examples/data/demo.csv")
    words[1] = str(DEMO)
    out = tmp_path_factory.mktemp("demo") / "demo"
    words[words.index("results/demo")] = str(out)
    return out, pyem_command(*words)


@pytest.mark.slow
def test_the_demo_ends_with_a_report_that_the_next_demo_replaces(results):
    out, _ = results
    words = [word.replace("results/demo", str(out)) for word in recipe("report results/demo")]
    pyem_command(*words)
    page = (out / "report.html").read_bytes()
    told = html.unescape(page.decode("utf-8"))
    assert len(page) < 3_000_000
    group = pyem.to_apa(pyem.load(out / "rw1a1b" / "fit.nc").group_table())
    for row in group.itertuples(index=False):
        assert "".join(f"<td>{cell}</td>" for cell in map(str, row)) in told
    # `make demo` writes over an earlier run, for which the folder may hold nothing that pyem did not write.
    check_free(out, force=True)


def test_the_script_makes_the_file_that_ships_with_the_project(script, tmp_path):
    script["make"](tmp_path / "demo.csv")
    assert (tmp_path / "demo.csv").read_bytes() == DEMO.read_bytes()


def test_the_data_are_as_described():
    frame = pd.read_csv(DEMO)
    sizes = frame.groupby(["subject", "block"]).size()
    assert len(sizes) == 100 * 4
    assert set(sizes) == {24}
    assert 0.03 < frame["choice"].isna().mean() < 0.07
    assert frame.loc[frame["choice"].isna(), "reward"].isna().all()
    assert frame.groupby("subject")["age"].nunique().eq(1).all()


def test_the_demo_finds_what_was_put_in(results, script):
    out, result = results
    group = pd.read_csv(out / "rw1a1b" / "group.csv", index_col=[0, 1])
    truth = script["ALPHA_PER_YEAR"]
    effect = group.loc[("effect of age", "alpha")]
    assert effect["low"] < truth < effect["high"] < 0
    assert effect["p"] < 0.01
    assert group.loc[("effect of age", "beta"), "p"] > 0.05
    for name in ("beta", "alpha"):
        mean = group.loc[("mean", name)]
        assert abs(mean["estimate"] - script["MEAN"][name]) < 3 * mean["se"]
    # The data were made with one learning rate.
    assert pd.read_csv(out / "comparison.csv")["model"].iloc[0] == "rw1a1b"
    assert result.stderr == ""


def test_the_demo_says_where_the_figures_are(results):
    out, result = results
    assert f"Results are in {out}" in result.stdout.replace("\n", "")
    for name in ("choice_curves.png", "estimates.png", "parameters.png", "comparison.png"):
        assert name in result.stdout
        assert list(out.rglob(name))


def test_people_are_recovered_from_the_demo(results, script):
    """Estimates follow the true parameters about as closely as the posterior spread allows."""
    fit = pyem.load(results[0] / "rw1a1b" / "fit.nc")
    ages = pd.read_csv(DEMO).groupby("subject")["age"].first().to_numpy()
    rng = np.random.default_rng(script["SEED"])
    drawn = rng.integers(18, 76, script["PEOPLE"])
    np.testing.assert_array_equal(ages, drawn)
    truth = np.array(list(script["MEAN"].values())) + np.array(list(script["SD"].values())) * rng.normal(size=(100, 2))
    truth[:, 1] += script["ALPHA_PER_YEAR"] * (ages - ages.mean())
    z = (fit.x - truth) / np.sqrt(np.diagonal(fit.cov, axis1=1, axis2=2))
    # Posterior z-scores have a spread of about 1; 200 of them give it to 5 %.
    assert 0.8 < z.std() < 1.2

"""`pyem fit --method nuts|svi`, `pyem compare` of such fits, and `pyem ppc`."""

import json
import re

import pandas as pd
import pytest

import pyem
from tests.cli.run import DATA_OPTIONS, ROOT, pyem_command


@pytest.fixture(scope="module")
def few(frame, tmp_path_factory):
    """The data of six people."""
    path = tmp_path_factory.mktemp("few") / "data.csv"
    frame[frame["id"].isin(frame["id"].unique()[::3])].to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def nuts(few, tmp_path_factory):
    out = tmp_path_factory.mktemp("nuts") / "results"
    size = ("--draws", 150, "--warmup", 150, "--chains", 2)
    return out, pyem_command("fit", few, "--model", "rw1a1b", *DATA_OPTIONS, "--method", "nuts", *size, "--out", out)


@pytest.fixture(scope="module")
def svi(few, tmp_path_factory):
    out = tmp_path_factory.mktemp("svi") / "results"
    return out, pyem_command("fit", few, "--model", "rw1a1b", *DATA_OPTIONS, "--method", "svi", "--out", out)


def test_diagnostics_are_in_the_printed_table(nuts):
    out, done = nuts
    for words in ("Hamiltonian Monte Carlo", "Rhat", "ESS", "divergences", "mean of alpha"):
        assert words in done.stdout
    table = pd.read_csv(out / "group.csv")
    assert {"rhat", "ess_bulk", "ess_tail"} <= set(table.columns)
    assert {"parameters.png", "estimates.png", "fit.nc", "latents.csv", "subjects.csv"} <= {
        p.name for p in out.iterdir()
    }


@pytest.mark.slow
def test_the_saved_draws_are_those_of_python(nuts, svi):
    fit = pyem.load(nuts[0] / "fit.nc")
    assert fit.method == "nuts"
    assert fit.posterior["x"].shape[:2] == (2, 150)
    subjects = pd.read_csv(nuts[0] / "subjects.csv")
    assert subjects.alpha.tolist() == fit.table().alpha.tolist()
    log = json.loads((nuts[0] / "run.json").read_text())
    assert log["request"]["draws"] == 150
    assert "--method nuts" in log["command"]
    assert pyem.load(svi[0] / "fit.nc").method == "svi"
    assert "variational" in svi[1].stdout


@pytest.mark.slow
def test_fits_with_draws_are_compared_by_what_they_predict(nuts, svi):
    done = pyem_command("compare", nuts[0], svi[0], "--unit", "block")
    assert "PSIS-LOO, blocks left out" in done.stdout
    assert "elpd" in done.stdout
    refused = pyem_command("compare", nuts[0], svi[0], "--by", "bic", code=1)
    assert "choose 'loo' or 'waic'" in refused.output


def test_ppc_prints_and_writes(nuts, tmp_path):
    done = pyem_command("ppc", nuts[0], "--draws", 40, "--out", tmp_path / "checks")
    assert "win_stay" in done.stdout
    assert "simulations one step ahead" in done.stdout
    names = {path.name for path in (tmp_path / "checks").iterdir()}
    assert names == {"ppc.csv", "ppc_curves.csv", "ppc_group.csv", "ppc.png"}
    people = pd.read_csv(tmp_path / "checks" / "ppc.csv")
    assert people.p.dropna().between(0, 1).all()
    assert (tmp_path / "checks" / "ppc.png").read_bytes().startswith(b"\x89PNG")


def test_ppc_replaces_nothing_unless_told(nuts, tmp_path):
    again = ("ppc", nuts[0], "--draws", 20, "--no-figures", "--out", tmp_path)
    pyem_command(*again)
    refused = pyem_command(*again, code=1)
    assert "--force" in refused.output
    pyem_command(*again, "--force")
    wrong = pyem_command("ppc", nuts[0], "--option", "left", "--out", tmp_path / "other", code=1)
    assert "there is no option 'left'" in wrong.output


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pyem.FitWarning")
def test_the_python_of_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in re.findall(r"```python\n(.*?)```", (ROOT / "docs/bayesian.md").read_text(), flags=re.DOTALL):
        exec(compile(block, "bayesian.md", "exec"), names)
    assert names["alone"].data.n_subjects == 1
    assert names["sampler"].get_samples()["alpha"].shape == (200, 30)
    assert {path.name for path in tmp_path.iterdir()} == {"fit.nc", "check.png"}

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest

import pyem
from pyem.cli.clustered import opened
from pyem.cli.reading import read_data
from pyem.cli.runs import Request
from tests.cli.run import left, pyem_command


def simulated(folder, *words, name="data.csv"):
    pyem_command("simulate", *words, "--out", folder / name)
    return pd.read_csv(folder / name)


def test_a_row_for_each_trial(tmp_path):
    frame = simulated(tmp_path, "rw1a1b", "--subjects", 7, "--blocks", 3, "--trials", 11)
    assert len(frame) == 7 * 3 * 11
    assert list(frame.columns) == ["subject", "block", "trial", "choice", "reward"]
    assert frame.groupby("subject").size().tolist() == [33] * 7


def test_the_seed_decides(tmp_path):
    size = ("--subjects", 5, "--trials", 10)
    first = simulated(tmp_path, "rw1a1b", *size, "--seed", 1, name="a.csv")
    again = simulated(tmp_path, "rw1a1b", *size, "--seed", 1, name="b.csv")
    other = simulated(tmp_path, "rw1a1b", *size, "--seed", 2, name="c.csv")
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(other)


def test_missed_responses_are_empty_cells(tmp_path):
    frame = simulated(tmp_path, "rw1a1b", "--subjects", 30, "--missed", 0.2)
    # 2880 trials: four standard errors of a proportion of 0.2.
    assert abs(frame["choice"].isna().mean() - 0.2) < 4 * np.sqrt(0.16 / len(frame))


def test_truth_and_covariate(tmp_path):
    words = ("--subjects", 400, "--blocks", 1, "--trials", 2, "--covariate", "age:alpha=2", "--covariate", "sex")
    frame = simulated(tmp_path, "rw1a1b", *words, "--truth", tmp_path / "truth.csv")
    truth = pd.read_csv(tmp_path / "truth.csv", index_col="subject")
    age = frame.groupby("subject")["age"].first()
    x = pyem.models.get("rw1a1b").unconstrained(truth.to_numpy())
    slope, _ = np.polyfit(age, x[:, 1], 1)
    # The rest has an sd of 1, so the standard error of the slope is about 1 / sqrt(400).
    assert abs(slope - 2) < 0.2
    assert abs(np.corrcoef(frame.groupby("subject")["sex"].first(), x[:, 1])[0, 1]) < 0.2
    assert frame.groupby("subject")["sex"].nunique().eq(1).all()


def test_fixed_parameters_and_additions(tmp_path):
    words = ("rw1a1b+lapse", "--fix", "alpha=0.3", "--subjects", 4)
    simulated(tmp_path, *words, "--truth", tmp_path / "truth.csv")
    assert list(pd.read_csv(tmp_path / "truth.csv").columns) == ["subject", "beta", "lapse"]


def test_parameters_with_a_few_values(tmp_path):
    words = ("rlwm:capacity=2/3/5", "--subjects", 12, "--trials", 3, "--blocks", 1, "--truth", tmp_path / "truth.csv")
    simulated(tmp_path, *words)
    assert set(pd.read_csv(tmp_path / "truth.csv")["capacity"]) == {2.0, 3.0, 5.0}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("rlwm:capacity=2/3", "--covariate", "age:capacity=1"),
            "has one of a few values, which no covariate can shift",
        ),
        (("rlwm:capacity=2,3",), "several values have slashes, as capacity=2/3/4/5"),
        (("rw1",), "there is no model 'rw1'; did you mean"),
        (("rw1a1b", "--fix", "gamma=1"), "has no free parameter 'gamma'; it has beta, alpha"),
        (("rw1a1b", "--fix", "alpha=3"), "alpha=3.0 is outside the range (0, 1)"),
        (("rw1a1b", "--covariate", "age:gamma=1"), "covariate 'age' is to shift 'gamma', but rw1a1b has beta, alpha"),
        (("rw1a1b+noise",), "there is no addition 'noise'; choose of lapse, stickiness"),
        (("rw1a1b:colour=4",), "cannot be made with {'colour': 4}"),
    ],
)
def test_bad_input(tmp_path, words, said):
    assert said in pyem_command("simulate", *words, "--out", tmp_path / "data.csv", code=1).stderr
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    "words",
    [("--subjects", 0), ("--missed", 1.5), ("--covariate", ":alpha=1"), ("--fix", "alpha=much"), ("--tirals", 5)],
)
def test_wrong_usage(tmp_path, words):
    pyem_command("simulate", "rw1a1b", *words, "--out", tmp_path / "data.csv", code=2)
    assert left(tmp_path) == []


def test_files_are_not_overwritten_without_force(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("mine")
    refused = pyem_command("simulate", "rw1a1b", "--subjects", 2, "--out", path, code=1)
    assert "exists; give another path, or --force" in refused.stderr
    assert path.read_text() == "mine"
    pyem_command("simulate", "rw1a1b", "--subjects", 2, "--out", path, "--force")
    assert path.read_text().startswith("subject,block,trial,choice,reward")
    assert left(tmp_path) == ["data.csv"]


def test_the_folder_of_the_file_must_exist(tmp_path):
    missing = tmp_path / "none" / "data.csv"
    assert "there is no folder" in pyem_command("simulate", "rw1a1b", "--out", missing, code=1).stderr


def test_the_design_of_a_file(tmp_path):
    """Two people with blocks of unequal length; one response is missing, and the left option always pays."""
    rows = [{"id": "007", "run": "a", "resp": k % 2} for k in range(5)] + [
        {"id": "x", "run": run, "resp": 1} for run in ("a", "b", "b")
    ]
    design = pd.DataFrame(rows).assign(left_pays=1, right_pays=0, phase=["main"] * 7 + ["practice"])
    design.loc[2, "resp"] = np.nan
    design.to_csv(tmp_path / "design.csv", index=False)
    words = ("--subject", "id", "--block", "run", "--column", "choice=resp", "--where", "phase == 'main'")
    words = (*words, "--column", "payoffs=left_pays,right_pays")
    pyem_command("simulate", "rw1a1b", "--design", tmp_path / "design.csv", *words, "--out", tmp_path / "new.csv")
    made = pd.read_csv(tmp_path / "new.csv", dtype={"subject": str})
    assert made[["subject", "block"]].to_numpy().tolist() == design[["id", "run"]].to_numpy().tolist()[:7]
    assert made["choice"].isna().tolist() == [False, False, True, False, False, False, False]
    seen = made.dropna(subset="choice")
    assert (seen["reward"] == 1 - seen["choice"]).all()
    words = ("rw1a1b", "--design", tmp_path / "design.csv", "--trials", 5, "--out", tmp_path / "other.csv")
    refused = pyem_command("simulate", *words, code=1)
    assert "--trials and --design: the design says how many there are" in refused.stderr


@pytest.mark.parametrize("name", ["glm", "logit_decay", pytest.param("all", marks=pytest.mark.slow)])
def test_what_is_simulated_is_read_without_any_option(tmp_path, name):
    """Tables have a column for each element of a vector: `predictors0`, `predictors1`, ... are the model's `predictors`."""
    for one in pyem.models.names() if name == "all" else [name]:
        file, model = tmp_path / f"{one}.csv", pyem.models.get(one)
        pyem_command("simulate", one, "--subjects", 4, "--blocks", 1, "--trials", 20, "--out", file)
        request = Request(str(file), (one,), block=("block",))
        again = pyem.simulate(model, subjects=4, blocks=1, trials=20, key=0)
        # As `pyem fit` and `pyem fit --cluster` read it, and the design that `pyem simulate --design` takes from it.
        ways = [
            read_data(request, [model]),
            opened(request, [model]).partition(0),
            read_data(request, [model], design=True),
        ]
        for data, column in itertools.product(ways, model.columns):
            np.testing.assert_allclose(data.fields[column], again.fields[column], rtol=1e-6, err_msg=f"{one}: {column}")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_partitions_are_read_by_the_same_names_and_labels(tmp_path, kind):
    """Labels that are numbers in the table, a person in the name of the file, an option of the command for each."""
    for person in ("a", "b"):
        frame = pd.DataFrame({"trial": range(6), "resp": [2, 1, 2, 2, 1, 2], "won": [0, 1, 1, 0, 1, 1]})
        path = tmp_path / f"sub-{person}_task.{kind}"
        frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path, index=False)
    said = {"columns": {"choice": "resp", "reward": "won"}, "codes": {"choice": ["2", "1"]}, "trial": "trial"}
    request = Request(str(tmp_path), ("rw1a1b",), **said, pattern=f"sub-{{subject}}_*.{kind}")
    model = pyem.models.get("rw1a1b")
    whole, part = read_data(request, [model]), opened(request, [model]).partition(0)
    assert part.subjects.tolist() == whole.subjects.tolist() == ["a", "b"]
    for column in model.columns:
        np.testing.assert_array_equal(part.fields[column], whole.fields[column])
    assert whole.fields["choice"][0].tolist()[:2] in ([0, 0], [0, 1])
    with pytest.raises(pyem.DataError, match=r"rw1a1b needs the column 'reward'.*--column reward=COLUMN"):
        opened(dataclasses.replace(request, columns={"choice": "resp"}), [model])


def test_a_fit_of_vectors_is_repeated_and_their_absence_told(tmp_path):
    file = tmp_path / "data.csv"
    pyem_command("simulate", "glm", "--subjects", 4, "--blocks", 1, "--trials", 12, "--out", file)
    pyem_command("fit", file, "--model", "glm", "--method", "map", "--no-figures", "--out", tmp_path / "fit")
    pyem_command("repeat", tmp_path / "fit", "--out", tmp_path / "again")
    assert pyem.load(tmp_path / "again" / "fit.nc").data.fields["predictors"].shape[1] == 3
    pd.read_csv(file).drop(columns="predictors0").to_csv(file, index=False)
    told = pyem_command("fit", file, "--model", "glm", "--out", tmp_path / "not", code=1).stderr
    assert "glm needs the column 'predictors'" in told

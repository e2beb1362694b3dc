"""Whatever is wrong with the input of the command: one readable message, exit code 1, and nothing is written."""

import pytest

from tests.cli.run import DATA_OPTIONS, left, pyem_command


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--model", "rw1a1b", *DATA_OPTIONS, "--cluster", "x", "--common", "alpha"),
            "--common does not go with --cluster",
        ),
        (("--model", "rw1a1b", *DATA_OPTIONS, "--cluster", "x", "--method", "map"), "--cluster is for --method em"),
        (("--model", "rw1a1c", *DATA_OPTIONS), "there is no model 'rw1a1c'; did you mean 'rw1a1b'?"),
        (("--model", "rw1a1b", "--model", "rw1a1b", *DATA_OPTIONS), "a model is named twice"),
        (("--model", "rw1a1b:colours=4", *DATA_OPTIONS), "cannot be made with {'colours': 4}"),
        (("--model", "rw1a1b:four", *DATA_OPTIONS), "'four' should be OPTION=VALUE"),
        (("--model", "rw1a1b", *DATA_OPTIONS, "--subject", "who"), "there is no column 'who'; the table has 'id'"),
        (("--model", "rw1a1b", *DATA_OPTIONS[:6]), "say which one it is with --column choice=COLUMN"),
        (("--model", "rw1a1b", *DATA_OPTIONS, "--fix", "gamma=1"), "--fix: there is no parameter 'gamma'"),
        (("--model", "rw1a1b", *DATA_OPTIONS, "--fix", "alpha=2"), "outside the range"),
        (("--model", "rw1a1b", *DATA_OPTIONS, "--covariate", "iq"), "there is no column 'iq'"),
        (("--model", "rw1a1b", *DATA_OPTIONS, "--covariate", "age:gamma"), "there is no parameter 'gamma'"),
        (("--model", "rw1a1b", *DATA_OPTIONS, "--covariate", "feedback"), "covariate 'feedback' varies"),
        (
            ("--model", "rw1a1b", "--model", "rw2a1b", *DATA_OPTIONS, "--covariate", "age:alpha"),
            "covariate 'age' is to shift alpha, but rw2a1b has beta, alpha_pos, alpha_neg; name one of these too",
        ),
        (("--model", "rw1a1b", *DATA_OPTIONS, "--codes", "choice=5,6"), "which is not among the codes"),
        (
            ("--model", "rw1a1b", *DATA_OPTIONS, "--method", "mle", "--covariance", "full"),
            "--covariance is about the group",
        ),
        (
            ("--model", "rw1a1b", *DATA_OPTIONS, "--method", "map", "--covariate", "age"),
            "--covariate is about the group",
        ),
        (("--model", "rw1a1b", *DATA_OPTIONS, "--group", "cauchy", "--covariance", "full"), "independent parameters"),
    ],
)
def test_options_that_do_not_suit_the_data(data_file, tmp_path, words, said):
    result = pyem_command("fit", data_file, *words, "--out", tmp_path / "r", "--no-figures", code=1)
    assert result.stderr.startswith("error: ")
    assert said in result.stderr
    assert "Traceback" not in result.output
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--model", "rw1a1b", "--column", "choice"),
        ("--model", "rw1a1b", "--column", "choice=a", "--column", "choice=b"),
        ("--model", "rw1a1b", "--codes", "left,right"),
        ("--model", "rw1a1b", "--fix", "alpha=much"),
        ("--model", "rw1a1b", "--covariate", "age:"),
        ("--model", "rw1a1b", "--method", "mcmc"),
        ("--model", "rw1a1b", "--group", "normal"),
        ("--model", "rw1a1b", "--seed", "-1"),
        ("--model", "rw1a1b", "--modle", "rw2a1b"),
    ],
)
def test_wrong_usage_has_exit_code_2(data_file, tmp_path, words):
    result = pyem_command("fit", data_file, *words, "--out", tmp_path / "r", code=2)
    assert "Usage: pyem fit" in result.stderr
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.csv", None, "there is no file"),
        ("empty.csv", b"", "is empty"),
        ("header.csv", b"id,run,trial,response,feedback\n", "has a header and no rows"),
        ("binary.csv", b"\x89PNG\x00\x00\xff\xfe\x00", "is not a text file"),
        ("table.sav", b"PK", "is not a kind of file that can be read"),
        ("table.xlsx", b"PK", "could not be read"),
        ("broken.parquet", b"PAR1", "could not be read"),
        (
            "delimiter.csv",
            b"id;run;trial;response;feedback\n1;0;0;1;1\n",
            "its columns seem to be separated by ';', not by ','",
        ),
        ("text.csv", b"id,run,trial,response,feedback\n1,0,0,1,good\n1,0,1,0,1\n", "column 'feedback'"),
        ("long.csv", b"id,run,trial,response,feedback\n1,0,0,1,1,7\n", "more values than the 5 columns"),
        (
            "twice.csv",
            b"id,run,trial,response,feedback\n1,0,0,1,1\n1,0,0,0,1\n2,0,0,1,1\n",
            "twice",
        ),
        ("alone.csv", b"id,run,trial,response,feedback\n1,0,0,1,1\n1,0,1,0,1\n", "at least 2 subjects"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, name, content, said):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    before = left(tmp_path)
    words = ("--model", "rw1a1b", *DATA_OPTIONS, "--out", tmp_path / "r", "--no-figures")
    result = pyem_command("fit", path, *words, code=1)
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert left(tmp_path) == before


def test_a_wrong_delimiter_is_cured_by_what_the_message_says(tmp_path, frame):
    frame.to_csv(tmp_path / "data.csv", index=False, sep=";")
    words = ("fit", tmp_path / "data.csv", "--model", "rw1a1b", *DATA_OPTIONS, "--out", tmp_path / "r", "--no-figures")
    assert "--separator on the command line" in pyem_command(*words, code=1).stderr
    pyem_command(*words, "--separator", ";")
    assert (tmp_path / "r" / "group.csv").exists()


def test_debug_shows_where_an_error_comes_from(data_file, tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from pyem.cli import app

    monkeypatch.setenv("PYEM_DEBUG", "1")
    words = ["fit", str(data_file), "--model", "rw9", "--out", str(tmp_path / "r")]
    assert isinstance(CliRunner().invoke(app, words).exception, ValueError)

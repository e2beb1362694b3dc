"""The page as Streamlit's own tests run it, without a server: what is asked, and where errors stand."""

import pytest

from pyem.cli import launching

testing = pytest.importorskip("streamlit.testing.v1", reason="needs the extra [app]")


@pytest.fixture
def page(data_file, monkeypatch):
    """The page of a tab that was started with a file."""
    monkeypatch.setenv("PYEM_APP_FILE", str(data_file))
    one = testing.AppTest.from_file(str(launching.PAGE), default_timeout=60).run()
    yield one
    one.session_state["workplace"].close()


def errors(page):
    return [each.value for each in page.error]


def code_of(page):
    return "\n".join(each.value for each in page.code)


def test_models_are_fitted_together_and_otherwise_the_method_says_what_it_needs(page):
    assert not page.exception
    page.multiselect(key="models").select("bias").run()
    assert errors(page) == []
    assert "fit_em" in code_of(page)
    page.selectbox(key="method").select("hbi").run()
    (told,) = errors(page)
    assert "the method 'Several models and their groups together (HBI)' compares models" in told
    assert "--" not in told
    assert page.button(key="start").disabled
    page.multiselect(key="models").select("wsls").run()
    assert errors(page) == []
    assert not page.button(key="start").disabled
    assert "pyem.fit_hbi(models, data" in code_of(page)
    assert "--method hbi" in code_of(page)


def test_a_condition_that_another_menu_makes_impossible_is_told_and_not_forgotten(page, frame):
    page.multiselect(key="models").select("rw1a1b").run()
    page.multiselect(key="terms alpha").select("age").run()
    page.multiselect(key="terms alpha").select("run").run()
    page.checkbox(key="together alpha").check().run()
    assert "alpha ~ age * run" in code_of(page)
    for menu in ("subject", "block", "column reward"):
        key = f"{menu} of {list(frame.columns)}"
        before = page.selectbox(key=key).value
        page.selectbox(key=key).select("run" if menu == "block" else "(none)").run()
        assert not page.exception
        assert page.multiselect(key="terms alpha").value == ["age", "run"]
        page.selectbox(key=key).select(before).run()
        assert errors(page) == []
        assert "alpha ~ age * run" in code_of(page)


def test_a_column_that_is_missing_is_told_below_its_menu_in_words_of_the_page(page, frame, data_file):
    page.multiselect(key="models").select("rw1a1b").run()
    page.selectbox(key=f"column reward of {list(frame.columns)}").select("(none)").run()
    (told,) = errors(page)
    assert "needs the column 'reward', but 'data.csv' has" in told
    assert "say which one it is by its menu" in told
    assert str(data_file.parent) not in told
    assert [each.value for each in page.warning] == ["Look below: something is wrong with reward."]
    assert page.button(key="start").disabled


@pytest.mark.slow
@pytest.mark.parametrize(("method", "models"), [("hbi", ["bias", "wsls"]), ("svi", ["bias"])])
def test_every_method_ends_in_results(page, method, models):
    for model in models:
        page.multiselect(key="models").select(model).run()
    page.selectbox(key="method").select(method).run()
    page.button(key="start").click().run()
    job = page.session_state["workplace"].jobs["fit"]
    assert job.process.wait(200) == 0, job.error()
    page.run()
    assert not page.exception
    assert errors(page) == []
    assert [each.label for each in page.tabs] == models
    assert any("How frequent is each model?" in each.value for each in page.subheader) == (method == "hbi")

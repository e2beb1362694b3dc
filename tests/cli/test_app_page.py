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
    assert "--method hbi compares models" in told
    assert page.button(key="start").disabled
    page.multiselect(key="models").select("wsls").run()
    assert errors(page) == []
    assert not page.button(key="start").disabled
    assert "pyem.fit_hbi(models, data" in code_of(page)
    assert "--method hbi" in code_of(page)


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

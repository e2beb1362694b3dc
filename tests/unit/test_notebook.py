"""What a notebook shows at the end of a cell."""

from pyem.draw.canvas import canvas
from pyem.study.dry_runs import CheckReport, Rung


def test_figures_show_themselves_although_pyplot_does_not_know_them():
    figure, (panel,) = canvas(1)
    panel.plot([0, 1], [0, 1])
    shown = figure._repr_png_()
    assert shown.startswith(b"\x89PNG")
    assert len(shown) > 2000


def test_a_check_is_a_table_in_which_text_stays_text():
    report = CheckReport("mine", (Rung("value", True, "log-likelihood -3"), Rung("gradient", False, "a < b & c")))
    shown = report._repr_html_()
    assert shown.count("<tr>") == 2
    assert "<td>ok</td><td>value</td>" in shown
    assert "FAIL" in shown
    assert "a &lt; b &amp; c" in shown

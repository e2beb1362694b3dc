"""Figures show what the fit says: their numbers are computed here in another way."""

import dataclasses
import sys

import numpy as np
import pytest
from matplotlib.text import Text
from scipy.stats import multivariate_t, norm

import pyem
from pyem import plot
from pyem.draw import figures as draw
from pyem.plot import numbers as numbers_of


@pytest.fixture(scope="module")
def fit():
    model = pyem.models.get("rw1a1b")
    truth = np.column_stack([np.linspace(2, 12, 16), np.linspace(0.05, 0.9, 16)])
    data = pyem.simulate(model, truth, blocks=2, trials=30, key=3, missed=0.1)
    return pyem.fit_em(model, data)


def texts(figure):
    """All that is written in a figure."""
    return " ".join(text.get_text() for text in figure.findobj(Text))


def test_choice_curves_are_the_means_of_people(fit):
    numbers = numbers_of.choice_curve_numbers(fit)
    (block,) = numbers["blocks"]
    (panel,) = block["curves"]
    latents = fit.latents().dropna(subset="choice")
    latents["chose"] = latents["choice"] == 0
    people = latents.groupby(["trial", "subject"])[["chose", "p0"]].mean().groupby("trial")
    np.testing.assert_allclose(panel["data"], people["chose"].mean(), rtol=1e-12)
    np.testing.assert_allclose(panel["model"], people["p0"].mean(), rtol=1e-12)
    half = 1.959964 * people["chose"].sem()
    np.testing.assert_allclose(panel["high"], np.clip(people["chose"].mean() + half, 0, 1), rtol=1e-6)
    np.testing.assert_array_equal(panel["trial"], np.arange(1, 31))
    assert block["chance"] == 0.5


def test_choice_curves_by_block(fit):
    numbers = numbers_of.choice_curve_numbers(fit, by_block=True)
    latents = fit.latents().dropna(subset="choice")
    for block, panel in enumerate(numbers["blocks"]):
        mine = latents[latents["block"] == block]
        np.testing.assert_allclose(
            panel["curves"][0]["data"], (mine["choice"] == 0).groupby(mine["trial"]).mean(), rtol=1e-12
        )
    assert [panel["name"] for panel in numbers["blocks"]] == ["block 0", "block 1"]


def test_curves_are_split_by_levels_of_people_blocks_and_trials(fit):
    kind = np.where(np.arange(16) % 2, "patient", "control")
    fields = {**fit.data.fields, "cue": np.broadcast_to(np.arange(30)[:, None] % 2, fit.data.valid.shape)}
    present = {**fit.data.present, "cue": np.ones(fit.data.valid.shape, bool)}
    data = dataclasses.replace(fit.data, fields=fields, present=present, covariates={"kind": kind})
    split = dataclasses.replace(fit, data=data)
    latents = split.latents().dropna(subset="choice")
    latents["kind"], latents["cue"] = kind[latents["subject"]], latents["trial"] % 2
    latents["chose"] = latents["choice"] == 0
    for by in ("kind", "block", ["kind", "cue"]):
        (panel,) = numbers_of.choice_curve_numbers(split, by=by)["blocks"]
        parts = latents.groupby(by)
        assert [curve["name"] for curve in panel["curves"]] == [
            ", ".join(map(str, key)) if isinstance(key, tuple) else str(key) for key in parts.groups
        ]
        for curve, (_, part) in zip(panel["curves"], parts, strict=True):
            people = part.groupby(["trial", "subject"])[["chose", "p0"]].mean().groupby("trial").mean()
            np.testing.assert_allclose(curve["data"], people["chose"], rtol=1e-12)
            np.testing.assert_allclose(curve["model"], people["p0"], rtol=1e-12)
    values = numbers_of.latent_numbers(split, "value0", by="kind", by_block=False)["blocks"][0]["curves"][1]
    part = split.latents()[lambda table: kind[table["subject"]] == "patient"]
    expected = part.groupby(["trial", "subject"])["value0"].mean().groupby("trial").mean()
    np.testing.assert_allclose(values["data"], expected, rtol=1e-12)
    assert "patient (points: people, line: model)" in texts(plot.plot_choice_curves(split, by="kind"))
    with pytest.raises(ValueError, match="30 values, and at most 12 can be told apart"):
        plot.plot_choice_curves(split, by="trial")
    with pytest.raises(ValueError, match="names 'dose', but the data have"):
        plot.plot_learning_curves(split, "value0", by="dose")
    with pytest.raises(ValueError, match=r"nothing of the name 'Q' of a trial; it has .*value0"):
        plot.plot_learning_curves(split, "Q")


def test_long_blocks_are_shown_as_means_of_trials_and_end_with_most_people():
    model = pyem.models.get("rw1a1b")
    table = pyem.simulate(model, subjects=8, trials=90, key=1).to_frame()
    # Of the eight people, one goes on for three times as long as the others.
    table = table[(table["trial"] < 30) | (table["subject"] == 0)]
    data = pyem.Dataset.from_frame(table, subject="subject", columns={"choice": "choice", "reward": "reward"})
    numbers = numbers_of.choice_curve_numbers(pyem.fit_map(model, data), option=1)
    (panel,) = numbers["blocks"][0]["curves"]
    np.testing.assert_array_equal(panel["trial"], np.arange(2, 30, 3))
    first = table[table["trial"] < 3].groupby("subject")["choice"].mean().mean()
    assert panel["data"][0] == pytest.approx(first, rel=1e-12)
    assert "means of 3 trials, as far as a quarter of the people got" in numbers["title"]


def test_the_last_mean_is_drawn_in_the_middle_of_its_trials():
    ones = np.ones((3, 2))
    curve, complete = numbers_of._curve(ones, ones, 3, 8, clip=True)
    np.testing.assert_array_equal(curve["trial"], [2, 5, 7.5])
    assert complete


def test_the_option_is_the_best_paid_or_the_one_asked_for(fit):
    assert "option 0\n(the best on average)" in numbers_of.choice_curve_numbers(fit)["y_label"]
    assert numbers_of.choice_curve_numbers(fit, option=1)["y_label"] == "proportion choosing option 1"
    with pytest.raises(ValueError, match="there is no option '7'; the options are 0, 1"):
        numbers_of.choice_curve_numbers(fit, option=7)


def test_choice_curves_need_choices():
    model = pyem.models.get("glm")
    assert not numbers_of.is_categorical(pyem.fit_map(model, pyem.simulate(model, subjects=4, trials=20, key=1)))
    fitted = pyem.fit_map(model, pyem.simulate(model, subjects=4, trials=20, key=1))
    with pytest.raises(ValueError, match="no categorical response"):
        plot.plot_choice_curves(fitted)
    assert [kind for kind, _ in plot.all_numbers(fitted)] == ["parameters", "estimates"]


@pytest.mark.parametrize("group", [pyem.Group(), pyem.Group("student_t", covariance="full", df=5)])
def test_the_drawn_density_is_that_of_the_group(fit, group):
    fitted = fit if group == pyem.Group() else pyem.fit_em(fit.model, fit.data, group=group)
    pop = fitted.population
    for j, (x, height) in enumerate(numbers_of.parameter_numbers(fitted)["density"]):
        # Nearly all of the mass is in the picture.
        assert 0.98 < np.trapezoid(height, x) <= 1.001
        mean, scale = pop.coef[0, j], np.sqrt(pop.cov[j, j])
        top = (20.0, 1.0)[j]
        unconstrained = np.log(x / (top - x))
        slope = top / (x * (top - x))
        known = norm(mean, scale) if group.family == "gaussian" else multivariate_t(mean, scale**2, df=5)
        np.testing.assert_allclose(height, known.pdf(unconstrained) * slope, rtol=1e-6)


def test_the_density_with_a_covariate_is_the_mean_over_people(fit):
    age = np.random.default_rng(2).normal(size=16)
    data = dataclasses.replace(fit.data, covariates={"age": age})
    fitted = pyem.fit_em(fit.model, data, group=pyem.Group(covariates=["age"]))
    x, height = numbers_of.parameter_numbers(fitted)["density"][1]
    pop = fitted.population
    points = np.log(x / (1 - x))[:, None]
    mean = norm(pop.mean[:, 1], np.sqrt(pop.cov[1, 1])).pdf(points).mean(1)
    np.testing.assert_allclose(height, mean / (x * (1 - x)), rtol=1e-6)


def test_intervals_of_people_are_symmetric_before_the_transform(fit):
    numbers = numbers_of.estimate_numbers(fit)
    model = fit.model
    centre = (model.unconstrained(numbers["low"]) + model.unconstrained(numbers["high"])) / 2
    np.testing.assert_allclose(centre, fit.x, atol=1e-8)
    half = model.unconstrained(numbers["high"]) - fit.x
    np.testing.assert_allclose(half, 1.959964 * np.sqrt(np.diagonal(fit.cov, axis1=1, axis2=2)), rtol=1e-6)


def test_people_are_sorted_by_their_estimates_and_named(fit):
    panel = plot.plot_estimates(fit).axes[1]
    shown = [int(label.get_text()) for label in panel.get_yticklabels()]
    assert shown == list(np.argsort(fit.params[:, 1], kind="stable"))


def test_people_who_do_not_differ_are_not_magnified(fit):
    # As where the group's standard deviation is 0: what is left are differences by rounding.
    values = fit.params.copy()
    values[:, 1] = values[:, 1].mean() + 1e-7 * np.arange(len(values))
    estimates = numbers_of.estimate_numbers(fit) | {"values": values, "low": values - 1e-7, "high": values + 1e-7}
    histogram = numbers_of.parameter_numbers(fit) | {"values": values}
    _, low, high = histogram["middle"][1]
    for figure in (draw.estimates(**estimates), draw.parameters(**histogram)):
        assert np.ptp(figure.axes[1].get_xlim()) >= high - low
    # All are in one bar or in two neighbours, which can be seen.
    bars = [bar for bar in figure.axes[1].patches if bar.get_width() < 0.5 * (high - low) and bar.get_height() > 0]
    assert sum(bar.get_height() for bar in bars) == len(values)
    assert len(bars) <= 2
    assert all(bar.get_width() > 0.05 * (high - low) for bar in bars)


def test_the_group_is_drawn_where_the_table_has_it(fit):
    row = fit.group_table().loc[("mean", "alpha")]
    middle = numbers_of.parameter_numbers(fit)["middle"][1]
    np.testing.assert_array_equal(middle, row[["natural", "natural_low", "natural_high"]])


def test_comparison_is_the_distance_from_the_best(fit):
    fits = {"one": fit, "other": pyem.fit_em(pyem.models.get("rw2a1b"), fit.data)}
    table = pyem.compare_fits(fits, draws=200)
    numbers = numbers_of.comparison_numbers(table)
    behind = {label: dict(zip(numbers["models"], values, strict=True)) for label, values, _ in numbers["measures"]}
    bic = table["integrated_bic"]
    assert behind["integrated BIC above the best"] == (bic - bic.min()).to_dict()
    lme = table["lme"]
    assert behind["log model evidence below the best (nats)"] == (lme.max() - lme).to_dict()
    assert "best" in texts(plot.plot_comparison(table))
    with pytest.raises(ValueError, match="give a table of compare_fits"):
        plot.plot_comparison(table[["log_lik"]])


def test_recovery_tells_correlation_and_error():
    truth = np.array([[0.0, 1.0], [1.0, 2.0], [2.0, 4.0]])
    figure = plot.plot_recovery(truth, truth + 0.5, ["beta", "alpha"])
    assert "beta: r = 1.00, RMSE = 0.5" in texts(figure)
    with pytest.raises(ValueError, match=r"truth has shape \(3, 2\) and estimates \(2, 2\)"):
        plot.plot_recovery(truth, truth[:2], ["beta", "alpha"])


def test_the_model_curve_says_what_it_is(fit):
    assert "model's probability, given each person's past choices" in texts(plot.plot_choice_curves(fit))


def test_units_are_on_the_axes(fit):
    assert [panel.get_xlabel() for panel in plot.plot_parameters(fit).axes] == ["inverse temperature", "learning rate"]
    assert "(nats)" in plot.plot_trace(fit).axes[0].get_ylabel()


def test_only_em_has_a_path(fit):
    with pytest.raises(ValueError, match="only fit_em iterates over the group"):
        plot.plot_trace(pyem.fit_map(fit.model, fit.data))


@pytest.mark.parametrize(
    "file_format", ["png", *(pytest.param(name, marks=pytest.mark.slow) for name in ("pdf", "svg"))]
)
def test_equal_figures_are_equal_files(fit, file_format):
    for kind, numbers in plot.all_numbers(fit):
        first, second = (draw.render(kind, numbers, file_format) for _ in range(2))
        assert first == second
        assert len(first) > 5000


def test_people_who_are_all_the_same_can_be_drawn(fit):
    numbers = numbers_of.parameter_numbers(fit) | {"values": np.ones((16, 2)), "density": None, "middle": None}
    assert draw.render("parameters", numbers).startswith(b"\x89PNG")


def test_values_that_are_not_finite_are_left_out_of_histograms(fit):
    values = fit.params.copy()
    values[3] = np.nan
    numbers = numbers_of.parameter_numbers(fit) | {"values": values}
    heights = [bar.get_height() for bar in draw.parameters(**numbers).axes[0].patches if bar.get_width() < 5]
    assert sum(heights[: len(draw._bins(np.delete(values[:, 0], 3))) - 1]) == 15


def test_drawing_leaves_pyplot_alone(fit):
    # Other tests of this process may have opened figures.
    opened = lambda: sys.modules["matplotlib.pyplot"].get_fignums() if "matplotlib.pyplot" in sys.modules else []  # noqa: E731
    before = opened()
    plot.plot_parameters(fit)
    assert opened() == before

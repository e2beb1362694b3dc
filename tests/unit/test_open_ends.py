"""Intervals of what the data do not tell: from 0 to no upper limit, in tables, on the command line, in reports and figures."""

import functools
import io
import warnings

import numpy as np
from rich.console import Console
from scipy.special import stdtrit

import pyem
from pyem.cli import terminal
from pyem.draw.figures import render
from pyem.model.distribution import Normal
from pyem.model.parameter import Parameter
from pyem.model.transform import Positive, Real
from pyem.plot.numbers import all_numbers
from pyem.plot.reports.findings import of_means, of_spreads
from pyem.results.open_ends import open_ended


def printed(table):
    screen = Console(width=200, record=True, file=io.StringIO())
    screen.print(table)
    return screen.export_text()


def few_people(transform, y, noise):
    """A group of people with one number each around their own value; the more noise, the less is known."""
    policy = lambda p, state, trial: Normal(p.theta, noise)  # noqa: E731
    model = pyem.Model("scale", (Parameter("theta", transform),), policy, responses=("y",))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pyem.fit_em(model, pyem.Dataset.from_arrays({"y": np.array(y)[:, None, None]}))


@functools.cache
def unknown_sd():
    """The variance of the responses is a little more than the noise: the group's sd is anything."""
    return few_people(Real(), [-1.26, 0.0, 1.26], 1.0)


@functools.cache
def unknown_mean():
    return few_people(Positive(), [0.9, 1.1, 1.02], 30.0)


def test_ends_are_both_open_or_both_stay():
    low, high = open_ended(np.array([1.0, 1.0, 1.0]), np.array([0.01, 1e-9, np.nan]), np.array([100.0, 1e9, np.nan]))
    np.testing.assert_array_equal(low, [0.01, 0.0, np.nan])
    np.testing.assert_array_equal(high, [100.0, np.inf, np.nan])


def test_an_sd_that_the_data_do_not_tell_has_no_upper_limit_wherever_it_is_shown():
    fit = unknown_sd()
    row = fit.group_table().loc[("sd", "theta")]
    assert (row["low"], row["high"]) == (0.0, np.inf)
    assert 0.1 < row["estimate"] < 0.5
    (problem,) = [text for text in fit.problems() if "how much people differ" in text]
    assert "in theta: the interval of the group's sd goes from 0 to no upper limit" in problem
    assert "pyem.Group(sd={'theta': 1})" in problem
    assert pyem.to_apa(fit.group_table()).loc[("sd", "theta"), "95% CI"] == "[0.00, ∞)"
    assert "0 to no upper limit" in printed(terminal.group_table(fit))
    assert "[0.00, ∞)" in of_spreads(fit)
    # What the remedy names is possible, and takes the problem away.
    held = pyem.fit_em(fit.model, fit.data, group=pyem.Group(sd={"theta": 1}))
    assert not any("how much people differ" in text for text in held.problems())
    assert held.group_table().loc[("sd", "theta"), "estimate"] == 1


def test_a_mean_that_the_data_do_not_tell_has_no_upper_limit_wherever_it_is_shown():
    fit = unknown_mean()
    row = fit.group_table().loc[("mean", "theta")]
    assert (row["natural_low"], row["natural_high"]) == (0.0, np.inf)
    assert np.isfinite([row["low"], row["high"]]).all()
    assert "[0, ∞)" in of_means(fit) or "[0.00, ∞)" in of_means(fit)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind, numbers in all_numbers(fit):
            assert render(kind, numbers, "png").startswith(b"\x89PNG")


def test_what_data_tell_is_as_it_was():
    fit = few_people(Positive(), [0.9, 1.3, 2.0, 1.1, 0.7], 0.05)
    row = fit.group_table().loc[("sd", "theta")]
    reach = stdtrit(4, 0.975) * row["se"] / row["estimate"]
    np.testing.assert_allclose([row["low"], row["high"]], row["estimate"] * np.exp([-reach, reach]), rtol=1e-6)
    assert not [text for text in fit.problems() if "how much people differ" in text]

"""Choices between described offers: units do not matter, and curves are those of the formulas."""

import dataclasses

import numpy as np
import pytest

import pyem
from pyem.models import discounting

PEOPLE = {"subjects": 12, "blocks": 1, "trials": 60}


def in_units(data, **units):
    fields = {name: values * units.get(name.split("_")[0], 1.0) for name, values in data.fields.items()}
    return dataclasses.replace(data, fields=fields)


@pytest.mark.parametrize(
    ("name", "money", "other"), [("dd_hyperbolic", "amount", "delay"), ("mean_variance", "amount", "certain")]
)
def test_estimates_do_not_depend_on_the_units_of_the_offers(name, money, other):
    model = pyem.models.get(name)
    data = pyem.simulate(model, **PEOPLE, key=3)
    cents = {money: 100.0, other: 100.0 if other == "certain" else 1 / 7}
    one, two = (pyem.fit_map(model, each) for each in (data, in_units(data, **cents)))
    np.testing.assert_allclose(two.log_lik, one.log_lik, rtol=1e-6)
    np.testing.assert_allclose(two.params[:, -1] * 100, one.params[:, -1], rtol=1e-5)
    factor = 1 / 7 if other == "delay" else 100
    np.testing.assert_allclose(two.params[:, 0] * factor, one.params[:, 0], rtol=1e-4, atol=1e-7)


def test_the_curve_of_every_form_begins_at_one_and_falls():
    delays = np.array([0.0, 1.0, 30.0, 365.0])
    for form in discounting.FORMS:
        model = pyem.models.get(f"dd_{form}")
        curve = discounting.indifference(model, model.natural(model.typical[0])[None], delays)
        assert curve[0, 0] == 1
        assert (np.diff(curve[0]) < 0).all()
        assert 0 < discounting.area_under_curve(model, model.natural(model.typical[0])[None], delays)[0] < 1


def test_curves_are_of_delays_only():
    with pytest.raises(ValueError, match="does not discount delays"):
        discounting.indifference(pyem.models.get("crra"), [[0.1, 1.0]], [1.0])

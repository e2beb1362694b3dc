"""A straight line with noise that is known: its posteriors, and evidence, have closed forms."""

from pyem import Model, Normal, Parameter
from pyem.model.modifiers import fix

NOISE = 0.8
LINE = Model(
    "line",
    (Parameter("a"), Parameter("b")),
    lambda p, state, trial: Normal(p.a + p.b * trial.u, NOISE),
    responses=("y",),
    inputs=("u",),
)
LEVEL = fix(LINE, b=0.5)

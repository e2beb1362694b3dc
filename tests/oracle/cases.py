"""The case of every registered model, by name. A new family adds its module here; a model without a case fails the contract."""

from tests.oracle import aif, bayes, choice, glm, offers, rl
from tests.oracle.case import Case

CASES: dict[str, Case] = {
    **rl.CASES,
    **choice.CASES,
    **bayes.CASES,
    **offers.CASES,
    **glm.CASES,
    **aif.CASES,
}

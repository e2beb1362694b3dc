"""The case of every registered model, by name. A new family adds its module here; a model without a case fails the contract."""

from tests.oracle import (
    aif,
    bayes,
    beliefs,
    choice,
    exploration,
    feedback,
    gambling,
    glm,
    go_nogo,
    judgement,
    offers,
    racing,
    response_times,
    rl,
    rlwm,
    social,
    two_step,
)
from tests.oracle.case import Case

CASES: dict[str, Case] = {
    **rl.CASES,
    **choice.CASES,
    **feedback.CASES,
    **exploration.CASES,
    **gambling.CASES,
    **two_step.CASES,
    **go_nogo.CASES,
    **rlwm.CASES,
    **response_times.CASES,
    **racing.CASES,
    **bayes.CASES,
    **beliefs.CASES,
    **offers.CASES,
    **glm.CASES,
    **judgement.CASES,
    **social.CASES,
    **aif.CASES,
}

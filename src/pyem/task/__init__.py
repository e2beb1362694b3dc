"""Tasks, for simulation: what a subject is shown on a trial, and what comes of the response."""

from pyem.task.bandits import Bandit, DriftingBandit, Reversal
from pyem.task.designs import Design, Replay
from pyem.task.go_nogo import GoNoGo
from pyem.task.offers import Offers
from pyem.task.ponds import Ponds
from pyem.task.regressors import Regressors
from pyem.task.rescaled import Rescaled
from pyem.task.social import PairedBandit, ProsocialBandit
from pyem.task.stimuli import StimulusSets
from pyem.task.task import Task
from pyem.task.two_step import TwoStep

__all__ = [
    "Bandit",
    "Design",
    "DriftingBandit",
    "GoNoGo",
    "Offers",
    "PairedBandit",
    "Ponds",
    "ProsocialBandit",
    "Regressors",
    "Replay",
    "Rescaled",
    "Reversal",
    "StimulusSets",
    "Task",
    "TwoStep",
]

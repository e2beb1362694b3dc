"""Tasks, for simulation: the columns shown on a trial, and the outcomes of the response."""

from pyem.model.cues import Cued
from pyem.task.balloons import Balloons
from pyem.task.bandits import Bandit, DriftingBandit, Reversal
from pyem.task.beliefs import ChangePoints, Contingency
from pyem.task.cambridge import CambridgeGambling
from pyem.task.cards import CardSorting
from pyem.task.decks import Iowa
from pyem.task.designs import Design, Replay
from pyem.task.full_feedback import FullFeedback
from pyem.task.gamble import CoinFlips
from pyem.task.go_nogo import GoNoGo
from pyem.task.offers import Offers
from pyem.task.pairs import ProbabilisticSelection
from pyem.task.payoffs import DriftingPayoffs, GaussianBandit
from pyem.task.ponds import Ponds
from pyem.task.regressors import Regressors
from pyem.task.rescaled import Rescaled
from pyem.task.shocks import Shocks
from pyem.task.social import PairedBandit, ProsocialBandit
from pyem.task.stimuli import StimulusSets
from pyem.task.task import Task
from pyem.task.together import Together
from pyem.task.two_step import TwoStep
from pyem.task.wins_losses import WinsAndLosses

__all__ = [
    "Balloons",
    "Bandit",
    "CambridgeGambling",
    "CardSorting",
    "ChangePoints",
    "CoinFlips",
    "Contingency",
    "Cued",
    "Design",
    "DriftingBandit",
    "DriftingPayoffs",
    "FullFeedback",
    "GaussianBandit",
    "GoNoGo",
    "Iowa",
    "Offers",
    "PairedBandit",
    "Ponds",
    "ProbabilisticSelection",
    "ProsocialBandit",
    "Regressors",
    "Replay",
    "Rescaled",
    "Reversal",
    "Shocks",
    "StimulusSets",
    "Task",
    "Together",
    "TwoStep",
    "WinsAndLosses",
]

"""The older path of `pyem.compat.optim`: the same module, so that what is replaced in one is replaced in the other."""

import sys

from pyem.compat import optim
from pyem.compat.optim import *  # noqa: F403

sys.modules[__name__] = optim

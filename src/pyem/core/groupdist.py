"""The older path of `pyem.compat.groupdist`: the same module, so that what is replaced in one is replaced in the other."""

import sys

from pyem.compat import groupdist
from pyem.compat.groupdist import *  # noqa: F403

sys.modules[__name__] = groupdist

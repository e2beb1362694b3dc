"""The older path of `pyem.compat.compare`: the same module, so that what is replaced in one is replaced in the other."""

import sys

from pyem.compat import compare
from pyem.compat.compare import *  # noqa: F403

sys.modules[__name__] = compare

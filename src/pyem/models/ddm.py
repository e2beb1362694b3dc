"""The diffusion model in the form of pyEM: the very module, of which scripts import private names too."""

import sys

from pyem.compat import models_ddm
from pyem.compat.models_ddm import *  # noqa: F403

sys.modules[__name__] = models_ddm

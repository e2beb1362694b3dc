"""Signal detection in the form of pyEM."""

from pyem.compat.models_sdt import *  # noqa: F403

"""The likelihood in programs of one's own: NumPyro and PyMC."""

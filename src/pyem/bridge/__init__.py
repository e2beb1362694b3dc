"""The likelihood of a model in a user's own program: NumPyro and PyMC."""

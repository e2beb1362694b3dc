"""The older path of `pyem.compat`."""

"""The older path of helpers in `pyem.compat`."""

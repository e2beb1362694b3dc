"""Compilation, random numbers, linear algebra and distributions for the rest of the library."""

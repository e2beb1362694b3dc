"""Compilation, random numbers, linear algebra and distributions that the rest of the library stands on."""

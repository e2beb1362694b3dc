"""Places of the T-maze, and the paths between them."""

LOCATIONS = ("centre", "left", "right", "cue", "middle")
PATHS = ((0, 3), (0, 4), (4, 1), (4, 2))
"""Pairs of neighbours, as places in `LOCATIONS`."""

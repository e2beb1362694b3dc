"""Helpers of the pyEM interface: transforms, scores and plots."""

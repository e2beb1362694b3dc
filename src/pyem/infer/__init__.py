"""Inference: one file for each method."""

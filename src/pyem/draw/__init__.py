"""Drawing numbers with matplotlib, which knows nothing of models and fits."""

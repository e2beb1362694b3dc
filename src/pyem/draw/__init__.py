"""Drawing of numbers with matplotlib, without any knowledge of models and fits."""

"""Experiments and the making of models and samples. Nothing here runs in production."""

"""Experiments, training, evaluation and sample generation. Nothing here runs in production."""
